//! How many requests may be in flight, and how that moves.

use std::time::{Duration, Instant};

use crate::Config;
use crate::window::Window;

/// The least and the most that the limit is multiplied by at one adjustment.
const STEP: (f64, f64) = (0.25, 1.25);
/// What is found empty more often than this has slack: its queue is a burst that passes.
const SLACK: f64 = 1.0 / 16.0;
/// What is found empty more often than this is idle.
const IDLE: f64 = 1.0 / 4.0;
/// Whatever the idleness, a queue that did not empty for so many requests stands. It is more than
/// the burst that a loop takes at first.
const STANDING: u32 = 96;
/// For this long a refusal counts as one of just now: clients are told to stay away for a second at
/// least.
const REFUSING: Duration = Duration::from_secs(1);
/// Where more than this part of the requests is refused, and the queue does not empty, there is an
/// overload.
const OVERLOADED: f64 = 1.0 / 50.0;
/// Where more than this part is, the queue empties only since so many are refused.
const FLOODED: f64 = 1.0 / 10.0;
/// How much one request changes the part that is refused.
const PRESSURE_GAIN: f64 = 1.0 / 256.0;
/// How much one request changes the idleness: it spans some 64 of them, so several bursts.
const IDLENESS_GAIN: f64 = 1.0 / 128.0;

/// The limit of one resource.
#[derive(Debug)]
pub(crate) struct Limit {
    value: f64,
    tolerance: f64,
    /// In seconds.
    delay: f64,
    /// While there is an overload, in seconds.
    delay_overloaded: f64,
    window: Window,
    /// The greatest rank that was refused in the last window.
    refused_before: Option<usize>,
    /// When one was refused last.
    refused_at: Option<Instant>,
    /// The part of requests that were refused, of late.
    pressure: f64,
    /// The part of requests that found nothing else to be answered, of late.
    idleness: f64,
    /// Requests since the last one that did.
    since_empty: u32,
}

impl Limit {
    pub(crate) fn new(tolerance: f64, config: &Config) -> Self {
        Self {
            value: f64::from(config.limit_initial),
            tolerance,
            delay: config.delay_tolerated.as_secs_f64(),
            delay_overloaded: config.delay_overloaded.as_secs_f64(),
            window: Window::default(),
            refused_before: None,
            refused_at: None,
            pressure: 0.0,
            idleness: 0.0,
            since_empty: 0,
        }
    }

    pub(crate) fn value(&self) -> f64 {
        self.value
    }

    /// Whether what finds nothing else to be answered is mostly left alone until it is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.idleness > IDLE
    }

    /// Starts again, unless the limit is above its initial value: what was learnt under a load that
    /// has been gone for a while does not bind the burst that follows.
    pub(crate) fn forget(&mut self, config: &Config) {
        self.value = self.value.max(f64::from(config.limit_initial));
        self.window = Window::default();
        self.refused_before = None;
        self.refused_at = None;
        self.pressure = 0.0;
    }

    /// Notes that somebody asked for a place, and whether it was refused.
    pub(crate) fn asked(&mut self, refused: bool) {
        self.pressure += (f64::from(u8::from(refused)) - self.pressure) * PRESSURE_GAIN;
    }

    /// Notes how many are in flight now that one was admitted, and what they weigh.
    pub(crate) fn admitted(&mut self, in_flight: u32, load: f64) {
        self.window.peak = self.window.peak.max(in_flight);
        self.window.peak_load = self.window.peak_load.max(load);
    }

    /// Notes that one of a rank of priority was refused.
    pub(crate) fn refused(&mut self, rank: usize, now: Instant) {
        self.window.refused = self.window.refused.max(Some(rank));
        self.refused_at = Some(now);
    }

    /// Whether one was refused just now.
    pub(crate) fn is_refusing(&self, now: Instant) -> bool {
        self.refused_at
            .is_some_and(|at| now.saturating_duration_since(at) < REFUSING)
    }

    /// Whether one of a greater rank was refused in this window or in the last.
    pub(crate) fn is_short_above(&self, rank: usize) -> bool {
        self.window.refused.max(self.refused_before) > Some(rank)
    }

    /// Whether so many are refused that those who are admitted are not to wait for long.
    fn is_overloaded(&self, now: Instant) -> bool {
        let stands = self.idleness <= SLACK;
        let part = if stands { OVERLOADED } else { FLOODED };
        self.pressure > part && self.is_refusing(now)
    }

    /// Notes whether a request that was answered had found nothing else to be answered.
    pub(crate) fn found(&mut self, empty: bool) {
        self.since_empty = if empty {
            0
        } else {
            self.since_empty.saturating_add(1)
        };
        self.idleness += (f64::from(u8::from(empty)) - self.idleness) * IDLENESS_GAIN;
    }

    /// Notes the latency of a request that was answered, and the baseline of its kind, in seconds.
    pub(crate) fn answered(&mut self, latency: f64, baseline: f64, now: Instant) {
        let delay = if self.is_overloaded(now) {
            self.delay_overloaded
        } else {
            self.delay
        };
        let tolerated = (baseline * self.tolerance).max(baseline + delay);
        self.window.sample(latency, tolerated, now);
    }

    /// Adjusts the limit if enough was answered, and tells whether it was. Those who are in flight
    /// now are in the next window, too.
    pub(crate) fn adjust(
        &mut self,
        in_flight: u32,
        load: f64,
        now: Instant,
        config: &Config,
    ) -> bool {
        if !self.window.is_full(now) {
            return false;
        }
        let window = std::mem::take(&mut self.window);
        self.refused_before = window.refused;
        self.admitted(in_flight, load);
        let mut step = window.room().clamp(STEP.0, STEP.1);
        if self.idleness > SLACK && self.since_empty < STANDING {
            step = step.max(1.0);
        }
        let needed = window.refused.is_some() || window.peak_load * 2.0 >= self.value;
        self.value = moved(self.value, step, needed, config);
        true
    }
}

