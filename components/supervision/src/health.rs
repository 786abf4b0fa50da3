//! Whether a host does well, and who looks.
//!
//! Each host is judged from outside, by requests to its front door that others and it itself make, and from inside, by
//! what its own components failed. Its own management draws the conclusion, since it alone can tell the host; it needs no vote,
//! because what others saw stands in their heartbeats.

use std::collections::BTreeMap;

use crate::{BEAT_MS, Desired, Figures, Fleet, Heartbeat, HostId, Probe, REQUESTS_MIN, Readiness};

/// How many failures in a row make a host fail for one that probes it: one may be the network's, or a release's.
pub const FAILURES_MIN: u32 = 3;

/// How old a probe may be to count, and how far back a host looks at itself.
pub const PROBE_RECENT_MS: u64 = 10_000;

/// For how long a host keeps what came of a probe in its heartbeat, though it has not probed again.
///
/// A host of another region is probed by turns: where that region has n hosts, each n-th time, and so every n seconds. A
/// row of failures must last from turn to turn, which it does in regions of up to 60 hosts. A probe only counts for
/// [`PROBE_RECENT_MS`], though: with more than ten hosts in its region, an observer elsewhere has a voice for ten of n
/// seconds. Nothing is lost by that: the hosts of a large region look at each other every second.
pub const PROBE_KEPT_MS: u64 = 60_000;

/// A host that fails more of its requests than this had better not get any, from 0 to 1.
const ERROR_RATIO_MAX: f64 = 0.5;

/// Whether a host may take traffic, as its own management decides.
///
/// An operator's wish to empty it comes first. It is degraded while more than half of its observers saw it fail: one
/// whose own network fails must not take another down. Its observers are the hosts that are alive and probed it in the
/// last [`PROBE_RECENT_MS`], itself among them, but for those that are undecided: they saw it fail just now, and fewer
/// than [`FAILURES_MIN`] times in a row. It is degraded, too, while it fails most of its requests by its own count. When
/// that ends, so does this. `inside` is what the host saw of all versions of all its components in the last
/// [`PROBE_RECENT_MS`].
pub fn readiness(host: &HostId, desired: &Desired, fleet: &Fleet, inside: &Figures) -> Readiness {
    if desired.is_drained(host) {
        return Readiness::Draining;
    }
    match fails_outside(host, fleet).or_else(|| fails_inside(inside)) {
        Some(reason) => Readiness::Degraded { reason },
        None => Readiness::Ready,
    }
}

fn fails_outside(host: &HostId, fleet: &Fleet) -> Option<String> {
    let probes = fleet.alive().filter_map(|other| other.probe(host));
    let is_recent =
        |probe: &&Probe| fleet.now_ms().saturating_sub(probe.last_ms) <= PROBE_RECENT_MS;
    let is_decided = |probe: &&Probe| !(1..FAILURES_MIN).contains(&probe.failures_in_a_row);
    let votes: Vec<_> = probes.filter(is_recent).filter(is_decided).collect();
    let failed = votes.iter().filter(|probe| probe.failures_in_a_row > 0);
    let (failed_count, votes_count) = (failed.clone().count(), votes.len());
    let last = failed.max_by_key(|probe| probe.last_ms)?;
    (2 * failed_count > votes_count).then(|| {
        let error = last.error.as_deref().unwrap_or("no reason known");
        format!("{failed_count} of {votes_count} hosts that probe it saw it fail: {error}")
    })
}

fn fails_inside(inside: &Figures) -> Option<String> {
    let fails = inside.requests >= REQUESTS_MIN && inside.error_ratio() > ERROR_RATIO_MAX;
    fails.then(|| {
        let Figures {
            requests, errors, ..
        } = inside;
        format!("{errors} of its last {requests} requests failed")
    })
}

/// The hosts that `host` probes now: all of its region, itself among them, and one of each other region, by turns.
///
/// The hosts of a region begin their turns at different places, so that each host of another region is looked at by some
/// of them at any time. Hosts that are out are not probed: nobody there could draw a conclusion.
pub fn probe_targets<'a>(host: &Heartbeat, fleet: &'a Fleet) -> Vec<&'a Heartbeat> {
    let mut regions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for other in fleet.not_out() {
        regions.entry(&other.region).or_default().push(other);
    }
    let mut targets = regions.remove(&host.region).unwrap_or_default();
    let position = targets
        .iter()
        .filter(|other| other.host < host.host)
        .count();
    let turn = usize::try_from(fleet.now_ms() / BEAT_MS)
        .unwrap_or(0)
        .wrapping_add(position);
    // No region is empty: it came with its first host.
    targets.extend(regions.values().map(|others| others[turn % others.len()]));
    targets
}

/// The hosts that take requests which `host` cannot serve: alive and ready, the nearest first.
pub fn siblings<'a>(host: &Heartbeat, fleet: &'a Fleet) -> Vec<&'a Heartbeat> {
    let ready = fleet
        .alive()
        .filter(|other| other.readiness == Readiness::Ready);
    let mut siblings: Vec<_> = ready.filter(|other| other.host != host.host).collect();
    // Stable: within one distance they stay in the order of their names.
    siblings.sort_by_key(|other| (other.region != host.region, other.zone != host.zone));
    siblings
}

impl Probe {
    /// What is known of `host` after one more probe, which ended at `now_ms` (milliseconds since the Unix epoch) after
    /// `latency_ms`, well or for the reason given; `before` is what was known of it.
    pub fn next(
        host: &HostId,
        before: Option<&Self>,
        now_ms: u64,
        latency_ms: u64,
        outcome: Result<(), String>,
    ) -> Self {
        let error = outcome.err();
        let failures = before.map_or(0, |before| before.failures_in_a_row);
        let failures_in_a_row = error.as_ref().map_or(0, |_| failures.saturating_add(1));
        Self {
            host: host.clone(),
            last_ms: now_ms,
            failures_in_a_row,
            latency_ms,
            error,
        }
    }
}
