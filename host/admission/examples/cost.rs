//! What admission costs a request: `cargo run --release -p starling-admission --example cost`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use starling_admission::{Admission, Arrival, Kind, Outcome, Priority, Resource};

/// The best of so many batches counts: the others were disturbed.
const BATCHES: u32 = 100;
const REQUESTS: u32 = 10_000;

fn main() {
    let admission = Admission::default();
    let kind = Kind {
        resource: Resource::Loop,
        index: 0,
    };
    let mut now = Instant::now();
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            // Time is told, not asked for: reading the clock is not what is measured.
            now += Duration::from_micros(50);
            if let Ok(mut permit) =
                black_box(&admission).admit(Priority::Normal, kind, Arrival::Fresh, now)
            {
                permit.answered(now + Duration::from_micros(40), Outcome::Served);
            }
        }
        best = best.min(start.elapsed() / REQUESTS);
    }
    println!("{} ns for admit, answered and drop", best.as_nanos());
}