/// A limit after a step. One that nobody needed says nothing of what could be carried beyond it: it
/// returns to its initial value, and grows no further.
fn moved(limit: f64, step: f64, needed: bool, config: &Config) -> f64 {
    let most = if needed {
        f64::from(config.limit_max)
    } else {
        limit.max(f64::from(config.limit_initial))
    };
    (limit * step).clamp(f64::from(config.limit_min), most)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A limit after windows in which each answer took so many times the baseline.
    fn after(windows: u32, stretch: f64, refused: bool, into_empty: bool) -> f64 {
        let (config, mut now) = (Config::default(), Instant::now());
        let mut limit = Limit::new(2.0, &config);
        for _ in 0..windows * 64 {
            now += Duration::from_millis(10);
            limit.admitted(2, 2.0);
            if refused {
                limit.refused(1, now);
            }
            limit.found(into_empty);
            limit.answered(0.010 * stretch, 0.010, now);
            limit.adjust(2, 2.0, now, &config);
        }
        limit.value()
    }

    #[test]
    fn it_rests_where_latency_is_what_is_tolerated() {
        assert_eq!(after(10, 2.0, true, false), 64.0);
        assert!(after(10, 1.5, true, false) > 64.0);
        assert!(after(10, 2.5, true, false) < 64.0);
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let config = Config::default();
        assert_eq!(after(100, 0.5, true, false), f64::from(config.limit_max));
        assert_eq!(after(100, 50.0, true, false), f64::from(config.limit_min));
    }

    #[test]
    fn what_nobody_needs_does_not_grow() {
        assert_eq!(after(10, 1.0, false, false), 64.0);
    }

    #[test]
    fn a_queue_that_empties_is_tolerated() {
        assert!(after(10, 11.0, true, true) >= 64.0);
        assert!(after(10, 11.0, true, false) < 64.0);
    }

    #[test]
    fn a_queue_that_no_longer_empties_is_not() {
        let (config, now) = (Config::default(), Instant::now());
        let mut limit = Limit::new(2.0, &config);
        (0..1000).for_each(|_| limit.found(true));
        let mut answers = 0;
        while limit.value() >= 64.0 {
            answers += 1;
            limit.found(false);
            limit.answered(0.110, 0.010, now);
            limit.adjust(2, 2.0, now, &config);
        }
        assert!((STANDING..STANDING * 2).contains(&answers), "{answers}");
    }

    #[test]
    fn what_is_forgotten_starts_again() {
        let config = Config::default();
        let mut limit = Limit::new(2.0, &config);
        limit.value = 2.0;
        limit.forget(&config);
        assert_eq!(limit.value(), 64.0);
        limit.value = 100.0;
        limit.forget(&config);
        assert_eq!(limit.value(), 100.0);
    }
}
