//! What moves a rollout, what stops it, and what it does to the traffic.

use starling_supervision::{
    ChangeError, Digest, Draft, InvalidDraft, Place, ROLLOUTS_MAX, Readiness, Rollback, RolloutId,
    RolloutState, STEP_MS_MAX, STEPS_WAITED_MAX, Share, Spec, Strategy, split,
};

use crate::fleet::{STEP_MS, World, component, draft, index_of, region, version};

const STEP_TICKS: usize = (STEP_MS / 1_000) as usize;

pub(crate) fn two_regions() -> World {
    World::new(
        &[("eu", "a", 2), ("eu", "b", 1), ("us", "a", 1)],
        &["voicemail"],
    )
}

/// The shares of the new version on each host, in per cent.
pub(crate) fn shares(world: &World, new: Digest) -> Vec<u8> {
    let hosts = 0..world.hosts.len();
    let share = |host| world.traffic(host, "voicemail").get(&new).copied();
    hosts.map(|host| share(host).unwrap_or(0)).collect()
}

/// Runs until the rollout is in `step`, and says how many ticks that took.
#[track_caller]
fn until_step(world: &mut World, id: &RolloutId, step: u32) -> usize {
    until(world, |world| {
        world.view(&region("eu"), id, |it| it.rollout.progress.step) == step
    })
}

#[track_caller]
pub(crate) fn until_state(world: &mut World, id: &RolloutId, state: RolloutState) -> usize {
    until(world, |world| world.state(&region("eu"), id) == state)
}

#[track_caller]
fn until(world: &mut World, condition: impl Fn(&World) -> bool) -> usize {
    let ticks = (0..1_000).find(|_| {
        let reached = condition(world);
        if !reached {
            world.tick();
        }
        reached
    });
    ticks.expect("it happens")
}

pub(crate) fn reason(world: &World, id: &RolloutId) -> String {
    let end = world.view(&region("eu"), id, |it| it.rollout.ended.clone());
    end.expect("it ended").reason.expect("a reason")
}

#[test]
fn canary_goes_zone_by_zone_and_the_region_it_began_in_is_first() {
    let mut world = two_regions();
    let id = world.start(&region("us"), "voicemail", draft("new", Strategy::Canary));
    let names = world.view(&region("us"), &id, |it| {
        it.rollout
            .spec
            .steps
            .iter()
            .map(|step| step.name.clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(names, ["canary", "us/a", "eu/a", "eu/b"]);
    world.tick();
    let mut seen = vec![shares(&world, version("new"))];
    until(&mut world, |world| {
        world.state(&region("us"), &id) == RolloutState::Ramping
    });
    for _ in 0..100 {
        world.tick();
        seen.push(shares(&world, version("new")));
    }
    seen.dedup();
    assert_eq!(seen.first(), Some(&vec![0, 0, 0, 5]));
    for (step, expected) in [[0, 0, 0, 100], [100, 100, 0, 100], [100, 100, 100, 100]]
        .iter()
        .enumerate()
    {
        assert!(seen.contains(&expected.to_vec()), "step {step}: {seen:?}");
    }
    assert_eq!(world.state(&region("eu"), &id), RolloutState::Done);
}

#[test]
fn rolling_has_no_canary_and_all_has_one_step() {
    let mut world = two_regions();
    let rolling = world.start(&region("eu"), "voicemail", draft("new", Strategy::Rolling));
    world.ticks(2);
    assert_eq!(shares(&world, version("new")), [100, 100, 0, 0]);
    let all = world.start(&region("eu"), "voicemail", draft("newer", Strategy::All));
    world.ticks(2);
    assert_eq!(shares(&world, version("newer")), [100; 4]);
    assert_eq!(
        world.state(&region("eu"), &rolling),
        RolloutState::Superseded
    );
    assert_eq!(world.state(&region("eu"), &all), RolloutState::Ramping);
    until_state(&mut world, &all, RolloutState::Done);
}

#[test]
fn step_lasts_its_time_and_little_more() {
    let mut world = two_regions();
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Rolling));
    let ticks = until_step(&mut world, &id, 1);
    assert!((STEP_TICKS..=STEP_TICKS + 2).contains(&ticks), "{ticks}");
}

#[test]
fn step_waits_for_a_suspected_host_and_passes_one_that_is_out() {
    let mut world = two_regions();
    let slow = Draft {
        step_ms: 8_000,
        ..draft("new", Strategy::Rolling)
    };
    let id = world.start(&region("eu"), "voicemail", slow);
    world.ticks(2);
    // It has done its part, but nobody knows how it is.
    let silent = index_of(&world, "eu-a-1");
    world.hosts[silent].runs = false;
    let ticks = until_step(&mut world, &id, 1);
    assert!((11..=13).contains(&ticks), "{ticks}");
}

#[test]
fn step_waits_for_a_host_that_has_not_shifted() {
    let mut world = two_regions();
    let slow = index_of(&world, "eu-a-1");
    world.hosts[slow]
        .refuses
        .insert(version("new"), "incomplete".into());
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Rolling));
    world.ticks(3 * STEP_TICKS);
    assert_eq!(
        world.view(&region("eu"), &id, |it| it.rollout.progress.step),
        0
    );
    world.hosts[slow].refuses.clear();
    until_state(&mut world, &id, RolloutState::Done);
}

