//! The key-value store through both of its interfaces: spin:key-value and wasi:keyvalue (store, atomics, batch).
//!
//! Errors of either answer alike: `no-such-store` 404, `access-denied` 403, `store-table-full` 503, others 500.

use serde_json::{Map, Value, json};
use spin_sdk::experimental::wasi::keyvalue::{atomics, batch as batches, store as buckets};
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{Method, Request, StatusCode};
use spin_sdk::key_value;

use crate::answer::{self, Answer, bad_request, text};
use crate::query;

/// Compare-and-swap attempts before giving up.
const ATTEMPTS_MAX: u32 = 1000;

// === spin:key-value ===

pub(crate) async fn value(request: Request, label: &str, key: &str) -> Answer {
    let key = query::decoded(key);
    let outcome: Result<Answer, key_value::Error> = async {
        let store = key_value::Store::open(label).await?;
        Ok(match *request.method() {
            Method::GET => found(store.get(key).await?),
            Method::HEAD => text(present(store.exists(key).await?), ""),
            Method::DELETE => {
                store.delete(key).await?;
                text(StatusCode::OK, "deleted\n")
            }
            Method::PUT => match request.into_body().bytes().await {
                Ok(body) => {
                    store.set(key, body).await?;
                    text(StatusCode::OK, "set\n")
                }
                Err(error) => bad_request(&format!("{error:?}")),
            },
            _ => text(StatusCode::METHOD_NOT_ALLOWED, ""),
        })
    }
    .await;
    outcome.unwrap_or_else(|error| refused(&error.into()))
}

pub(crate) async fn keys(label: &str) -> Answer {
    let outcome: Result<Vec<String>, key_value::Error> = async {
        let store = key_value::Store::open(label).await?;
        store.get_keys().await.collect().await
    }
    .await;
    match outcome {
        Ok(keys) => answer::json(&json!(keys)),
        Err(error) => refused(&error.into()),
    }
}

// === wasi:keyvalue ===

pub(crate) async fn bucket_value(request: Request, label: &str, key: &str) -> Answer {
    let key = query::decoded(key);
    let method = request.method().clone();
    let body = match request.into_body().bytes().await {
        Ok(body) => body,
        Err(error) => return bad_request(&format!("{error:?}")),
    };
    let outcome = buckets::open(label).and_then(|bucket| {
        Ok(match method {
            Method::GET => found(bucket.get(&key)?),
            Method::HEAD => text(present(bucket.exists(&key)?), ""),
            Method::DELETE => {
                bucket.delete(&key)?;
                text(StatusCode::OK, "deleted\n")
            }
            Method::PUT => {
                bucket.set(&key, &body)?;
                text(StatusCode::OK, "set\n")
            }
            _ => text(StatusCode::METHOD_NOT_ALLOWED, ""),
        })
    });
    outcome.unwrap_or_else(|error| refused(&error.into()))
}

pub(crate) fn page(request: &Request, label: &str) -> Answer {
    let cursor = query::parameter(request, "cursor");
    let page = buckets::open(label).and_then(|bucket| bucket.list_keys(cursor.as_deref()));
    match page {
        Ok(page) => answer::json(&json!({ "keys": page.keys, "cursor": page.cursor })),
        Err(error) => refused(&error.into()),
    }
}

/// Adds the body as a line. Answers how many swaps it took.
pub(crate) async fn append(request: Request, label: &str, key: &str) -> Answer {
    let line = match request.into_body().bytes().await {
        Ok(line) => line,
        Err(error) => return bad_request(&format!("{error:?}")),
    };
    let attempt = || -> Result<Option<u32>, buckets::Error> {
        let bucket = buckets::open(label)?;
        let mut cas = atomics::Cas::new(&bucket, key)?;
        for attempt in 1..=ATTEMPTS_MAX {
            let mut lines = cas.current()?.unwrap_or_default();
            lines.extend_from_slice(&line);
            lines.push(b'\n');
            match atomics::swap(cas, &lines) {
                Ok(()) => return Ok(Some(attempt)),
                Err(atomics::CasError::CasFailed(fresh)) => cas = fresh,
                Err(atomics::CasError::StoreError(error)) => return Err(error),
            }
        }
        Ok(None)
    };
    match attempt() {
        Ok(Some(attempts)) => text(StatusCode::OK, attempts.to_string()),
        Ok(None) => text(StatusCode::CONFLICT, format!("lost {ATTEMPTS_MAX} swaps\n")),
        Err(error) => refused(&error.into()),
    }
}

