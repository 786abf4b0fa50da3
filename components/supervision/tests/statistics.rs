//! How often two like versions are told apart, how soon two unlike ones are, and what is no regression at all.

use starling_supervision::{Figures, REQUESTS_MIN, Regression, Verdict, WINDOW_MS};

/// Numbers that look random, the same ones each time: xorshift64* (S. Vigna, "An experimental exploration of
/// Marsaglia's xorshift generators, scrambled", 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many hits there are if so many are expected among very many (Poisson's distribution, by inversion).
    fn rare_hits(&mut self, expected: f64) -> u64 {
        let (mut left, mut chance, mut hits) = (self.next(), (-expected).exp(), 0);
        while left >= chance && chance > 0.0 {
            left -= chance;
            hits += 1;
            chance *= expected / hits as f64;
        }
        hits
    }

    fn hits(&mut self, of: u64, probability: f64) -> u64 {
        (0..of).filter(|_| self.next() < probability).count() as u64
    }
}

fn figures(requests: u64, errors: u64) -> Figures {
    Figures {
        requests,
        errors,
        latency: vec![requests, 0, 0, 0],
        memory_bytes_mean: 1 << 20,
    }
}

fn with_latency<const N: usize>(latency: [u64; N]) -> Figures {
    Figures {
        latency: latency.to_vec(),
        ..figures(latency.iter().sum(), 0)
    }
}

fn with_memory(requests: u64, mebibytes: u64) -> Figures {
    Figures {
        memory_bytes_mean: mebibytes << 20,
        ..figures(requests, 0)
    }
}

/// As a step begins.
fn assess(new: &Figures, old: &Figures) -> Verdict {
    starling_supervision::assess(new, old, 0)
}

fn is_worse(new: &Figures, old: &Figures) -> bool {
    matches!(assess(new, old), Verdict::Worse(_))
}

/// Of 10,000 looks at two versions that are alike, how many take the new one for worse.
fn false_alarms(new: u64, old: u64, error_ratio: f64, slow_ratio: f64) -> usize {
    let mut random = Random(0x5EED);
    let mut sample = |requests| {
        let errors = random.hits(requests, error_ratio);
        let slow = random.hits(requests, slow_ratio);
        Figures {
            latency: vec![requests - slow, 0, 0, 0, slow, 0],
            ..figures(requests, errors)
        }
    };
    let looks = (0..10_000).filter(|_| is_worse(&sample(new), &sample(old)));
    looks.count()
}

#[test]
fn like_versions_are_told_apart_in_one_of_ten_thousand_looks_at_most() {
    // A canary, and a fleet of which half is done; seldom and frequent failures. Expected is less than 1 in each.
    for (new, old) in [(25, 475), (250, 250)] {
        for error_ratio in [0.002, 0.02, 0.2] {
            let alarms = false_alarms(new, old, error_ratio, 0.04);
            assert!(
                alarms <= 3,
                "{alarms} of 10,000: {new} of {old} at {error_ratio}"
            );
        }
    }
}

/// Of 300 rollouts of two versions that are alike, how many are reverted within ten minutes of looking every second at
/// the last minute, of which the canary serves one request in twenty.
fn false_reverts(requests_per_second: u64, error_ratio: f64) -> usize {
    let mut random = Random(0xF1EE7);
    let mut rollout = || {
        let mut seconds: Vec<(Figures, Figures)> = Vec::new();
        (0..600).any(|_| {
            let new = random.hits(requests_per_second, 0.05);
            let old = requests_per_second - new;
            let (new_errors, old_errors) =
                (random.hits(new, error_ratio), random.hits(old, error_ratio));
            seconds.push((figures(new, new_errors), figures(old, old_errors)));
            let (mut new, mut old) = (Figures::default(), Figures::default());
            for second in seconds.iter().rev().take(60) {
                new.add(&second.0);
                old.add(&second.1);
            }
            is_worse(&new, &old)
        })
    };
    (0..300).filter(|_| rollout()).count()
}

