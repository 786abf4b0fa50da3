//! When a new version is worse than the old one.
//!
//! Both are compared over the same recent window on hosts that are alive, so what befalls both, such as a store that
//! fails or a wave of callers, is no regression. The old version is looked at where the new one is, as far as it serves
//! enough there ([`observe`]), so that what is particular to a place is no regression either. Three things are compared:
//!
//! - errors, by Fisher's exact test;
//! - slow requests: those in buckets above the one that holds the old version's 95th percentile, by the same test. A
//!   difference that is certain may still be too small to matter: the new share must be twice the old one, and half of
//!   all requests; or a tenth, of such as are two buckets further up, which is some five times as long. A new version's
//!   instances all begin cold, and where the old one answers within a millisecond a tenth is a little slower for that
//!   alone;
//! - memory: a mean that is more than four times the old one, and more than 16 MiB above it. That is no chance.
//!
//! Where the old version has too few requests to be compared with, the errors of the new one are held against 1 %, by
//! the exact binomial test, and its latency against nothing: a service that fails more often than that needs its old
//! version to show that this is normal. So it is in the last steps of a rollout, once the old version's requests are out
//! of the window.
//!
//! # How certain is certain
//!
//! A rollout is looked at every second by every instance, so a test that is wrong once in a hundred looks would revert
//! every rollout. The bound is a chance of 1 in 10,000 for each look in the first window of a step ([`CHANCE_MIN`]),
//! half of it in the second, a third in the third, and so on: a step may wait for hours at a gate, and what it may be
//! wrong in all grows with the logarithm of that time only. After twelve hours the bound is 1 in 7 million, and 6
//! failures alone are found out where 4 are at first. Looks overlap in all but one of sixty seconds of their windows,
//! so they are wrong together rather than one after the other, and the exact tests are wrong less often than their
//! bound says, since counts are whole numbers. `tests/statistics.rs` measures how often two like versions are told
//! apart: at most 3 times in 10,000 independent looks; in at most one of a hundred rollouts that are looked at every
//! second for ten minutes; and in 5 of 1,000 canary steps that are looked at every second for twelve hours, with 200
//! requests in a second, a share of 5 % and errors of 1 %, where a bound that stays would revert 313. And it measures
//! how few requests show a difference: 4 if all fail, 50 if one in ten does.

use std::collections::BTreeSet;
use std::fmt;

use crate::desired::RolloutView;
use crate::serving::serving;
use crate::statistics::Sample;
use crate::{ComponentName, Desired, Figures, Fleet, VersionReport};

/// The longest window of time that figures are from.
pub const WINDOW_MS: u64 = 60_000;

/// Fewer requests than these say little.
pub const REQUESTS_MIN: u64 = 20;

/// A difference that chance brings about less often than this is a regression, in the first window of a step.
const CHANCE_MIN: f64 = 1e-4;

/// How many requests may fail of a version that has nothing to be compared with, from 0 to 1.
const ERROR_RATIO_EXPECTED: f64 = 0.01;

/// How far above the bucket of the old version's 95th percentile a request is slow, in buckets, and the share of such
/// requests, from 0 to 1, from which on they matter.
const SLOW: [(usize, f64); 2] = [(0, 0.5), (2, 0.1)];

/// A share of slow requests that is less than so many times the old one does not matter.
const SLOW_GROWTH_MIN: f64 = 2.0;

/// How many times the old version's memory the new one may need.
const MEMORY_GROWTH_MAX: u64 = 4;

/// How much more than the old version's memory the new one may always need.
const MEMORY_GROWTH_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was seen of both versions of a rollout, on hosts that are alive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observed {
    /// Of the new version.
    pub new: Figures,
    /// Of the old one.
    pub old: Figures,
}

/// In what a new version is worse than the old one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Regression {
    /// It fails more often.
    Errors {
        /// Requests of the new version that failed, and all of them.
        new: (u64, u64),
        /// Those of the old one.
        old: (u64, u64),
    },
    /// More of its requests are slow.
    Latency {
        /// Requests of the new version that were slower than nearly all of the old one's, and all of them.
        new: (u64, u64),
        /// Those of the old one.
        old: (u64, u64),
    },
    /// It needs much more memory.
    Memory {
        /// The mean memory of an instance of the new version, in bytes.
        new_bytes: u64,
        /// That of the old one.
        old_bytes: u64,
    },
}

/// What figures say of a new version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It was seen too little to be trusted: fewer than [`REQUESTS_MIN`] requests.
    TooFew,
    /// It does as well as the old one, as far as can be told.
    NoWorse,
    /// It is worse.
    Worse(Regression),
}

