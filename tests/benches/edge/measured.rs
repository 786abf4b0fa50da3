//! What came of a load.

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use starling_tests::answer::Head;
use starling_tests::latencies::Latencies;

/// The time in which things count: requests before it meet cold instances and cold caches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

impl Window {
    pub(crate) fn contains(self, time: Instant) -> bool {
        (self.start..self.end).contains(&time)
    }
}

/// Answers of a load, and what it cost to ask.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// How long those that were served took.
    pub(crate) latencies: Latencies,
    /// How many were served within the window.
    pub(crate) served: u64,
    /// How many were asked.
    pub(crate) asked: u64,
    /// How many were refused as too many, with 503.
    pub(crate) refused: u64,
    /// How many of these were not told when to come back.
    pub(crate) refused_for_good: u64,
    /// How many had no answer, or another error; these count before the window too.
    pub(crate) failed: u64,
    /// How one of them failed.
    failure: Option<String>,
    /// The length of the window.
    pub(crate) elapsed: Duration,
    /// Processor time of the load itself, and the time that passed meanwhile.
    cost: (Duration, Duration),
}

impl Measured {
    /// Notes what became of a request that was answered `at` and should have been sent at `from`. It is one of those that
    /// are measured if `counts`.
    pub(crate) fn note(
        &mut self,
        outcome: io::Result<Head>,
        (from, at): (Instant, Instant),
        window: Window,
        counts: bool,
    ) {
        self.asked += u64::from(counts);
        match outcome {
            Ok(head) if head.is_success() => {
                self.served += u64::from(window.contains(at));
                if counts {
                    self.latencies.push(at - from);
                }
            }
            Ok(head) if head.is_refusal() => {
                self.refused += u64::from(counts);
                self.refused_for_good += u64::from(counts && !head.retry_after);
            }
            Ok(head) => self.fail(format!("status {}", head.status)),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&mut self, how: String) {
        self.failed += 1;
        self.failure.get_or_insert(how);
    }

    /// Adds what another slice, or another connection of the same slice, came to.
    pub(crate) fn merge(&mut self, more: Self) {
        self.latencies.merge(more.latencies);
        self.served += more.served;
        self.asked += more.asked;
        self.refused += more.refused;
        self.refused_for_good += more.refused_for_good;
        self.failed += more.failed;
        self.failure = self.failure.take().or(more.failure);
        self.elapsed += more.elapsed;
        self.cost.0 += more.cost.0;
        self.cost.1 += more.cost.1;
    }

    /// Adds what the load cost since then.
    pub(crate) fn add_cost(&mut self, since: Cost) {
        self.cost.0 += processor_time().saturating_sub(since.processor);
        self.cost.1 += since.begun.elapsed();
    }

    /// How many requests were served in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.rate(self.served)
    }

    /// So many in the window, as a rate.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64()
    }

    /// The time that this part of the answers stayed below, in microseconds. Nothing, where there was none.
    pub(crate) fn latency_us(&self, quantile: f64) -> Option<f64> {
        let time = self.latencies.quantile(quantile)?;
        Some(time.as_secs_f64() * 1e6)
    }

    /// The part of one core that the load itself took.
    pub(crate) fn load_share(&self) -> f64 {
        self.cost.0.as_secs_f64() / self.cost.1.as_secs_f64()
    }

    /// # Panics
    ///
    /// Where a request failed. To be refused is no failure.
    pub(crate) fn expect_no_failure(&self) {
        let Self {
            failed, failure, ..
        } = self;
        assert_eq!(*failed, 0, "requests failed, one of them with {failure:?}");
    }
}

/// When a load began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    begun: Instant,
    processor: Duration,
}

impl Cost {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            processor: processor_time(),
        }
    }
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().expect("a time that is not negative")
}
