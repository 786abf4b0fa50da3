//! The supervision of a fleet: hosts that share stores, regions that are cut off, versions that are good or bad.

mod support;

use http::{Method, StatusCode};
use serde_json::json;
use starling_supervision::{Heartbeat, HostId, Members, Readiness, VersionState, decode, encode};
use support::host::Host;
use support::{NOON, World};

/// Two regions with two hosts each, all of which know each other, serve, and do well.
fn fleet() -> World {
    let world = World::of(&["eu", "us"], 2);
    world.behave("one", 2_000, 2);
    world.ticks(3);
    world
}

fn serves_everywhere(world: &World, version: &str) -> bool {
    world
        .hosts()
        .iter()
        .all(|host| host.percent(version) == 100)
}

const QUICK: &str = r#", "step_ms": 2000"#;

#[test]
fn rollout_goes_zone_by_zone_and_region_by_region_until_it_is_done() {
    let world = fleet();
    world.behave("two", 2_000, 2);
    let (first, us) = (world.host("eu-0"), world.host("us-1"));
    first.store("two");
    let id = first.roll_out("two", QUICK);
    let mut orders = vec![
        world
            .hosts()
            .iter()
            .map(|it| it.percent("two"))
            .collect::<Vec<_>>(),
    ];
    world.until(60, || {
        let order = world.hosts().iter().map(|it| it.percent("two")).collect();
        if orders.last() != Some(&order) {
            orders.push(order);
        }
        world.rollout("us-1", &id)["state"] == "done"
    });
    let expected = [
        [0, 0, 0, 0],
        [5, 0, 0, 0],
        [100, 0, 0, 0],
        [100, 100, 0, 0],
        [100, 100, 100, 0],
        [100; 4],
    ];
    assert_eq!(orders, expected);
    let shown = us.get(&format!("/v1/rollouts/{id}")).json();
    assert!(
        shown["observed"]["new"]["requests"].as_u64() >= Some(2_000),
        "{shown}"
    );
    world.tick();
    assert_eq!(us.rollouts().len(), 1);
    assert_eq!(us.rollouts()[0].state.as_str(), "done");
    // The old version stays at hand on the hosts whose manifests name it.
    assert_eq!(us.state("one"), Some(VersionState::Ready));
}

#[test]
fn version_that_fails_more_often_is_reverted_everywhere() {
    let world = fleet();
    world.behave("bad", 2_000, 400);
    let first = world.host("eu-0");
    first.store("bad");
    let id = first.roll_out("bad", QUICK);
    world.until(20, || first.percent("bad") > 0);
    world.until(20, || world.rollout("us-0", &id)["state"] == "reverted");
    world.ticks(2);
    assert!(serves_everywhere(&world, "one"));
    let reason = world.rollout("us-0", &id)["reason"].to_string();
    assert!(reason.contains("failed"), "{reason}");
    // Nobody but the canary ever had it.
    assert_eq!(world.host("us-0").percent("bad"), 0);
}

