//! Signing in with a PIN: counting wrong ones, wherever they are tried, and locking for a while.
//!
//! A counter that can be cleared, as a replicated data type: each region counts the failures that it
//! saw, and clearing notes how far the count of each region had got. What is outstanding is the
//! difference. So no failure counts twice, none is lost to a concurrent one elsewhere, and a
//! successful sign-in forgives exactly the failures that it knew of.
//!
//! The lock delays guessing; it cannot stop somebody who wants to lock a subscriber out. Its longest
//! time bounds that, and an operator who sets a new PIN ends it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AHEAD_MAX_MS, Join, Origin, Region};

/// How many wrong PINs in a row lock nothing yet.
pub const FAILURES_FREE: u32 = 4;

/// How long the first wrong PIN after those locks the mailbox; each further one doubles it.
pub const LOCK_MS_MIN: u64 = 30_000;

/// The longest lock: an hour.
pub const LOCK_MS_MAX: u64 = 3_600_000;

/// The failures to sign in to one mailbox, of all regions.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignIns {
    /// What each region saw since the mailbox was created; written by that region alone.
    pub failures: BTreeMap<Region, Failures>,
    /// How many failures of each region have been forgiven.
    pub forgiven: BTreeMap<Region, Count>,
}

/// The failures that one region saw.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failures {
    /// How many, since the mailbox was created.
    pub count: Count,
    /// When the last one was, in milliseconds since the Unix epoch, UTC.
    pub last_ms: u64,
}

/// A count that only grows: of two, the greater is the later.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Count(pub u32);

impl Join for Count {
    fn join(&mut self, other: Self) {
        *self = (*self).max(other);
    }
}

impl Join for Failures {
    fn join(&mut self, other: Self) {
        self.count.join(other.count);
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

impl Join for SignIns {
    fn join(&mut self, other: Self) {
        self.failures.join(other.failures);
        self.forgiven.join(other.forgiven);
    }
}

impl SignIns {
    /// Until when nobody may sign in, in milliseconds since the Unix epoch; `None` if nothing is
    /// locked at `now_ms`.
    pub fn locked_until_ms(&self, now_ms: u64) -> Option<u64> {
        let outstanding = self.outstanding();
        let doublings = outstanding.checked_sub(FAILURES_FREE + 1)?;
        let lock_ms = LOCK_MS_MIN
            .saturating_mul(1 << doublings.min(16))
            .min(LOCK_MS_MAX);
        let last_ms = self.failures.values().map(|seen| seen.last_ms).max()?;
        if last_ms > now_ms.saturating_add(AHEAD_MAX_MS) {
            // A clock that far ahead says nothing of when it was.
            return None;
        }
        let until_ms = last_ms.saturating_add(lock_ms);
        (until_ms > now_ms).then_some(until_ms)
    }

    /// How many failures have not been forgiven.
    fn outstanding(&self) -> u32 {
        self.failures.iter().fold(0, |sum, (region, seen)| {
            let forgiven = self.forgiven.get(region).copied().unwrap_or_default();
            sum.saturating_add(seen.count.0.saturating_sub(forgiven.0))
        })
    }

    /// One more wrong PIN.
    pub(crate) fn failed(&self, origin: &Origin) -> Self {
        let seen = self
            .failures
            .get(&origin.region)
            .copied()
            .unwrap_or_default();
        let now = Failures {
            count: Count(seen.count.0.saturating_add(1)),
            last_ms: seen.last_ms.max(origin.now_ms),
        };
        Self {
            failures: [(origin.region.clone(), now)].into(),
            ..Self::default()
        }
    }

    /// The right PIN: all failures in sight are forgiven. Empty if there are none to forgive.
    pub(crate) fn succeeded(&self) -> Self {
        if self.outstanding() == 0 {
            return Self::default();
        }
        let forgiven = self
            .failures
            .iter()
            .map(|(region, seen)| (region.clone(), seen.count));
        Self {
            forgiven: forgiven.collect(),
            ..Self::default()
        }
    }
}
