//! What the listener takes from strangers, with defaults.

use std::time::Duration;

/// Bounds on connections and on what comes over one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, over all event loops. More wait in the kernel's queue.
    pub connections_max: usize,
    /// Bytes of one request's head (HTTP/1.1) or header list (HTTP/2).
    pub header_bytes_max: usize,
    /// Time until a request's head is complete. A connection that has not sent its first one in twice this time is
    /// closed too.
    pub header_timeout: Duration,
    /// Time that a client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// Bytes of one request's body.
    pub body_bytes_max: u64,
    /// Requests under way at once on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// Time that open connections have to take note that the host is going: their next response says so.
    pub drain_notice: Duration,
    /// Time that requests in flight have to end once the host is going.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_bytes_max: 32 << 10,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            body_bytes_max: 16 << 20,
            http2_streams_max: 128,
            drain_notice: Duration::from_millis(500),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
