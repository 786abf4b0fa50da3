//! A seeded source of choices. A test prints its seed; the same seed makes the same choices again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The environment variable that repeats a run.
const VARIABLE: &str = "STARLING_SEED";

/// A SplitMix64 generator (Steele, Lea and Flood, 2014): small, and good enough to choose with.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// From `STARLING_SEED`, or else from the time of day. Prints the seed, which libtest shows where the test fails.
    ///
    /// # Panics
    ///
    /// Where `STARLING_SEED` is not a number.
    #[must_use]
    pub fn from_environment() -> Self {
        let seed = match std::env::var(VARIABLE) {
            Ok(seed) => seed
                .parse()
                .unwrap_or_else(|_| panic!("{VARIABLE} is not a number: {seed}")),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis() as u64,
        };
        println!("repeat these choices with {VARIABLE}={seed}");
        Self::new(seed)
    }

    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// A whole number of milliseconds from `low` to `high`, `high` left out.
    pub fn milliseconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.below(high - low))
    }
}
