//! The readers of what clients send, for the fuzz targets in `fuzz/`; compiled for them alone.
//!
//! Each says what was taken, if it was; every refusal is made into the answer that a client would get.

use futures::executor::block_on;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use starling_mailbox::{MailboxId, ProfileChange};

use crate::particulars::{IdempotencyKey, Particulars};
use crate::problem::Problem;
use crate::ranges::Selection;
use crate::route::Resource;
use crate::{form, json, negotiate, ranges, resources, time, trace};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The audio of a form, of which there may be none.
pub fn form(content_type: &str, body: &[u8]) -> Option<Option<Vec<u8>>> {
    let form = taken(block_on(form::read(content_type, body.to_vec())))?;
    Some(form.audio)
}

/// The settings to change.
pub fn settings(body: &[u8]) -> Option<ProfileChange> {
    let mailbox: MailboxId = "+15551230001".parse().ok()?;
    Some(taken(json::settings(&mailbox, body))?.change)
}

/// Every other body that is JSON.
pub fn json(body: &[u8]) {
    taken(json::credentials(body));
    taken(json::recipients(body));
    taken(json::bulk_change(body));
    taken(json::flag_change(body));
}

/// A path, and the query of a list.
pub fn query(text: &str) {
    let (path, query) = text.split_once('?').unwrap_or((text, text));
    if let Some(resource) = Resource::of(path) {
        assert!(!resource.methods().is_empty());
    }
    taken(resources::messages::parse(query));
    if let Some(ms) = time::parse(text) {
        assert_eq!(time::parse(&time::format(ms)), Some(ms));
    }
}

/// Headers, a line for each.
pub fn headers(lines: &str) {
    const BYTES: u64 = 1000;
    let headers: HeaderMap = lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        })
        .collect();
    taken(Particulars::of_headers(&headers));
    taken(IdempotencyKey::of(&headers));
    taken(negotiate::declared_type(&headers));
    negotiate::accepts(&headers, &["audio/wav", "audio/x-wav"]);
    negotiate::names(&headers, "audio/wav");
    if let Selection::Part(range) = ranges::select(&Method::GET, &headers, "\"tag\"", BYTES) {
        assert!(range.start < range.end && range.end <= BYTES, "{range:?}");
    }
    if let Some(id) = headers
        .get("traceparent")
        .and_then(|it| trace::trace_id(it.to_str().ok()?))
    {
        assert_eq!(id.len(), TRACE.len());
    }
}

fn taken<T>(result: Result<T, Problem>) -> Option<T> {
    let problem = match result {
        Ok(value) => return Some(value),
        Err(problem) => problem,
    };
    let status = problem.response(TRACE).status();
    assert!(status.is_client_error(), "{problem:?}");
    None
}
