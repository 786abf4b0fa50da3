//! The one set of buckets in which every latency of a request is counted.
//!
//! The upper bounds that the OpenTelemetry semantic conventions advise for `http.server.request.duration`, with three
//! below: most of what an edge host does ends within the first of theirs.

use std::time::Duration;

/// Buckets, the one without an upper bound included.
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS_S.len() + 1;

/// Inclusive upper bounds in seconds, in order. A last bucket takes what is above.
pub const LATENCY_BOUNDS_S: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// The bucket that a duration is counted in.
pub fn latency_bucket(duration: Duration) -> usize {
    let seconds = duration.as_secs_f64();
    LATENCY_BOUNDS_S.partition_point(|bound| *bound < seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        assert_eq!(latency_bucket(Duration::ZERO), 0);
        assert_eq!(latency_bucket(Duration::from_micros(500)), 0);
        assert_eq!(latency_bucket(Duration::from_micros(501)), 1);
        assert_eq!(latency_bucket(Duration::from_secs(10)), LATENCY_BUCKETS - 2);
        assert_eq!(latency_bucket(Duration::from_secs(11)), LATENCY_BUCKETS - 1);
    }
}
