//! The guard of one instance: counts what the guest uses and stops it at its limits.
//!
//! Wasmtime's epoch is the clock: a thread raises it every [`TICK`], and a guest that computes across a tick is
//! interrupted. It then yields to the event loop, so neighbours are served, and is ended once it has been
//! interrupted too often without ever waiting for anything in between.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use starling_telemetry::{Limit, LimitCounts};
use thiserror::Error;
use wasmtime::{Result, UpdateDeadline};

use crate::budget::Budget;
use crate::limits::Limits;

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
    /// What the current request may still ask of its stores.
    budget: Budget,
    reached: Arc<LimitCounts>,
    /// How its store ended, if it failed.
    end: Mutex<Option<wasmtime::Error>>,
}

impl Guard {
    pub(crate) fn new(limits: &Limits, reached: Arc<LimitCounts>) -> Self {
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
            budget: Budget::new(limits, reached.clone()),
            reached,
            end: Mutex::default(),
        }
    }

    /// A request begins.
    pub(crate) fn occupy(&self) {
        self.ticks.store(0, Relaxed);
        self.budget.renew();
    }

    /// The epoch has passed while the guest computed: let it go on after the others, or end it.
    pub(crate) fn on_tick(&self) -> Result<UpdateDeadline> {
        if self.ticks.fetch_add(1, Relaxed) >= self.ticks_max {
            self.record(Stop::CpuExhausted, Limit::CpuBurst);
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
            self.record(Stop::OutOfMemory, Limit::MemoryBytes);
        }
        allowed
    }

    /// Whether a table may grow to `desired` entries.
    pub(crate) fn allow_table(&self, desired: usize) -> bool {
        let allowed = desired <= self.table_entries_max;
        if !allowed {
            self.reached.count(Limit::TableEntries);
        }
        allowed
    }

    /// Linear memory that the instance holds now.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Relaxed)
    }

    /// Notes why the guest is being stopped, at which limit; the first reason stays.
    pub(crate) fn record(&self, stop: Stop, limit: Limit) {
        let first = self.stop.compare_exchange(0, stop as u8, Relaxed, Relaxed);
        if first.is_ok() {
            self.reached.count(limit);
        }
    }

    /// What the current request may still ask of its stores.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Notes that the guest has ended in the middle of what it did.
    pub(crate) fn record_failure(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Whether the guest has ended in the middle of what it did.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Notes how the store has ended.
    pub(crate) fn note_end(&self, error: Option<wasmtime::Error>) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Why there is no answer of a store that has ended.
    pub(crate) fn end(&self) -> wasmtime::Error {
        let noted = self
            .end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        noted.unwrap_or_else(|| wasmtime::format_err!("the guest ended without an answer"))
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
        let limits = Limits {
            cpu_burst_max: TICK * u32::try_from(ticks).unwrap(),
            memory_bytes_max: 100,
            table_entries_max: 10,
            ..Limits::default()
        };
        Guard::new(&limits, Arc::default())
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
        guard.record(Stop::OutOfMemory, Limit::MemoryBytes);
        guard.record(Stop::TimedOut, Limit::RequestTimeout);
        assert_eq!(guard.stopped(), Some(Stop::OutOfMemory));
        assert_eq!(guard.reached.get(Limit::MemoryBytes), 1);
        assert_eq!(guard.reached.get(Limit::RequestTimeout), 0);
    }

    #[test]
    fn entries_past_the_limit_are_refused_and_counted() {
        let guard = guard(1);
        assert!(guard.allow_table(10));
        assert_eq!(guard.reached.get(Limit::TableEntries), 0);
        assert!(!guard.allow_table(11));
        assert_eq!(guard.reached.get(Limit::TableEntries), 1);
        assert_eq!(guard.stopped(), None);
    }
}
