//! Acknowledgements that wait for a second region.

use starling_kv::{Error, Store};
use starling_kv_nats::{Acks, OpenError, StoreConfig};

use crate::support::{Dump, Host, World, bytes, eventually, read, soon};

fn geo(config: &mut StoreConfig) {
    config.acks = Acks::Geo;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_write_is_in_a_second_region() {
    let world = World::of(&["ap", "eu", "us"]).await;
    let (_ap, _us) = (world.host("ap").await, world.host("us").await);
    let eu = world.host_with("eu", geo).await;
    assert!(eu.own().capabilities().replicas);
    for n in 0..15 {
        let version = eu.own().set(&format!("key/{n}"), bytes("")).await.unwrap();
        let mut held = 0;
        for region in ["ap", "us"] {
            if let Some(dump) = Dump::of(world.server(region), "default_eu").await {
                held = held.max(dump.last_sequence);
            }
        }
        assert!(held >= version.get(), "{held} of {version:?}");
    }
    // One of the two is enough.
    world.server("ap").kill();
    for n in 0..5 {
        eu.own().set(&format!("one/{n}"), bytes("")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn write_that_no_second_region_gets_is_given_up() {
    let world = World::of(&["ap", "eu", "us"]).await;
    let (_ap, _us) = (world.host("ap").await, world.host("us").await);
    let eu = world.host_with("eu", geo).await;
    eu.own().set("before", bytes("")).await.unwrap();
    world.isolate("eu");
    let refused = soon("it is given up", eu.own().set("key", bytes("1"))).await;
    assert!(matches!(refused, Err(Error::Timeout)), "{refused:?}");
    assert!(refused.is_err_and(|error| error.is_retryable()));
    // It is here, and will be there.
    assert_eq!(read(&eu.own(), "key").await.unwrap().as_deref(), Some("1"));
    world.heal();
    eventually("writes are acknowledged again", async || {
        eu.own().set("key", bytes("2")).await.is_ok()
    })
    .await;
    world.converged("eu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_nobody_replicates_to_does_not_count() {
    let world = World::of(&["eu", "us"]).await;
    let eu = world.host_with("eu", geo).await;
    let refused = soon("it is given up", eu.own().set("key", bytes("1"))).await;
    assert!(matches!(refused, Err(Error::Timeout)), "{refused:?}");
    let _us = world.host("us").await;
    eventually("writes are acknowledged", async || {
        eu.own().set("key", bytes("2")).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn geo_needs_a_second_region() {
    let world = World::of(&["eu"]).await;
    let mut config = StoreConfig::new("default");
    geo(&mut config);
    let opened = Host::open("eu", &world.systems("eu"), config).await;
    assert!(matches!(opened.err(), Some(OpenError::NoSecondRegion)));
}
