//! The guard of one instance: counts what the guest uses and stops it at its limits.
//!
//! Wasmtime's epoch is the clock: a thread raises it every [`TICK`], and a guest that computes across a tick is
//! interrupted. It then yields to the event loop, so neighbours are served, and is ended once it has been
//! interrupted too often without ever waiting for anything in between.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Result, UpdateDeadline};

use crate::limits::Limits;
use crate::request::Progress;

/// The resolution of CPU limits, and the longest that a guest keeps the event loop from others.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Why a guard stopped its guest.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stop {
    /// Too long until the response.
    #[error("the guest gave no response in time")]
    TimedOut = 1,
    /// Too long without waiting.
    #[error("the guest computed for too long without waiting")]
    CpuExhausted = 2,
    /// More memory than allowed.
    #[error("the guest asked for too much memory")]
    OutOfMemory = 3,
}

/// Counters of one instance, shared between its store and the worker that drives it.
#[derive(Debug)]
pub(crate) struct Guard {
    ticks_max: u32,
    memory_bytes_max: usize,
    table_entries_max: usize,
    ticks: AtomicU32,
    interrupted: AtomicBool,
    memory_bytes: AtomicUsize,
    stop: AtomicU8,
    failed: AtomicBool,
    /// The request under way, until its response has left the guest.
    occupied: Mutex<Occupied>,
}

/// What an instance holds while it works for a request.
#[derive(Debug, Default)]
struct Occupied {
    /// How the request's body is coming.
    progress: Arc<Progress>,
    /// The instance's place among those that may be busy at once.
    permit: Option<OwnedSemaphorePermit>,
}

impl Guard {
    pub(crate) fn new(limits: &Limits) -> Self {
        let ticks = limits.cpu_burst_max.as_millis() / TICK.as_millis();
        Self {
            ticks_max: u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
            memory_bytes_max: limits.memory_bytes_max,
            table_entries_max: limits.table_entries_max,
            ticks: AtomicU32::new(0),
            interrupted: AtomicBool::new(false),
            memory_bytes: AtomicUsize::new(0),
            stop: AtomicU8::new(0),
            failed: AtomicBool::new(false),
            occupied: Mutex::default(),
        }
    }

    /// A request begins, whose body comes like this, and which has this place.
    pub(crate) fn occupy(&self, progress: Arc<Progress>, permit: Option<OwnedSemaphorePermit>) {
        self.ticks.store(0, Relaxed);
        *self.occupied() = Occupied { progress, permit };
    }

    /// Whether a request is under way. It is until its response, body and all, has left the guest.
    pub(crate) fn is_occupied(&self) -> bool {
        self.occupied().permit.is_some()
    }

    /// The guest has nothing left to do. Answers whether it had until now.
    pub(crate) fn release(&self) -> bool {
        self.occupied().permit.take().is_some()
    }

    /// When the last piece of the current request's body came, if one has.
    pub(crate) fn progress(&self) -> Option<Instant> {
        self.occupied().progress.last()
    }

    fn occupied(&self) -> MutexGuard<'_, Occupied> {
        self.occupied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch has passed while the guest computed: let it go on after the others, or end it.
    pub(crate) fn on_tick(&self) -> Result<UpdateDeadline> {
        if self.ticks.fetch_add(1, Relaxed) >= self.ticks_max {
            self.record(Stop::CpuExhausted);
            return Err(Stop::CpuExhausted.into());
        }
        self.interrupted.store(true, Relaxed);
        // Wasmtime's own yield starves I/O on a single thread: it is polled again before the event loop turns.
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    }

    /// The guest has given the event loop back: by an interruption, or because it waits for something.
    pub(crate) fn on_pending(&self) {
        if !self.interrupted.swap(false, Relaxed) {
            self.ticks.store(0, Relaxed);
        }
    }

    /// Whether linear memory may grow to `desired` bytes.
    pub(crate) fn allow_memory(&self, desired: usize) -> bool {
        let allowed = desired <= self.memory_bytes_max;
        if allowed {
            self.memory_bytes.store(desired, Relaxed);
        } else {
            self.record(Stop::OutOfMemory);
        }
        allowed
    }

    /// Whether a table may grow to `desired` entries.
    pub(crate) fn allow_table(&self, desired: usize) -> bool {
        desired <= self.table_entries_max
    }

    /// Linear memory that the instance holds now.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Relaxed)
    }

    /// Notes why the guest is being stopped; the first reason stays.
    pub(crate) fn record(&self, stop: Stop) {
        let _ = self.stop.compare_exchange(0, stop as u8, Relaxed, Relaxed);
    }

    /// Notes that the guest has ended in the middle of what it did.
    pub(crate) fn record_failure(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Whether the guest has ended in the middle of what it did.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Why the guest was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        [Stop::TimedOut, Stop::CpuExhausted, Stop::OutOfMemory]
            .into_iter()
            .find(|stop| *stop as u8 == self.stop.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(ticks: u64) -> Guard {
        Guard::new(&Limits {
            cpu_burst_max: TICK * u32::try_from(ticks).unwrap(),
            memory_bytes_max: 100,
            ..Limits::default()
        })
    }

    #[test]
    fn a_guest_that_only_computes_is_ended() {
        let guard = guard(3);
        for _ in 0..3 {
            assert!(guard.on_tick().is_ok());
            guard.on_pending();
        }
        assert!(guard.on_tick().is_err());
        assert_eq!(guard.stopped(), Some(Stop::CpuExhausted));
    }

    #[test]
    fn a_guest_that_waits_in_between_goes_on() {
        let guard = guard(3);
        for _ in 0..100 {
            assert!(guard.on_tick().is_ok());
            guard.on_pending(); // the interruption
            guard.on_pending(); // the wait
        }
        assert_eq!(guard.stopped(), None);
    }

    #[test]
    fn memory_past_the_limit_is_refused_and_named() {
        let guard = guard(1);
        assert!(guard.allow_memory(100));
        assert!(!guard.allow_memory(101));
        assert_eq!(guard.memory_bytes(), 100);
        assert_eq!(guard.stopped(), Some(Stop::OutOfMemory));
    }

    #[test]
    fn the_first_reason_stays() {
        let guard = guard(1);
        guard.record(Stop::OutOfMemory);
        guard.record(Stop::TimedOut);
        assert_eq!(guard.stopped(), Some(Stop::OutOfMemory));
    }
}
