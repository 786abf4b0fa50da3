//! Whether a host does well, and who looks.

use starling_mailbox::Join;
use starling_supervision::{
    Desired, Figures, Fleet, Heartbeat, HostId, Life, OUT_AFTER_MS, Origin, Probe, Readiness,
    SUSPECTED_AFTER_MS, probe_targets, readiness, siblings,
};

use crate::fleet::{heartbeat, region};

const NOW_MS: u64 = 1_000_000;

fn host(name: &str) -> HostId {
    name.parse().expect("a host")
}

/// Probes of `target` that failed so many times in a row, the last of them so long ago.
fn saw(target: &str, failures: u32, age_ms: u64) -> Probe {
    let ended_ms = NOW_MS - age_ms;
    let target = host(target);
    let first = Probe::next(&target, None, ended_ms, 3, Ok(()));
    (0..failures).fold(first, |before, _| {
        Probe::next(&target, Some(&before), ended_ms, 3, Err("refused".into()))
    })
}

/// A host that is judged by others who saw these failures, so long ago.
fn judged(seen: &[(u32, u64)]) -> Readiness {
    let observers = seen.iter().enumerate().map(|(n, (failures, age_ms))| {
        let mut observer = heartbeat(&format!("observer-{n}"), "eu", "a", NOW_MS);
        observer.probes = vec![saw("me", *failures, *age_ms)];
        observer
    });
    let fleet = Fleet::new(
        NOW_MS,
        observers.chain([heartbeat("me", "eu", "a", NOW_MS)]),
    );
    readiness(
        &host("me"),
        &Desired::default(),
        &fleet,
        &Figures::default(),
    )
}

fn is_degraded(readiness: &Readiness) -> bool {
    matches!(readiness, Readiness::Degraded { .. })
}

#[test]
fn life_is_told_by_the_age_of_the_last_beat() {
    let life = |age_ms| Life::of(NOW_MS - age_ms, NOW_MS);
    assert_eq!(life(SUSPECTED_AFTER_MS - 1), Life::Alive);
    assert_eq!(life(SUSPECTED_AFTER_MS), Life::Suspected);
    assert_eq!(life(OUT_AFTER_MS - 1), Life::Suspected);
    assert_eq!(life(OUT_AFTER_MS), Life::Out);
    // A clock that is ahead.
    assert_eq!(Life::of(NOW_MS + 1_500, NOW_MS), Life::Alive);
}

#[test]
fn host_that_most_of_its_observers_see_fail_is_degraded() {
    assert_eq!(judged(&[]), Readiness::Ready);
    assert_eq!(judged(&[(2, 0)]), Readiness::Ready);
    assert!(is_degraded(&judged(&[(3, 0)])));
    assert_eq!(judged(&[(3, 0), (0, 0)]), Readiness::Ready);
    assert_eq!(judged(&[(3, 0), (0, 0), (0, 0)]), Readiness::Ready);
    let reason = "2 of 3 hosts that probe it saw it fail: refused".into();
    assert_eq!(
        judged(&[(3, 0), (9, 0), (0, 0)]),
        Readiness::Degraded { reason }
    );
}

#[test]
fn observer_that_saw_a_host_fail_once_or_twice_is_undecided() {
    let reason = "1 of 1 hosts that probe it saw it fail: refused".into();
    assert_eq!(
        judged(&[(3, 0), (1, 0), (2, 0)]),
        Readiness::Degraded { reason }
    );
    assert_eq!(judged(&[(3, 0), (2, 0), (0, 0)]), Readiness::Ready);
    assert_eq!(judged(&[(1, 0), (2, 0)]), Readiness::Ready);
}

#[test]
fn probes_of_long_ago_do_not_count() {
    assert_eq!(judged(&[(3, 10_001)]), Readiness::Ready);
    assert_eq!(judged(&[(3, 10_001), (0, 0)]), Readiness::Ready);
}

#[test]
fn observers_that_are_not_alive_do_not_count() {
    let mut observer = heartbeat("observer", "eu", "a", NOW_MS - SUSPECTED_AFTER_MS);
    observer.probes = vec![saw("me", 5, 5_000)];
    let fleet = Fleet::new(NOW_MS, [observer]);
    let judged = readiness(
        &host("me"),
        &Desired::default(),
        &fleet,
        &Figures::default(),
    );
    assert_eq!(judged, Readiness::Ready);
}

