//! The figures of the last while, from counters that only rise.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use starling_engine::FiguresSnapshot;

/// How far back it can be looked. A little more than a minute, so that a minute can.
const REMEMBERED: Duration = Duration::from_secs(65);

/// The least time between two moments that are remembered.
const RESOLUTION: Duration = Duration::from_millis(500);

/// What some counters were at moments of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<(Instant, FiguresSnapshot)>);

impl Recent {
    /// Remembers what the counters are `now`, and answers what has come to them in the last `window`: since the last
    /// moment that is at least as long ago, or since the first that is remembered.
    pub(crate) fn since(
        &mut self,
        now: Instant,
        counters: FiguresSnapshot,
        window: Duration,
    ) -> FiguresSnapshot {
        while self
            .0
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= REMEMBERED)
        {
            self.0.pop_front();
        }
        let within = |(at, _): &(Instant, FiguresSnapshot)| now.duration_since(*at) < window;
        let first_within = self.0.partition_point(|moment| !within(moment));
        let came = match self.0.get(first_within.saturating_sub(1)) {
            Some((_, earlier)) => counters.since(earlier),
            // Nobody has looked before: all that has been counted.
            None => counters.clone(),
        };
        let due = self
            .0
            .back()
            .is_none_or(|(at, _)| now.duration_since(*at) >= RESOLUTION);
        if due {
            self.0.push_back((now, counters));
        }
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(requests: u64) -> FiguresSnapshot {
        FiguresSnapshot {
            requests,
            ..FiguresSnapshot::default()
        }
    }

    #[test]
    fn a_window_holds_what_came_within_it() {
        let mut recent = Recent::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut look = |seconds, requests, window| {
            let window = Duration::from_secs(window);
            recent
                .since(at(seconds), counters(requests), window)
                .requests
        };
        assert_eq!(look(0, 10, 60), 10);
        assert_eq!(look(1, 12, 60), 2);
        assert_eq!(look(2, 15, 1), 3);
        assert_eq!(look(2, 15, 60), 5);
        for seconds in 3..=200 {
            look(seconds, 15 + seconds, 60);
        }
        assert_eq!(look(201, 216, 10), 10);
        assert_eq!(look(201, 216, 60), 60);
    }

    #[test]
    fn no_more_is_remembered_than_is_asked_for() {
        let mut recent = Recent::default();
        let begin = Instant::now();
        for tenth in 0..10_000 {
            let now = begin + Duration::from_millis(100 * tenth);
            recent.since(now, counters(tenth), Duration::from_secs(60));
        }
        assert!(recent.0.len() <= 132, "{}", recent.0.len());
    }
}
