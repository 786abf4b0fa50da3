//! Answers and their bodies.
//!
//! An answer states its length, if anybody can know it: what a client gets less of than was promised,
//! it knows to be cut off.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::LocalBoxStream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use serde::Serialize;

use crate::platform::StoreError;

/// The body of an answer.
pub struct Body(Content);

enum Content {
    /// Empty, or whole and at hand; nothing once it was taken.
    Whole(Option<Bytes>),
    /// Read from the store piece by piece, each when the one before was taken.
    Pieces {
        pieces: LocalBoxStream<'static, Result<Bytes, StoreError>>,
        /// `None` if it is not known how many there will be.
        bytes_left: Option<u64>,
    },
}

impl Body {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self(Content::Whole(None))
    }

    /// A body that is produced lazily and comes to so many bytes.
    pub(crate) fn pieces(
        pieces: LocalBoxStream<'static, Result<Bytes, StoreError>>,
        bytes: u64,
    ) -> Self {
        Self(Content::Pieces {
            pieces,
            bytes_left: Some(bytes),
        })
    }

    /// A body that is produced while it is sent, of a length that nobody knows before.
    pub(crate) fn produced(pieces: LocalBoxStream<'static, Result<Bytes, StoreError>>) -> Self {
        Self(Content::Pieces {
            pieces,
            bytes_left: None,
        })
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Whole((!bytes.is_empty()).then_some(bytes)))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = http_body::Body::size_hint(self).exact();
        f.debug_struct("Body").field("bytes_left", &size).finish()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        match &mut self.0 {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Pieces { pieces, bytes_left } => {
                pieces.as_mut().poll_next(context).map_ok(|piece| {
                    if let Some(bytes_left) = bytes_left {
                        *bytes_left = bytes_left.saturating_sub(piece.len() as u64);
                    }
                    Frame::data(piece)
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = match &self.0 {
            Content::Whole(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Pieces { bytes_left, .. } => *bytes_left,
        };
        bytes.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// An answer with a body that is at hand.
pub(crate) fn whole(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Body> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// An answer in JSON. What it shows is personal and changes at any time: nobody is to keep it.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // The shapes in json.rs are maps of texts, numbers and booleans, which are always JSON.
    json_bytes(status, serde_json::to_vec(value).unwrap_or_default())
}

/// [`json`] of what is JSON already.
pub(crate) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = whole(status, JSON, body.into());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The media type of [`json`].
pub(crate) const JSON: &str = "application/json";

/// JSON values, one a line.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// 204.
pub(crate) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A header whose value is composed, to extend a map with. What the API composes is visible ASCII;
/// were it not, the header would be left out.
pub(crate) fn header(name: HeaderName, value: String) -> Option<(HeaderName, HeaderValue)> {
    HeaderValue::try_from(value).ok().map(|value| (name, value))
}
