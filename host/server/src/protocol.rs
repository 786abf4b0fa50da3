//! How connections speak HTTP: what hyper and h2 are told, and what they bound by themselves.
//!
//! What h2 does about the known attacks on HTTP/2, with what is set here:
//!
//! - *Rapid reset* (CVE-2023-44487): requests that were cancelled before the host has looked at them end the connection
//!   past [`PENDING_RESETS_MAX`]; those it had begun with are counted by [`Activity`](crate::activity::Activity).
//! - *Resets that the host is made to send* ("MadeYouReset", CVE-2025-8671): past [`LOCAL_RESETS_MAX`] the connection ends.
//! - *CONTINUATION floods* (CVE-2024-27316) and huge header lists: a request past the limit is refused with 431 without
//!   being kept; one of many times that size, or in too many frames, ends the connection.
//! - *Empty and tiny DATA frames* (CVE-2019-9518 and its kin): h2 bounds them against the bytes that they carry.
//! - *Floods of SETTINGS, PING and others* (CVE-2019-9512, -9515): h2 reads no further while an answer of its own waits to be
//!   written; how much of them may come is bounded by [`Activity`](crate::activity::Activity).
//! - *Closed windows*: [`Sending`] gives up.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use crate::activity::Activity;
use crate::limits::Limits;
use crate::sent::Sending;

/// Bytes that are read from an HTTP/1.1 connection at once, and that wait to be written, at most. hyper comes to this when
/// reads fill its buffer; the more of a body comes at once, the fewer are the ways into the component.
const BUFFER_BYTES_MAX: usize = 128 << 10;

/// How often the other end of an HTTP/2 connection is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long it has to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of one body that a client may send before somebody reads them: 20 Mbit/s at a round trip of 100 ms.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// The same for all bodies of one connection; so much memory it may take.
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;

/// Bytes of one response that wait for the client to take them.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Requests that are cancelled while they wait to be looked at.
const PENDING_RESETS_MAX: usize = 20;

/// Requests of one connection that the host may have to reset, for they break the protocol.
const LOCAL_RESETS_MAX: usize = 100;

/// Runs what HTTP/2 does beside a connection on the connection's own event loop, which nothing of it leaves.
#[derive(Clone, Debug)]
pub(crate) struct LocalExecutor(Arc<Activity>);

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(Sending::new(future, self.0.clone()));
    }
}

/// What reads and writes HTTP/1.1 on one connection.
pub(crate) fn http1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // hyper's own runs between requests, too, and cannot tell a slow head from an idle connection.
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(limits.header_bytes_max.max(BUFFER_BYTES_MAX));
    builder
}

/// What reads and writes HTTP/2 on one connection.
pub(crate) fn http2(activity: &Arc<Activity>) -> http2::Builder<LocalExecutor> {
    let limits = &activity.bounds().limits;
    let header_bytes_max = u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(LocalExecutor(activity.clone()));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.http2_streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        // What h2 refuses, nobody hears of; so what is little more is refused, and counted, by `Service`.
        .max_header_list_size(header_bytes_max.saturating_mul(2));
    builder
}
