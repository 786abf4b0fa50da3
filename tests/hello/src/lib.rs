//! The least that a component can do: it answers `hello` to every request. What it costs is what the host, and the way
//! in and out, cost any component.

#![cfg(target_family = "wasm")]

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use starling_handler::RequestBody;

const BODY: &str = "hello\n";

starling_handler::handle_with!(super::handle);

async fn handle(_request: Request<RequestBody>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CONTENT_LENGTH, BODY.len().into());
    response
}
