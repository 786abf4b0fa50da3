//! What an operator may set.

use std::time::Duration;

/// The bounds of the limits, and how they move. All of it holds for each resource by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The limit before anything is known, and after a pause. It is the burst that a loop takes
    /// when it was idle. From `limit_min` to `limit_max`.
    pub limit_initial: u32,
    /// The limit never falls below this. At least 1. A loop that does nothing but compute is fully
    /// used by 2 requests at once, so a greater minimum is latency for nothing.
    pub limit_min: u32,
    /// The limit never rises above this.
    pub limit_max: u32,
    /// The part of the limit that requests of priority low, normal and high may fill, together with
    /// those of greater priority. Above 0, at most 1, not falling.
    pub shares: [f64; 3],
    /// The mean latency that the limit steers for, in multiples of the baseline, by
    /// [`crate::Resource`]. Above 1. For a store that syncs for many at once it must be above 2:
    /// who comes during a sync waits for that one and for the next.
    pub tolerance: [f64; 2],
    /// A mean delay that is tolerated however small the baseline is. For requests of a few dozen
    /// microseconds a multiple of the baseline is less than the machine's own noise.
    pub delay_tolerated: Duration,
    /// The same for a queue that does not empty while requests are refused: what is refused anyway
    /// need not make others wait. More than `delay_tolerated` is the same as that.
    pub delay_overloaded: Duration,
    /// How long a baseline of a kind that is being refused may go without a measurement before
    /// one request at a time is taken to measure it anew.
    pub baseline_age_max: Duration,
    /// How long such a measurement may take, from when what was admitted before it has been answered.
    pub probe_duration_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limit_initial: 64,
            limit_min: 1,
            limit_max: 1024,
            shares: [0.25, 0.5, 1.0],
            tolerance: [1.5, 2.5],
            delay_tolerated: Duration::from_micros(500),
            delay_overloaded: Duration::from_micros(500),
            baseline_age_max: Duration::from_secs(10),
            probe_duration_max: Duration::from_millis(100),
        }
    }
}

impl Config {
    /// The nearest configuration that keeps what the fields promise: nothing that an operator
    /// writes can make an admission that refuses everything or panics.
    pub(crate) fn sane(mut self) -> Self {
        self.limit_min = self.limit_min.max(1);
        self.limit_max = self.limit_max.max(self.limit_min);
        self.limit_initial = self.limit_initial.clamp(self.limit_min, self.limit_max);
        let mut least = 0.0;
        for share in &mut self.shares {
            *share = within(*share, least, 1.0);
            least = *share;
        }
        self.delay_overloaded = self.delay_overloaded.min(self.delay_tolerated);
        for tolerance in &mut self.tolerance {
            *tolerance = within(*tolerance, 1.01, 100.0);
        }
        self
    }
}

/// `value` between the bounds; the lower one if it is not a number.
fn within(value: f64, least: f64, greatest: f64) -> f64 {
    value.max(least).min(greatest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sane() {
        assert_eq!(Config::default().sane(), Config::default());
    }

    #[test]
    fn nonsense_is_bent_to_something_that_admits() {
        let sane = Config {
            limit_initial: 0,
            limit_min: 0,
            limit_max: 0,
            shares: [0.5, f64::NAN, 7.0],
            tolerance: [f64::NAN, -3.0],
            ..Config::default()
        }
        .sane();
        assert_eq!(
            (sane.limit_initial, sane.limit_min, sane.limit_max),
            (1, 1, 1)
        );
        assert_eq!(sane.shares, [0.5, 0.5, 1.0]);
        assert_eq!(sane.tolerance, [1.01, 1.01]);
    }
}
