//! Responses as instances give them, and the bodies of requests and responses.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::{Error, WasiBody};

/// The body of a request or a [`Response`] on its way between client and guest.
pub type Body = WasiBody;

/// The response of an instance.
pub type Response = http::Response<Body>;

/// A body without bytes.
pub fn empty_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes from another server. One that breaks off there breaks off here.
pub fn relayed_body<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    body.map_err(|_| Error::ConnectionTerminated).boxed_unsync()
}

/// How a request's body is coming. Shared between the body and whoever waits for its guest.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last: Mutex<Option<Instant>>,
    awaited: AtomicBool,
}

impl Progress {
    /// When the last piece came, if one has come at all.
    pub(crate) fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the guest waits for a piece that the client has not sent.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Relaxed)
    }

    fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// A client's body, cut off with an error past `bytes_max` bytes.
///
/// The guest reads that error as `HTTP-request-body-size`, and a body that the client did not finish as
/// `connection-terminated`; it never takes a part for the whole.
pub(crate) fn bounded<B>(body: B, bytes_max: u64, progress: Arc<Progress>) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    Bounded {
        body,
        bytes_left: bytes_max,
        bytes_max,
        progress,
    }
    .boxed_unsync()
}

struct Bounded<B> {
    body: B,
    bytes_left: u64,
    bytes_max: u64,
    progress: Arc<Progress>,
}

impl<B> http_body::Body for Bounded<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.progress.awaited.store(polled.is_pending(), Relaxed);
        let frame = match ready!(polled) {
            None => return Poll::Ready(None),
            Some(Err(_)) => return Poll::Ready(Some(Err(Error::ConnectionTerminated))),
            Some(Ok(frame)) => frame,
        };
        self.progress.note();
        if let Some(data) = frame.data_ref() {
            match self.bytes_left.checked_sub(data.len() as u64) {
                Some(left) => self.bytes_left = left,
                None => {
                    let error = Error::HttpRequestBodySize(Some(self.bytes_max));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    fn read(body: Body) -> Result<Bytes, Error> {
        futures::executor::block_on(body.collect()).map(http_body_util::Collected::to_bytes)
    }

    fn five_at_most(body: &'static str) -> (Result<Bytes, Error>, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let body = bounded(Full::new(Bytes::from(body)), 5, progress.clone());
        (read(body), progress)
    }

    #[test]
    fn a_body_at_the_limit_passes_whole() {
        let (read, progress) = five_at_most("12345");
        assert_eq!(read.unwrap(), "12345");
        assert!(progress.last().is_some());
    }

    #[test]
    fn a_body_past_the_limit_is_an_error_not_a_part() {
        let (read, _) = five_at_most("123456");
        assert!(matches!(read, Err(Error::HttpRequestBodySize(Some(5)))));
    }
}
