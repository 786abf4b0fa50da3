//! Responses as instances give them, and the bodies of requests and responses.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use sha2::{Digest, Sha256};
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
/// `connection-terminated`; it never takes a part for the whole. If it is to be told the `digest`, the body ends in
/// trailers that have it.
pub(crate) fn bounded<B>(body: B, bytes_max: u64, progress: Arc<Progress>, digest: bool) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    Bounded {
        body,
        bytes_left: bytes_max,
        bytes_max,
        progress,
        digest: digest.then(Sha256::new),
    }
    .boxed_unsync()
}

struct Bounded<B> {
    body: B,
    bytes_left: u64,
    bytes_max: u64,
    progress: Arc<Progress>,
    /// Of what has come, until it has been told.
    digest: Option<Sha256>,
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
            None => {
                let digest = self.digest.take();
                return Poll::Ready(
                    digest.map(|it| Ok(Frame::trailers(with_digest(it, HeaderMap::new())))),
                );
            }
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
            if let Some(digest) = &mut self.digest {
                digest.update(data);
            }
        }
        if frame.is_trailers()
            && let Some(digest) = self.digest.take()
        {
            let trailers = frame.into_trailers().unwrap_or_default();
            return Poll::Ready(Some(Ok(Frame::trailers(with_digest(digest, trailers)))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.digest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Trailers with the digest of the body in front of them, in place of any that is in them.
fn with_digest(digest: Sha256, mut trailers: HeaderMap) -> HeaderMap {
    let digest = BASE64_STANDARD.encode(digest.finalize());
    let digest = HeaderValue::try_from(format!("sha-256=:{digest}:"));
    let digest = digest.expect("base64 is visible text");
    trailers.insert(HeaderName::from_static("content-digest"), digest);
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    fn read(body: Body) -> Result<Bytes, Error> {
        futures::executor::block_on(body.collect()).map(http_body_util::Collected::to_bytes)
    }

    fn five_at_most(body: &'static str) -> (Result<Bytes, Error>, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let body = bounded(Full::new(Bytes::from(body)), 5, progress.clone(), false);
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

    /// The digest of `hello`, by OpenSSL.
    const OF_HELLO: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";

    fn trailers_of(frames: Vec<Frame<Bytes>>, digest: bool) -> Option<HeaderMap> {
        let frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
        let body = StreamBody::new(futures::stream::iter(frames));
        let body = bounded(body, 100, Arc::default(), digest);
        assert!(!http_body::Body::is_end_stream(&body));
        let collected = futures::executor::block_on(body.collect()).unwrap();
        collected.trailers().cloned()
    }

    #[test]
    fn a_digest_is_of_all_pieces_and_no_client_can_say_another() {
        let pieces = || vec![Frame::data("hel".into()), Frame::data("lo".into())];
        assert_eq!(trailers_of(pieces(), false), None);
        let told = trailers_of(pieces(), true).unwrap();
        assert_eq!(told["content-digest"], OF_HELLO);

        let mut forged = HeaderMap::new();
        forged.append("content-digest", HeaderValue::from_static("sha-256=:AA==:"));
        forged.append("content-digest", HeaderValue::from_static("sha-512=:AA==:"));
        forged.append("checked", HeaderValue::from_static("yes"));
        let mut frames = pieces();
        frames.push(Frame::trailers(forged));
        let told = trailers_of(frames, true).unwrap();
        let digests: Vec<_> = told.get_all("content-digest").iter().collect();
        assert_eq!(digests, [OF_HELLO]);
        assert_eq!(told["checked"], "yes");
    }

    #[test]
    fn a_body_that_breaks_off_has_no_digest() {
        let body = bounded(Full::new(Bytes::from("123456")), 5, Arc::default(), true);
        let mut body = std::pin::pin!(body);
        let frame = futures::executor::block_on(body.frame());
        assert!(matches!(frame, Some(Err(Error::HttpRequestBodySize(_)))));
    }
}
