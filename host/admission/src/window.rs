//! What the latest answers say together.

use std::time::{Duration, Instant};

/// So many samples make a window.
const SAMPLES: u32 = 16;
/// So few do once the window is old.
const SAMPLES_MIN: u32 = 4;
/// A window older than this is old.
const AGE: Duration = Duration::from_secs(1);

/// The samples since the limit was last adjusted.
#[derive(Debug, Default)]
pub(crate) struct Window {
    opened: Option<Instant>,
    samples: u32,
    latencies: f64,
    tolerated: f64,
    /// The most requests that were in flight.
    pub(crate) peak: u32,
    /// The most that they weighed.
    pub(crate) peak_load: f64,
    /// The greatest rank of priority that was refused at the limit.
    pub(crate) refused: Option<usize>,
}

impl Window {
    /// Takes a latency, and the one that is tolerated, in seconds.
    pub(crate) fn sample(&mut self, latency: f64, tolerated: f64, now: Instant) {
        self.opened.get_or_insert(now);
        self.samples += 1;
        self.latencies += latency;
        self.tolerated += tolerated;
    }

    /// Whether it says enough. A window spans at least one latency, so as many answers as there
    /// were requests in flight: else a limit would be adjusted again before the last adjustment
    /// shows.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let old = self
            .opened
            .is_some_and(|at| now.saturating_duration_since(at) > AGE);
        let enough = if old { SAMPLES_MIN } else { SAMPLES };
        self.samples >= enough.max(self.peak)
    }

    /// What is tolerated in parts of what the answers took: above one, there is room for more. It
    /// is the ratio of the sums, so a request of 50 µs that waited behind one of 10 ms does not
    /// count as a queue of two hundred.
    pub(crate) fn room(&self) -> f64 {
        self.tolerated / self.latencies.max(f64::MIN_POSITIVE)
    }
}
