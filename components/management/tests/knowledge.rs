//! What a host does when it does not know everything: regions that cannot be read, documents that make no sense.

mod support;

use http::{Method, StatusCode};
use serde_json::json;
use starling_supervision::Readiness;
use support::host::Host;
use support::{World, wasm};

/// Two regions with two hosts each, and a rollout to all of them that was entered in `us`, and of which nothing is written
/// in `eu`.
fn rolled_out_elsewhere() -> World {
    let world = World::of(&["eu", "us"], 2);
    world.behave("one", 2_000, 2);
    world.behave("two", 2_000, 2);
    world.ticks(3);
    let us = world.host("us-0");
    us.store("two");
    us.roll_out("two", r#", "strategy": "all", "step_ms": 60000"#);
    world.until(10, || world.hosts().iter().all(serves_two));
    world
}

fn serves_two(host: &Host) -> bool {
    host.percent("two") == 100
}

#[test]
fn traffic_stays_as_it_is_while_a_region_cannot_be_read() {
    for take_away in [World::silence, World::take_down] {
        let world = rolled_out_elsewhere();
        let eu = world.host("eu-0");
        take_away(&world, "us", true);
        world.ticks(20);
        assert!(serves_two(&eu));
        assert!(!eu.has_forgotten("two"));
        // All else goes on.
        assert_eq!(eu.readiness(), Readiness::Ready);
        assert_eq!(world.heartbeat("eu-0").beat_ms, world.now_ms());
        assert!(
            world
                .heartbeat("eu-0")
                .probes
                .iter()
                .any(|it| it.last_ms == world.now_ms())
        );
        assert_eq!(eu.siblings(), ["eu-1"]);
        assert_eq!(eu.rollouts().len(), 1);
        let log = world.log();
        let said = |line: &String| line.starts_with("eu-0: region us cannot be read: ");
        assert!(log.iter().any(said), "{log:?}");
        take_away(&world, "us", false);
        world.ticks(2);
        assert!(serves_two(&eu));
    }
}

#[test]
fn rollout_does_not_move_while_a_region_cannot_be_read() {
    let world = World::of(&["eu", "us"], 2);
    world.ticks(3);
    let eu = world.host("eu-0");
    eu.store("two");
    let id = eu.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(10, || serves_two(&eu));
    world.take_down("us", true);
    world.ticks(20);
    let shown = world.rollout("eu-0", &id)["state"].clone();
    assert_eq!(shown, "ramping");
    world.take_down("us", false);
    world.until(10, || world.rollout("eu-0", &id)["state"] == "done");
}

#[test]
fn host_that_is_drained_stays_so_while_it_cannot_be_read_where_that_was_entered() {
    let world = World::of(&["eu", "us"], 1);
    world.ticks(3);
    let (eu, us) = (world.host("eu-0"), world.host("us-0"));
    let drain = |host: &Host, method| host.call(method, "/v1/hosts/eu-0/drain").send();
    drain(&us, Method::PUT).expect(StatusCode::OK);
    world.ticks(2);
    assert_eq!(eu.readiness(), Readiness::Draining);
    world.silence("us", true);
    world.ticks(2);
    assert_eq!(eu.readiness(), Readiness::Draining);
    // An operator may say so here, too.
    drain(&eu, Method::DELETE).expect(StatusCode::OK);
    world.ticks(2);
    assert_eq!(eu.readiness(), Readiness::Ready);
}

#[test]
fn region_whose_store_is_not_configured_here_is_left_out() {
    let world = World::of(&["eu"], 2);
    let mut variables = world.shared().variables.borrow_mut();
    variables.insert("regions".into(), "eu,us".into());
    drop(variables);
    world.ticks(3);
    let eu = world.host("eu-0");
    eu.store("two");
    let id = eu.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(10, || world.rollout("eu-1", &id)["state"] == "done");
    assert!(world.hosts().iter().all(serves_two));
    let log = world.log();
    let said = |host: &str| {
        let line = format!("{host}: region us is left out: no store of its is configured here");
        log.iter().filter(|it| **it == line).count()
    };
    assert_eq!((said("eu-0"), said("eu-1")), (1, 1), "{log:?}");
    assert_eq!(log.len(), 2, "{log:?}");
}

#[test]
fn host_beats_and_is_ready_while_what_is_wanted_makes_no_sense() {
    for (key, value) in [
        ("desired", json!("damaged")),
        ("desired", json!({ "version": 2 })),
        ("members", json!({ "version": 2 })),
        ("artifacts", json!("damaged")),
    ] {
        let world = rolled_out_elsewhere();
        let eu = world.host("eu-0");
        world.put("eu", key, &value);
        world.log();
        world.ticks(3);
        assert_eq!(eu.readiness(), Readiness::Ready, "{key}");
        assert_eq!(world.heartbeat("eu-0").beat_ms, world.now_ms(), "{key}");
        assert!(serves_two(&eu), "{key}");
        assert!(!world.log().is_empty(), "{key}");
        // It is another release's, or somebody has to look at it.
        let values = world.values("eu", "eu");
        assert_eq!(values.borrow()[key], value.to_string().as_bytes(), "{key}");
        eu.post("/supervise").send().expect(StatusCode::OK);
    }
}

#[test]
fn chores_that_fail_are_no_reason_to_do_without_the_host() {
    for key in ["artifact", "members"] {
        let world = rolled_out_elsewhere();
        let eu = world.host("eu-0");
        // Something to be removed, by both kinds of chores.
        eu.upload(support::digest("three"), &wasm("three")).send();
        world.pass(25 * 60 * 60 * 1000);
        world.ticks(2);
        world.host("eu-1").stop();
        world.pass(25 * 60 * 60 * 1000);
        world.tick();
        let fails = if key == "members" { "nothing" } else { key };
        *world.shared().fails_on.borrow_mut() = Some(fails.into());
        world.shared().lose_every_race.set(key == "members");
        world.log();
        world.ticks(2);
        eu.post("/supervise").send().expect(StatusCode::OK);
        assert_eq!(eu.readiness(), Readiness::Ready, "{key}");
        assert_eq!(world.heartbeat("eu-0").beat_ms, world.now_ms(), "{key}");
    }
}

#[test]
fn host_beats_before_it_enters() {
    let world = World::of(&["eu"], 1);
    world.shared().lose_every_race.set(true);
    world.tick();
    let host = world.host("eu-0");
    assert_eq!(host.readiness(), Readiness::Ready);
    assert_eq!(world.heartbeat("eu-0").beat_ms, world.now_ms());
    world.shared().lose_every_race.set(false);
    world.tick();
    let hosts = host.get("/v1/fleet").json()["hosts"].clone();
    assert_eq!(hosts.as_array().expect("hosts").len(), 1);
}

#[test]
fn one_host_of_a_region_removes_what_is_left() {
    let world = World::of(&["eu"], 4);
    world.ticks(3);
    world.host("eu-1").store("two");
    world.pass(3_590_000);
    // All hear each other again.
    world.ticks(3);
    world.shared().deletes.set(0);
    world.ticks(20);
    assert_eq!(world.keys("eu", "artifact/"), [""; 0]);
    // Its record and its one piece.
    assert_eq!(world.shared().deletes.get(), 2);
}

#[test]
fn upload_that_is_taken_back_is_left_to_the_one_who_does_so() {
    let world = World::of(&["eu"], 2);
    world.ticks(3);
    let uploader = world.host("eu-1");
    let call = uploader.upload(support::digest("two"), &wasm("three"));
    world.shared().deletes.set(0);
    let both = futures::future::join(call.run(), async {
        for _ in 0..40 {
            world.host("eu-0").step().await;
        }
    });
    let (answer, ()) = support::wait(both);
    assert_eq!(answer.problem(), (422, "digest-mismatch".into()));
    // The record, and as many pieces as there may be: it had no record.
    assert_eq!(world.shared().deletes.get(), 258);
}

#[test]
fn rollouts_are_not_shown_while_the_store_is_away() {
    let (world, host) = World::single();
    host.store("two");
    let id = host.roll_out("two", "");
    world.take_down("eu", true);
    for path in ["/v1/rollouts".to_owned(), format!("/v1/rollouts/{id}")] {
        let answer = host.call(Method::GET, &path).send();
        assert_eq!(answer.problem(), (503, "store-unavailable".into()));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}
