//! Deposits against the disk that they go to.
//!
//! The disk's own rate with *group commit* is what a server could reach that cost nothing but the disk: as many deposits as
//! there are clients are written to one file, one after the other, and synced at once with `fdatasync`, in a loop. A deposit
//! is its 480 KB and a slot of 4 KiB.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::syncfs;
use starling_kv::{Store as _, Swap};
use starling_kv_embedded::{Config, EmbeddedStore};
use starling_tests::aim::Aim;
use starling_tests::audio;

use crate::measured::Measured;
use crate::report::{Report, Row};
use crate::stage::Stage;

/// Turns that host, baseline, store and disk take.
const TURNS: u32 = 6;

const CLIENTS: [usize; 3] = [1, 8, 64];

/// What the voicemail code stores as one value at most.
const PIECE_BYTES: usize = 256 << 10;

const SLOT_BYTES: usize = 4 << 10;

/// Measures deposits through HTTP, into the embedded store by itself, and onto the bare disk, in turns.
pub(crate) async fn measure(report: &mut Report, duration: Duration, stage: &Stage) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = EmbeddedStore::open(Config::new(folder.path().join("store")));
    let store = Arc::new(store.expect("the store opens"));
    for clients in CLIENTS {
        report.progress(&format!("deposit durability, {clients} clients"));
        let slice = duration / TURNS;
        let loads = stage.deposit().loads(clients, slice);
        let [mut ours, mut base] = [Measured::default(), Measured::default()];
        let [mut store_rate, mut disk_rate] = [0.0, 0.0];
        for _ in 0..TURNS {
            settle(folder.path());
            disk_rate += onto_disk(folder.path(), clients, slice) / f64::from(TURNS);
            settle(folder.path());
            store_rate += into_store(&store, clients, slice).await / f64::from(TURNS);
            let [our_load, base_load] = loads.clone();
            settle(folder.path());
            base.merge(base_load.run().await);
            settle(folder.path());
            ours.merge(our_load.run().await);
        }
        ours.expect_no_failure();
        base.expect_no_failure();
        let plural = if clients == 1 { "" } else { "s" };
        let name = format!("deposit of 480 KB with fsync, {clients} client{plural}");
        report.note_refusals(&name, &ours);
        let (ours, base) = (ours.per_second(), base.per_second());
        let row = |name: &str, value, native| {
            Row::greater_is_better(name, value, "deposits/s", Some(native))
        };
        report.add(row(&name, ours, base));
        let against = format!("{name}, against the disk");
        report.add(row(&against, ours, disk_rate).aim(Aim::RatioAtLeast(0.9)));
        let alone = format!("embedded store by itself, {clients} writer{plural}, against the disk");
        report.add(row(&alone, store_rate, disk_rate));
    }
}

/// Waits until the disk has what was written to it before, so that each turn pays for its own.
fn settle(folder: &Path) {
    let folder = File::open(folder).expect("the folder can be opened");
    syncfs(folder).expect("the disk syncs");
}

/// Deposits a second that the disk takes, so many of them with one sync.
fn onto_disk(folder: &Path, group: usize, duration: Duration) -> f64 {
    let deposit = [audio::long_speech(), &[7; SLOT_BYTES]].concat();
    let mut file = File::create(folder.join("disk")).expect("a file");
    let (mut deposits, begun) = (0_u32, Instant::now());
    while begun.elapsed() < duration {
        for _ in 0..group {
            file.write_all(&deposit).expect("the disk takes it");
            deposits += 1;
        }
        file.sync_data().expect("the disk syncs");
    }
    let rate = f64::from(deposits) / begun.elapsed().as_secs_f64();
    // What is behind is given back, so that the next turn finds the disk as this one did.
    file.rewind().expect("a file can be rewound");
    file.set_len(0).expect("a file can be emptied");
    file.sync_all().expect("the disk syncs");
    rate
}

/// Deposits a second that the embedded store takes from so many writers.
async fn into_store(store: &Arc<EmbeddedStore>, writers: usize, duration: Duration) -> f64 {
    let begun = Instant::now();
    let writers = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move { write_until(&store, writer, begun + duration).await })
    });
    let mut deposits = 0;
    for writer in writers.collect::<Vec<_>>() {
        deposits += writer.await.expect("a writer does not panic");
    }
    f64::from(deposits) / begun.elapsed().as_secs_f64()
}

/// Deposits one after another, as the voicemail code does: pieces of audio first, then the slot of the mailbox. Returns how
/// many.
async fn write_until(store: &EmbeddedStore, writer: usize, end: Instant) -> u32 {
    let speech = Bytes::from_static(audio::long_speech());
    let slot = Bytes::from_static(&[7; SLOT_BYTES]);
    let key = format!("slot/{writer}");
    let entry = store.get(&key).await.expect("the store answers");
    let mut version = entry.map(|entry| entry.version);
    let mut deposits = 0;
    while Instant::now() < end {
        let piece = |(number, piece): (usize, &[u8])| {
            let key = format!("audio/{writer}/{deposits}/{number}");
            (key, speech.slice_ref(piece))
        };
        let pieces = speech.chunks(PIECE_BYTES).enumerate().map(piece).collect();
        store.set_many(pieces).await.expect("the store takes it");
        let swap = store.compare_and_swap(&key, version, slot.clone()).await;
        match swap.expect("the store takes it") {
            Swap::Swapped(now) => version = Some(now),
            Swap::Lost(_) => panic!("nobody else writes {key}"),
        }
        deposits += 1;
    }
    deposits
}
