//! What a host counts of one version of a component: requests, failures, time and memory.
//!
//! Counted with plain atomic additions on the way of each request. They only ever rise; whoever wants the figures of the
//! last minute takes the difference of two [`FiguresSnapshot`]s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use starling_telemetry::{LATENCY_BUCKETS, latency_bucket};

/// Counters of one version.
#[derive(Debug, Default)]
pub struct Figures {
    instances: AtomicU32,
    in_flight: AtomicU32,
    requests: AtomicU64,
    errors: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
    memory_bytes: AtomicU64,
}

/// What [`Figures`] were at one moment, or what has come to them between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FiguresSnapshot {
    /// Requests that have been answered, or have failed.
    pub requests: u64,
    /// Those among them that failed by the component's doing: without a response, with half of one, or with 500, 502, 503
    /// or 504.
    pub errors: u64,
    /// Requests by the time to the head of their response, in the buckets of [`starling_telemetry::LATENCY_BOUNDS_S`].
    pub latency: [u64; LATENCY_BUCKETS],
    /// The sum, over the requests, of the linear memory that their instance held afterwards.
    pub memory_bytes: u64,
}

impl Figures {
    /// Instances that there are, busy or not.
    pub fn instances(&self) -> u32 {
        self.instances.load(Relaxed)
    }

    /// Requests that are under way, to the last byte of their response.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// What they are now. Requests that end meanwhile may be in one number and not yet in another.
    pub fn snapshot(&self) -> FiguresSnapshot {
        FiguresSnapshot {
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            latency: std::array::from_fn(|bucket| self.latency[bucket].load(Relaxed)),
            memory_bytes: self.memory_bytes.load(Relaxed),
        }
    }

    /// A request that came at `began` is handed to an instance; it is in flight until what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>, began: Instant) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight {
            figures: self.clone(),
            began,
            answered: false,
        }
    }

    fn record(&self, elapsed: Duration, failed: bool, memory_bytes: usize) {
        self.latency[latency_bucket(elapsed)].fetch_add(1, Relaxed);
        self.memory_bytes.fetch_add(memory_bytes as u64, Relaxed);
        if failed {
            self.errors.fetch_add(1, Relaxed);
        }
        self.requests.fetch_add(1, Relaxed);
    }
}

impl FiguresSnapshot {
    /// What has come to them since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            latency: std::array::from_fn(|bucket| {
                self.latency[bucket].saturating_sub(earlier.latency[bucket])
            }),
            memory_bytes: self.memory_bytes.saturating_sub(earlier.memory_bytes),
        }
    }
}

/// One instance that there is.
#[derive(Debug)]
pub(crate) struct Alive(Arc<Figures>);

impl Alive {
    pub(crate) fn new(figures: Arc<Figures>) -> Self {
        figures.instances.fetch_add(1, Relaxed);
        Self(figures)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Relaxed);
    }
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct InFlight {
    figures: Arc<Figures>,
    began: Instant,
    answered: bool,
}

impl InFlight {
    /// The head of its response is there, or it has failed, with so much memory in its instance.
    pub(crate) fn answered(&mut self, failed: bool, memory_bytes: usize) {
        self.answered = true;
        let elapsed = self.began.elapsed();
        self.figures.record(elapsed, failed, memory_bytes);
    }

    /// Its response has begun, and ended too early.
    pub(crate) fn broke_off(&self) {
        self.figures.errors.fetch_add(1, Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.answered {
            // Its client has gone before there was an answer: no failure by itself, but as slow as that.
            self.answered(false, 0);
        }
        self.figures.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_while_are_the_difference_of_two_moments() {
        let figures = Arc::new(Figures::default());
        figures.begin(Instant::now()).answered(false, 10);
        let earlier = figures.snapshot();
        let slow = Duration::from_secs(3);
        let mut under_way = figures.begin(Instant::now() - slow);
        assert_eq!(figures.in_flight(), 1);
        under_way.answered(true, 30);
        drop(under_way);
        assert_eq!(figures.in_flight(), 0);

        let came = figures.snapshot().since(&earlier);
        assert_eq!((came.requests, came.errors, came.memory_bytes), (1, 1, 30));
        assert_eq!(came.latency.iter().sum::<u64>(), 1);
        assert_eq!(came.latency[latency_bucket(slow)], 1);
    }

    #[test]
    fn a_request_whose_client_goes_away_counts_by_its_time() {
        let figures = Arc::new(Figures::default());
        let long = Duration::from_secs(3);
        drop(figures.begin(Instant::now() - long));
        let seen = figures.snapshot();
        assert_eq!((seen.requests, seen.errors), (1, 0));
        assert_eq!(seen.latency[latency_bucket(long)], 1);
    }

    #[test]
    fn a_response_that_breaks_off_is_an_error() {
        let figures = Arc::new(Figures::default());
        let mut under_way = figures.begin(Instant::now());
        under_way.answered(false, 0);
        under_way.broke_off();
        drop(under_way);
        let seen = figures.snapshot();
        assert_eq!((seen.requests, seen.errors), (1, 1));
    }
}