#[test]
fn artifact_that_stays_incomplete_is_reverted_in_the_end() {
    let mut world = two_regions();
    world.hosts[0]
        .refuses
        .insert(version("new"), "incomplete".into());
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Rolling));
    let ticks = until_state(&mut world, &id, RolloutState::Reverted);
    assert!(ticks >= STEP_TICKS * STEPS_WAITED_MAX as usize, "{ticks}");
}

#[test]
fn host_that_refuses_the_version_reverts_it_when_its_turn_comes() {
    let mut world = two_regions();
    let strict = index_of(&world, "us-a-0");
    world.hosts[strict]
        .refuses
        .insert(version("new"), "missing-import".into());
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Rolling));
    until_state(&mut world, &id, RolloutState::Reverted);
    assert_eq!(
        world.view(&region("eu"), &id, |it| it.rollout.progress.step),
        2
    );
    world.ticks(2);
    assert_eq!(shares(&world, version("own")), [100; 4]);
    assert_eq!(
        reason(&world, &id),
        "host us-a-0 refused it: missing-import: it will not do"
    );
}

#[test]
fn regression_reverts_everywhere_at_once() {
    let mut world = two_regions();
    for at in world.regions() {
        world.failing.insert((at, version("new")), 50);
    }
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Canary));
    let ticks = until_state(&mut world, &id, RolloutState::Reverted);
    assert!(ticks <= 3, "{ticks}");
    world.ticks(2);
    assert_eq!(shares(&world, version("own")), [100; 4]);
    assert_eq!(world.state(&region("us"), &id), RolloutState::Reverted);
    assert!(reason(&world, &id).contains("failed"));
}

#[test]
fn canary_with_little_traffic_waits_ten_times_as_long() {
    let mut world = two_regions();
    // 5 % of 100 on 2 hosts: 10 requests are seen, and 20 were asked for.
    world.requests = 100;
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Canary));
    let ticks = until_step(&mut world, &id, 1);
    let expected = STEP_TICKS * STEPS_WAITED_MAX as usize;
    assert!((expected..=expected + 2).contains(&ticks), "{ticks}");
    // The steps after it do not.
    assert!(until_step(&mut world, &id, 2) <= STEP_TICKS + 2);
}

#[test]
fn canary_in_a_slow_region_is_compared_with_what_serves_there() {
    // So much is served elsewhere that nearly all of it is quick.
    let mut world = World::new(&[("eu", "a", 1), ("us", "a", 25)], &["voicemail"]);
    world.slow.insert(region("eu"));
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Canary));
    // When nothing in its region serves the old version any more, time is no measure.
    until_state(&mut world, &id, RolloutState::Done);
}

#[test]
fn canary_in_a_failing_region_is_compared_with_what_serves_there() {
    let mut world = World::new(&[("eu", "a", 1), ("us", "a", 25)], &["voicemail"]);
    let eu = region("eu");
    for name in ["own", "new"] {
        world.failing.insert((eu.clone(), version(name)), 20);
    }
    let gated = Draft {
        gate: true,
        ..draft("new", Strategy::Canary)
    };
    let id = world.start(&eu, "voicemail", gated);
    world.ticks(3 * STEP_TICKS);
    assert_eq!(world.state(&eu, &id), RolloutState::Waiting);
}