#[test]
fn version_that_another_host_refuses_is_reverted() {
    let world = fleet();
    let first = world.host("eu-0");
    first.store("two");
    // The other host cannot read it: its region has lost a piece.
    world.host("eu-1").refuse("two");
    let id = first.roll_out("two", r#", "strategy": "all", "step_ms": 2000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "reverted");
    let reason = world.rollout("eu-0", &id)["reason"].to_string();
    assert!(reason.contains("no pony"), "{reason}");
    world.ticks(2);
    assert!(serves_everywhere(&world, "one"));
}

#[test]
fn gate_waits_for_an_operator() {
    let world = fleet();
    world.behave("two", 2_000, 2);
    let first = world.host("eu-0");
    first.store("two");
    let id = first.roll_out(
        "two",
        r#", "strategy": "rolling", "gate": true, "step_ms": 2000"#,
    );
    world.until(20, || world.rollout("us-0", &id)["state"] == "waiting");
    world.ticks(60);
    assert_eq!(world.rollout("us-0", &id)["step"], 0);
    // Approved in the other region.
    let approve = |body: &str| {
        let call = world
            .host("us-0")
            .post(&format!("/v1/rollouts/{id}/approve"));
        call.json(body).send().expect(StatusCode::OK);
    };
    approve("{}");
    world.until(20, || world.rollout("eu-0", &id)["step"] == 1);
    world.ticks(10);
    assert_eq!(world.rollout("eu-0", &id)["state"], "waiting");
    approve(r#"{"all": true}"#);
    world.until(30, || world.rollout("eu-0", &id)["state"] == "done");
    world.ticks(2);
    assert!(serves_everywhere(&world, "two"));
}

#[test]
fn aborted_rollout_brings_the_old_version_back() {
    let world = fleet();
    let first = world.host("eu-0");
    first.store("two");
    let id = first.roll_out("two", r#", "strategy": "all", "step_ms": 60000"#);
    world.until(20, || serves_everywhere(&world, "two"));
    let abort = world.host("us-1").post(&format!("/v1/rollouts/{id}/abort"));
    abort.send().expect(StatusCode::OK);
    world.ticks(3);
    assert!(serves_everywhere(&world, "one"));
}

#[test]
fn region_that_is_cut_off_goes_on_and_catches_up() {
    let world = fleet();
    world.behave("two", 2_000, 2);
    world.cut_off("us", true);
    let first = world.host("eu-0");
    first.store("two");
    let id = first.roll_out("two", QUICK);
    // The hosts of the other region are out soon, and are not waited for.
    world.until(90, || world.rollout("eu-0", &id)["state"] == "done");
    world.ticks(2);
    assert_eq!(
        [0, 1].map(|n| world.host(&format!("eu-{n}")).percent("two")),
        [100; 2]
    );
    assert_eq!(
        [0, 1].map(|n| world.host(&format!("us-{n}")).percent("one")),
        [100; 2]
    );
    assert_eq!(world.host("us-0").readiness(), Readiness::Ready);
    world.cut_off("us", false);
    world.ticks(5);
    assert!(serves_everywhere(&world, "two"));
}

#[test]
fn host_whose_store_fails_is_degraded_until_it_is_back() {
    for take_down in [World::take_down, World::silence] {
        let world = fleet();
        take_down(&world, "eu", true);
        let step = world.host("eu-0").post("/supervise").send();
        assert_eq!(step.problem(), (503, "store-unavailable".into()));
        let degraded = Readiness::Degraded {
            reason: "the region's store does not answer".into(),
        };
        assert_eq!(world.host("eu-0").readiness(), degraded);
        assert_eq!(world.host("us-0").readiness(), Readiness::Ready);
        let shown = world.host("eu-0").call(Method::GET, "/v1/fleet").send();
        assert_eq!(shown.problem(), (503, "store-unavailable".into()));
        take_down(&world, "eu", false);
        world.tick();
        assert_eq!(world.host("eu-0").readiness(), Readiness::Ready);
    }
}

#[test]
fn host_that_starts_later_comes_to_what_rules() {
    let world = fleet();
    world.behave("two", 2_000, 2);
    let first = world.host("eu-0");
    first.store("two");
    let id = first.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.host("us-1").stop();
    world.until(60, || world.rollout("eu-0", &id)["state"] == "done");
    world.host("us-1").restart();
    world.add_host("us", 2);
    world.ticks(5);
    assert!(serves_everywhere(&world, "two"));
    let hosts = first.get("/v1/fleet").json()["hosts"]
        .as_array()
        .expect("hosts")
        .len();
    assert_eq!(hosts, 5);
}

#[test]
fn siblings_are_told_nearest_first_and_only_those_that_do_well() {
    let world = fleet();
    let siblings = |id: &str| world.host(id).siblings();
    assert_eq!(siblings("us-0"), ["us-1", "eu-0", "eu-1"]);
    world.host("eu-0").stop();
    world
        .host("us-1")
        .call(Method::PUT, "/v1/hosts/us-1/drain")
        .send();
    world.ticks(15);
    assert_eq!(siblings("us-0"), ["eu-1"]);
}

#[test]
fn host_that_fails_most_requests_is_degraded_until_they_are_over() {
    let world = fleet();
    world.behave("one", 2_000, 1_500);
    world.ticks(2);
    let host = world.host("eu-0");
    assert!(matches!(host.readiness(), Readiness::Degraded { .. }));
    world.behave("one", 2_000, 0);
    world.tick();
    assert_eq!(host.readiness(), Readiness::Ready);
}

#[test]
fn artifact_leaves_when_no_rollout_refers_to_it_any_more() {
    let world = fleet();
    let first = world.host("eu-0");
    first.store("two");
    first.store("three");
    let id = first.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "done");
    assert_eq!(world.keys("eu", "artifact/").len(), 4);
    world.pass(3_500_000);
    world.ticks(2);
    assert_eq!(first.state("three"), Some(VersionState::Ready));
    world.pass(200_000);
    world.ticks(3);
    let kept = world.keys("eu", "artifact/");
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(first.state("three"), None);
    assert_eq!(first.state("two"), Some(VersionState::Ready));
    assert!(serves_everywhere(&world, "two"));
    // It takes as long for one that had a rollout, once that one is forgotten.
    let shown = first.call(Method::GET, "/v1/rollouts").send().json();
    assert_eq!(shown["rollouts"].as_array().expect("rollouts").len(), 1);
}

#[test]
fn artifact_stays_while_another_region_cannot_be_heard() {
    let world = fleet();
    world.host("eu-0").store("two");
    world.take_down("us", true);
    world.pass(4_000_000);
    world.ticks(3);
    assert_eq!(world.keys("eu", "artifact/").len(), 2);
    world.take_down("us", false);
    world.ticks(3);
    assert_eq!(world.keys("eu", "artifact/"), [""; 0]);
}

#[test]
fn host_that_is_gone_for_a_day_leaves_its_region() {
    let world = fleet();
    world.host("us-1").stop();
    let shown = || world.host("eu-0").get("/v1/fleet").json()["hosts"].clone();
    world.pass(23 * 60 * 60 * 1000);
    world.ticks(2);
    assert_eq!(shown().as_array().expect("hosts").len(), 4);
    world.pass(60 * 60 * 1000);
    world.ticks(3);
    assert_eq!(shown().as_array().expect("hosts").len(), 3);
    assert_eq!(world.keys("us", "host/"), ["host/us-0"]);
    world.host("us-1").restart();
    world.ticks(2);
    assert_eq!(shown().as_array().expect("hosts").len(), 4);
}

#[test]
fn host_that_entered_and_never_beat_leaves_its_region() {
    let world = fleet();
    let members = ["eu-0", "eu-1", "eu-8", "eu-9"];
    world.put("eu", "members", &json!({ "version": 1, "hosts": members }));
    // Of a later release: it does beat.
    world.put("eu", "host/eu-9", &json!({ "version": 2 }));
    world.ticks(2);
    let values = world.values("eu", "eu");
    let kept: Members = decode(&values.borrow()["members"]).expect("members");
    let kept: Vec<_> = kept.hosts.iter().map(HostId::as_str).collect();
    assert_eq!(kept, ["eu-0", "eu-1", "eu-9"]);
}

#[test]
fn hosts_that_are_gone_leave_a_few_at_a_time() {
    let world = fleet();
    let heartbeat = world.heartbeat("eu-1");
    let mut members = vec!["eu-0".to_owned(), "eu-1".to_owned()];
    for n in 10..60 {
        let id = format!("eu-{n}");
        let gone = Heartbeat {
            host: id.parse().expect("a host"),
            beat_ms: 0,
            ..heartbeat.clone()
        };
        let values = world.values("eu", "eu");
        values
            .borrow_mut()
            .insert(format!("host/{id}"), encode(&gone));
        members.push(id);
    }
    world.put("eu", "members", &json!({ "version": 1, "hosts": members }));
    world.shared().deletes.set(0);
    world.tick();
    assert_eq!(world.shared().deletes.get(), 16);
    world.ticks(3);
    assert_eq!(world.keys("eu", "host/"), ["host/eu-0", "host/eu-1"]);
}

#[test]
fn good_news_is_no_warning() {
    let world = fleet();
    world.behave("two", 2_000, 2);
    let first = world.host("eu-0");
    first.store("two");
    world.log();
    let id = first.roll_out("two", QUICK);
    world.until(60, || world.rollout("eu-1", &id)["state"] == "done");
    assert_eq!(world.log(), [""; 0]);
    let news = world.news();
    for said in ["begins", "goes on to step 1", "is done"] {
        assert!(news.iter().any(|line| line.contains(said)), "{news:?}");
    }
    world.behave("bad", 2_000, 400);
    first.store("bad");
    let id = first.roll_out("bad", QUICK);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "reverted");
    let log = world.log();
    assert!(
        log.iter().any(|line| line.contains("is taken back")),
        "{log:?}"
    );
}

#[test]
fn documents_of_a_later_release_are_not_overwritten() {
    let (world, host) = World::single();
    world.put("eu", "desired", &json!({ "version": 2, "what": "ever" }));
    let drain = host.call(Method::PUT, "/v1/hosts/eu-0/drain").send();
    assert_eq!(drain.problem(), (503, "newer-release".into()));
    let values = world.values("eu", "eu").borrow().clone();
    assert!(values["desired"].starts_with(b"{\"version\":2") || values["desired"].ends_with(b"2}"));
    world.put("eu", "desired", &json!("damaged"));
    let drain = host.call(Method::PUT, "/v1/hosts/eu-0/drain").send();
    assert_eq!(drain.problem(), (500, "stored-data-damaged".into()));
}

#[test]
fn heartbeat_of_a_later_release_is_read_as_far_as_it_is_known() {
    let world = fleet();
    let values = world.values("eu", "eu");
    let bytes = values.borrow()["host/eu-1"].clone();
    let mut document: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    document["mood"] = json!("splendid");
    let bytes = document.to_string().into_bytes();
    let known: Heartbeat = decode(&bytes).expect("a heartbeat");
    assert!(known.beat_ms > NOON);
    values.borrow_mut().insert("host/eu-1".into(), bytes);
    let hosts = world.host("eu-0").get("/v1/fleet").json()["hosts"].clone();
    assert_eq!(hosts.as_array().expect("hosts").len(), 4);
}

/// Whatever happens, all hosts come to the same in the end.
#[test]
fn hosts_that_take_turns_in_any_order_come_to_the_same() {
    for seed in 0..12 {
        let world = fleet();
        world.seed(seed * 7919);
        world.behave("two", 2_000, 2);
        world.behave("three", 2_000, 2);
        let store = |host: &Host| {
            host.store("two");
            host.store("three");
        };
        store(&world.host("eu-0"));
        store(&world.host("us-0"));
        let first = world.host("eu-0").roll_out("two", QUICK);
        world.ticks((seed % 5) as usize);
        world.cut_off("us", seed % 2 == 0);
        world.tick();
        let second = world.host("us-0").roll_out("three", QUICK);
        world.ticks((seed % 7) as usize);
        world.cut_off("us", false);
        world.until(90, || world.rollout("eu-1", &second)["state"] == "done");
        world.ticks(3);
        let state = |host: &str| world.rollout(host, &first)["state"].clone();
        assert_eq!(state("eu-0"), state("us-1"), "{seed}");
        assert!(serves_everywhere(&world, "three"), "{seed}");
    }
}