/// Compares what was seen of a new version to what was seen of the old one in the same time, `elapsed_ms` after the step
/// began that the rollout is in.
pub fn assess(new: &Figures, old: &Figures, elapsed_ms: u64) -> Verdict {
    let windows = elapsed_ms / WINDOW_MS;
    let chance_min = CHANCE_MIN / (1.0 + windows as f64);
    let regression = more_errors(new, old, chance_min)
        .or_else(|| more_slow(new, old, chance_min))
        .or_else(|| more_memory(new, old));
    match regression {
        Some(regression) => Verdict::Worse(regression),
        None if new.requests < REQUESTS_MIN => Verdict::TooFew,
        None => Verdict::NoWorse,
    }
}

fn more_errors(new: &Figures, old: &Figures, chance_min: f64) -> Option<Regression> {
    let failed = Sample::new(new.errors, new.requests);
    let chance = if old.requests < REQUESTS_MIN {
        failed.chance_at(ERROR_RATIO_EXPECTED)
    } else {
        failed.chance_beside(Sample::new(old.errors, old.requests))
    };
    (chance < chance_min).then_some(Regression::Errors {
        new: (new.errors, new.requests),
        old: (old.errors, old.requests),
    })
}

fn more_slow(new: &Figures, old: &Figures, chance_min: f64) -> Option<Regression> {
    let comparable = old.counted() >= REQUESTS_MIN && new.latency.len() == old.latency.len();
    let nearly_all = old.percentile_bucket(95).filter(|_| comparable)?;
    SLOW.into_iter().find_map(|(above, share_min)| {
        let slow = |figures: &Figures| (figures.slower_than(nearly_all + above), figures.counted());
        let (new, old) = (slow(new), slow(old));
        let share = |(slow, of): (u64, u64)| slow as f64 / of.max(1) as f64;
        let matters = share(new) >= share_min && share(new) >= SLOW_GROWTH_MIN * share(old);
        let chance = || Sample::new(new.0, new.1).chance_beside(Sample::new(old.0, old.1));
        (matters && chance() < chance_min).then_some(Regression::Latency { new, old })
    })
}

fn more_memory(new: &Figures, old: &Figures) -> Option<Regression> {
    let (new_bytes, old_bytes) = (new.memory_bytes_mean, old.memory_bytes_mean);
    let known = new.requests.min(old.requests) >= REQUESTS_MIN;
    let much = new_bytes > old_bytes.saturating_mul(MEMORY_GROWTH_MAX)
        && new_bytes > old_bytes.saturating_add(MEMORY_GROWTH_BYTES_MAX);
    (known && much).then_some(Regression::Memory {
        new_bytes,
        old_bytes,
    })
}

/// What was seen of both versions of a rollout, on hosts that are alive.
///
/// Of the new version counts what a host sees that sends requests to it: what is left in its window from an earlier
/// rollout of the same version does not. A host whose old version is the new one tells nothing about a difference.
///
/// Of the old version counts what is seen where the new one is seen, too: on the hosts that send requests to both. If
/// that is fewer than [`REQUESTS_MIN`] requests, it is what all hosts see. Where these are of several regions, which
/// may be slow or quick by themselves, the latency of the old version is left out then. Errors are compared all the
/// same: a version that fails in the one region that it serves must not come to the next.
pub fn observe(view: &RolloutView<'_>, fleet: &Fleet) -> Observed {
    let hosts = serving(view, fleet);
    let with_new = hosts.iter().filter(|it| it.serves_new());
    let new = sum(with_new.clone().filter_map(|it| it.new));
    let with_both = with_new.filter(|it| it.serves_old());
    let mut old = sum(with_both.filter_map(|it| it.old));
    if old.requests < REQUESTS_MIN {
        old = sum(hosts.iter().filter_map(|it| it.old));
        let regions = hosts.iter().map(|it| &it.host.region);
        if regions.collect::<BTreeSet<_>>().len() > 1 {
            old.latency.clear();
        }
    }
    Observed { new, old }
}

fn sum<'a>(versions: impl Iterator<Item = &'a VersionReport>) -> Figures {
    versions.fold(Figures::default(), |mut sum, version| {
        sum.add(&version.figures);
        sum
    })
}

/// The window of time that a component's figures are to be from: [`WINDOW_MS`], but not from before its rollout began.
pub fn window_ms(desired: &Desired, component: &ComponentName, now_ms: u64) -> u64 {
    let age_ms = desired
        .running(component)
        .map(|it| now_ms.saturating_sub(it.id.created_ms));
    age_ms.unwrap_or(WINDOW_MS).clamp(1_000, WINDOW_MS)
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { new, old } => write!(
                f,
                "{} of {} requests to the new version failed, and {} of {} to the old one",
                new.0, new.1, old.0, old.1
            ),
            Self::Latency { new, old } => write!(
                f,
                "{} of {} requests to the new version were slower than nearly all to the old one, of which {} of {} were",
                new.0, new.1, old.0, old.1
            ),
            Self::Memory {
                new_bytes,
                old_bytes,
            } => write!(
                f,
                "an instance of the new version holds {new_bytes} bytes of memory, and one of the old version {old_bytes}"
            ),
        }
    }
}