#[test]
fn version_that_fails_in_all_of_a_region_is_compared_with_the_others() {
    let mut world = two_regions();
    world.failing.insert((region("us"), version("new")), 50);
    let id = world.start(&region("us"), "voicemail", draft("new", Strategy::Rolling));
    world.tick();
    let ticks = until_state(&mut world, &id, RolloutState::Reverted);
    assert!(ticks <= 3, "{ticks}");
}

#[test]
fn canary_that_nobody_has_served_does_not_pass_and_is_reverted_in_the_end() {
    let mut world = two_regions();
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Canary));
    world.hosts[0].runs = false;
    world.hosts[1].runs = false;
    let us = region("us");
    let step = |world: &World| world.view(&region("us"), &id, |it| it.rollout.progress.step);
    let waited = STEP_TICKS * STEPS_WAITED_MAX as usize;
    world.ticks(waited - 1);
    assert_eq!(world.state(&us, &id), RolloutState::Canary);
    assert_eq!(step(&world), 0);
    world.ticks(3);
    assert_eq!(world.state(&us, &id), RolloutState::Reverted);
    assert_eq!(reason(&world, &id), "no host of the canary step serves it");
}

#[test]
fn canary_goes_on_when_its_hosts_are_back() {
    let mut world = two_regions();
    let eu = region("eu");
    let gated = Draft {
        gate: true,
        ..draft("new", Strategy::Canary)
    };
    let id = world.start(&eu, "voicemail", gated);
    // Long beyond the time that is given to hosts which never come.
    world.ticks(2 * STEP_TICKS * STEPS_WAITED_MAX as usize);
    let runs = |world: &mut World, runs| {
        for host in &mut world.hosts[..2] {
            host.runs = runs;
            host.heartbeat.started_ms = world.now_ms;
        }
    };
    runs(&mut world, false);
    world.ticks(5);
    let approval = world.rules(&eu).approve(&id, true, &world.origin(&eu));
    world.change(&eu, approval.expect("an approval"));
    // From suspected to out.
    world.ticks(STEP_TICKS * STEPS_WAITED_MAX as usize / 2);
    assert_eq!(world.state(&eu, &id), RolloutState::Canary);
    runs(&mut world, true);
    until_state(&mut world, &id, RolloutState::Done);
}

#[test]
fn later_step_whose_hosts_are_out_passes() {
    let mut world = two_regions();
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Canary));
    let silent = index_of(&world, "eu-b-0");
    world.hosts[silent].runs = false;
    until_state(&mut world, &id, RolloutState::Done);
}

fn set_degraded(world: &mut World, hosts: &[usize], is_degraded: bool) {
    for host in hosts {
        world.hosts[*host].heartbeat.readiness = if is_degraded {
            Readiness::Degraded {
                reason: "ill".into(),
            }
        } else {
            Readiness::Ready
        };
    }
}

/// How a rollout ends on 2 + 1 + 1 hosts if these are degraded from its third second on; its first step is about the
/// first two.
fn state_with_degraded(strategy: Strategy, degraded: &[usize]) -> (World, RolloutId, RolloutState) {
    let mut world = two_regions();
    let draft = Draft {
        step_ms: 15_000,
        ..draft("new", strategy)
    };
    let id = world.start(&region("eu"), "voicemail", draft);
    world.ticks(3);
    set_degraded(&mut world, degraded, true);
    world.ticks(9);
    let state = world.state(&region("eu"), &id);
    (world, id, state)
}

#[test]
fn version_that_makes_its_hosts_ill_is_reverted() {
    let (world, id, state) = state_with_degraded(Strategy::Rolling, &[0, 1]);
    assert_eq!(state, RolloutState::Reverted);
    assert_eq!(
        reason(&world, &id),
        "2 of 2 hosts that serve the new version are degraded, and 0 of 2 that serve the old one alone"
    );
    for (degraded, expected) in [
        // Half of them.
        (&[0][..], RolloutState::Ramping),
        // The others are ill, too.
        (&[0, 1, 2], RolloutState::Ramping),
        (&[0, 1, 2, 3], RolloutState::Ramping),
        // Only the others.
        (&[2, 3], RolloutState::Ramping),
    ] {
        let (_, _, state) = state_with_degraded(Strategy::Rolling, degraded);
        assert_eq!(state, expected, "{degraded:?}");
    }
}

