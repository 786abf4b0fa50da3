//! `cargo xtask bench`, regions: how long after its acknowledgement a write is visible in another region, and what a
//! read from a region's cache costs.
//!
//! Two regions on this machine, a real server each, and a proxy between them that delays both ways. The lag is stated
//! beside the one-way delay that was injected: no replication is faster than that. Reads are stated beside those of
//! the embedded store in the same run.
//!
//! The two servers of real regions have a disk each. Here they would share one, which at 2,000 writes a second has to
//! sync 4,000 times: so the lag is measured with stores in memory, and at the smaller rate on the disk as well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use starling_kv::Store;
use starling_kv_embedded::EmbeddedStore;
use starling_kv_nats::{NatsStore, Regions, Replicated, StoreConfig, SystemConfig};
use starling_test_servers::{Direction, NatsServer, Proxy};
use starling_tests::table::Options;
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Writes at once: at 2,000 a second each has this many times half a millisecond.
const WRITERS: usize = 64;

/// The size of a slot with some messages.
const VALUE_BYTES: usize = 2_000;

/// Keys that are read in turn.
const READ_KEYS: usize = 1_000;

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

const HELP: &str = "\
Measures replication between regions, and reads from a region's cache.

Usage: cargo xtask bench -- [--seconds N] [--only TEXT] [--json]
  --seconds N  how long each load runs (6)
  --only TEXT  measure nothing, unless `regions` contains it
  --json       one JSON object a line: name, value, unit, native, ratio_to_native
";

fn main() {
    Options::measure("regions", HELP, async |options| {
        for (medium, rate) in [
            (Medium::Disk, 200),
            (Medium::Memory, 200),
            (Medium::Memory, 2_000),
        ] {
            for delay in [Duration::ZERO, Duration::from_millis(40)] {
                lag(&options, medium, rate, delay).await;
            }
        }
        reads(&options).await;
    });
}

/// What the servers' stores are on.
#[derive(Clone, Copy, Debug)]
enum Medium {
    Disk,
    Memory,
}

impl Medium {
    /// A folder on it.
    fn folder(self) -> TempDir {
        match self {
            Self::Disk => tempfile::tempdir(),
            Self::Memory => tempfile::tempdir_in("/dev/shm"),
        }
        .expect("a folder")
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disk => "one disk",
            Self::Memory => "memory",
        }
    }
}

/// Two regions, with a delay on the way from `eu` to whoever reads it in `us`.
struct TwoRegions {
    eu: Replicated,
    us: Replicated,
    _servers: [NatsServer; 2],
    _stores: [TempDir; 2],
    _links: [Proxy; 2],
}

impl TwoRegions {
    async fn start(medium: Medium, delay: Duration) -> Self {
        let stores = [medium.folder(), medium.folder()];
        let server = |store: &TempDir| NatsServer::options().store(store.path()).start();
        let servers = [server(&stores[0]).await, server(&stores[1]).await];
        let links = [
            Proxy::start(servers[0].address()).await,
            Proxy::start(servers[1].address()).await,
        ];
        for link in &links {
            link.delay(Direction::ToServer, delay);
            link.delay(Direction::ToClient, delay);
        }
        let system = |address: std::net::SocketAddr| {
            Some(SystemConfig {
                servers: vec![format!("nats://{address}")],
                ..SystemConfig::default()
            })
        };
        let open = async |own: &str, eu, us| {
            let systems =
                BTreeMap::from([("eu".to_owned(), system(eu)), ("us".to_owned(), system(us))]);
            let regions = Regions::connect(own, &systems).await.expect("regions");
            Replicated::open(&regions, StoreConfig::new("bench"))
                .await
                .expect("the store opens")
        };
        let eu = open("eu", servers[0].address(), links[1].address()).await;
        let us = open("us", links[0].address(), servers[1].address()).await;
        Self {
            eu,
            us,
            _servers: servers,
            _stores: stores,
            _links: links,
        }
    }

    /// `us`'s replica of `eu`.
    fn replica(&self) -> NatsStore {
        let mut replicas = self.us.replicas();
        replicas.next().expect("there is one other region").1
    }
}