/// Takes two handles on the same value, swaps through the first, then through the second. Answers what became of
/// both and the value that the second's fresh handle shows.
pub(crate) fn lost_swap(label: &str, key: &str) -> Answer {
    let attempt = || -> Result<Value, buckets::Error> {
        let bucket = buckets::open(label)?;
        let first = atomics::Cas::new(&bucket, key)?;
        let second = atomics::Cas::new(&bucket, key)?;
        first.current()?;
        second.current()?;
        let first = atomics::swap(first, b"first");
        let (second, fresh) = match atomics::swap(second, b"second") {
            Ok(()) => ("swapped", None),
            Err(atomics::CasError::CasFailed(fresh)) => ("lost", fresh.current()?),
            Err(atomics::CasError::StoreError(error)) => return Err(error),
        };
        let as_text = |value: Option<Vec<u8>>| {
            value.map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        Ok(json!({
            "first": if first.is_ok() { "swapped" } else { "lost" },
            "second": second,
            "fresh": as_text(fresh),
            "stored": as_text(bucket.get(key)?),
        }))
    };
    match attempt() {
        Ok(outcome) => answer::json(&outcome),
        Err(error) => refused(&error.into()),
    }
}

pub(crate) fn increment(request: &Request, label: &str, key: &str) -> Answer {
    let by = query::parameter(request, "by")
        .and_then(|by| by.parse().ok())
        .unwrap_or(1);
    match buckets::open(label).and_then(|bucket| atomics::increment(&bucket, key, by)) {
        Ok(sum) => text(StatusCode::OK, sum.to_string()),
        Err(error) => refused(&error.into()),
    }
}

pub(crate) async fn batch(request: Request, label: &str) -> Answer {
    let listed = query::parameter(&request, "keys").unwrap_or_default();
    let keys: Vec<String> = listed
        .split(',')
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
        .collect();
    let method = request.method().clone();
    let body = match request.into_body().bytes().await {
        Ok(body) => body,
        Err(error) => return bad_request(&format!("{error:?}")),
    };
    let outcome = buckets::open(label).and_then(|bucket| match method {
        Method::GET => {
            let values = batches::get_many(&bucket, &keys)?;
            let values: Map<String, Value> = values
                .into_iter()
                .map(|(key, value)| {
                    (
                        key,
                        value
                            .map(|value| String::from_utf8_lossy(&value).into_owned())
                            .into(),
                    )
                })
                .collect();
            Ok(answer::json(&Value::Object(values)))
        }
        Method::PUT => {
            let body = String::from_utf8_lossy(&body);
            let pairs: Vec<(String, Vec<u8>)> = body
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
                .collect();
            batches::set_many(&bucket, &pairs)?;
            Ok(text(StatusCode::OK, "set\n"))
        }
        Method::DELETE => {
            batches::delete_many(&bucket, &keys)?;
            Ok(text(StatusCode::OK, "deleted\n"))
        }
        _ => Ok(text(StatusCode::METHOD_NOT_ALLOWED, "")),
    });
    outcome.unwrap_or_else(|error| refused(&error.into()))
}

// === Answers ===

/// The errors of both interfaces as one.
enum Refusal {
    NoSuchStore,
    AccessDenied,
    TableFull,
    Other(String),
}

impl From<key_value::Error> for Refusal {
    fn from(error: key_value::Error) -> Self {
        match error {
            key_value::Error::NoSuchStore => Self::NoSuchStore,
            key_value::Error::AccessDenied => Self::AccessDenied,
            key_value::Error::StoreTableFull => Self::TableFull,
            key_value::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<buckets::Error> for Refusal {
    fn from(error: buckets::Error) -> Self {
        match error {
            buckets::Error::NoSuchStore => Self::NoSuchStore,
            buckets::Error::AccessDenied => Self::AccessDenied,
            buckets::Error::Other(why) => Self::Other(why),
        }
    }
}

fn refused(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::NoSuchStore => text(StatusCode::NOT_FOUND, "no-such-store\n"),
        Refusal::AccessDenied => text(StatusCode::FORBIDDEN, "access-denied\n"),
        Refusal::TableFull => text(StatusCode::SERVICE_UNAVAILABLE, "store-table-full\n"),
        Refusal::Other(why) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("other: {why}\n")),
    }
}

fn found(value: Option<Vec<u8>>) -> Answer {
    match value {
        Some(value) => answer::bytes(value),
        None => text(StatusCode::NOT_FOUND, "no such key\n"),
    }
}

fn present(exists: bool) -> StatusCode {
    if exists {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}
