//! Bodies that are long, lazy or unread, and answers that take their time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use spin_sdk::http::{HeaderValue, Request, StatusCode, box_body};

use crate::answer::{Answer, text};
use crate::query;

/// Bytes made at a time.
const PIECE: u64 = 64 * 1024;

pub(crate) async fn length(request: Request) -> Answer {
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => {
                return text(
                    StatusCode::BAD_REQUEST,
                    format!("after {length} bytes: {error:?}\n"),
                );
            }
        }
    }
    text(StatusCode::OK, length.to_string())
}

pub(crate) fn ignore() -> Answer {
    text(StatusCode::OK, "ignored\n")
}

pub(crate) fn big(request: &Request) -> Answer {
    let mut answer = unframed(request);
    let length = HeaderValue::from(query::number(request, "bytes"));
    answer.headers_mut().insert("content-length", length);
    answer
}

pub(crate) fn unframed(request: &Request) -> Answer {
    Answer::new(box_body(Lazy {
        left: query::number(request, "bytes"),
    }))
}

pub(crate) async fn sleep(request: &Request) -> Answer {
    let ms = query::number(request, "ms");
    spin_sdk::time::sleep(Duration::from_millis(ms)).await;
    text(StatusCode::OK, format!("slept {ms} ms\n"))
}

/// A body of `x`s of which no more than one piece exists at a time.
struct Lazy {
    left: u64,
}

impl Body for Lazy {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static XS: [u8; PIECE as usize] = [b'x'; PIECE as usize];
        let length = self.left.min(PIECE);
        self.left -= length;
        let piece = Bytes::from_static(&XS[..length as usize]);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }
}
