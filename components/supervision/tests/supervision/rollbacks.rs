//! How a component goes back to what ruled before.

use starling_supervision::{
    ChangeError, Draft, OUT_AFTER_MS, Rollback, RolloutId, RolloutState, Spec, Strategy,
};

use crate::fleet::{World, back_to, component, draft, region, version};
use crate::rollouts::{reason, shares, two_regions, until_state};

fn rollback(world: &World) -> Result<Rollback, ChangeError> {
    world.rules(&region("eu")).rollback(&component("voicemail"))
}

fn nothing() -> Result<Rollback, ChangeError> {
    Err(ChangeError::NothingToRollBack(component("voicemail")))
}

fn start(world: &mut World, draft: Draft) -> RolloutId {
    world.start(&region("eu"), "voicemail", draft)
}

/// Rolls the component back as an operator does, and says to what.
#[track_caller]
fn roll_back(world: &mut World) -> (RolloutId, Option<starling_supervision::Digest>) {
    let Ok(Rollback::RollOut(digest)) = rollback(world) else {
        panic!("{:?}", rollback(world));
    };
    (start(world, back_to(digest)), digest)
}

/// A world in which these versions ruled, one after the other.
fn after(names: &[&str]) -> World {
    let mut world = two_regions();
    for name in names {
        let id = start(&mut world, draft(name, Strategy::All));
        until_state(&mut world, &id, RolloutState::Done);
    }
    world.ticks(1);
    world
}

#[test]
fn rollback_aborts_what_runs_and_else_goes_back_to_what_ruled_before() {
    let mut world = two_regions();
    assert_eq!(rollback(&world), nothing());
    let first = start(&mut world, draft("one", Strategy::All));
    assert_eq!(rollback(&world), Ok(Rollback::Abort(first.clone())));
    until_state(&mut world, &first, RolloutState::Done);
    assert_eq!(rollback(&world), Ok(Rollback::RollOut(None)));
    let second = start(&mut world, draft("two", Strategy::All));
    until_state(&mut world, &second, RolloutState::Done);
    assert_eq!(
        rollback(&world),
        Ok(Rollback::RollOut(Some(version("one"))))
    );
    // Each host's own, but not as a rollback.
    let own = Draft {
        digest: None,
        ..draft("own", Strategy::All)
    };
    let third = start(&mut world, own);
    until_state(&mut world, &third, RolloutState::Done);
    assert_eq!(shares(&world, version("own")), [100; 4]);
    assert_eq!(
        rollback(&world),
        Ok(Rollback::RollOut(Some(version("two"))))
    );
}

#[test]
fn rollback_rules_from_the_moment_it_is_entered() {
    let mut world = after(&["one", "two"]);
    let eu = region("eu");
    let (back, _) = roll_back(&mut world);
    let ruling = world.rules(&eu).ruling(&component("voicemail"));
    assert_eq!(ruling, Some(version("one")));
    assert_eq!(world.view(&eu, &back, |it| it.base), Some(version("two")));
    // A deploy before any host has heard of it.
    let id = start(&mut world, draft("three", Strategy::Canary));
    assert_eq!(world.view(&eu, &id, |it| it.base), Some(version("one")));
    world.ticks(2);
    assert_eq!(shares(&world, version("one")), [95, 95, 100, 100]);
    assert_eq!(shares(&world, version("two")), [0; 4]);
    until_state(&mut world, &id, RolloutState::Done);
    assert_eq!(world.state(&eu, &back), RolloutState::Superseded);
    assert_eq!(
        rollback(&world),
        Ok(Rollback::RollOut(Some(version("one"))))
    );
}

#[test]
fn rollback_is_done_as_soon_as_all_hosts_that_are_alive_have_it() {
    let mut world = after(&["one", "two"]);
    world.hosts[3].runs = false;
    world.ticks(5);
    let (back, _) = roll_back(&mut world);
    let ticks = until_state(&mut world, &back, RolloutState::Done);
    assert!(ticks <= 3 && 1_000 * ticks as u64 + 5_000 < OUT_AFTER_MS);
    assert_eq!(shares(&world, version("one"))[..3], [100; 3]);
    world.hosts[3].runs = true;
    world.ticks(1);
    assert_eq!(shares(&world, version("one")), [100; 4]);
}

