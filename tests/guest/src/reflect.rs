//! What the component sees of the request, its environment and its configuration.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};
use spin_sdk::experimental::wasi::config::store as config_store;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{Request, StatusCode};
use spin_sdk::variables;

use crate::answer::{self, Answer, bad_request, text};
use crate::query;

/// Requests begun in this instance. Lives as long as the instance does.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn count_request() {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn count() -> Answer {
    text(StatusCode::OK, REQUESTS.load(Ordering::Relaxed).to_string())
}

pub(crate) fn hello() -> Answer {
    text(StatusCode::OK, "hello\n")
}

pub(crate) async fn echo(request: Request) -> Answer {
    answer::json(&told(request).await)
}

/// What request arrived, as JSON.
pub(crate) async fn told(request: Request) -> Value {
    let (parts, body) = request.into_parts();
    let headers: Vec<Value> = parts
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let body = match body.bytes().await {
        Ok(body) => json!(body.len()),
        Err(error) => json!(format!("{error:?}")),
    };
    json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": headers,
        "body_bytes": body,
    })
}

pub(crate) fn environment() -> Answer {
    let variables: Map<String, Value> = std::env::vars()
        .map(|(name, value)| (name, value.into()))
        .collect();
    let arguments: Vec<String> = std::env::args().collect();
    answer::json(&json!({ "variables": variables, "arguments": arguments }))
}

pub(crate) async fn variable(request: &Request) -> Answer {
    let name = query::parameter(request, "name").unwrap_or_default();
    match variables::get(&name).await {
        Ok(value) => text(StatusCode::OK, value),
        Err(variables::Error::Undefined(why)) => {
            text(StatusCode::NOT_FOUND, format!("undefined: {why}\n"))
        }
        Err(variables::Error::InvalidName(why)) => bad_request(&format!("invalid name: {why}")),
        Err(other) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{other:?}\n")),
    }
}

pub(crate) fn config(request: &Request) -> Answer {
    let failed = |error| text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}\n"));
    match query::parameter(request, "name") {
        Some(name) => match config_store::get(&name) {
            Ok(Some(value)) => text(StatusCode::OK, value),
            Ok(None) => text(StatusCode::NOT_FOUND, "undefined\n"),
            Err(error) => failed(error),
        },
        None => match config_store::get_all() {
            Ok(all) => {
                let all: Map<String, Value> = all
                    .into_iter()
                    .map(|(name, value)| (name, value.into()))
                    .collect();
                answer::json(&Value::Object(all))
            }
            Err(error) => failed(error),
        },
    }
}

pub(crate) fn status(request: &Request) -> Answer {
    let code = u16::try_from(query::number(request, "code")).unwrap_or(0);
    match StatusCode::from_u16(code) {
        Ok(status) => text(status, format!("{status}\n")),
        Err(_) => bad_request("not a status"),
    }
}

pub(crate) fn print(request: &Request) -> Answer {
    let text_to_print = query::parameter(request, "text").unwrap_or_default();
    println!("stdout: {text_to_print}");
    eprintln!("stderr: {text_to_print}");
    text(StatusCode::OK, "printed\n")
}