#[test]
fn host_that_fails_most_of_its_requests_is_degraded() {
    let judged = |errors, requests| {
        let inside = Figures {
            requests,
            errors,
            ..Figures::default()
        };
        let fleet = Fleet::new(NOW_MS, []);
        readiness(&host("me"), &Desired::default(), &fleet, &inside)
    };
    assert!(is_degraded(&judged(11, 20)));
    assert_eq!(judged(10, 20), Readiness::Ready);
    assert_eq!(judged(19, 19), Readiness::Ready);
}

#[test]
fn drained_host_drains_until_it_is_filled_again() {
    let fleet = Fleet::new(NOW_MS, []);
    let judged = |desired: &Desired| readiness(&host("me"), desired, &fleet, &Figures::default());
    let origin = |name| Origin {
        region: region(name),
        now_ms: NOW_MS,
    };
    let mut desired = Desired::default();
    let drain = desired.drain(&host("me"), true, &origin("eu"));
    desired.join(drain.expect("a change"));
    assert_eq!(judged(&desired), Readiness::Draining);
    // In the same millisecond, in a region whose name is smaller, and still later.
    let fill = desired.drain(&host("me"), false, &origin("ap"));
    desired.join(fill.expect("a change"));
    assert_eq!(judged(&desired), Readiness::Ready);
}

#[test]
fn success_ends_a_row_of_failures() {
    let failing = saw("you", 4, 0);
    assert_eq!(failing.failures_in_a_row, 4);
    let well = Probe::next(&host("you"), Some(&failing), NOW_MS, 7, Ok(()));
    assert_eq!(
        (well.failures_in_a_row, well.error, well.latency_ms),
        (0, None, 7)
    );
}

fn names(hosts: &[&Heartbeat]) -> Vec<String> {
    hosts.iter().map(|host| host.host.to_string()).collect()
}

#[test]
fn host_probes_its_region_each_time_and_the_others_by_turns() {
    let hosts = || {
        [
            ("eu-0", "eu"),
            ("eu-1", "eu"),
            ("eu-2", "eu"),
            ("us-0", "us"),
            ("us-1", "us"),
        ]
        .map(|(name, at)| heartbeat(name, at, "a", NOW_MS))
        .into_iter()
        .chain([heartbeat("ap-0", "ap", "a", NOW_MS)])
        .chain([heartbeat("eu-9", "eu", "a", NOW_MS - OUT_AFTER_MS)])
    };
    let targets = |of: &str, now_ms| {
        let fleet = Fleet::new(now_ms, hosts());
        names(&probe_targets(&heartbeat(of, "eu", "a", now_ms), &fleet))
    };
    let region = ["eu-0", "eu-1", "eu-2"];
    let with = |others: [&'static str; 2]| [&region[..], &others[..]].concat();
    assert_eq!(targets("eu-0", NOW_MS), with(["ap-0", "us-0"]));
    assert_eq!(targets("eu-0", NOW_MS + 1_000), with(["ap-0", "us-1"]));
    assert_eq!(targets("eu-1", NOW_MS), with(["ap-0", "us-1"]));
}

#[test]
fn siblings_are_ready_and_the_nearest_come_first() {
    let mut degraded = heartbeat("eu-b-2", "eu", "b", NOW_MS);
    degraded.readiness = Readiness::Degraded {
        reason: "ill".into(),
    };
    let fleet = Fleet::new(
        NOW_MS,
        [
            heartbeat("ap-a-1", "ap", "a", NOW_MS),
            heartbeat("eu-a-1", "eu", "a", NOW_MS),
            heartbeat("eu-b-1", "eu", "b", NOW_MS),
            heartbeat("eu-b-3", "eu", "b", NOW_MS - SUSPECTED_AFTER_MS),
            heartbeat("us-b-1", "us", "b", NOW_MS),
            degraded,
        ],
    );
    let me = heartbeat("eu-b-1", "eu", "b", NOW_MS);
    assert_eq!(
        names(&siblings(&me, &fleet)),
        ["eu-a-1", "us-b-1", "ap-a-1"]
    );
}
