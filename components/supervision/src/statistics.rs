//! Exact tests of whether a share is greater than another, for counts of any size.
//!
//! - Fisher's exact test, one-sided (R. A. Fisher, "Statistical Methods for Research Workers", 5th edition, 1934, §21.02):
//!   if both samples came from one population, how likely is it that so many of the hits, or more, fall to the new one?
//! - The upper tail of the binomial distribution: if hits had this probability, how likely are so many, or more?
//!
//! Neither needs the numbers to be large, as the usual approximations do: the first failures of a canary are few.
//!
//! Both distributions have one peak, and the ratio of neighbouring terms is a quotient of small products. So the terms
//! are taken relative to the one at the peak, and summed outwards from there until they vanish: no factorial is computed,
//! nothing overflows, and the sum has about twelve standard deviations of terms.

use std::ops::RangeInclusive;

/// What is a hit among what was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sample {
    hits: u64,
    of: u64,
}

/// Above this a count is taken for this: far beyond what a fleet serves within a minute, and sums stay sums.
const COUNT_MAX: u64 = 1 << 40;

/// A term that is this small next to the peak's ends the sum.
const NEGLIGIBLE: f64 = 1e-30;

impl Sample {
    /// So many hits among so many.
    pub(crate) fn new(hits: u64, of: u64) -> Self {
        let of = of.min(COUNT_MAX);
        Self {
            hits: hits.min(of),
            of,
        }
    }

    /// How likely it is that the new sample has so great a share of hits, or a greater one, if both are alike.
    pub(crate) fn chance_beside(self, old: Self) -> f64 {
        let (all, hits) = (self.of + old.of, self.hits + old.hits);
        let (of, others) = (self.of as f64, (all - hits) as f64);
        let range = hits.saturating_sub(old.of)..=hits.min(self.of);
        let peak = (of + 1.0) * (hits as f64 + 1.0) / (all as f64 + 2.0);
        upper_tail(self.hits, range, peak, |at| {
            let at = at as f64;
            (hits as f64 - at) * (of - at) / ((at + 1.0) * (others - of + at + 1.0))
        })
    }

    /// How likely so many hits are, or more, if each has this probability (between 0 and 1).
    pub(crate) fn chance_at(self, probability: f64) -> f64 {
        let of = self.of as f64;
        let odds = probability / (1.0 - probability);
        upper_tail(self.hits, 0..=self.of, (of + 1.0) * probability, |at| {
            let at = at as f64;
            (of - at) / (at + 1.0) * odds
        })
    }
}

/// The probability of `from` and above, for a distribution over `range` with its only peak at about `peak`, whose term
/// at `i + 1` is `ratio(i)` times that at `i`.
fn upper_tail(from: u64, range: RangeInclusive<u64>, peak: f64, ratio: impl Fn(u64) -> f64) -> f64 {
    let peak = (peak as u64).clamp(*range.start(), *range.end());
    let (mut all, mut tail) = (0.0, 0.0);
    let mut add = |at: u64, term: f64| {
        all += term;
        if at >= from {
            tail += term;
        }
    };
    let mut term = 1.0;
    for at in peak..=*range.end() {
        add(at, term);
        term *= ratio(at);
        if term < NEGLIGIBLE {
            break;
        }
    }
    let mut term = 1.0;
    for at in (*range.start()..peak).rev() {
        term /= ratio(at);
        if term < NEGLIGIBLE {
            break;
        }
        add(at, term);
    }
    tail / all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_close(chance: f64, expected: f64) {
        let close = (chance - expected).abs() <= 1e-9 * expected.max(1e-12);
        assert!(close, "{chance} is not {expected}");
    }

    /// All terms as whole numbers: the slow and certain way.
    fn choose(n: u64, k: u64) -> f64 {
        (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64)
    }

    #[test]
    fn the_lady_tasting_tea_is_told_from_a_guess_as_fisher_told_it() {
        // 3 of 4 cups right, of 4 and 4: 17/70; all right: 1/70.
        let chance = |right| Sample::new(right, 4).chance_beside(Sample::new(4 - right, 4));
        assert_close(chance(3), 17.0 / 70.0);
        assert_close(chance(4), 1.0 / 70.0);
        assert_close(chance(0), 1.0);
    }

    #[test]
    fn chance_is_the_sum_of_the_terms_for_all_small_tables() {
        for (new_of, old_of) in [(1, 1), (3, 9), (12, 5), (20, 20)] {
            for new_hits in 0..=new_of {
                for old_hits in 0..=old_of {
                    let hits = new_hits + old_hits;
                    let terms = (new_hits..=hits.min(new_of)).map(|k| {
                        if hits - k > old_of {
                            0.0
                        } else {
                            choose(new_of, k) * choose(old_of, hits - k)
                        }
                    });
                    let expected = terms.sum::<f64>() / choose(new_of + old_of, hits);
                    let new = Sample::new(new_hits, new_of);
                    assert_close(new.chance_beside(Sample::new(old_hits, old_of)), expected);
                }
            }
        }
    }

    #[test]
    fn binomial_tail_is_the_sum_of_its_terms() {
        for hits in 0..=20 {
            let terms = (hits..=20).map(|k: u64| {
                choose(20, k) * 0.01_f64.powi(k as i32) * 0.99_f64.powi(20 - k as i32)
            });
            let expected: f64 = terms.sum();
            // What is far out is called impossible.
            let chance = Sample::new(hits, 20).chance_at(0.01);
            if expected > 1e-20 {
                assert_close(chance, expected)
            } else {
                assert!(chance < 1e-20)
            }
        }
    }

    #[test]
    fn large_counts_take_no_longer_than_their_spread() {
        let many = Sample::new(COUNT_MAX / 2, u64::MAX);
        assert!((0.4..0.6).contains(&many.chance_beside(many)));
        assert!(Sample::new(3, 0).chance_beside(Sample::new(0, 0)) > 0.99);
    }
}