#[test]
fn rollout_of_like_versions_is_reverted_by_chance_in_one_of_a_hundred_at_most() {
    for (requests_per_second, error_ratio) in [(20, 0.01), (40, 0.003)] {
        let reverts = false_reverts(requests_per_second, error_ratio);
        assert!(reverts <= 3, "{reverts} of 300 at {error_ratio}");
    }
}

/// Of so many canary steps of two versions that are alike, how many are reverted within twelve hours, in which a gate
/// waits for somebody: 200 requests in a second, of which the new version gets one in twenty, dealt out evenly, and one in
/// a hundred fails. The last minute is looked at every `look_s` seconds.
fn false_reverts_at_a_gate(runs: usize, look_s: usize) -> usize {
    const NEW: u64 = 10;
    const OLD: u64 = 190;
    const WINDOW_S: usize = (WINDOW_MS / 1_000) as usize;
    let mut random = Random(0xCA11);
    let mut run = || {
        let mut errors = [(0, 0); WINDOW_S];
        (0..12 * 60 * 60).any(|second| {
            errors[second % WINDOW_S] = (
                random.rare_hits(NEW as f64 * 0.01),
                random.rare_hits(OLD as f64 * 0.01),
            );
            let seconds = (second + 1).min(WINDOW_S) as u64;
            second % look_s == 0 && {
                let new = figures(NEW * seconds, errors.iter().map(|it| it.0).sum());
                let old = figures(OLD * seconds, errors.iter().map(|it| it.1).sum());
                let verdict = starling_supervision::assess(&new, &old, second as u64 * 1_000);
                matches!(verdict, Verdict::Worse(_))
            }
        })
    };
    (0..runs).filter(|_| run()).count()
}

#[test]
fn canary_of_like_versions_outlasts_a_night_at_a_gate() {
    let reverts = false_reverts_at_a_gate(40, 5);
    assert!(reverts <= 1, "{reverts} of 40");
}

#[test]
#[ignore = "takes minutes without optimisation; measures what the documentation says"]
fn canary_of_like_versions_is_reverted_within_a_night_in_one_of_a_hundred_at_most() {
    let reverts = false_reverts_at_a_gate(1_000, 1);
    assert!(reverts <= 10, "{reverts} of 1,000");
}

#[test]
fn bound_falls_with_each_whole_window_of_a_step() {
    let is_worse = |elapsed_ms| {
        // Chance: 1 in 15,440.
        let verdict = starling_supervision::assess(&figures(20, 4), &figures(380, 2), elapsed_ms);
        matches!(verdict, Verdict::Worse(_))
    };
    assert!(is_worse(WINDOW_MS - 1));
    assert!(!is_worse(WINDOW_MS));
}

/// After how many requests a new version that fails so often is found out, if the old one gets 19 times as many and
/// fails once in 500; the errors come evenly.
fn requests_until_found_out(error_ratio: f64) -> u64 {
    let found = (1..10_000).find(|requests| {
        let errors = (*requests as f64 * error_ratio) as u64;
        is_worse(
            &figures(*requests, errors),
            &figures(19 * requests, 19 * requests / 500),
        )
    });
    found.expect("it is found out")
}

#[test]
fn the_worse_a_version_is_the_sooner_it_is_found_out() {
    assert!(requests_until_found_out(1.0) <= 4);
    assert!(requests_until_found_out(0.5) <= 8);
    assert!(requests_until_found_out(0.1) <= 50);
    assert!(requests_until_found_out(0.03) <= 250);
}

#[test]
fn what_befalls_both_versions_is_no_regression() {
    assert_eq!(
        assess(&figures(50, 40), &figures(950, 760)),
        Verdict::NoWorse
    );
    assert_eq!(
        assess(&figures(50, 0), &figures(950, 760)),
        Verdict::NoWorse
    );
}

#[test]
fn new_version_with_few_requests_is_neither_worse_nor_trusted() {
    assert_eq!(
        assess(&Figures::default(), &Figures::default()),
        Verdict::TooFew
    );
    let few = REQUESTS_MIN - 1;
    assert_eq!(
        assess(&figures(few, 0), &figures(1_000, 0)),
        Verdict::TooFew
    );
    assert_eq!(
        assess(&figures(few, 1), &figures(1_000, 0)),
        Verdict::TooFew
    );
    assert_eq!(
        assess(&figures(REQUESTS_MIN, 0), &figures(1_000, 0)),
        Verdict::NoWorse
    );
    let regression = Regression::Errors {
        new: (4, 4),
        old: (0, 1_000),
    };
    assert_eq!(
        assess(&figures(4, 4), &figures(1_000, 0)),
        Verdict::Worse(regression)
    );
}

