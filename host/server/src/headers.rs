//! The request as a component gets it: with an absolute URI, and with the headers that Spin sets.
//!
//! Source: Spin 4, `crates/trigger-http/src/headers.rs` names them; its documentation describes them under
//! "Request handling".

use std::net::SocketAddr;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header, request};

use crate::problem::Problem;
use crate::routes::RoutePattern;

const PREFIX: &str = "spin-";
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// The headers that are the same for each request of a route.
#[derive(Clone, Debug)]
pub(crate) struct RouteHeaders {
    route: HeaderValue,
    prefix: HeaderValue,
}

impl RouteHeaders {
    pub(crate) fn new(pattern: &RoutePattern) -> Self {
        let value = |text: &str| {
            HeaderValue::from_str(text).expect("a route is a path, and a path fits into a header")
        };
        Self {
            route: value(pattern.raw()),
            prefix: value(pattern.raw_prefix()),
        }
    }
}

/// The headers that are the same for each request of a connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionHeaders {
    client: HeaderValue,
    local: Authority,
}

impl ConnectionHeaders {
    pub(crate) fn new(client: SocketAddr, local: SocketAddr) -> Self {
        Self {
            client: HeaderValue::try_from(client.to_string())
                .expect("an address fits into a header"),
            local: local
                .to_string()
                .parse()
                .expect("an address is an authority"),
        }
    }
}

