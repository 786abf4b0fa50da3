//! The latency of a kind of work without load.

use std::time::{Duration, Instant};

/// How many samples make a baseline that can be relied on.
const RELIABLE: u32 = 8;
/// A new sample weighs one part in this many once there are so many.
const MEMORY: u32 = 16;
/// What an old baseline weighs against new samples.
const DOUBTED: u32 = 4;

/// The mean latency of requests that had their resource to themselves, over the last few of them.
///
/// A mean, not Vegas' minimum: requests of one kind differ (a mailbox of one message, one of a
/// thousand), and a minimum would call the difference a queue.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    mean: f64,
    samples: u32,
    measured: Option<Instant>,
}

impl Baseline {
    /// Seconds; none before the first sample.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.measured.is_some().then_some(self.mean)
    }

    /// Takes the latency, in seconds, of a request that was alone all the time.
    pub(crate) fn measure(&mut self, latency: f64, now: Instant) {
        self.samples = (self.samples + 1).min(MEMORY);
        self.mean += (latency - self.mean) / f64::from(self.samples);
        self.measured = Some(now);
    }

    /// Gives way to the samples to come: they are better than those before, which are old or few.
    pub(crate) fn doubt(&mut self) {
        self.samples = if self.is_young() { 0 } else { DOUBTED };
    }

    /// Whether there are too few samples to rely on.
    pub(crate) fn is_young(&self) -> bool {
        self.samples < RELIABLE
    }

    /// Whether the last sample is older than `age`, or there are too few.
    pub(crate) fn is_stale(&self, now: Instant, age: Duration) -> bool {
        self.is_young()
            || self
                .measured
                .is_none_or(|at| now.saturating_duration_since(at) > age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_machine_up_and_down() {
        let now = Instant::now();
        let mut baseline = Baseline::default();
        assert_eq!(baseline.seconds(), None);
        for level in [0.001, 0.004, 0.002] {
            for _ in 0..100 {
                baseline.measure(level, now);
            }
            let error = (baseline.seconds().unwrap() - level).abs() / level;
            assert!(error < 0.01, "{error} at {level}");
        }
    }

    #[test]
    fn it_is_stale_until_it_is_reliable_and_again_when_it_is_old() {
        let (now, age) = (Instant::now(), Duration::from_secs(10));
        let mut baseline = Baseline::default();
        for _ in 0..RELIABLE {
            assert!(baseline.is_stale(now, age));
            baseline.measure(0.001, now);
        }
        assert!(!baseline.is_stale(now, age));
        assert!(baseline.is_stale(now + age * 2, age));
    }
}
