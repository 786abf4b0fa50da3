//! The answers of the test guest: text or JSON, of known length.

use bytes::Bytes;
use serde_json::Value;
use spin_sdk::http::{BoxBody, FullBody, HeaderValue, Response, StatusCode, box_body};

/// What every handler returns.
pub(crate) type Answer = Response<BoxBody>;

/// Plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    of_type(status, "text/plain; charset=utf-8", body.into().into())
}

/// JSON.
pub(crate) fn json(body: &Value) -> Answer {
    of_type(StatusCode::OK, "application/json", body.to_string().into())
}

/// Bytes.
pub(crate) fn bytes(body: impl Into<Bytes>) -> Answer {
    of_type(StatusCode::OK, "application/octet-stream", body.into())
}

/// A request that this component cannot make sense of.
pub(crate) fn bad_request(why: &str) -> Answer {
    text(StatusCode::BAD_REQUEST, format!("{why}\n"))
}

fn of_type(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let length = body.len();
    let mut answer = Response::new(box_body(FullBody::new(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(media_type));
    answer
        .headers_mut()
        .insert("content-length", HeaderValue::from(length));
    answer
}