#[test]
fn rollback_is_compared_with_nothing() {
    let mut world = after(&["one", "two"]);
    // It fails by now, and one host is slow to get it.
    for at in world.regions() {
        world.failing.insert((at, version("one")), 50);
    }
    world.hosts[0]
        .refuses
        .insert(version("one"), "incomplete".into());
    for host in &mut world.hosts {
        host.heartbeat.readiness = starling_supervision::Readiness::Degraded {
            reason: "ill".into(),
        };
    }
    let (back, _) = roll_back(&mut world);
    world.ticks(20);
    assert_eq!(world.state(&region("eu"), &back), RolloutState::Ramping);
    world.hosts[0].refuses.clear();
    until_state(&mut world, &back, RolloutState::Done);
}

#[test]
fn rollback_to_what_a_host_refuses_is_taken_back() {
    let mut world = after(&["one", "two"]);
    world.hosts[0]
        .refuses
        .insert(version("one"), "wrong-signature".into());
    let (back, _) = roll_back(&mut world);
    until_state(&mut world, &back, RolloutState::Reverted);
    assert!(reason(&world, &back).contains("wrong-signature"));
    world.ticks(2);
    assert_eq!(shares(&world, version("two")), [100; 4]);
}

#[test]
fn rollback_that_runs_is_not_rolled_back() {
    let mut world = after(&["one", "two"]);
    let (back, _) = roll_back(&mut world);
    assert_eq!(rollback(&world), Ok(Rollback::Underway(back.clone())));
    until_state(&mut world, &back, RolloutState::Done);
    assert_eq!(rollback(&world), Ok(Rollback::RollOut(None)));
}

#[test]
fn each_rollback_goes_one_version_further_back() {
    // Deployed twice, it is the same version still.
    let mut world = after(&["one", "two", "three", "three"]);
    for expected in [Some(version("two")), Some(version("one")), None] {
        let (id, digest) = roll_back(&mut world);
        assert_eq!(digest, expected);
        until_state(&mut world, &id, RolloutState::Done);
    }
    assert_eq!(shares(&world, version("own")), [100; 4]);
    assert_eq!(rollback(&world), nothing());
    // What comes after them lies on what they left.
    let id = start(&mut world, draft("four", Strategy::All));
    until_state(&mut world, &id, RolloutState::Done);
    assert_eq!(rollback(&world), Ok(Rollback::RollOut(None)));
}

#[test]
fn rollbacks_of_two_operators_at_once_go_one_version_back() {
    let mut world = after(&["one", "two"]);
    let us = region("us");
    let there = world.start(&us, "voicemail", back_to(Some(version("one"))));
    let (here, digest) = roll_back(&mut world);
    assert_eq!(digest, Some(version("one")));
    world.ticks(4);
    let states = [&here, &there].map(|id| world.state(&us, id));
    assert_eq!(states, [RolloutState::Superseded, RolloutState::Done]);
    assert_eq!(shares(&world, version("one")), [100; 4]);
    assert_eq!(rollback(&world), Ok(Rollback::RollOut(None)));
}

#[test]
fn what_lies_below_the_floor_is_not_gone_back_to() {
    let mut world = after(&["one", "two", "three"]);
    for _ in 0..2 * starling_supervision::ROLLOUTS_MAX {
        let id = start(&mut world, draft("bad", Strategy::All));
        let eu = region("eu");
        let abort = world.rules(&eu).abort(&id, None, &world.origin(&eu));
        world.change(&eu, abort.expect("an abort"));
        world.tick();
    }
    let (id, digest) = roll_back(&mut world);
    assert_eq!(digest, Some(version("two")));
    until_state(&mut world, &id, RolloutState::Done);
    // Not to each host's own, which is two further back.
    assert_eq!(rollback(&world), nothing());
}

#[test]
fn rollback_goes_everywhere_at_once_whatever_its_draft_says() {
    let world = two_regions();
    let draft = Draft {
        gate: true,
        rollback: true,
        ..draft("one", Strategy::Canary)
    };
    let eu = region("eu");
    let spec = Spec::plan(draft, &eu, &world.fleet(&eu)).expect("a valid draft");
    assert_eq!((spec.strategy, spec.gate), (Strategy::All, false));
    assert_eq!(spec.steps.len(), 1);
}
