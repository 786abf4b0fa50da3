//! What is known of a replica and its origin: for operators, and for metrics.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// In which way an origin is not a continuation of its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regression {
    /// Its stream was made anew.
    OtherEpoch,
    /// It has lost its end.
    Behind {
        /// The origin's last sequence.
        origin: u64,
        /// The replica's.
        replica: u64,
    },
    /// It has lost its end and written another.
    OtherMessage {
        /// Where the two differ.
        sequence: u64,
    },
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherEpoch => f.write_str("its stream was made anew"),
            Self::Behind { origin, replica } => {
                write!(f, "it ends at {origin}, and its replica at {replica}")
            }
            Self::OtherMessage { sequence } => {
                write!(f, "it holds another message than its replica at {sequence}")
            }
        }
    }
}

/// How one replica follows its origin, as this host sees it.
#[derive(Debug)]
pub(crate) struct OriginStatus {
    origin: String,
    /// Whether the origin is still written: a retired region's bucket is only read.
    retired: bool,
    applied: AtomicU64,
    origin_last: AtomicU64,
    reachable: AtomicBool,
    conflicts: AtomicU64,
    regressions: AtomicU64,
    regression: Mutex<Option<Regression>>,
    /// Up to when the replica is known to hold all that its origin had.
    complete_as_of: Mutex<Instant>,
}

/// [`OriginStatus`] at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginReport {
    /// The origin's region.
    pub origin: String,
    /// Whether it is retired: nobody writes it any more.
    pub retired: bool,
    /// Whether its system answers.
    pub reachable: bool,
    /// The replica's last sequence.
    pub applied: u64,
    /// The origin's last sequence, as far as it is known.
    pub origin_last: u64,
    /// Sequences that the replica lacks, as far as the origin is known.
    pub lag_sequences: u64,
    /// For how long the replica may have lacked something.
    pub lag: Duration,
    /// How often this host's replicator was overtaken by another.
    pub conflicts: u64,
    /// How often the origin was found to have gone back.
    pub regressions: u64,
    /// How it has, if it has now.
    pub regression: Option<Regression>,
}

impl OriginStatus {
    pub(crate) fn new(origin: &str, retired: bool) -> Self {
        Self {
            origin: origin.to_owned(),
            retired,
            applied: AtomicU64::new(0),
            origin_last: AtomicU64::new(0),
            reachable: AtomicBool::new(false),
            conflicts: AtomicU64::new(0),
            regressions: AtomicU64::new(0),
            regression: Mutex::default(),
            complete_as_of: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn applied(&self, sequence: u64) {
        self.applied.fetch_max(sequence, Relaxed);
    }

    /// Replication starts from this sequence, which may be less than what was applied before.
    pub(crate) fn restarts_at(&self, sequence: u64) {
        self.applied.store(sequence, Relaxed);
    }

    pub(crate) fn on_conflict(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    /// Notes how the origin has gone back, or that it has not. Answers whether that is news.
    pub(crate) fn on_regression(&self, regression: Option<Regression>) -> bool {
        let mut current = lock(&self.regression);
        let news = regression.is_some() && *current != regression;
        if news {
            self.regressions.fetch_add(1, Relaxed);
        }
        *current = regression;
        news
    }

    /// The origin said, when it was asked at this time, how far it is; or nothing.
    pub(crate) fn measured(&self, origin_last: Option<u64>, asked: Instant) {
        self.reachable.store(origin_last.is_some(), Relaxed);
        if let Some(last) = origin_last {
            self.origin_last.store(last, Relaxed);
            if self.applied.load(Relaxed) >= last && lock(&self.regression).is_none() {
                *lock(&self.complete_as_of) = asked;
            }
        }
    }

    /// How things are now.
    pub(crate) fn report(&self) -> OriginReport {
        let (applied, origin_last) = (self.applied.load(Relaxed), self.origin_last.load(Relaxed));
        OriginReport {
            origin: self.origin.clone(),
            retired: self.retired,
            reachable: self.reachable.load(Relaxed),
            applied,
            origin_last,
            lag_sequences: origin_last.saturating_sub(applied),
            lag: match self.retired {
                true => Duration::ZERO,
                false => lock(&self.complete_as_of).elapsed(),
            },
            conflicts: self.conflicts.load(Relaxed),
            regressions: self.regressions.load(Relaxed),
            regression: *lock(&self.regression),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
