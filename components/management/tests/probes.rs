//! Probes from outside: what a client of another host would see.

mod support;

use http::{Method, Request};
use serde_json::Value;
use starling_access::{Keys, Scope, verify};
use starling_supervision::Readiness;
use support::host::{Door, Host};
use support::{NOON, World};

const KEY: &str = "a key that nobody knows, of 32 bytes or more";

/// Two hosts that know each other.
fn pair() -> (World, Host, Host) {
    let world = World::of(&["eu"], 2);
    world.ticks(3);
    let (one, other) = (world.host("eu-0"), world.host("eu-1"));
    (world, one, other)
}

fn asked(host: &Host) -> Vec<String> {
    let line = |request: &Request<Vec<u8>>| {
        let path = request.uri().path_and_query().expect("a path");
        format!("{} {path}", request.method())
    };
    host.served().iter().map(line).collect()
}

/// Those of the lines that one host asked, by the mailbox that they are about.
fn of(prober: &str, asked: &[String]) -> Vec<String> {
    let mailbox = format!("/v1/mailboxes/probe-{prober}");
    let of_it = asked.iter().filter(|line| line.contains(&mailbox));
    of_it.cloned().collect()
}

/// What a host said of `eu-1`, the last time.
fn probe(world: &World, host: &str) -> Value {
    let values = world.values("eu", "eu");
    let bytes = values.borrow()[&format!("host/{host}")].clone();
    let heartbeat: Value = serde_json::from_slice(&bytes).expect("JSON");
    let probes = heartbeat["probes"].as_array().expect("probes");
    let of_other = probes.iter().find(|probe| probe["host"] == "eu-1");
    of_other.expect("it was probed").clone()
}

#[test]
fn light_probe_reads_a_mailbox_that_need_not_exist() {
    let (world, _, other) = pair();
    other.served();
    world.tick();
    let asked = asked(&other);
    // A host asks itself, too: there may be no other.
    for prober in ["eu-0", "eu-1"] {
        let light = format!("GET /v1/mailboxes/probe-{prober}/summary");
        assert_eq!(of(prober, &asked), [light]);
    }
    assert_eq!(probe(&world, "eu-0")["failures_in_a_row"], 0);
}

#[test]
fn full_probe_leaves_hears_and_removes_a_message_now_and_then() {
    let (world, one, other) = pair();
    let mut full = Vec::new();
    for _ in 0..90 {
        world.tick();
        let puts = |asked: &Vec<String>| asked.iter().any(|it| it.starts_with("PUT"));
        for asked in [asked(&one), asked(&other)] {
            let by_prober = ["eu-0", "eu-1"].map(|prober| of(prober, &asked));
            full.extend(by_prober.into_iter().filter(puts));
        }
        assert!(!one.has_mailbox() && !other.has_mailbox());
    }
    // Every half minute, by each of both.
    assert_eq!(full.len(), 6);
    let mailbox = "/v1/mailboxes/probe-eu-0";
    let message = format!("{mailbox}/messages/{:032x}", 1);
    let expected = [
        format!("PUT {mailbox}"),
        format!("POST {mailbox}/messages"),
        format!("GET {mailbox}/messages"),
        format!("GET {message}/audio"),
        format!("DELETE {message}?purge=true"),
        format!("DELETE {mailbox}"),
    ];
    assert!(full.contains(&expected.to_vec()), "{full:?}");
    assert_eq!(probe(&world, "eu-0")["failures_in_a_row"], 0);
}

#[test]
fn every_host_in_turn_gets_the_full_probe() {
    let world = World::of(&["eu"], 4);
    world.ticks(3);
    let mut full = [0; 4];
    for _ in 0..180 {
        world.tick();
        for (n, host) in world.hosts().iter().enumerate() {
            full[n] += asked(host)
                .iter()
                .filter(|it| it.starts_with("PUT"))
                .count();
        }
    }
    assert_eq!(full.iter().sum::<usize>(), 24, "{full:?}");
    assert!(full.iter().all(|count| *count > 0), "{full:?}");
}

#[test]
fn mailbox_of_a_probe_that_broke_off_is_emptied_by_the_next() {
    let (world, one, other) = pair();
    let left = Request::put("http://eu-1.test:3000/v1/mailboxes/probe-eu-0");
    let left = left.body(Vec::new()).expect("a request");
    support::wait(management::Platform::send(&one, left, 1024)).expect("an answer");
    assert!(other.has_mailbox());
    world.until(40, || !other.has_mailbox());
    assert_eq!(probe(&world, "eu-0")["failures_in_a_row"], 0);
}

