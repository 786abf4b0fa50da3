//! Other hosts of the fleet, for requests that this one cannot serve.
//!
//! A host may lack what a path needs: it has no route for it, or no version of the component yet. It then passes the
//! request to a sibling that says it can, once: a request that has been passed is never passed again, and a sibling that
//! cannot be reached is not followed by another. The client retries, as it does after every failure.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use starling_engine::{Response, relayed_body};
use thiserror::Error;

use crate::problem::Problem;
use crate::received::Received;
use crate::routes::{Route, RoutePattern, Routes};
use crate::trace::Trace;

/// Marks a request that a sibling has passed on, with that sibling's id. A stranger who sends it is answered by this host
/// alone, and gains nothing.
const PASSED_BY: HeaderName = HeaderName::from_static("starling-passed-by");

/// How long a sibling may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a sibling may take for the head of its response. It bounds its requests itself, and tells of it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(130);

/// How long a connection to a sibling is kept without use: less than the sibling waits for the next request on it, so
/// that no request meets its end.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Headers that are about one connection, and not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Another host.
#[derive(Clone, Debug)]
pub struct Sibling {
    /// Its id.
    pub id: String,
    /// Its front door.
    pub authority: Authority,
    /// The routes that it serves.
    pub routes: Routes<()>,
}

/// Why what is said of a sibling is not taken.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not the address of a front door, such as http://192.0.2.1:3000")]
pub struct InvalidAddress(String);

impl Sibling {
    /// The host `id` at `address`, `http://` and host and port, which serves these routes. Routes that make no sense to
    /// this host are left out: the sibling may be of a later release.
    ///
    /// # Errors
    /// [`InvalidAddress`].
    pub fn new<'a>(
        id: &str,
        address: &str,
        routes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| invalid())?;
        let authority = uri.authority().cloned().ok_or_else(invalid)?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(invalid());
        }
        let routes = routes.into_iter().filter_map(|raw| {
            let pattern: RoutePattern = raw.parse().ok()?;
            Some(Route {
                pattern,
                component: String::new(),
                spin_headers: false,
                priorities: Arc::default(),
                target: (),
            })
        });
        Ok(Self {
            id: id.to_owned(),
            authority,
            routes: Routes::new(routes.collect()).map_err(|_| invalid())?,
        })
    }
}

/// The siblings of one host, as they are now, and the host's own id. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Siblings(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    own_id: String,
    siblings: Vec<Sibling>,
}

impl Siblings {
    /// Replaces them; in the order in which they are asked.
    pub fn set(&self, own_id: &str, siblings: Vec<Sibling>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Known {
            own_id: own_id.to_owned(),
            siblings,
        };
    }

    /// Leaves a sibling that cannot be reached out, until they are set again.
    fn leave_out(&self, authority: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known
            .siblings
            .retain(|sibling| sibling.authority != authority);
    }

    /// The first that serves `path`, with the name under which this host passes a request on.
    fn serving(&self, path: &str) -> Option<(Authority, HeaderValue)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let sibling = known
            .siblings
            .iter()
            .find(|sibling| sibling.routes.find(path).is_some())?;
        let own_id = HeaderValue::from_str(&known.own_id).ok()?;
        Some((sibling.authority.clone(), own_id))
    }
}

/// Passes requests to siblings, from one event loop.
#[derive(Debug)]
pub(crate) struct Relay {
    siblings: Siblings,
    client: Client<HttpConnector, Received>,
}

impl Relay {
    pub(crate) fn new(siblings: Siblings) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { siblings, client }
    }

    /// The response of a sibling to a request that has not been passed before, as part of this trace; `otherwise`, where
    /// the request has not left.
    pub(crate) async fn pass(
        &self,
        mut request: Request<Received>,
        trace: Trace,
        otherwise: Problem,
    ) -> Result<Response, Problem> {
        if request.headers().contains_key(PASSED_BY) {
            return Err(otherwise);
        }
        let Some((authority, own_id)) = self.siblings.serving(request.uri().path()) else {
            return Err(otherwise);
        };
        let sibling = authority.to_string();
        if !aim(&mut request, authority, own_id) {
            return Err(otherwise);
        }
        trace.pass_on(request.headers_mut());
        match tokio::time::timeout(RESPONSE_TIMEOUT, self.client.request(request)).await {
            Ok(Ok(response)) => {
                let mut response = response.map(relayed_body);
                remove_hop_by_hop(response.headers_mut());
                *response.version_mut() = Version::HTTP_11;
                Ok(response)
            }
            Ok(Err(error)) if error.is_connect() => {
                tracing::warn!(sibling, %error, "a sibling cannot be reached");
                self.siblings.leave_out(&sibling);
                Err(otherwise)
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    sibling,
                    %error,
                    "a request was passed to a sibling, which gave no response"
                );
                Err(Problem::SiblingFailed)
            }
            Err(_) => {
                tracing::warn!(
                    sibling,
                    "a request was passed to a sibling, which gave no response in time"
                );
                Err(Problem::SiblingFailed)
            }
        }
    }
}

/// Turns a request to this host into one to a sibling. What the client called this host stays in `Host`.
fn aim(request: &mut Request<Received>, authority: Authority, own_id: HeaderValue) -> bool {
    let asked = request.uri().authority().cloned();
    let path = request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    let Ok(uri) = Uri::from_parts(parts) else {
        return false;
    };
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    // Where the request line has it, as in HTTP/2, it rules over `Host`.
    if let Some(host) = asked.and_then(|asked| HeaderValue::from_str(asked.as_str()).ok()) {
        headers.insert(header::HOST, host);
    }
    headers.insert(PASSED_BY, own_id);
    true
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in &named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sibling(id: &str, address: &str, routes: &[&str]) -> Sibling {
        Sibling::new(id, address, routes.iter().copied()).unwrap()
    }

    #[test]
    fn the_first_sibling_that_serves_a_path_is_asked() {
        let siblings = Siblings::default();
        assert_eq!(siblings.serving("/v1/a"), None);
        siblings.set(
            "own",
            vec![
                sibling("a", "http://127.0.0.1:1", &["/other"]),
                sibling("b", "http://127.0.0.1:2", &["/v1/...", "no route"]),
                sibling("c", "http://127.0.0.1:3", &["/..."]),
            ],
        );
        let asked = |path| siblings.serving(path).unwrap();
        assert_eq!(asked("/v1/a").0, "127.0.0.1:2");
        assert_eq!(asked("/v2").0, "127.0.0.1:3");
        assert_eq!(asked("/other").1, "own");
    }

    #[test]
    fn a_sibling_that_cannot_be_reached_is_asked_no_more_until_it_is_named_again() {
        let siblings = Siblings::default();
        let both = || {
            vec![
                sibling("a", "http://127.0.0.1:1", &["/..."]),
                sibling("b", "http://127.0.0.1:2", &["/..."]),
            ]
        };
        siblings.set("own", both());
        siblings.leave_out("127.0.0.1:1");
        assert_eq!(siblings.serving("/").unwrap().0, "127.0.0.1:2");
        siblings.set("own", both());
        assert_eq!(siblings.serving("/").unwrap().0, "127.0.0.1:1");
    }

    #[test]
    fn what_is_about_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-mine", "1"),
            ("range", "bytes=0-1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["range"]);
    }

    #[test]
    fn an_address_is_one_of_a_front_door() {
        for address in ["", "127.0.0.1:1", "https://127.0.0.1:1", "http:///x"] {
            let error = Sibling::new("a", address, []).unwrap_err();
            assert_eq!(error, InvalidAddress(address.to_owned()));
        }
    }
}