#[test]
fn version_without_another_to_compare_with_may_fail_one_request_in_a_hundred() {
    let alone = |errors, requests| is_worse(&figures(requests, errors), &figures(19, 0));
    assert!(!alone(3, 20));
    assert!(alone(4, 20));
    assert!(!alone(10, 1_000));
    assert!(alone(30, 1_000));
}

#[test]
fn slow_version_is_worse_only_if_it_matters() {
    let old = with_latency([900, 80, 20, 0, 0, 0]);
    let slow = |latency: [u64; 6]| assess(&with_latency(latency), &old);
    // The old version's 95th percentile is in the second bucket. Half is above it.
    let regression = Regression::Latency {
        new: (50, 100),
        old: (20, 1_000),
    };
    assert_eq!(slow([40, 10, 45, 5, 0, 0]), Verdict::Worse(regression));
    // A tenth is far above it.
    let regression = Regression::Latency {
        new: (10, 100),
        old: (0, 1_000),
    };
    assert_eq!(slow([80, 10, 0, 0, 8, 2]), Verdict::Worse(regression));
    assert_eq!(slow([20, 78, 2, 0, 0, 0]), Verdict::NoWorse);
    // Certain, but a little slower, or too few.
    assert_eq!(slow([510, 0, 490, 0, 0, 0]), Verdict::NoWorse);
    assert_eq!(slow([9_100, 0, 0, 0, 900, 0]), Verdict::NoWorse);
    // Nothing to compare with.
    let few = with_latency([19, 0, 0, 0, 0, 0]);
    assert_eq!(
        assess(&with_latency([0, 0, 0, 0, 100, 0]), &few),
        Verdict::NoWorse
    );
    // Another release's buckets.
    let mut other = with_latency([0, 0, 0, 0, 0, 100]);
    other.latency.push(0);
    assert_eq!(assess(&other, &old), Verdict::NoWorse);
}

#[test]
fn version_that_needs_much_more_memory_is_worse() {
    let grown = |new_mebibytes, old_mebibytes| {
        is_worse(
            &with_memory(20, new_mebibytes),
            &with_memory(20, old_mebibytes),
        )
    };
    assert!(grown(41, 10));
    assert!(!grown(40, 10));
    // Four times nothing is nothing.
    assert!(!grown(17, 1));
    assert!(!is_worse(&with_memory(19, 100), &with_memory(20, 1)));
}

#[test]
fn figures_of_hosts_add_up() {
    let mut sum = Figures::default();
    sum.add(&Figures {
        memory_bytes_mean: 10,
        ..figures(30, 3)
    });
    sum.add(&Figures {
        memory_bytes_mean: 50,
        ..figures(10, 1)
    });
    let expected = Figures {
        memory_bytes_mean: 20,
        ..figures(40, 4)
    };
    assert_eq!(sum, expected);
    // A newer release counts in more buckets: what cannot be added is left out.
    let newer = Figures {
        latency: vec![7; 9],
        ..figures(63, 0)
    };
    sum.add(&newer);
    assert_eq!((sum.requests, &sum.latency), (103, &newer.latency));
}

#[test]
fn percentile_lies_within_the_bounds_of_its_bucket() {
    let bounds_us = [1_000, 2_000, 4_000];
    let percentile = |per_cent| with_latency([50, 40, 8, 2]).percentile_ms(per_cent, &bounds_us);
    assert_eq!(percentile(25), Some(0.5));
    assert_eq!(percentile(50), Some(1.0));
    assert_eq!(percentile(90), Some(2.0));
    assert_eq!(percentile(94), Some(3.0));
    assert_eq!(percentile(99), Some(4.0));
    assert_eq!(Figures::default().percentile_ms(50, &bounds_us), None);
}
