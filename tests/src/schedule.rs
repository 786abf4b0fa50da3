//! When the requests of an open-loop load are due: at fixed times, whatever became of those before.
//!
//! A client that waits for an answer before it asks again asks less of a slow server, and never sees what its requests would
//! have waited ("coordinated omission", as Gil Tene calls it). So a time in the schedule does not move, and the latency of a
//! request counts from it.

use std::time::Duration;

/// The times of a load that are still to come, from its start.
#[derive(Clone, Debug)]
pub struct Schedule {
    per_second: f64,
    end: Duration,
    late_max: Duration,
    next: u64,
}

impl Schedule {
    /// `per_second` requests a second until `end`. Where the client is later than `late_max`, it lets go all that is past.
    ///
    /// # Panics
    ///
    /// Where the rate is not more than 0.
    #[must_use]
    pub fn new(per_second: f64, end: Duration, late_max: Duration) -> Self {
        assert!(per_second > 0.0, "{per_second} requests a second");
        Self {
            per_second,
            end,
            late_max,
            next: 0,
        }
    }

    /// Takes the next time; nothing at the end. It may be past: then the request is late, and its latency still counts from
    /// this time.
    pub fn take(&mut self, now: Duration) -> Option<Duration> {
        if now.saturating_sub(self.due(self.next)) > self.late_max {
            self.next = self.next.max(self.first_at_or_after(now));
        }
        let due = self.due(self.next);
        (due < self.end).then(|| {
            self.next += 1;
            due
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn due(&self, index: u64) -> Duration {
        Duration::from_secs_f64(index as f64 / self.per_second)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of requests, from a time that is not negative"
    )]
    fn first_at_or_after(&self, time: Duration) -> u64 {
        (time.as_secs_f64() * self.per_second).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A request each millisecond, for ten of them.
    fn ten(late_max: Duration) -> Schedule {
        Schedule::new(1_000.0, 10 * MS, late_max)
    }

    #[test]
    fn times_are_evenly_spaced_and_end() {
        let mut schedule = ten(Duration::ZERO);
        let times: Vec<_> = std::iter::from_fn(|| schedule.take(Duration::ZERO)).collect();
        assert_eq!(times, (0..10).map(|index| index * MS).collect::<Vec<_>>());
    }

    #[test]
    fn who_is_late_is_told_when_it_should_have_asked() {
        let mut schedule = ten(5 * MS);
        assert_eq!(schedule.take(4 * MS), Some(Duration::ZERO));
        assert_eq!(schedule.take(4 * MS), Some(MS));
    }

    #[test]
    fn who_is_too_late_lets_go_all_that_is_past() {
        let mut schedule = ten(2 * MS);
        assert_eq!(schedule.take(2 * MS), Some(Duration::ZERO));
        assert_eq!(schedule.take(4 * MS + MS / 2), Some(5 * MS));
        assert_eq!(schedule.take(5 * MS), Some(6 * MS));
    }

    #[test]
    fn who_is_too_late_for_all_of_it_has_nothing_to_ask() {
        let mut schedule = ten(Duration::ZERO);
        assert_eq!(schedule.take(Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(schedule.take(60 * MS), None);
        assert_eq!(schedule.take(70 * MS), None);
    }

    #[test]
    fn patience_keeps_what_was_due_before_the_end() {
        let mut schedule = ten(Duration::MAX);
        let times = std::iter::from_fn(|| schedule.take(60 * MS));
        assert_eq!(times.count(), 10);
    }
}
