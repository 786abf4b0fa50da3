//! Logs: how they are set up, and the names of what they carry.
//!
//! Names follow the OpenTelemetry semantic conventions where these have one, and start with `starling.` where they
//! have none. Metrics and traces will live here too; nothing in this crate depends on another crate of ours.

pub mod attribute;
mod logs;

pub use logs::{LogError, LogFormat, install_logs};
