//! Whether a figure that was sampled all the while is flat, or grows.
//!
//! The median of the last quarter of the samples is held against that of the second quarter. The first quarter does not
//! count: caches fill, instances are made, files reach the size at which they are merged. Medians, so that a busy moment
//! of the machine does not count either.

/// How much greater the last quarter may be than the second: `second × ratio + slack`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// At least 1.
    pub ratio: f64,
    /// In the unit of the figure. What a small figure may vary by, and what goes up and down by design.
    pub slack: f64,
}

/// What was found of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The median of the second quarter.
    pub second: f64,
    /// The median of the last quarter.
    pub last: f64,
    /// Up to where the last would be flat.
    pub bound: f64,
}

impl Verdict {
    /// Whether the last quarter is within what is tolerated.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.last <= self.bound
    }
}

/// Judges samples in the order in which they were taken; none if there are fewer than eight, two in each quarter.
#[must_use]
pub fn judge(samples: &[f64], tolerance: Tolerance) -> Option<Verdict> {
    let quarter = samples.len() / 4;
    if quarter < 2 {
        return None;
    }
    let second = median(&samples[quarter..2 * quarter]);
    let last = median(&samples[samples.len() - quarter..]);
    Some(Verdict {
        second,
        last,
        bound: second * tolerance.ratio + tolerance.slack,
    })
}

/// The value that half of the samples stay below; 0 where there are none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The value that this part of the samples, from 0 to 1, stays below; 0 where there are none.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into the samples"
)]
pub fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}
