//! A region that reaches no other goes on alone, and catches up afterwards.

use starling_kv::{Store, Swap, Version};
use starling_kv_nats::{NatsStore, StoreConfig};
use starling_test_servers::Proxy;

use crate::support::{Host, World, bytes, eventually, keys, read, soon, system, write};

async fn check_serves(own: &NatsStore, prefix: &str) {
    let key = format!("{prefix}/key");
    let swapped = own.compare_and_swap(&key, None, bytes("1")).await.unwrap();
    let Swap::Swapped(version) = swapped else {
        panic!("nobody else writes: {swapped:?}");
    };
    assert_eq!(read(own, &key).await.unwrap().as_deref(), Some("1"));
    let wrong = Some(Version::new(version.get() - 1));
    let lost = own.compare_and_swap(&key, wrong, bytes("2")).await;
    assert!(matches!(lost, Ok(Swap::Lost(Some(_)))), "{lost:?}");
    let swapped = own.compare_and_swap(&key, Some(version), bytes("2")).await;
    assert!(matches!(swapped, Ok(Swap::Swapped(_))), "{swapped:?}");
    let gone = format!("{prefix}/gone");
    own.set(&gone, bytes("")).await.unwrap();
    own.delete(&gone).await.unwrap();
    assert_eq!(keys(own, &format!("{prefix}/"), 10).await.unwrap(), [key]);
}

#[tokio::test(flavor = "multi_thread")]
async fn isolated_region_serves_and_catches_up() {
    let world = World::of(&["ap", "eu", "us"]).await;
    let (ap, eu, us) = (
        world.host("ap").await,
        world.host("eu").await,
        world.host("us").await,
    );
    for host in [&ap, &eu, &us] {
        write(&host.own(), "before").await;
    }
    for region in ["ap", "eu", "us"] {
        world.converged(region).await;
    }
    world.isolate("eu");
    check_serves(&eu.own(), "same-host").await;
    assert_eq!(
        read(&eu.replica("us"), "before").await.unwrap().as_deref(),
        Some("before")
    );
    // A host that starts inside the isolation, and one that goes on after its server has started anew.
    let fresh = world.host("eu").await;
    check_serves(&fresh.own(), "fresh-host").await;
    assert_eq!(
        read(&fresh.replica("us"), "before")
            .await
            .unwrap()
            .as_deref(),
        Some("before")
    );
    world.server("eu").restart().await;
    write(&eu.own(), "after-restart").await;
    write(&fresh.own(), "after-restart").await;
    write(&us.own(), "meanwhile").await;
    let ends = world.converged_among(&["ap", "us"], "us").await;

    world.heal();
    let held = world.converged("eu").await;
    assert_eq!(held.entries.len(), 6);
    assert_eq!(world.converged("us").await, ends);
    eventually("it knows what it missed", async || {
        read(&fresh.replica("us"), "meanwhile")
            .await
            .unwrap()
            .is_some()
    })
    .await;
    for host in [&ap, &us] {
        assert_eq!(host.origin("eu").regression, None);
    }
    assert_eq!((eu.trouble(), fresh.trouble()), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn region_whose_neighbours_are_silent_serves() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    write(&eu.own(), "before").await;
    world.converged("eu").await;
    drop(us);
    // Connections stay, and nothing comes.
    world.path("eu", "us").stall();
    check_serves(&eu.own(), "same-host").await;
    world.server("eu").restart().await;
    write(&eu.own(), "after-restart").await;
    let fresh = world.host("eu").await;
    check_serves(&fresh.own(), "fresh-host").await;
}

/// A region that is alone does not wait for others each time that its own connection is made anew: it would take minutes
/// here.
#[tokio::test(flavor = "multi_thread")]
async fn isolated_region_goes_on_after_each_reconnection() {
    let world = World::of(&["eu", "us"]).await;
    let own = Proxy::start(world.server("eu").address()).await;
    let mut systems = world.systems("eu");
    let url = format!("nats://{}", own.address());
    systems.insert("eu".to_owned(), Some(system(&url)));
    let eu = Host::open("eu", &systems, StoreConfig::new("default")).await;
    let eu = eu.expect("the store opens");
    write(&eu.own(), "before").await;
    world.isolate("eu");
    let goes_on = async {
        for n in 0..60 {
            own.cut();
            own.heal();
            write(&eu.own(), &format!("key/{n}")).await;
        }
    };
    soon("it goes on", goes_on).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_on_once_nobody_has_the_store() {
    let world = World::of(&["eu", "us"]).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let eu = world.host("eu").await;
    // A handle is enough to keep it.
    let own = eu.own();
    drop(eu);
    write(&own, "key").await;
    assert!(tasks() > before);
    // Also not where another region never answers.
    world.server("us").kill();
    drop(own);
    eventually("all has ended", async || tasks() <= before).await;
}
