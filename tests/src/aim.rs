//! What a figure should be: a bound on it, or on its ratio to the baseline's.

use std::fmt;

/// A bound that a benchmark tells about and never fails for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// The figure is no less.
    AtLeast(f64),
    /// The figure is no more.
    AtMost(f64),
    /// The ratio to the baseline is no less.
    RatioAtLeast(f64),
    /// The ratio to the baseline is no more.
    RatioAtMost(f64),
}

impl Aim {
    /// Whether a figure and its ratio reach it. What was not measured reaches nothing.
    #[must_use]
    pub fn is_met(self, value: f64, ratio: Option<f64>) -> bool {
        let ratio = ratio.unwrap_or(f64::NAN);
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::RatioAtLeast(bound) => ratio >= bound,
            Self::RatioAtMost(bound) => ratio <= bound,
        }
    }

    /// For people, with the unit of the figure where it is not a ratio.
    #[must_use]
    pub fn display(self, unit: &str) -> impl fmt::Display {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound} {unit}"),
            Self::AtMost(bound) => format!("≤ {bound} {unit}"),
            Self::RatioAtLeast(bound) => format!("≥ {bound}"),
            Self::RatioAtMost(bound) => format!("≤ {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_met_at_the_bound() {
        for (aim, met, missed) in [
            (Aim::AtLeast(1.8), 1.8, 1.79),
            (Aim::AtMost(50.0), 50.0, 50.1),
        ] {
            assert!(aim.is_met(met, None), "{aim:?}");
            assert!(!aim.is_met(missed, Some(met)), "{aim:?}");
        }
        for (aim, met, missed) in [
            (Aim::RatioAtLeast(0.35), 0.35, 0.34),
            (Aim::RatioAtMost(3.0), 3.0, 3.1),
        ] {
            assert!(aim.is_met(missed, Some(met)), "{aim:?}");
            assert!(!aim.is_met(met, Some(missed)), "{aim:?}");
        }
    }

    #[test]
    fn what_was_not_measured_meets_no_aim() {
        assert!(!Aim::RatioAtMost(3.0).is_met(1.0, None));
        assert!(!Aim::RatioAtLeast(0.0).is_met(1.0, Some(f64::NAN)));
        assert!(!Aim::AtMost(50.0).is_met(f64::NAN, None));
    }

    #[test]
    fn an_aim_for_a_figure_has_its_unit() {
        assert_eq!(Aim::AtMost(50.0).display("ms").to_string(), "≤ 50 ms");
        assert_eq!(Aim::RatioAtLeast(0.35).display("ms").to_string(), "≥ 0.35");
    }
}
