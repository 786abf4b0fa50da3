//! What the listener takes from strangers, with defaults.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use starling_telemetry::LimitCounts;

/// Bounds on connections and on what comes over one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, over all event loops. More wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections open at once from one address, of IPv6 from one /64; 0 is without limit. More are closed at once.
    pub connections_per_address_max: usize,
    /// Bytes of one request's head (HTTP/1.1) or header list (HTTP/2).
    pub header_bytes_max: usize,
    /// Time from the first byte of a request's head to its last, and from the begin of a connection to its first request.
    /// It is looked at in steps of half of it.
    pub header_timeout: Duration,
    /// Time that a connection may be open without a request. While no other can be taken, it is
    /// [`header_timeout`](Self::header_timeout).
    pub idle_timeout: Duration,
    /// Time that a client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// Bytes of one request's body.
    pub body_bytes_max: u64,
    /// Bytes of a request's body that have to come for each second that the host waits for them; 0 is without limit.
    pub upload_bytes_per_second_min: u64,
    /// Time for which the host waits for a body before that.
    pub upload_grace: Duration,
    /// Requests under way at once on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// Requests that a client may cancel on one HTTP/2 connection. Each one that it lets end gives one back.
    pub http2_resets_max: u32,
    /// Bytes that an HTTP/2 connection may bring between two requests, or pieces of their bodies: pings, settings, windows.
    pub http2_flood_bytes_max: u64,
    /// Time that open connections have to take note that the host is going: their next response says so.
    pub drain_notice: Duration,
    /// Time that requests in flight have to end once the host is going.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            header_bytes_max: 32 << 10,
            header_timeout: Duration::from_secs(10),
            // Longer than load balancers keep theirs, most often a minute: who closes last is never surprised.
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            body_bytes_max: 16 << 20,
            // What Apache's mod_reqtimeout asks for.
            upload_bytes_per_second_min: 500,
            upload_grace: Duration::from_secs(10),
            http2_streams_max: 128,
            http2_resets_max: 100,
            http2_flood_bytes_max: 1 << 20,
            drain_notice: Duration::from_millis(500),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// The limits of one event loop, and where it counts how often they are reached.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    pub(crate) reached: Arc<LimitCounts>,
    /// Whether there is no place for another connection.
    pub(crate) crowded: AtomicBool,
    /// Connections that there have been; it may begin anew.
    pub(crate) connections: AtomicU32,
}
