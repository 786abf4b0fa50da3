//! Answers, all of which are whole and at hand.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// The body of an answer.
pub type Body = Full<Bytes>;

/// The media type of [`json`].
pub(crate) const JSON: &str = "application/json";

/// An answer in JSON. What it shows changes at any time: nobody is to keep it.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    typed(status, JSON, value)
}

/// [`json`] of a media type of its own.
pub(crate) fn typed(
    status: StatusCode,
    media_type: &'static str,
    value: &impl Serialize,
) -> Response<Body> {
    // What the API shows are maps of texts, numbers and booleans, which are always JSON.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