#[test]
fn probes_carry_tokens_for_their_own_mailbox_alone() {
    let (world, _, other) = pair();
    let mut variables = world.shared().variables.borrow_mut();
    variables.insert("session_key".into(), KEY.into());
    drop(variables);
    other.served();
    world.ticks(40);
    let keys = Keys::new(KEY, None).expect("keys");
    let mut scopes = Vec::new();
    for request in other.served() {
        let header = request.headers()["authorization"]
            .to_str()
            .expect("a header");
        let token = header.strip_prefix("Bearer ").expect("a bearer token");
        let grant = verify(&keys, token, NOON / 1000).expect("a grant");
        let path = request.uri().path();
        let mailbox = path.split('/').nth(3).expect("a mailbox");
        assert!(mailbox.starts_with("probe-eu-"), "{path}");
        assert_eq!(grant.mailbox, Some(mailbox.parse().expect("a mailbox")));
        assert!(!request.uri().to_string().contains(token));
        let expected = match *request.method() {
            Method::PUT => Scope::Provision,
            Method::POST => Scope::Deposit,
            Method::DELETE if path.ends_with(mailbox) => Scope::Provision,
            _ => Scope::Subscriber,
        };
        assert_eq!(
            grant.scope,
            expected,
            "{} {}",
            request.method(),
            request.uri()
        );
        scopes.push(grant.scope);
    }
    assert!(scopes.contains(&Scope::Deposit));
    assert!(world.log().iter().all(|line| !line.contains("Bearer")));
}

#[test]
fn host_without_voicemail_is_asked_whether_it_lives() {
    let (world, _, other) = pair();
    other.serve("other");
    world.tick();
    other.served();
    world.tick();
    assert_eq!(asked(&other), ["GET /live"; 2]);
    assert_eq!(probe(&world, "eu-0")["failures_in_a_row"], 0);
}

#[test]
fn host_that_fails_its_clients_is_degraded_until_it_does_not() {
    for door in [Door::Failing, Door::Hanging] {
        let (world, _, other) = pair();
        other.set_door(door);
        let degraded = || matches!(other.readiness(), Readiness::Degraded { .. });
        let took = world.until(10, degraded);
        assert!(took >= 3, "{door:?}: once is no reason: {took}");
        let error = probe(&world, "eu-0")["error"].to_string();
        assert!(
            error.contains("503") || error.contains("no answer within"),
            "{error}"
        );
        other.set_door(Door::Open);
        world.until(5, || other.readiness() == Readiness::Ready);
        assert_eq!(probe(&world, "eu-0")["error"], Value::Null);
    }
}

#[test]
fn message_that_sounds_different_is_a_failure() {
    let (world, _, other) = pair();
    other.set_door(Door::Garbling);
    world.until(40, || probe(&world, "eu-0")["failures_in_a_row"] == 1);
    let error = probe(&world, "eu-0")["error"].to_string();
    assert!(error.contains("sounds different"), "{error}");
    assert!(!other.has_mailbox());
}

#[test]
fn host_that_hangs_does_not_keep_anybodys_heartbeat_waiting() {
    let (world, one, other) = pair();
    other.set_door(Door::Hanging);
    let before = world.shared().operations.get();
    support::wait(one.step());
    let with_a_second_beat = world.shared().operations.get() - before;
    other.set_door(Door::Open);
    let before = world.shared().operations.get();
    support::wait(one.step());
    assert_eq!(
        world.shared().operations.get() - before + 1,
        with_a_second_beat
    );
}

#[test]
fn failures_of_a_host_of_another_region_count_across_its_turns() {
    let world = World::of(&["eu", "us"], 3);
    world.ticks(4);
    world.host("us-1").set_door(Door::Failing);
    let row = || {
        let heartbeat = world.heartbeat("eu-0");
        let of_it = heartbeat
            .probes
            .iter()
            .find(|it| it.host.as_str() == "us-1");
        of_it.map_or(0, |probe| probe.failures_in_a_row)
    };
    world.until(20, || row() == 3);
    // It is kept for a while, and no longer.
    world.host("us-1").stop();
    world.ticks(13);
    let kept = row();
    assert!(kept >= 3);
    world.ticks(40);
    assert_eq!(row(), kept);
    world.ticks(20);
    assert_eq!(row(), 0);
}

#[test]
fn probe_that_takes_too_long_is_cut_off_and_has_failed() {
    let (world, _, other) = pair();
    world.ticks(30);
    other.set_door(Door::Slow);
    world.until(70, || probe(&world, "eu-0")["failures_in_a_row"] == 1);
    let error = probe(&world, "eu-0")["error"].to_string();
    assert!(
        error.contains("not left, heard and deleted within 2000 ms"),
        "{error}"
    );
    // A light one is quick enough.
    world.tick();
    assert_eq!(probe(&world, "eu-0")["failures_in_a_row"], 0);
    other.set_door(Door::Open);
    world.until(70, || !other.has_mailbox());
}

#[test]
fn host_that_is_gone_is_not_degraded_by_those_who_cannot_reach_it() {
    let (world, one, other) = pair();
    other.stop();
    world.ticks(20);
    assert_eq!(one.readiness(), Readiness::Ready);
    assert_eq!(one.siblings(), [""; 0]);
}