/// Makes the head of a client's request what a component expects: with Spin's headers for the route and for the path
/// below it, where the component reads them.
///
/// # Errors
/// When the `Host` header is not an authority (RFC 9112, section 3.2).
pub(crate) fn prepare(
    head: &mut request::Parts,
    route: Option<(&RouteHeaders, &HeaderValue)>,
    connection: &ConnectionHeaders,
) -> Result<(), Problem> {
    let authority = authority(head, connection)?;
    let path_and_query = head
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    remove_claims(&mut head.headers);
    if let Some((route, path_info)) = route {
        let full_url = format!("http://{authority}{path_and_query}");
        let full_url = HeaderValue::try_from(full_url).map_err(|_| Problem::InvalidHost)?;
        let headers = &mut head.headers;
        headers.insert(FULL_URL, full_url);
        headers.insert(PATH_INFO, path_info.clone());
        headers.insert(MATCHED_ROUTE, route.route.clone());
        headers.insert(RAW_COMPONENT_ROUTE, route.route.clone());
        headers.insert(COMPONENT_ROUTE, route.prefix.clone());
        headers.insert(BASE_PATH, HeaderValue::from_static("/"));
        headers.insert(CLIENT_ADDR, connection.client.clone());
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    uri.path_and_query = Some(path_and_query);
    head.uri = Uri::from_parts(uri).map_err(|_| Problem::InvalidHost)?;
    Ok(())
}

/// The host that the client meant: in the URI (HTTP/2), in `Host` (HTTP/1.1), or the address it reached.
fn authority(head: &request::Parts, connection: &ConnectionHeaders) -> Result<Authority, Problem> {
    if let Some(authority) = head.uri.authority() {
        return Ok(authority.clone());
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.is_empty() => Ok(connection.local.clone()),
        (Some(host), None) if !host.as_bytes().contains(&b'@') => {
            Authority::try_from(host.as_bytes()).map_err(|_| Problem::InvalidHost)
        }
        // HTTP/1.0 did not have it; HTTP/1.1 demands one.
        (None, _) if head.version < Version::HTTP_11 => Ok(connection.local.clone()),
        _ => Err(Problem::InvalidHost),
    }
}

/// The size of a request's header list, as HTTP/2 counts it: names, values, and 32 bytes for each field (RFC 9113, section
/// 6.5.2).
pub(crate) fn list_bytes<B>(request: &Request<B>) -> usize {
    const FIELD_OVERHEAD: usize = 32;
    let uri = request.uri();
    let pseudo = [
        (":method", request.method().as_str()),
        (":scheme", uri.scheme_str().unwrap_or_default()),
        (":authority", uri.authority().map_or("", Authority::as_str)),
        (
            ":path",
            uri.path_and_query().map_or("", PathAndQuery::as_str),
        ),
    ];
    let pseudo = pseudo.iter().map(|(name, value)| name.len() + value.len());
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
    pseudo
        .chain(fields)
        .map(|bytes| bytes + FIELD_OVERHEAD)
        .sum()
}

/// Headers that only the host may set do not come from a client.
fn remove_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &&HeaderName| name.as_str().starts_with(PREFIX);
    while let Some(claim) = headers.keys().find(is_claim).cloned() {
        headers.remove(claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(request: request::Builder, route: &str, path_info: &'static str) -> request::Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let connection =
            ConnectionHeaders::new(([192, 0, 2, 7], 4711).into(), ([127, 0, 0, 1], 3000).into());
        let route = RouteHeaders::new(&route.parse().unwrap());
        prepare(
            &mut head,
            Some((&route, &HeaderValue::from_static(path_info))),
            &connection,
        )
        .unwrap();
        head
    }

    #[test]
    fn a_component_sees_what_spin_would_show_it() {
        let request = http::Request::get("/v1/a?b=c").header("host", "edge.example:8080");
        let head = prepared(request, "/v1/...", "/a");
        assert_eq!(head.uri, "http://edge.example:8080/v1/a?b=c");
        for (name, value) in [
            ("spin-full-url", "http://edge.example:8080/v1/a?b=c"),
            ("spin-path-info", "/a"),
            ("spin-matched-route", "/v1/..."),
            ("spin-raw-component-route", "/v1/..."),
            ("spin-component-route", "/v1"),
            ("spin-base-path", "/"),
            ("spin-client-addr", "192.0.2.7:4711"),
        ] {
            assert_eq!(head.headers[name], value, "{name}");
        }
    }

    #[test]
    fn a_header_list_is_counted_as_http2_does() {
        let request = Request::get("https://a/b").header("x-y", "123");
        let request = request.version(Version::HTTP_2).body(()).unwrap();
        let pseudo = ":methodGET:schemehttps:authoritya:path/b".len() + 4 * 32;
        assert_eq!(list_bytes(&request), pseudo + "x-y123".len() + 32);
    }

    #[test]
    fn a_client_cannot_claim_what_the_host_says() {
        let request = http::Request::get("/v1")
            .header("host", "h")
            .header("spin-client-addr", "10.0.0.1:1")
            .header("spin-path-match-id", "forged");
        let head = prepared(request, "/v1/...", "");
        assert_eq!(head.headers["spin-client-addr"], "192.0.2.7:4711");
        assert_eq!(head.headers.get("spin-path-match-id"), None);
    }

    #[test]
    fn a_component_that_reads_none_of_it_gets_no_claims_either() {
        let request = http::Request::get("/v1")
            .header("host", "h")
            .header("spin-client-addr", "10.0.0.1:1")
            .header("spin-full-url", "forged");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let connection =
            ConnectionHeaders::new(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        prepare(&mut head, None, &connection).unwrap();
        assert_eq!(head.headers.len(), 1, "{:?}", head.headers);
        assert_eq!(head.uri, "http://h/v1");
    }

    fn refused(request: request::Builder) -> bool {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let connection =
            ConnectionHeaders::new(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let route = RouteHeaders::new(&"/...".parse().unwrap());
        let result = prepare(
            &mut head,
            Some((&route, &HeaderValue::from_static("/"))),
            &connection,
        );
        matches!(result, Err(Problem::InvalidHost))
    }

    #[test]
    fn where_no_host_is_named_the_address_reached_stands_in() {
        let old = http::Request::get("/v1").version(Version::HTTP_10);
        assert_eq!(prepared(old, "/v1/...", "").uri, "http://127.0.0.1:3000/v1");
        let empty = http::Request::get("/v1").header("host", "");
        assert_eq!(
            prepared(empty, "/v1/...", "").uri,
            "http://127.0.0.1:3000/v1"
        );
    }

    #[test]
    fn http_1_1_names_exactly_one_host() {
        assert!(refused(http::Request::get("/")));
        assert!(refused(
            http::Request::get("/")
                .header("host", "a")
                .header("host", "b")
        ));
        assert!(refused(http::Request::get("/").header("host", "a b/c")));
        assert!(refused(http::Request::get("/").header("host", "user@a")));
    }
}