#[test]
fn version_that_makes_most_hosts_ill_is_reverted_when_no_other_is_left() {
    let (_, _, state) = state_with_degraded(Strategy::All, &[0, 2, 3]);
    assert_eq!(state, RolloutState::Reverted);
    let (_, _, state) = state_with_degraded(Strategy::All, &[2, 3]);
    assert_eq!(state, RolloutState::Ramping);
}

#[test]
fn hosts_that_were_ill_before_can_be_helped() {
    let mut world = two_regions();
    set_degraded(&mut world, &[0, 1, 2, 3], true);
    world.ticks(2);
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::All));
    world.ticks(STEP_TICKS - 1);
    set_degraded(&mut world, &[0, 1, 2, 3], false);
    until_state(&mut world, &id, RolloutState::Done);
}

#[test]
fn gated_steps_wait_for_approval_but_for_the_last() {
    let mut world = two_regions();
    let gated = Draft {
        gate: true,
        ..draft("new", Strategy::Canary)
    };
    let eu = region("eu");
    let id = world.start(&eu, "voicemail", gated);
    assert_eq!(world.state(&eu, &id), RolloutState::Canary);
    until_state(&mut world, &id, RolloutState::Waiting);
    world.ticks(50 * STEP_TICKS);
    assert_eq!(world.state(&eu, &id), RolloutState::Waiting);
    let approval = world.rules(&eu).approve(&id, false, &world.origin(&eu));
    world.change(&eu, approval.expect("an approval"));
    until_step(&mut world, &id, 1);
    until_state(&mut world, &id, RolloutState::Waiting);
    world.ticks(5 * STEP_TICKS);
    assert_eq!(world.view(&eu, &id, |it| it.rollout.progress.step), 1);
    let approval = world.rules(&eu).approve(&id, true, &world.origin(&eu));
    world.change(&eu, approval.expect("an approval"));
    until_state(&mut world, &id, RolloutState::Done);
}

#[test]
fn zone_that_appears_later_follows_with_the_last_step() {
    let mut world = two_regions();
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::Rolling));
    let late = index_of(&world, "us-a-0");
    world.hosts[late].heartbeat.zone = "z".parse().expect("a zone");
    until_step(&mut world, &id, 1);
    world.tick();
    assert_eq!(shares(&world, version("new"))[late], 0);
    until_step(&mut world, &id, 2);
    world.ticks(2);
    assert_eq!(shares(&world, version("new")), [100; 4]);
}

#[test]
fn host_without_a_version_of_its_own_serves_nothing_until_one_reaches_it() {
    let mut world = two_regions();
    let (eu, voicemail) = (region("eu"), component("voicemail"));
    let place = |zone: &str| Place {
        region: region("eu"),
        zone: zone.parse().expect("a zone"),
    };
    let shares = |world: &World, zone| split(&world.rules(&eu), &voicemail, None, &place(zone));
    assert_eq!(shares(&world, "a"), []);
    let id = world.start(&eu, "voicemail", draft("new", Strategy::Canary));
    let all = [Share {
        digest: version("new"),
        percent: 100,
    }];
    assert_eq!(shares(&world, "a"), all);
    assert_eq!(shares(&world, "b"), []);
    until_state(&mut world, &id, RolloutState::Done);
    assert_eq!(shares(&world, "b"), all);
}

#[test]
fn host_that_was_down_converges_to_what_rules() {
    let mut world = two_regions();
    let down = index_of(&world, "us-a-0");
    world.hosts[down].runs = false;
    let id = world.start(&region("eu"), "voicemail", draft("new", Strategy::All));
    until_state(&mut world, &id, RolloutState::Done);
    assert_eq!(shares(&world, version("new"))[down], 0);
    world.hosts[down].runs = true;
    world.ticks(1);
    assert_eq!(shares(&world, version("new"))[down], 100);
}

// Found by the model: the second rollout waited for ever.
#[test]
fn host_that_refuses_the_old_version_does_not_hold_up_the_new_one() {
    let mut world = two_regions();
    let strict = index_of(&world, "eu-a-0");
    world.hosts[strict]
        .refuses
        .insert(version("one"), "unsigned".into());
    world.hosts[strict].runs = false;
    world.ticks(12);
    let first = world.start(&region("eu"), "voicemail", draft("one", Strategy::All));
    until_state(&mut world, &first, RolloutState::Done);
    world.hosts[strict].runs = true;
    world.ticks(2);
    assert!(
        world
            .traffic(strict, "voicemail")
            .contains_key(&version("own"))
    );
    let second = world.start(&region("eu"), "voicemail", draft("two", Strategy::Canary));
    until_state(&mut world, &second, RolloutState::Done);
    assert_eq!(shares(&world, version("two")), [100; 4]);
}

