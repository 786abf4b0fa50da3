//! The query of a request: `name=value` pairs with `&` between them, percent-encoded.

use percent_encoding::percent_decode_str;
use spin_sdk::http::Request;

/// The value of the first parameter of this name.
pub(crate) fn parameter(request: &Request, name: &str) -> Option<String> {
    request.uri().query()?.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (found == name).then(|| decoded(value))
    })
}

/// The same, as a number; 0 where it is missing or none.
pub(crate) fn number(request: &Request, name: &str) -> u64 {
    parameter(request, name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// `text` without its percent-encoding.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
