//! `/v1/openapi.json`: the API, described for programs (OpenAPI 3.1).
//!
//! The document is written by hand beside this file; the tests hold it against the table of routes, and
//! a running host is held against the document by schemathesis.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{self, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::conditional::{etag, unless_known};
use crate::negotiate::accepts;
use crate::problem::Problem;
use crate::response::{self, Body, JSON};

const DOCUMENT: &str = include_str!("openapi.json");

static ETAG: LazyLock<String> = LazyLock::new(|| etag(DOCUMENT.as_bytes()));

/// Shows the document, which changes with releases alone.
pub(crate) fn get(headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    if !accepts(headers, &[JSON]) {
        return Err(Problem::NotAcceptable {
            offered: JSON.into(),
        });
    }
    let body = Bytes::from_static(DOCUMENT.as_bytes());
    let mut response = response::whole(StatusCode::OK, JSON, body);
    let fields = response.headers_mut();
    fields.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    fields.extend(response::header(header::ETAG, ETAG.clone()));
    Ok(unless_known(headers, response))
}
