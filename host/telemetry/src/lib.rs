//! Logs: how they are set up; the names of what logs and metrics carry; the buckets of latencies; and the counts of
//! limits that were reached.
//!
//! Names follow the OpenTelemetry semantic conventions where these have one, and start with `starling.` where they
//! have none. Metrics are names here, but for [`LimitCounts`], which more than one crate counts in; who has the numbers
//! exposes them. Nothing in this crate depends on another crate of ours.

pub mod attribute;
mod latency;
mod limit;
mod logs;
pub mod metric;

pub use latency::{LATENCY_BOUNDS_S, LATENCY_BUCKETS, latency_bucket};
pub use limit::{Limit, LimitCounts};
pub use logs::{LogError, LogFormat, install_logs};
