//! Conditional requests for what changes (RFC 9110, section 13): a mailbox, a message.
//!
//! The entity tag is a digest of the representation, so it is the same in every region that shows the
//! same, and strong. `If-Match` is decided within the compare-and-swap, against what the change would
//! be made upon.

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use starling_mailbox::Digest;

use crate::problem::Problem;
use crate::response::{self, Body};

/// The entity tag of a representation in JSON, with its quotes.
pub(crate) fn etag(json: &[u8]) -> String {
    let digest = Digest::of(json).to_string();
    format!("\"{}\"", &digest[..32])
}

/// An answer to GET or HEAD with its entity tag: 304 if the client has it.
pub(crate) fn shown(headers: &HeaderMap, value: &impl Serialize) -> Response<Body> {
    unless_known(headers, tagged(StatusCode::OK, value))
}

/// An answer that has an entity tag: 304 if the client has it.
pub(crate) fn unless_known(headers: &HeaderMap, response: Response<Body>) -> Response<Body> {
    let tag = response
        .headers()
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok());
    let has_it = tag.is_some_and(|tag| lists(headers, IF_NONE_MATCH, tag, Weakly));
    if !has_it {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(http::header::CONTENT_LENGTH);
    parts.headers.remove(http::header::CONTENT_TYPE);
    Response::from_parts(parts, Body::empty())
}

/// An answer with its entity tag.
pub(crate) fn tagged(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let json = serde_json::to_vec(value).unwrap_or_default();
    let tag = etag(&json);
    let mut response = response::json_bytes(status, json);
    response.headers_mut().extend(response::header(ETAG, tag));
    response
}

/// Whether a change may be made upon what is represented by `value`, or upon nothing at all.
///
/// # Errors
///
/// [`Problem::PreconditionFailed`] if the client meant another state.
pub(crate) fn check(headers: &HeaderMap, value: Option<&impl Serialize>) -> Result<(), Problem> {
    if !headers.contains_key(IF_MATCH) && !headers.contains_key(IF_NONE_MATCH) {
        return Ok(());
    }
    let tag = value.map(|value| etag(&serde_json::to_vec(value).unwrap_or_default()));
    check_tag(headers, tag.as_deref())
}

/// The same, for what has the entity tag `tag`, with its quotes.
///
/// # Errors
///
/// [`Problem::PreconditionFailed`] if the client meant another state.
pub(crate) fn check_tag(headers: &HeaderMap, tag: Option<&str>) -> Result<(), Problem> {
    let matches = |header, how| match tag {
        Some(tag) => lists(headers, header, tag, how),
        None => false,
    };
    let holds = if headers.contains_key(IF_MATCH) {
        matches(IF_MATCH, Strongly)
    } else {
        !headers.contains_key(IF_NONE_MATCH) || !matches(IF_NONE_MATCH, Weakly)
    };
    if holds {
        Ok(())
    } else {
        Err(Problem::PreconditionFailed)
    }
}

/// How tags are compared (section 8.8.3.2).
#[derive(Clone, Copy, Eq, PartialEq)]
enum How {
    Strongly,
    Weakly,
}
use How::{Strongly, Weakly};

/// Whether a header names the tag: any, or in a list. A tag of ours contains no comma, so one that is
/// cut by splitting was none.
fn lists(headers: &HeaderMap, header: http::HeaderName, tag: &str, how: How) -> bool {
    let names = |value: &HeaderValue| {
        value.to_str().is_ok_and(|list| {
            list.split(',').map(str::trim).any(|named| {
                let weak = named.strip_prefix("W/");
                named == "*" || named == tag || (how == Weakly && weak == Some(tag))
            })
        })
    };
    headers.get_all(header).iter().any(names)
}
