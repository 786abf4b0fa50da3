//! How many deposits a second the disk under a directory can take, beside what the raw disk does.
//!
//! ```text
//! cargo run --release -p starling-kv-embedded --example deposits -- [directory] [seconds]
//! ```
//!
//! A deposit is what the voicemail component does with half a minute of speech: two chunks of audio
//! of 256 KiB in one batch, then a compare-and-swap on the mailbox's slot of 4 KiB. Each is durable
//! before the next begins. Every writer has a mailbox of its own.

use std::{
    error::Error,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use starling_kv::{Store, Swap, Version};
use starling_kv_embedded::{Config, EmbeddedStore};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const CHUNK_BYTES: usize = 256 * 1024;
const SLOT_BYTES: usize = 4 * 1024;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| "deposits-bench".to_owned()),
    );
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    fs::create_dir_all(&directory)?;

    let raw = raw_writes(&directory.join("raw"), time)?;
    println!("raw disk: {raw:.0} writes of 256 KiB with fdatasync /s");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    println!("writers  deposits/s  p50 ms  p99 ms  writes/commit");
    for writers in [1, 8, 64] {
        let path = directory.join(format!("store-{writers}"));
        runtime.block_on(deposits(&path, writers, time))?;
        fs::remove_dir_all(&path)?;
    }
    let path = directory.join("store-small");
    runtime.block_on(small(&path, time))?;
    fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Writes of one chunk, each followed by fdatasync, one after the other.
fn raw_writes(path: &Path, time: Duration) -> Result<f64> {
    let chunk = noise(CHUNK_BYTES, 1);
    let mut file = File::create(path)?;
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < time {
        file.write_all(&chunk)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}

async fn deposits(path: &Path, writers: usize, time: Duration) -> Result<()> {
    let store = Arc::new(EmbeddedStore::open(Config::new(path))?);
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| tokio::spawn(deposit(Arc::clone(&store), writer, Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let stats = store.stats()?;
    println!(
        "{writers:7}  {rate:10.0}  {:6.1}  {:6.1}  {:13.1}",
        milliseconds(latencies[latencies.len() / 2]),
        milliseconds(latencies[latencies.len() * 99 / 100]),
        stats.requests as f64 / stats.commits as f64,
    );
    Ok(())
}

/// Deposits until it is told to stop, and returns how long each took.
async fn deposit(
    store: Arc<EmbeddedStore>,
    writer: usize,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Duration>> {
    let chunk = Bytes::from(noise(CHUNK_BYTES, writer as u64 + 1));
    let slot = Bytes::from(noise(SLOT_BYTES, writer as u64 + 2));
    let key = format!("slot/{writer}");
    let mut version: Option<Version> = None;
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let message = format!("audio/{writer}-{}", latencies.len());
        let chunks = (0..2)
            .map(|n| (format!("{message}/{n}"), chunk.clone()))
            .collect();
        store.set_many(chunks).await?;
        match store.compare_and_swap(&key, version, slot.clone()).await? {
            Swap::Swapped(now) => version = Some(now),
            Swap::Lost(now) => return Err(format!("lost {key} to {now:?}").into()),
        }
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

/// Slots alone: writes at 64 writers, then reads of one that is in memory.
async fn small(path: &Path, time: Duration) -> Result<()> {
    let store = Arc::new(EmbeddedStore::open(Config::new(path))?);
    let begun = Instant::now();
    let tasks = (0..64).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let value = Bytes::from(noise(SLOT_BYTES, writer));
            let mut count = 0_u64;
            while begun.elapsed() < time {
                store.set(&format!("slot/{writer}"), value.clone()).await?;
                count += 1;
            }
            Result::<u64>::Ok(count)
        })
    });
    let mut count = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await??;
    }
    println!(
        "4 KiB writes at 64 writers: {:.0} /s",
        count as f64 / time.as_secs_f64()
    );

    let rounds = 1_000_000_u32;
    let begun = Instant::now();
    for _ in 0..rounds {
        store.get("slot/7").await?.ok_or("the slot is gone")?;
    }
    println!(
        "reads of one slot: {} ns",
        (begun.elapsed() / rounds).as_nanos()
    );
    drop(store);
    let begun = Instant::now();
    drop(EmbeddedStore::open(Config::new(path))?);
    println!(
        "open and close after this: {:.1} ms",
        milliseconds(begun.elapsed())
    );
    thread::sleep(Duration::from_millis(100));
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let rss = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap_or_default();
        println!("{rss}");
    }
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Bytes that do not compress, like audio (xorshift).
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}
