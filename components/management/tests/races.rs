//! Changes at once: each of them holds, whoever was faster.

mod support;

use futures::future::join_all;
use http::{Method, StatusCode};
use support::{World, wait};

#[test]
fn changes_at_once_all_hold() {
    for seed in 0..40 {
        let world = World::of(&["eu"], 4);
        world.ticks(2);
        world.seed(seed * 31);
        let hosts = world.hosts();
        let calls = hosts.iter().flat_map(|host| {
            let drains = (0..4).map(move |n| (host, format!("/v1/hosts/eu-{n}/drain")));
            drains.map(|(host, path)| host.call(Method::PUT, &path).run())
        });
        for answer in wait(join_all(calls)) {
            answer.expect(StatusCode::OK);
        }
        let shown = hosts[0].get("/v1/fleet").json();
        let hosts = shown["hosts"].as_array().expect("hosts");
        assert!(
            hosts.iter().all(|host| host["drain"] == true),
            "{seed}: {shown}"
        );
    }
}

#[test]
fn hosts_that_start_at_once_are_all_members() {
    for seed in 0..40 {
        let world = World::of(&["eu"], 6);
        world.seed(seed * 17);
        world.ticks(2);
        let shown = world.host("eu-0").get("/v1/fleet").json();
        assert_eq!(shown["hosts"].as_array().expect("hosts").len(), 6, "{seed}");
    }
}

#[test]
fn rollouts_begun_at_once_leave_one_that_counts() {
    for seed in 0..20 {
        let world = World::of(&["eu", "us"], 2);
        world.ticks(3);
        let hosts = world.hosts();
        hosts.iter().for_each(|host| host.store("two"));
        world.seed(seed * 101);
        let begun = hosts.iter().map(|host| host.rollout_of("two", "").run());
        for answer in wait(join_all(begun)) {
            answer.expect(StatusCode::CREATED);
        }
        world.ticks(2);
        for host in hosts {
            let list = host.get("/v1/rollouts").json();
            let list = list["rollouts"].as_array().expect("rollouts").clone();
            assert_eq!(list.len(), 4, "{seed}");
            let counts = list.iter().filter(|it| it["state"] != "superseded").count();
            assert_eq!(
                (counts, &list[1]["state"]),
                (1, &"superseded".into()),
                "{seed}"
            );
        }
    }
}

#[test]
fn change_that_loses_every_race_is_refused() {
    let (world, host) = World::single();
    world.shared().lose_every_race.set(true);
    let drain = host.call(Method::PUT, "/v1/hosts/eu-0/drain").send();
    assert_eq!(drain.problem(), (503, "contention".into()));
    assert!(drain.header("retry-after").is_some());
    world.shared().lose_every_race.set(false);
    let shown = host.get("/v1/fleet").json();
    assert_eq!(shown["hosts"][0]["drain"], false);
}

#[test]
fn repeated_change_writes_nothing() {
    let (world, host) = World::single();
    let drain = || host.call(Method::PUT, "/v1/hosts/eu-0/drain").send();
    drain().expect(StatusCode::OK);
    let before = world.values("eu", "eu").borrow()["desired"].clone();
    world.pass(5_000);
    drain().expect(StatusCode::OK);
    assert_eq!(world.values("eu", "eu").borrow()["desired"], before);
}
