//! Which versions a host has: those that are wanted, and no others; and what is said of a host that does not have them.

mod support;

use http::{Method, StatusCode};
use starling_supervision::{Readiness, VersionState};
use support::{World, digest};

/// A region with two hosts, of which the second does not have the file that its manifest names.
fn without_file() -> World {
    let world = World::of(&["eu"], 2);
    world.host("eu-1").restart_without_file();
    world.ticks(3);
    world
}

fn reason(readiness: &Readiness) -> &str {
    match readiness {
        Readiness::Degraded { reason } => reason,
        Readiness::Ready | Readiness::Draining => "",
    }
}

#[test]
fn host_without_its_own_version_takes_part_in_rollouts() {
    let world = without_file();
    let other = world.host("eu-1");
    let report = &world.heartbeat("eu-1").components[0];
    assert_eq!(report.component.as_str(), "voicemail");
    assert_eq!((report.own, report.versions.len()), (None, 0));
    assert_eq!(other.readiness(), Readiness::Ready);
    // Also as the one that is asked.
    other.store("two");
    let id = other.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "done");
    assert_eq!(other.percent("two"), 100);
    // And when it starts again, with nothing.
    other.restart_without_file();
    world.ticks(3);
    assert_eq!(other.percent("two"), 100);
}

#[test]
fn host_without_its_own_version_serves_nothing_when_the_first_rollout_is_taken_back() {
    let world = without_file();
    let other = world.host("eu-1");
    other.store("two");
    let id = other.roll_out("two", r#", "strategy": "all", "step_ms": 60000"#);
    world.until(10, || other.percent("two") == 100);
    let abort = other.post(&format!("/v1/rollouts/{id}/abort")).send();
    abort.expect(StatusCode::OK);
    world.ticks(2);
    assert_eq!(other.percent("two"), 0);
    assert_eq!(world.host("eu-0").percent("one"), 100);
    assert_eq!(world.log(), [""; 0]);
}

#[test]
fn siblings_are_told_with_the_routes_that_they_serve() {
    let world = without_file();
    let (one, other) = (world.host("eu-0"), world.host("eu-1"));
    assert_eq!(other.routes_of("eu-0"), ["/v1/..."]);
    assert_eq!(one.siblings(), [""; 0]);
    other.store("two");
    other.roll_out("two", r#", "strategy": "all", "step_ms": 60000"#);
    world.until(10, || other.percent("two") == 100);
    world.tick();
    assert_eq!(one.routes_of("eu-1"), ["/v1/..."]);
}

#[test]
fn version_that_nobody_wants_is_forgotten_though_its_artifact_stays() {
    let world = World::of(&["eu"], 2);
    world.behave("one", 2_000, 2);
    world.behave("two", 2_000, 2);
    world.ticks(3);
    let host = world.host("eu-0");
    host.store("two");
    // Just stored, and not rolled out yet.
    world.ticks(5);
    assert_eq!(host.state("two"), Some(VersionState::Ready));
    let id = host.roll_out("two", r#", "strategy": "all", "step_ms": 60000"#);
    world.until(10, || host.percent("two") == 100);
    let abort = host.post(&format!("/v1/rollouts/{id}/abort")).send();
    abort.expect(StatusCode::OK);
    world.ticks(3);
    assert_eq!((host.state("two"), host.percent("one")), (None, 100));
    assert!(host.has_forgotten("two"));
    assert_eq!(world.keys("eu", "artifact/").len(), 2);
    // Stored once more, it is there for the next rollout.
    host.store("two");
    world.ticks(5);
    assert_eq!(host.state("two"), Some(VersionState::Ready));
    host.roll_out("two", "");
}

#[test]
fn version_that_is_idle_for_an_hour_is_forgotten() {
    let (world, host) = World::single();
    host.store("two");
    world.pass(3_500_000);
    world.ticks(2);
    assert_eq!(host.state("two"), Some(VersionState::Ready));
    world.pass(200_000);
    world.ticks(2);
    assert_eq!(host.state("two"), None);
}

#[test]
fn host_is_degraded_until_it_has_the_version_that_rules() {
    let world = World::of(&["eu"], 2);
    world.behave("one", 2_000, 2);
    world.behave("two", 2_000, 2);
    world.ticks(3);
    let (first, late) = (world.host("eu-0"), world.host("eu-1"));
    late.stop();
    first.store("two");
    world.ticks(15);
    let id = first.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "done");
    late.restart();
    world.tick();
    assert_eq!(late.percent("one"), 100);
    assert_eq!(
        reason(&late.readiness()),
        "it does not have the version yet that rules component voicemail"
    );
    assert_eq!(world.heartbeat("eu-1").readiness, late.readiness());
    world.tick();
    assert_eq!(late.percent("two"), 100);
    // As soon as probes see that it is back, too.
    world.until(3, || late.readiness() == Readiness::Ready);
}

#[test]
fn host_that_refuses_the_version_that_rules_is_degraded() {
    let world = World::of(&["eu"], 2);
    world.behave("one", 2_000, 2);
    world.behave("two", 2_000, 2);
    world.ticks(3);
    let (first, late) = (world.host("eu-0"), world.host("eu-1"));
    late.stop();
    first.store("two");
    world.ticks(15);
    let id = first.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "done");
    late.restart();
    late.refuse("two");
    world.ticks(3);
    assert_eq!(late.percent("one"), 100);
    assert_eq!(
        reason(&late.readiness()),
        "it refuses the version that rules component voicemail: missing-import: there is no pony here"
    );
    // What an operator wants comes first.
    let drain = late.call(Method::PUT, "/v1/hosts/eu-1/drain").send();
    drain.expect(StatusCode::OK);
    world.tick();
    assert_eq!(late.readiness(), Readiness::Draining);
}

#[test]
fn host_that_does_not_have_the_version_that_rules_stays_degraded_while_a_region_cannot_be_read() {
    let world = World::of(&["eu", "us"], 2);
    world.ticks(3);
    let (first, late) = (world.host("eu-0"), world.host("eu-1"));
    late.stop();
    first.store("two");
    world.ticks(15);
    let id = first.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "done");
    late.restart();
    world.tick();
    assert!(matches!(late.readiness(), Readiness::Degraded { .. }));
    world.silence("us", true);
    world.ticks(2);
    assert!(matches!(late.readiness(), Readiness::Degraded { .. }));
    world.silence("us", false);
    world.ticks(2);
    assert_eq!(late.readiness(), Readiness::Ready);
}

