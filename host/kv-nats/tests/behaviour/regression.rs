//! A region whose disk is lost, or put back as it once was.

use std::path::Path;

use async_nats::jetstream;
use starling_kv::{Error, Store};
use starling_kv_nats::{Regression, StoreConfig};

use crate::support::{
    Dump, Host, World, alone, bytes, eventually, raw, read, system, write, write_all,
};

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("it can be listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// A region's disk as it is now.
async fn kept(world: &World, region: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    world.server(region).stop();
    copy(world.server(region).store(), folder.path());
    world.server(region).restart().await;
    folder
}

/// Puts back what a region's disk once was.
async fn put_back(world: &World, region: &str, folder: &tempfile::TempDir) {
    world.server(region).kill();
    world.server(region).wipe();
    copy(folder.path(), world.server(region).store());
    world.server(region).restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn region_that_lost_its_disk_gets_everything_back() {
    let world = World::of(&["ap", "eu", "us"]).await;
    let (eu, other_eu) = (world.host("eu").await, world.host("eu").await);
    let (_ap, us) = (world.host("ap").await, world.host("us").await);
    write_all(&eu.own(), "many", 300).await;
    write_all(&eu.own(), "many", 100).await;
    eu.own().delete("many/7").await.unwrap();
    let before = world.converged("eu").await;

    world.server("eu").kill();
    world.server("eu").wipe();
    world.server("eu").restart().await;
    // Whatever is written from now on follows what was there before, whichever host writes it.
    write(&other_eu.own(), "next").await;
    write(&eu.own(), "last").await;
    let after = world.converged("eu").await;
    assert_eq!(after.last_sequence, before.last_sequence + 2);
    for (key, entry) in &before.entries {
        assert_eq!(after.entries.get(key), Some(entry), "{key}");
    }
    assert_eq!(after.entries.len(), before.entries.len() + 2);
    // Versions are as they were, and compare-and-swap goes on with them.
    let entry = eu.own().get("many/0").await.unwrap().unwrap();
    assert_eq!(entry.version.get(), before.entries["many.0"].0);
    eventually("nobody complains any more", async || {
        us.origin("eu").regression.is_none()
    })
    .await;
    assert_eq!((eu.trouble(), other_eu.trouble()), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn older_copy_of_the_disk_gets_its_end_back() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, _us) = (world.host("eu").await, world.host("us").await);
    write_all(&eu.own(), "old", 20).await;
    let folder = kept(&world, "eu").await;
    write_all(&eu.own(), "new", 20).await;
    write_all(&eu.own(), "old", 5).await;
    let before = world.converged("eu").await;

    put_back(&world, "eu", &folder).await;
    write(&eu.own(), "next").await;
    let after = world.converged("eu").await;
    assert_eq!(after.last_sequence, before.last_sequence + 1);
    for (key, entry) in &before.entries {
        assert_eq!(after.entries.get(key), Some(entry), "{key}");
    }
    assert_eq!(eu.trouble(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn region_that_knows_that_its_end_is_missing_waits_for_whoever_has_it() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, _us) = (world.host("eu").await, world.host("us").await);
    write_all(&eu.own(), "old", 5).await;
    let folder = kept(&world, "eu").await;
    write_all(&eu.own(), "new", 5).await;
    let before = world.converged("eu").await;

    world.isolate("eu");
    put_back(&world, "eu", &folder).await;
    eventually("it is said", async || {
        eu.trouble().is_some_and(|trouble| trouble.contains("10"))
    })
    .await;
    let refused = eu.own().set("next", bytes("")).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    // What is there is read.
    assert!(eu.own().exists("old/1").await.unwrap());

    world.heal();
    write(&eu.own(), "next").await;
    let after = world.converged("eu").await;
    assert_eq!(after.last_sequence, before.last_sequence + 1);
    assert!(after.entries.contains_key("new.4"));
    assert_eq!(eu.trouble(), None);
}

/// Puts an older copy back, lets a host that knows nothing of it write in isolation, and heals.
async fn check_two_histories_are_noticed(keys: &[&str]) {
    let world = World::of(&["ap", "eu", "us"]).await;
    let eu = world.host("eu").await;
    let (ap, us) = (world.host("ap").await, world.host("us").await);
    write_all(&eu.own(), "old", 5).await;
    let folder = kept(&world, "eu").await;
    write_all(&eu.own(), "lost", 5).await;
    let before = world.converged("eu").await;
    assert_eq!(before.last_sequence, 10);
    drop(eu);

    world.isolate("eu");
    put_back(&world, "eu", &folder).await;
    let eu = world.host("eu").await;
    for key in keys {
        write(&eu.own(), key).await;
    }
    world.heal();

    eventually("this region notices", async || eu.trouble().is_some()).await;
    let refused = eu.own().set("next", bytes("")).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    for host in [&ap, &us] {
        eventually("other regions notice", async || {
            let report = host.origin("eu");
            report.regression.is_some() && report.regressions > 0
        })
        .await;
        assert_eq!(
            read(&host.replica("eu"), "lost/4")
                .await
                .unwrap()
                .as_deref(),
            Some("lost")
        );
    }
    for region in ["ap", "us"] {
        let copy = Dump::of(world.server(region), "default_eu").await;
        assert_eq!(copy.as_ref(), Some(&before), "{region}");
    }
    // It stays so, also for a host that starts now.
    let fresh = world.host("eu").await;
    assert!(fresh.trouble().is_some());
    let refused = fresh.own().set("next", bytes("")).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_histories_are_noticed_where_the_origin_ends_later() {
    check_two_histories_are_noticed(&["a", "b", "c", "d", "e", "f", "g"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_histories_are_noticed_where_the_origin_ends_before() {
    check_two_histories_are_noticed(&["a", "b"]).await;
}

/// Then nothing is left at the sequences that the replicas have.
#[tokio::test(flavor = "multi_thread")]
async fn two_histories_are_noticed_where_the_origin_has_replaced_its_own() {
    check_two_histories_are_noticed(&["hot"; 12]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn region_without_a_bucket_does_not_make_one_unasked() {
    let world = World::of(&["eu", "us"]).await;
    world.server("us").kill();
    let eu = world.host("eu").await;
    eventually("it is said", async || {
        eu.trouble()
            .is_some_and(|trouble| trouble.contains("new_region"))
    })
    .await;
    let refused = eu.own().set("key", bytes("")).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(Dump::of(world.server("eu"), "default_eu").await, None);
    // An operator says that it is new.
    drop(eu);
    let eu = world
        .host_with("eu", |config| config.new_region = true)
        .await;
    write(&eu.own(), "key").await;
    assert_eq!(eu.trouble(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn region_without_a_bucket_begins_once_another_is_there() {
    let world = World::of(&["eu", "us"]).await;
    world.isolate("eu");
    let eu = world.host("eu").await;
    assert!(eu.own().set("key", bytes("")).await.is_err());
    world.heal();
    write(&eu.own(), "key").await;
    assert_eq!(eu.trouble(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn region_without_others_begins_at_once() {
    let world = World::of(&["eu"]).await;
    let eu = world.host("eu").await;
    eu.own().set("key", bytes("")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_that_lost_its_disk_is_made_anew() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    write_all(&eu.own(), "many", 50).await;
    write(&us.own(), "mine").await;
    world.converged("eu").await;
    world.converged("us").await;
    world.server("us").kill();
    world.server("us").wipe();
    world.server("us").restart().await;
    world.converged("eu").await;
    // Its own bucket comes back too.
    write(&us.own(), "next").await;
    let held = world.converged("us").await;
    assert_eq!(held.last_sequence, 2);
    let replica = us.replica("eu");
    eventually("it is read", async || {
        read(&replica, "many/49")
            .await
            .is_ok_and(|value| value.is_some())
    })
    .await;
    eventually("it is known to be complete", async || {
        let origin = us.origin("eu");
        origin.applied == 50 && origin.lag_sequences == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bucket_that_an_operator_deletes_comes_back() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, _us) = (world.host("eu").await, world.host("us").await);
    write_all(&eu.own(), "many", 10).await;
    let before = world.converged("eu").await;
    let client = raw(world.server("eu")).await.expect("it answers");
    jetstream::new(client)
        .delete_stream("KV_default_eu")
        .await
        .expect("it is there");
    write(&eu.own(), "next").await;
    let after = world.converged("eu").await;
    assert_eq!(after.last_sequence, before.last_sequence + 1);
    assert_eq!(after.entries.len(), 11);
    // So does a replica, though nothing is written any more.
    let client = raw(world.server("us")).await.expect("it answers");
    jetstream::new(client)
        .delete_stream("KV_default_eu")
        .await
        .expect("it is there");
    assert_eq!(world.converged("eu").await, after);
}

/// Nobody else has a copy: all that is left is to say so, and go on.
#[tokio::test(flavor = "multi_thread")]
async fn single_region_that_lost_its_disk_begins_anew() {
    let world = World::of(&["eu"]).await;
    let systems = alone(system(&world.server("eu").url()));
    let eu = Host::open("eu", &systems, StoreConfig::new("default")).await;
    let eu = eu.expect("the store opens");
    write_all(&eu.own(), "many", 10).await;
    world.server("eu").kill();
    world.server("eu").wipe();
    world.server("eu").restart().await;
    write(&eu.own(), "next").await;
    assert_eq!(read(&eu.own(), "many/1").await.unwrap(), None);
    assert_eq!(
        read(&eu.own(), "next").await.unwrap().as_deref(),
        Some("next")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn origin_that_is_behind_is_reported_and_its_replica_kept() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    write_all(&eu.own(), "old", 5).await;
    let folder = kept(&world, "eu").await;
    write_all(&eu.own(), "new", 5).await;
    let before = world.converged("eu").await;
    // Nobody is there to pull the end back.
    drop(eu);
    put_back(&world, "eu", &folder).await;
    eventually("it is reported", async || {
        let behind = Regression::Behind {
            origin: 5,
            replica: 10,
        };
        us.origin("eu").regression == Some(behind)
    })
    .await;
    let copy = Dump::of(world.server("us"), "default_eu").await;
    assert_eq!(copy, Some(before));
}
