//! The door of one event loop, and the place that a request holds behind it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::state::{Place, State};
use crate::{Arrival, Config, Kind, Outcome, Priority, Snapshot};

/// Decides which requests one event loop takes. Clones are the same admission.
#[derive(Clone, Debug)]
pub struct Admission {
    // A lock because a response body, and the permit in it, must be `Send`. Only one thread comes
    // here, so it is never waited for, and costs what two atomic operations cost.
    state: Arc<Mutex<State>>,
}

/// There is no place for the request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When to try again: whole seconds, from 1 to 10. It is the number of times that requests of
    /// this priority outnumbered the places in the last second, so that clients who obey come back
    /// at the rate at which they can be served.
    pub retry_after: Duration,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "too many requests at once; try again in {} s",
            self.retry_after.as_secs()
        )
    }
}

impl std::error::Error for Refused {}

impl Admission {
    /// An admission that knows nothing yet. A configuration out of range is bent into it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(config.sane()))),
        }
    }

    /// Admits a request that has just been read, or refuses it at once.
    ///
    /// `now` is where its latency counts from. A server that knows when the request became readable
    /// (the start of the loop's turn, say) may pass that instead: what waited is then seen earlier.
    ///
    /// # Errors
    /// [`Refused`] if this priority's share of the limit is taken, or if the request is
    /// [`Arrival::Late`] and others are refused. Never for [`Priority::Critical`].
    pub fn admit(
        &self,
        priority: Priority,
        kind: Kind,
        arrival: Arrival,
        now: Instant,
    ) -> Result<Permit, Refused> {
        let place = lock(&self.state).admit(priority, kind, arrival, now)?;
        Ok(Permit {
            state: Arc::clone(&self.state),
            place,
            answered: false,
        })
    }

    /// What it does and has done, for metrics.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.state).snapshot()
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

/// A place in the loop. It is free again when this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again when the permit is dropped"]
pub struct Permit {
    state: Arc<Mutex<State>>,
    place: Place,
    answered: bool,
}

impl Permit {
    /// Tells that the head of the response is ready. Only the first call counts.
    pub fn answered(&mut self, now: Instant, outcome: Outcome) {
        if !std::mem::replace(&mut self.answered, true) {
            lock(&self.state).answer(&self.place, now, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.state).leave(&self.place, self.answered);
    }
}

/// A panic elsewhere on the thread leaves no state half changed here that would matter.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
