//! What a refused client is told: when to come back.

use std::time::{Duration, Instant};

/// HTTP's `Retry-After` has whole seconds.
const PERIOD: Duration = Duration::from_secs(1);
/// No client is sent away for longer than this: by then the load has long changed.
const SECONDS_MAX: u32 = 10;

/// Requests of one priority, and how many of them were refused, in this period and the last one.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    opened: Option<Instant>,
    asked: u32,
    refused: u32,
    /// Both since the start.
    asked_ever: u64,
    refused_ever: u64,
    /// What the last period says, in seconds.
    advice: u32,
}

impl Refusals {
    /// Takes note of a request.
    pub(crate) fn record(&mut self, refused: bool, now: Instant) {
        let opened = *self.opened.get_or_insert(now);
        let age = now.saturating_duration_since(opened);
        if age >= PERIOD {
            // Two periods without a request say as much as one: that there is no overload.
            self.advice = if age < PERIOD * 2 { self.seconds() } else { 0 };
            (self.opened, self.asked, self.refused) = (Some(now), 0, 0);
        }
        self.asked_ever += 1;
        self.refused_ever += u64::from(refused);
        self.asked = self.asked.saturating_add(1);
        self.refused = self.refused.saturating_add(u32::from(refused));
    }

    /// Requests admitted since the start.
    pub(crate) fn admitted(&self) -> u64 {
        self.asked_ever - self.refused_ever
    }

    /// Requests refused since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused_ever
    }

    /// So many times more than there is room for ask: if each asks again after so many seconds,
    /// they come at the rate at which there is room.
    fn seconds(&self) -> u32 {
        let admitted = (self.asked - self.refused).max(1);
        self.asked.div_ceil(admitted).min(SECONDS_MAX)
    }

    /// When to come back.
    pub(crate) fn retry_after(&self) -> Duration {
        PERIOD * self.advice.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_over_the_seconds_that_they_need() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        for request in 0..100 {
            refusals.record(request % 4 != 0, start);
        }
        assert_eq!(refusals.retry_after(), PERIOD);
        refusals.record(true, start + PERIOD);
        assert_eq!(refusals.retry_after(), PERIOD * 4);
        refusals.record(true, start + PERIOD * 10);
        assert_eq!(refusals.retry_after(), PERIOD);
    }

    #[test]
    fn nobody_is_sent_away_for_long() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        for _ in 0..1000 {
            refusals.record(true, start);
        }
        refusals.record(true, start + PERIOD);
        assert_eq!(refusals.retry_after(), PERIOD * SECONDS_MAX);
    }
}