#[test]
fn abort_brings_the_old_version_back_and_ends_the_matter() {
    let mut world = two_regions();
    let (eu, us) = (region("eu"), region("us"));
    let id = world.start(&eu, "voicemail", draft("new", Strategy::Rolling));
    world.ticks(2);
    let abort = world
        .rules(&us)
        .abort(&id, Some("not today".into()), &world.origin(&us));
    world.change(&us, abort.expect("an abort"));
    world.ticks(2);
    assert_eq!(world.state(&eu, &id), RolloutState::Aborted);
    assert_eq!(reason(&world, &id), "not today");
    assert_eq!(shares(&world, version("own")), [100; 4]);
    let state = RolloutState::Aborted;
    let refused = world.rules(&eu).approve(&id, true, &world.origin(&eu));
    assert_eq!(refused, Err(ChangeError::NotRunning { rollout: id, state }));
}

#[test]
fn revert_in_a_region_that_was_cut_off_wins_over_done_elsewhere() {
    let mut world = two_regions();
    let (eu, us) = (region("eu"), region("us"));
    world.failing.insert((us.clone(), version("new")), 80);
    let id = world.start(&eu, "voicemail", draft("new", Strategy::All));
    // The rollout reaches the other region as the connection fails.
    world.hosts[3].runs = false;
    world.ticks(1);
    world.cut_off(&us, true);
    world.hosts[3].runs = true;
    until_state(&mut world, &id, RolloutState::Done);
    assert_eq!(world.state(&us, &id), RolloutState::Reverted);
    world.cut_off(&us, false);
    world.ticks(2);
    assert_eq!(world.state(&eu, &id), RolloutState::Reverted);
    assert_eq!(shares(&world, version("own")), [100; 4]);
}

#[test]
fn rollouts_are_forgotten_but_not_what_they_brought() {
    let mut world = two_regions();
    let eu = region("eu");
    for name in ["one", "two"] {
        let id = world.start(&eu, "voicemail", draft(name, Strategy::All));
        until_state(&mut world, &id, RolloutState::Done);
    }
    for _ in 0..2 * ROLLOUTS_MAX {
        world.tick();
        let id = world.start(&eu, "voicemail", draft("bad", Strategy::All));
        let abort = world.rules(&eu).abort(&id, None, &world.origin(&eu));
        world.change(&eu, abort.expect("an abort"));
    }
    world.ticks(3);
    let rules = world.rules(&eu);
    let voicemail = component("voicemail");
    assert_eq!(rules.rollouts().count(), ROLLOUTS_MAX);
    assert_eq!(rules.ruling(&voicemail), Some(version("two")));
    assert_eq!(
        rules.rollback(&voicemail),
        Ok(Rollback::RollOut(Some(version("one"))))
    );
    assert_eq!(shares(&world, version("two")), [100; 4]);
}

#[test]
fn later_rollout_has_the_greater_id_even_by_a_clock_that_is_behind() {
    let mut world = two_regions();
    let first = world.start(&region("us"), "voicemail", draft("one", Strategy::All));
    world.tick();
    world.now_ms -= 3_000;
    let second = world.start(&region("eu"), "voicemail", draft("two", Strategy::All));
    assert!(second > first);
}

#[test]
fn draft_out_of_bounds_is_refused() {
    let world = two_regions();
    let eu = region("eu");
    let plan = |draft: Draft| Spec::plan(draft, &eu, &world.fleet(&eu)).map(|_| ());
    let draft = || draft("new", Strategy::Canary);
    for canary_percent in [0, 101] {
        let refused = plan(Draft {
            canary_percent,
            ..draft()
        });
        assert_eq!(refused, Err(InvalidDraft::CanaryPercent(canary_percent)));
    }
    for step_ms in [0, STEP_MS_MAX + 1] {
        assert_eq!(
            plan(Draft { step_ms, ..draft() }),
            Err(InvalidDraft::StepMs(step_ms))
        );
    }
}