#[test]
fn version_that_is_being_got_ready_is_no_reason_while_a_rollout_runs() {
    let world = World::of(&["eu"], 2);
    world.behave("one", 2_000, 2);
    world.ticks(3);
    world.host("eu-0").store("two");
    world
        .host("eu-0")
        .roll_out("two", r#", "strategy": "all", "step_ms": 60000"#);
    let other = world.host("eu-1");
    world.tick();
    assert_eq!(other.state("two"), Some(VersionState::Staging));
    assert_eq!(other.readiness(), Readiness::Ready);
}

#[test]
fn rollback_is_quick_and_not_judged() {
    let world = World::of(&["eu"], 2);
    world.behave("one", 2_000, 1_000);
    world.behave("two", 2_000, 2);
    world.ticks(3);
    let host = world.host("eu-0");
    host.store("two");
    let id = host.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "done");
    let back = host.post("/v1/components/voicemail/rollback").send();
    let back = back.expect(StatusCode::CREATED).json();
    assert_eq!(back["base"], digest("two").to_string());
    // Asked for again, it is the same one.
    let again = host.post("/v1/components/voicemail/rollback").send();
    assert_eq!(again.expect(StatusCode::OK).json()["id"], back["id"]);
    let id = back["id"].as_str().expect("an id");
    let took = world.until(10, || world.rollout("eu-0", id)["state"] == "done");
    assert!(took < 5, "{took}");
    assert!(world.hosts().iter().all(|host| host.percent("one") == 100));
}
