//! How long answers took, and the time that a part of them stayed below.

use std::time::Duration;

/// Times of answers, in any order.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds the time of one answer.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds all of another's.
    pub fn merge(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// How many answers there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `quantile` (0 to 1) of the answers did not exceed, by the nearest rank: always a time that an
    /// answer took. Nothing, where there was no answer.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rank among what was counted"
    )]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let last = self.0.len().checked_sub(1)?;
        let rank = (self.0.len() as f64 * quantile).ceil() as usize;
        let mut times = self.0.clone();
        let (_, time, _) = times.select_nth_unstable(rank.saturating_sub(1).min(last));
        Some(*time)
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = u64>) -> Latencies {
        times.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_quantile_is_the_nearest_rank() {
        let hundred = of((1..=100).rev());
        for (quantile, expected) in [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)] {
            let time = hundred.quantile(quantile);
            assert_eq!(time, Some(Duration::from_millis(expected)), "{quantile}");
        }
    }

    #[test]
    fn of_few_answers_the_slowest_is_the_p99() {
        assert_eq!(of([7, 3, 5]).quantile(0.99), Some(Duration::from_millis(7)));
        assert_eq!(of([7]).quantile(0.5), Some(Duration::from_millis(7)));
    }

    #[test]
    fn no_answer_has_no_quantile() {
        assert_eq!(Latencies::default().quantile(0.5), None);
    }

    #[test]
    fn what_is_merged_counts_as_one() {
        let mut all = of([1, 2]);
        all.merge(of([3, 4]));
        all.push(Duration::from_millis(5));
        assert_eq!(all.count(), 5);
        assert_eq!(all.quantile(1.0), Some(Duration::from_millis(5)));
        assert_eq!(all.quantile(0.5), Some(Duration::from_millis(3)));
    }
}
