//! A component that does what the path of a request asks, good or bad, so that tests can watch a host cope.
//!
//! | Path | What it does | In |
//! |---|---|---|
//! | `/hello` | answers `hello` | [`reflect`] |
//! | `/echo` | tells, as JSON, what request arrived | [`reflect`] |
//! | `/env` | tells its environment | [`reflect`] |
//! | `/variable?name=` | a variable, by spin:variables | [`reflect`] |
//! | `/config?name=` | a variable, by wasi:config; all of them without a name | [`reflect`] |
//! | `/status?code=` | answers with this status | [`reflect`] |
//! | `/count` | how many requests this instance has served, this one included | [`reflect`] |
//! | `/print?text=` | writes a line to standard output and one to standard error | [`reflect`] |
//! | `/fetch?url=` | requests a URL and passes the answer on | [`reach`] |
//! | `/connect?address=` | opens a TCP connection | [`reach`] |
//! | `/file?path=` | reads a file | [`reach`] |
//! | `/length` | reads the request's body and tells its length | [`flow`] |
//! | `/ignore` | answers without reading the request's body | [`flow`] |
//! | `/big?bytes=` | sends this many bytes, each made when it is asked for | [`flow`] |
//! | `/unframed?bytes=` | the same, without saying how many | [`flow`] |
//! | `/sleep?ms=` | waits, without computing | [`flow`] |
//! | `/panic`, `/panic-late` | panics, before or in the middle of the body | [`misbehave`] |
//! | `/exit` | ends its program | [`misbehave`] |
//! | `/loop` | computes for ever | [`misbehave`] |
//! | `/eat` | allocates until it is stopped | [`misbehave`] |
//! | `/hold/{label}` | opens a store, and keeps it open, until it is stopped | [`misbehave`] |
//! | `/kv/{label}/{key}` | GET, PUT, DELETE and HEAD by spin:key-value | [`store`] |
//! | `/keys/{label}` | all keys, by spin:key-value | [`store`] |
//! | `/bucket/{label}/{key}` | GET, PUT, DELETE and HEAD by wasi:keyvalue | [`store`] |
//! | `/page/{label}?cursor=` | one page of keys, by wasi:keyvalue | [`store`] |
//! | `/append/{label}/{key}` | adds the body as a line, by compare-and-swap | [`store`] |
//! | `/lost-swap/{label}/{key}` | two swaps from the same starting value | [`store`] |
//! | `/increment/{label}/{key}?by=` | adds to a counter | [`store`] |
//! | `/batch/{label}` | GET and DELETE `?keys=a,b`, PUT lines of `key=value` | [`store`] |
//! | `/note/{label}/{key}` | keeps under the key what request arrived | [`timer`] |
//! | `/shift/{label}?ms=` | counts up `begun`, waits, counts up `done`; sets `twice` if another is at it | [`timer`] |
//! | `/gate/{label}/{key}` | succeeds once the key is there | [`timer`] |
//!
//! Versions of it that fail at every path are made by tests, by a mark in its bytes: [`variant`].

mod answer;
mod flow;
mod misbehave;
mod query;
mod reach;
mod reflect;
mod store;
mod timer;
mod variant;

use spin_sdk::http::{Request, StatusCode};
use spin_sdk::http_service;

use crate::answer::{Answer, text};

#[http_service]
async fn handle(request: Request) -> Answer {
    reflect::count_request();
    if let Some(failure) = variant::failure().await {
        return failure;
    }
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match *segments.as_slice() {
        ["hello"] => reflect::hello(),
        ["echo"] => reflect::echo(request).await,
        ["env"] => reflect::environment(),
        ["variable"] => reflect::variable(&request).await,
        ["config"] => reflect::config(&request),
        ["status"] => reflect::status(&request),
        ["count"] => reflect::count(),
        ["print"] => reflect::print(&request),
        ["fetch"] => reach::fetch(&request).await,
        ["connect"] => reach::connect(&request).await,
        ["file"] => reach::file(&request),
        ["length"] => flow::length(request).await,
        ["ignore"] => flow::ignore(),
        ["big"] => flow::big(&request),
        ["unframed"] => flow::unframed(&request),
        ["sleep"] => flow::sleep(&request).await,
        ["panic"] => misbehave::panic_now(),
        ["panic-late"] => misbehave::panic_late(),
        ["exit"] => misbehave::exit(),
        ["loop"] => misbehave::compute_for_ever(),
        ["eat"] => misbehave::eat(),
        ["hold", label] => misbehave::hold(label),
        ["kv", label, key] => store::value(request, label, key).await,
        ["keys", label] => store::keys(label).await,
        ["bucket", label, key] => store::bucket_value(request, label, key).await,
        ["page", label] => store::page(&request, label),
        ["append", label, key] => store::append(request, label, key).await,
        ["lost-swap", label, key] => store::lost_swap(label, key),
        ["increment", label, key] => store::increment(&request, label, key),
        ["batch", label] => store::batch(request, label).await,
        ["note", label, key] => timer::note(request, label, key).await,
        ["shift", label] => timer::shift(&request, label).await,
        ["gate", label, key] => timer::gate(label, key).await,
        _ => text(
            StatusCode::NOT_FOUND,
            format!("the test guest knows no {path}\n"),
        ),
    }
}
