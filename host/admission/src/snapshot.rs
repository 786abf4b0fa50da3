//! What an admission tells for metrics.

use std::time::Duration;

/// What an admission does and has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// By [`crate::Resource`].
    pub pools: [PoolSnapshot; 2],
    /// Requests admitted since the start, by priority ([`crate::Priority::REFUSABLE`]).
    pub admitted: [u64; 3],
    /// Requests refused since the start, by priority.
    pub refused: [u64; 3],
    /// Critical requests in flight now. They take no place.
    pub critical_in_flight: u32,
    /// Critical requests since the start.
    pub critical_admitted: u64,
}

/// What is known of the requests that wait for one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSnapshot {
    /// What the requests in flight may weigh together. A request weighs 1, or less if it is short
    /// against those that make up most of the work.
    pub limit: f64,
    /// What they weigh.
    pub load: f64,
    /// How many they are.
    pub in_flight: u32,
    /// The mean latency without load, by index of [`crate::Kind`]; none until it was seen.
    pub baselines: Vec<Option<Duration>>,
}
