//! Reads from memory: a host never goes back behind what it has written or seen, and follows what others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use starling_kv::{Store, StoreExt};
use starling_kv_nats::NatsStore;
use tokio::task::JoinSet;

use crate::support::{World, bytes, eventually, read, write};

/// Keys that everybody works on.
const KEYS: usize = 6;

/// What one host may not go back behind, for each key.
#[derive(Default)]
struct Seen([AtomicU64; KEYS]);

impl Seen {
    fn key(n: usize) -> String {
        format!("key/{n}")
    }

    async fn write(&self, store: &NatsStore, n: usize) {
        let version = store.set(&Self::key(n), bytes("")).await.unwrap();
        self.0[n].fetch_max(version.get(), Ordering::SeqCst);
    }

    async fn read(&self, store: &NatsStore, n: usize) {
        let before = self.0[n].load(Ordering::SeqCst);
        let entry = store.get(&Self::key(n)).await.unwrap();
        let version = entry.map_or(0, |entry| entry.version.get());
        assert!(version >= before, "{version} of key {n}, after {before}");
        self.0[n].fetch_max(version, Ordering::SeqCst);
    }
}

async fn finished(mut tasks: JoinSet<()>) {
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// Writes and reads the same keys from many tasks of one host, and writes them from another host, too.
async fn check_never_goes_back(cache_bytes: usize) {
    let world = World::of(&["eu"]).await;
    let change = |config: &mut starling_kv_nats::StoreConfig| config.cache_bytes = cache_bytes;
    let (host, other) = (
        world.host_with("eu", change).await,
        world.host_with("eu", change).await,
    );
    let seen = Arc::new(Seen::default());
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let (own, written) = (host.own(), seen.clone());
        tasks.spawn(async move {
            for round in 0..120 {
                written.write(&own, (round + task) % KEYS).await;
                written.read(&own, (round + task) % KEYS).await;
            }
        });
        let (own, seen) = (host.own(), seen.clone());
        tasks.spawn(async move {
            for round in 0..1_000 {
                seen.read(&own, (round * 5 + task) % KEYS).await;
                tokio::task::yield_now().await;
            }
        });
    }
    let elsewhere = other.own();
    tasks.spawn(async move {
        for round in 0..200 {
            let key = Seen::key(round % KEYS);
            elsewhere.set(&key, bytes("")).await.unwrap();
        }
    });
    finished(tasks).await;
    // In the end both read what the server holds.
    for n in 0..KEYS {
        let key = Seen::key(n);
        eventually("both read the same", async || {
            host.own().get(&key).await.unwrap() == other.own().get(&key).await.unwrap()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn host_never_goes_back_behind_what_it_has_seen() {
    check_never_goes_back(1 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_without_room_for_anything_never_goes_back_either() {
    check_never_goes_back(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_of_several_hosts_lose_nothing() {
    let world = World::of(&["eu"]).await;
    let hosts = [world.host("eu").await, world.host("eu").await];
    let mut tasks = JoinSet::new();
    for host in &hosts {
        for _ in 0..3 {
            let own = host.own();
            tasks.spawn(async move {
                for _ in 0..20 {
                    while let Err(error) = own.increment("counter", 1).await {
                        assert!(error.is_retryable(), "{error:?}");
                    }
                }
            });
        }
    }
    finished(tasks).await;
    for host in &hosts {
        assert_eq!(host.own().increment("counter", 0).await.unwrap(), 120);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_host_writes_is_read() {
    let world = World::of(&["eu"]).await;
    let (host, other) = (world.host("eu").await, world.host("eu").await);
    for round in 0..20 {
        // Kept by now: that it is missing, or what it held.
        let _ = read(&host.own(), "key").await.unwrap();
        let value = round.to_string();
        other.own().set("key", bytes(&value)).await.unwrap();
        eventually("it is read", async || {
            read(&host.own(), "key").await.unwrap().as_deref() == Some(&value)
        })
        .await;
    }
    other.own().delete("key").await.unwrap();
    eventually("it is gone", async || {
        read(&host.own(), "key").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_is_true_again_after_the_server_was_away() {
    let world = World::of(&["eu"]).await;
    let (host, other) = (world.host("eu").await, world.host("eu").await);
    write(&host.own(), "key").await;
    for round in 0..3 {
        assert!(read(&host.own(), "key").await.unwrap().is_some());
        assert_eq!(
            read(&host.own(), &format!("new/{round}")).await.unwrap(),
            None
        );
        world.server("eu").restart().await;
        write(&other.own(), &format!("new/{round}")).await;
        let value = round.to_string();
        eventually("it is written", async || {
            other.own().set("key", bytes(&value)).await.is_ok()
        })
        .await;
        eventually("both are read", async || {
            let key = read(&host.own(), "key").await;
            let new = read(&host.own(), &format!("new/{round}")).await;
            key.is_ok_and(|key| key.as_deref() == Some(&value))
                && new.is_ok_and(|new| new.is_some())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_is_read_all_the_same() {
    let world = World::of(&["eu"]).await;
    let small = |config: &mut starling_kv_nats::StoreConfig| config.cache_bytes = 64 << 10;
    let host = world.host_with("eu", small).await;
    let value = |n: usize| Bytes::from(vec![u8::try_from(n % 251).unwrap(); 1_000]);
    let keys: Vec<String> = (0..400).map(|n| format!("key/{n}")).collect();
    let entries = keys.iter().enumerate();
    let entries: Vec<_> = entries.map(|(n, key)| (key.clone(), value(n))).collect();
    host.own().set_many(entries).await.unwrap();
    for _ in 0..2 {
        for (n, entry) in host
            .own()
            .get_many(&keys)
            .await
            .unwrap()
            .into_iter()
            .enumerate()
        {
            assert_eq!(entry.unwrap().value, value(n));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_is_listed_is_there() {
    let world = World::of(&["eu"]).await;
    let (host, other) = (world.host("eu").await, world.host("eu").await);
    for round in 0..40 {
        let key = format!("round-{round}/key");
        assert_eq!(read(&host.own(), &key).await.unwrap(), None);
        let (elsewhere, written) = (other.own(), key.clone());
        let writer = tokio::spawn(async move { write(&elsewhere, &written).await });
        let prefix = format!("round-{round}/");
        eventually("it is listed", async || {
            let page = host.own().list(&prefix, None, 10).await.unwrap();
            !page.keys.is_empty()
        })
        .await;
        assert!(host.own().exists(&key).await.unwrap(), "{key}");
        writer.await.unwrap();
    }
}
