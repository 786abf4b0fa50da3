//! What one region writes, every other region reads: all of it, in order, whatever fails meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use starling_kv::{Error, Store, Swap};
use starling_kv_nats::NatsStore;

use crate::support::{World, bytes, eventually, keys, read, write, write_all};

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_deletions_become_visible_in_every_region() {
    let world = World::of(&["ap", "eu", "us"]).await;
    let (ap, eu, us) = (
        world.host("ap").await,
        world.host("eu").await,
        world.host("us").await,
    );
    let own = eu.own();
    let version = own.set("kept", bytes("1")).await.unwrap();
    own.set("gone", bytes("1")).await.unwrap();
    for host in [&ap, &us] {
        let replica = host.replica("eu");
        eventually("both are there", async || {
            read(&replica, "gone").await.unwrap().is_some()
        })
        .await;
    }
    let swapped = own.compare_and_swap("kept", Some(version), bytes("2"));
    let Ok(Swap::Swapped(version)) = swapped.await else {
        panic!("nobody else writes");
    };
    own.delete("gone").await.unwrap();
    for host in [&ap, &us] {
        let replica = host.replica("eu");
        eventually("it is gone", async || {
            !replica.exists("gone").await.unwrap()
        })
        .await;
        // What came before is there, with the origin's version, and nothing else is.
        let entry = replica.get("kept").await.unwrap().unwrap();
        assert_eq!((entry.value, entry.version), (bytes("2"), version));
        assert_eq!(keys(&replica, "", 10).await.unwrap(), ["kept"]);
        // Each region's bucket is its own.
        assert_eq!(read(&host.own(), "kept").await.unwrap(), None);
    }
    let held = world.converged("eu").await;
    assert_eq!(held.last_sequence, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_is_only_read() {
    let world = World::of(&["eu", "us"]).await;
    let us = world.host("us").await;
    let replica = us.replica("eu");
    let key = || vec!["key".to_owned()];
    let refusals = [
        replica.set("key", bytes("")).await.map(drop),
        replica.delete("key").await,
        replica
            .compare_and_swap("key", None, bytes(""))
            .await
            .map(drop),
        replica.set_many(vec![("key".to_owned(), bytes(""))]).await,
        replica.delete_many(&key()).await,
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(Error::AccessDenied)), "{refusal:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_written_often_count_as_often_everywhere() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    let own = eu.own();
    write(&own, "first").await;
    world.converged("eu").await;
    world.isolate("us");
    for round in 0..30 {
        own.set("often", bytes(&round.to_string())).await.unwrap();
    }
    write(&own, "between").await;
    for _ in 0..3 {
        own.set("often", bytes("last")).await.unwrap();
    }
    own.delete("first").await.unwrap();
    world.heal();
    let held = world.converged("eu").await;
    assert_eq!(held.last_sequence, 36);
    let replica = us.replica("eu");
    eventually("it is read", async || {
        read(&replica, "often").await.unwrap().as_deref() == Some("last")
    })
    .await;
    // What fills the places of those that were replaced is no key.
    eventually("all keys are listed", async || {
        keys(&replica, "", 10).await.unwrap() == ["between", "often"]
    })
    .await;
    assert_eq!(us.origin("eu").regression, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_replicate_at_once_lose_nothing() {
    let world = World::of(&["eu", "us"]).await;
    let eu = world.host("eu").await;
    let hosts = [
        world.host("us").await,
        world.host("us").await,
        world.host("us").await,
    ];
    for round in 0..5 {
        write_all(&eu.own(), "many", 200).await;
        write_all(&eu.own(), &format!("round-{round}"), 20).await;
        // They all start anew from the same place.
        world.path("us", "eu").cut();
        world.path("us", "eu").heal();
    }
    let held = world.converged("eu").await;
    assert_eq!(held.entries.len(), 300);
    for host in &hosts {
        eventually("it is known to be complete", async || {
            let origin = host.origin("eu");
            origin.lag_sequences == 0 && origin.applied == held.last_sequence
        })
        .await;
        assert_eq!(host.origin("eu").regression, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_first_is_visible_first() {
    const MESSAGES: usize = 300;
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    let writer = tokio::spawn({
        let own = eu.own();
        async move {
            for n in 0..MESSAGES {
                write(&own, &format!("audio/{n}")).await;
                write(&own, &format!("slot/{n}")).await;
            }
        }
    });
    let replica = us.replica("eu");
    let mut looks = 0_usize;
    for n in 0..MESSAGES {
        let (audio, slot) = (format!("audio/{n}"), format!("slot/{n}"));
        eventually("the slot is there", async || {
            // That it is missing is what the cache might keep.
            replica.get(&audio).await.unwrap();
            let visible = replica.exists(&slot).await.unwrap();
            if visible {
                let heard = replica.exists(&audio).await.unwrap();
                assert!(heard, "{slot} is there and {audio} is not");
            }
            visible
        })
        .await;
        looks += 1;
    }
    writer.await.unwrap();
    assert_eq!(looks, MESSAGES);
}

/// More than may be under way at once, and more than a server sends unasked.
#[tokio::test(flavor = "multi_thread")]
async fn large_values_come_whole() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    write(&eu.own(), "first").await;
    world.converged("eu").await;
    world.isolate("us");
    for n in 0..150_u8 {
        let value = bytes::Bytes::from(vec![n; 256 << 10]);
        eu.own().set(&format!("audio/{n}"), value).await.unwrap();
    }
    world.heal();
    let replica = us.replica("eu");
    eventually("the last is there", async || {
        replica.exists("audio/149").await.is_ok_and(|there| there)
    })
    .await;
    for n in 0..150_u8 {
        let entry = replica.get(&format!("audio/{n}")).await.unwrap().unwrap();
        assert!(entry.value.len() == 256 << 10 && entry.value.iter().all(|&byte| byte == n));
    }
}

/// Writes without pause, until it is told to end; each write again until it is acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    fn start(own: NatsStore) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (stop.clone(), written.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let n = count.load(Ordering::Relaxed);
                write(&own, &format!("key/{n}")).await;
                write(&own, "same").await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            stop,
            written,
            task,
        }
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits for so many more writes.
    async fn goes_on(&self, more: usize) {
        let enough = self.written() + more;
        eventually("the writer goes on", async || self.written() >= enough).await;
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.written.load(Ordering::Relaxed)
    }
}

/// Lets something happen while `eu` writes and `us` replicates; then both hold the same, and all that was acknowledged.
async fn check_survives(fault: impl AsyncFnOnce(&World, &Writer)) {
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    let writer = Writer::start(eu.own());
    writer.goes_on(20).await;
    fault(&world, &writer).await;
    writer.goes_on(20).await;
    let written = writer.end().await;
    let held = world.converged("eu").await;
    // Besides the keys, the one that is written again and again.
    assert_eq!(held.entries.len(), written + 1);
    assert_eq!(us.origin("eu").regression, None);
    assert_eq!(eu.trouble(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_origin_loses_nothing() {
    check_survives(async |world, writer| {
        for _ in 0..2 {
            world.server("eu").kill();
            world.server("eu").restart().await;
            writer.goes_on(5).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_replica_loses_nothing() {
    check_survives(async |world, writer| {
        for _ in 0..2 {
            world.server("us").kill();
            writer.goes_on(20).await;
            world.server("us").restart().await;
            writer.goes_on(20).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_origin_loses_nothing() {
    check_survives(async |world, writer| {
        let eu = world.server("eu");
        eu.pause();
        // What was answered before may still be on its way.
        let before = writer.written();
        // Long enough for writes to be given up.
        tokio::time::sleep(std::time::Duration::from_millis(3_300)).await;
        assert!(writer.written() <= before + 1, "it is suspended");
        eu.resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_replica_loses_nothing() {
    check_survives(async |world, writer| {
        world.server("us").pause();
        writer.goes_on(200).await;
        world.server("us").resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn network_that_is_cut_and_stalled_loses_nothing() {
    check_survives(async |world, writer| {
        for _ in 0..3 {
            world.path("us", "eu").cut();
            writer.goes_on(20).await;
            world.path("us", "eu").heal();
            writer.goes_on(20).await;
            world.path("us", "eu").stall();
            writer.goes_on(20).await;
            world.path("us", "eu").heal();
            writer.goes_on(20).await;
        }
    })
    .await;
}
