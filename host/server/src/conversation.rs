//! HTTP on one connection, for as long as it lasts.
//!
//! hyper keeps buffers and a state machine for each connection, whether anything comes over it or not: 20 KiB and more. So
//! an HTTP/1.1 connection that has come to rest is taken apart. What stays is the stream, and hyper begins anew with the
//! next byte.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use starling_telemetry::Limit;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::activity::Activity;
use crate::drain::Draining;
use crate::patience::Patience;
use crate::protocol;
use crate::sent::Sent;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The first bytes of HTTP/2 without TLS, by which it is told from HTTP/1.1 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why a connection is to end that its client would keep.
enum Over {
    /// The host goes.
    Drained,
    Limit(Limit),
}

/// Speaks whichever HTTP the client speaks, until either end has enough.
pub(crate) async fn converse<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    client: SocketAddr,
    activity: Arc<Activity>,
    mut draining: Draining,
    respond: S,
) where
    S: HttpService<Incoming, ResBody = Sent, Error: Into<Error>, Future: 'static> + Unpin,
{
    let over = async {
        tokio::select! {
            () = draining.wait_closing() => Over::Drained,
            limit = activity.outstayed() => {
                activity.bounds().reached.count(limit);
                if limit != Limit::IdleTimeout {
                    tracing::debug!(%client, limit = limit.key(), "a connection was cut off");
                }
                Over::Limit(limit)
            }
        }
    };
    let stream = Patience::new(stream, activity.clone());
    if let Err(error) = until(stream, &activity, respond, over).await {
        if let Some(limit) = limit_of(&*error) {
            activity.bounds().reached.count(limit);
        }
        tracing::debug!(%client, error, "a connection ended early");
    }
}

/// Speaks until the client has enough, or the connection is over.
async fn until<T, S>(
    mut stream: Patience<T>,
    activity: &Arc<Activity>,
    mut respond: S,
    over: impl Future<Output = Over>,
) -> Result<(), Error>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Sent, Error: Into<Error>, Future: 'static> + Unpin,
{
    let mut over = pin!(over);
    let is_http2 = tokio::select! {
        biased;
        is_http2 = begins_as_http2(&mut stream) => is_http2?,
        _ = &mut over => return Ok(()),
    };
    if is_http2 {
        let builder = protocol::http2(activity);
        let mut served = Box::pin(builder.serve_connection(TokioIo::new(stream), respond));
        let over = tokio::select! {
            biased;
            result = &mut served => return Ok(result?),
            over = over => over,
        };
        let close = http2::Connection::graceful_shutdown;
        return Ok(end(served.as_mut(), over, activity, close).await?);
    }
    let builder = protocol::http1(&activity.bounds().limits);
    let mut ended = None;
    loop {
        let mut served = Box::new(builder.serve_connection(TokioIo::new(stream), respond));
        let over_while_served = tokio::select! {
            biased;
            over = async { ended.take() }, if ended.is_some() => over,
            result = &mut served => return Ok(result?),
            over = &mut over => Some(over),
            () = activity.rested() => None,
        };
        if let Some(over) = over_while_served {
            let close = http1::Connection::graceful_shutdown;
            return Ok(end(Pin::new(&mut *served), over, activity, close).await?);
        }
        let parts = served.into_parts();
        (stream, respond) = (parts.io.into_inner(), parts.service);
        stream.give_back(parts.read_buf);
        tokio::select! {
            biased;
            more = stream.has_more() => if !more? {
                return Ok(());
            },
            // hyper knows how to take leave.
            over = &mut over => ended = Some(over),
        }
    }
}

/// Lets a connection end as befits why it is over: with what is under way, or at once.
async fn end<C>(
    mut served: Pin<&mut C>,
    over: Over,
    activity: &Activity,
    close: fn(Pin<&mut C>),
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    match over {
        Over::Drained => {
            close(served.as_mut());
            served.await
        }
        Over::Limit(Limit::IdleTimeout) => {
            // In HTTP/2 the client is told first. What it has sent meanwhile is answered.
            close(served.as_mut());
            tokio::select! {
                result = served => result,
                _ = activity.outstayed() => Ok(()),
            }
        }
        Over::Limit(_) => Ok(()),
    }
}

/// Whether the client begins as one of HTTP/2 does.
async fn begins_as_http2<T: AsyncRead + Unpin>(stream: &mut Patience<T>) -> io::Result<bool> {
    loop {
        let come = stream.unread();
        if come.starts_with(HTTP2_PREFACE) {
            return Ok(true);
        }
        if !HTTP2_PREFACE.starts_with(come) || !stream.read_ahead().await? {
            return Ok(false);
        }
    }
}

/// The limit at which hyper or h2 has ended a connection, if it was at one.
fn limit_of(error: &(dyn std::error::Error + 'static)) -> Option<Limit> {
    let hyper = error.downcast_ref::<hyper::Error>()?;
    if hyper.is_parse_too_large() {
        return Some(Limit::HeaderBytes);
    }
    // Many requests that are cancelled at once, a head without end, many tiny frames: see `protocol`.
    let h2: &h2::Error = std::error::Error::source(hyper)?.downcast_ref()?;
    let flooded = h2.is_library() && h2.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    flooded.then_some(Limit::Http2Flood)
}

#[cfg(test)]
mod tests;
