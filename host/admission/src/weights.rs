//! How much of the limit a request takes.

/// What the sums of before weigh in the next window.
const MEMORY: f64 = 0.9;

/// The baseline of the requests that make up most of the work, and what others weigh against it.
///
/// Ten requests of 50 µs are no more of a queue than one of 500 µs. If each took a place like a
/// request of 10 ms, they would be refused in a burst that costs next to nothing.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    /// Sums of baselines and of their squares: their ratio is the mean baseline, each weighted by
    /// the work that it stands for.
    work: f64,
    squares: f64,
    /// That ratio, in seconds.
    reference: f64,
}

impl Weights {
    /// Notes the baseline, in seconds, of a request that was answered.
    pub(crate) fn answered(&mut self, baseline: f64) {
        self.work += baseline;
        self.squares += baseline * baseline;
    }

    /// Takes into account what was noted since it was last called.
    pub(crate) fn renew(&mut self) {
        self.reference = self.squares / self.work.max(f64::MIN_POSITIVE);
        self.work *= MEMORY;
        self.squares *= MEMORY;
    }

    /// What a request of this baseline, in seconds, weighs: at most 1, and 1 while it is not known.
    pub(crate) fn of(&self, baseline: Option<f64>) -> f64 {
        match baseline {
            Some(baseline) if baseline < self.reference => baseline / self.reference,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_requests_weigh_what_they_take_of_the_work() {
        let mut weights = Weights::default();
        assert_eq!(weights.of(Some(0.001)), 1.0);
        for _ in 0..10 {
            weights.answered(0.010);
            weights.answered(0.000_1);
        }
        weights.renew();
        assert_eq!(weights.of(None), 1.0);
        assert_eq!(weights.of(Some(0.020)), 1.0);
        assert!((weights.of(Some(0.000_1)) - 0.01).abs() < 0.001);
    }
}
