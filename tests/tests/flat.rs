//! The judgement of `cargo xtask soak`: what counts as flat, and what as growth.

use starling_tests::flat::{Tolerance, judge, median, quantile};
use starling_tests::random::Random;

const TOLERANCE: Tolerance = Tolerance {
    ratio: 1.1,
    slack: 5.0,
};

fn is_flat(samples: impl IntoIterator<Item = f64>) -> bool {
    let samples: Vec<f64> = samples.into_iter().collect();
    judge(&samples, TOLERANCE)
        .expect("there are enough samples")
        .is_flat()
}

#[test]
fn what_stays_varies_or_shrinks_is_flat() {
    let mut random = Random::new(7);
    assert!(is_flat([100.0; 8]));
    assert!(is_flat([0.0; 8]));
    assert!(is_flat((0..400).map(|_| 80.0 + random.below(40) as f64)));
    assert!(is_flat((0..400).map(|at| 500.0 - f64::from(at))));
}

#[test]
fn what_fills_up_at_first_is_flat() {
    assert!(is_flat((0..400).map(|at| f64::from(at.min(100)))));
}

#[test]
fn what_goes_up_and_down_is_flat() {
    assert!(is_flat((0..400).map(|at| 100.0 + f64::from(at % 40))));
}

#[test]
fn a_few_great_samples_at_the_end_are_no_growth() {
    assert!(is_flat((0..400).map(|at| if at < 370 {
        100.0
    } else {
        9_000.0
    })));
}

#[test]
fn what_grows_steadily_is_found_also_under_noise() {
    let mut random = Random::new(7);
    assert!(!is_flat((0..400).map(f64::from)));
    assert!(!is_flat((0..400).map(|at| {
        100.0 + f64::from(at) / 8.0 + random.below(20) as f64
    })));
}

#[test]
fn the_bound_is_what_is_tolerated_of_the_second_quarter() {
    let samples = |last| [0.0, 0.0, 100.0, 100.0, 0.0, 0.0, last, last];
    assert!(is_flat(samples(115.0)));
    assert!(!is_flat(samples(115.1)));
    let verdict = judge(&samples(115.1), TOLERANCE).unwrap();
    assert_eq!((verdict.second, verdict.last), (100.0, 115.1));
}

#[test]
fn too_few_samples_say_nothing() {
    assert_eq!(judge(&[1.0; 7], TOLERANCE), None);
}

#[test]
fn quantiles_are_samples() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0, 5.0], 1.0), 5.0);
    assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0, 5.0], 0.0), 1.0);
    assert_eq!(median(&[]), 0.0);
}