fn key(number: usize) -> String {
    format!("slot/mailbox-{number}")
}

/// Waits until a key can be read; when that was.
async fn visible(store: &NatsStore, key: &str) -> Instant {
    let seen = async {
        while !matches!(store.get(key).await, Ok(Some(_))) {
            tokio::task::yield_now().await;
        }
        Instant::now()
    };
    timeout(PATIENCE, seen).await.expect("it becomes visible")
}

async fn lag(options: &Options, medium: Medium, rate: u64, delay: Duration) {
    let regions = TwoRegions::start(medium, delay).await;
    let (eu, replica) = (regions.eu.own(), regions.replica());
    // The way is open, and everything is warm.
    eu.set("warm", Bytes::new()).await.expect("it is written");
    visible(&replica, "warm").await;

    let writes = usize::try_from(rate * options.seconds).expect("a small number");
    let value = Bytes::from(vec![7; VALUE_BYTES]);
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate).expect("a small number"));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    let write = async {
        let ticks = futures::stream::unfold((ticks, 0), |(mut ticks, number)| async move {
            (number < writes).then_some(())?;
            ticks.tick().await;
            Some((number, (ticks, number + 1)))
        });
        let acknowledged: Vec<(usize, Instant)> = ticks
            .map(|number| {
                let (eu, value) = (eu.clone(), value.clone());
                async move {
                    eu.set(&key(number), value).await.expect("it is written");
                    (number, Instant::now())
                }
            })
            .buffer_unordered(WRITERS)
            .collect()
            .await;
        (acknowledged, begun.elapsed())
    };
    let watch = tokio::spawn(async move {
        let mut seen = Vec::with_capacity(writes);
        for number in 0..writes {
            seen.push(visible(&replica, &key(number)).await);
        }
        seen
    });
    let (acknowledged, took) = write.await;
    let seen = watch.await.expect("all become visible");
    let mut lags: Vec<f64> = acknowledged
        .into_iter()
        .map(|(number, at)| seen[number].saturating_duration_since(at).as_secs_f64() * 1e3)
        .collect();
    lags.sort_by(f64::total_cmp);
    let achieved = writes as f64 / took.as_secs_f64();
    let delay_ms = delay.as_millis();
    let medium = medium.name();
    let what = |of: &str| format!("{of}, {rate} writes/s on {medium}, one-way delay {delay_ms} ms");
    options.row(&what("writes"), achieved, "writes/s");
    for (name, share) in [("lag p50", 0.5), ("lag p99", 0.99)] {
        let index = ((lags.len() - 1) as f64 * share) as usize;
        options.row(&what(name), lags[index], "ms");
    }
}

async fn reads(options: &Options) {
    let regions = TwoRegions::start(Medium::Disk, Duration::ZERO).await;
    let nats = regions.eu.own();
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = EmbeddedStore::open(starling_kv_embedded::Config::new(folder.path()))
        .expect("the store opens");
    let value = Bytes::from(vec![7; VALUE_BYTES]);
    let keys: Vec<String> = (0..READ_KEYS).map(key).collect();
    for key in &keys {
        nats.set(key, value.clone()).await.expect("it is written");
        embedded
            .set(key, value.clone())
            .await
            .expect("it is written");
    }
    // In turns, so that both have the same machine.
    let (mut cached, mut own) = (Duration::ZERO, Duration::ZERO);
    let turns = options.seconds * 100;
    for _ in 0..turns {
        cached += read_all(&nats, &keys).await;
        own += read_all(&embedded, &keys).await;
    }
    let reads = (turns * READ_KEYS as u64) as f64;
    let each = |spent: Duration| spent.as_secs_f64() * 1e9 / reads;
    options.row("read of 2 KB from a region's cache", each(cached), "ns");
    options.row("read of 2 KB from the embedded store", each(own), "ns");
    options.row("ratio of the two", each(cached) / each(own), "");
}

async fn read_all(store: &impl Store, keys: &[String]) -> Duration {
    let begun = Instant::now();
    for key in keys {
        let read = store.get(key).await.expect("it is read");
        assert!(read.is_some());
    }
    begun.elapsed()
}
