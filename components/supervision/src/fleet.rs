//! Who belongs to the fleet, and who of them lives.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Heartbeat, HostId};

/// How often a host's management beats: about once a second.
pub const BEAT_MS: u64 = 1_000;

/// How far the clocks of two hosts may be apart for what is said here of time to hold.
pub const CLOCK_SKEW_MAX_MS: u64 = 2_000;

/// How old the last beat of a suspected host is, 4 s: two beats may be missed on top of a clock that is
/// [`CLOCK_SKEW_MAX_MS`] behind.
pub const SUSPECTED_AFTER_MS: u64 = CLOCK_SKEW_MAX_MS + 2 * BEAT_MS;

/// How old the last beat of a host is that is not reckoned with any more: 12 s.
pub const OUT_AFTER_MS: u64 = 12_000;

/// The hosts of a region: those whose heartbeats are to be read, since no operation lists a store.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Members {
    /// Their names.
    pub hosts: BTreeSet<HostId>,
}

/// Whether a host lives, as far as anybody can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life {
    /// It beats.
    Alive,
    /// It has not been heard of for a moment: it may be back any time, and is waited for.
    Suspected,
    /// It has not been heard of for long: nobody waits for it.
    Out,
}

impl Life {
    /// What the age of the last beat says. A beat from the future is young: a clock is ahead.
    pub fn of(beat_ms: u64, now_ms: u64) -> Self {
        match now_ms.saturating_sub(beat_ms) {
            0..SUSPECTED_AFTER_MS => Self::Alive,
            SUSPECTED_AFTER_MS..OUT_AFTER_MS => Self::Suspected,
            OUT_AFTER_MS.. => Self::Out,
        }
    }

    /// The name that operators know it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspected => "suspected",
            Self::Out => "out",
        }
    }
}

/// The hosts as one management instance sees them at one moment.
#[derive(Clone, Debug)]
pub struct Fleet {
    now_ms: u64,
    hosts: BTreeMap<HostId, Heartbeat>,
}

impl Fleet {
    /// The fleet that these heartbeats of all regions show at `now_ms`, milliseconds since the Unix epoch.
    ///
    /// A host that moved to another region has left its last beat there: the younger one counts.
    pub fn new(now_ms: u64, heartbeats: impl IntoIterator<Item = Heartbeat>) -> Self {
        let mut hosts: BTreeMap<HostId, Heartbeat> = BTreeMap::new();
        for heartbeat in heartbeats {
            let known = hosts.get(&heartbeat.host);
            if known.is_none_or(|known| known.beat_ms < heartbeat.beat_ms) {
                hosts.insert(heartbeat.host.clone(), heartbeat);
            }
        }
        Self { now_ms, hosts }
    }

    /// When the fleet was looked at, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What a host said last.
    pub fn host(&self, host: &HostId) -> Option<&Heartbeat> {
        self.hosts.get(host)
    }

    /// All hosts that were ever heard of, in the order of their names.
    pub fn hosts(&self) -> impl Iterator<Item = (&Heartbeat, Life)> {
        let with_life = |host| (host, self.life(host));
        self.hosts.values().map(with_life)
    }

    /// The hosts that are alive.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Heartbeat> {
        self.in_life(|life| life == Life::Alive)
    }

    /// The hosts that are alive or may be.
    pub(crate) fn not_out(&self) -> impl Iterator<Item = &Heartbeat> {
        self.in_life(|life| life != Life::Out)
    }

    fn in_life(&self, wanted: impl Fn(Life) -> bool) -> impl Iterator<Item = &Heartbeat> {
        self.hosts()
            .filter(move |(_, life)| wanted(*life))
            .map(|(host, _)| host)
    }

    fn life(&self, host: &Heartbeat) -> Life {
        Life::of(host.beat_ms, self.now_ms)
    }
}
