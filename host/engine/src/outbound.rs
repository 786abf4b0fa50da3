//! Which hosts a component may reach: Spin's `allowed_outbound_hosts`, denied unless listed; and how many requests to
//! them it may have under way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderName, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use starling_telemetry::{Limit, LimitCounts};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

/// The destinations that a component may reach. Empty means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Pattern>);

/// What is wrong with an entry of `allowed_outbound_hosts`. The entry itself is not repeated: it may hold the value of
/// a secret variable.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AllowedHostsError {
    /// Not of the form `scheme://host[:port]`.
    #[error("it is not of the form `scheme://host[:port]`, such as `https://example.com`")]
    Malformed,
    /// A scheme other than `http`, `https` and `*`.
    #[error("of outbound schemes, only http and https are supported")]
    Scheme,
    /// A port that is neither a number, a range `a..b`, nor `*`.
    #[error("the port is a number, a range such as `8000..8010`, or `*`")]
    Port,
    /// A wildcard inside of a host name.
    #[error("a wildcard stands for a whole host or its first labels, as in `*.example.com`")]
    Wildcard,
    /// Spin's names for the application itself and for its components.
    #[error(
        "`self` and `*.spin.internal` (requests to components of the application) are not supported"
    )]
    Internal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    scheme: SchemePattern,
    host: HostPattern,
    ports: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SchemePattern {
    Any,
    Only(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Exact(String),
    /// `*.example.com`, kept as `.example.com`.
    Below(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortPattern {
    Any,
    /// The port that the scheme implies.
    Default,
    /// From the first up to and without the second, as Spin writes it.
    Range(u16, u32),
}

impl AllowedHosts {
    /// Adds an entry of the form `scheme://host[:port]`, in which scheme, host and port may be `*`.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn allow(&mut self, entry: &str) -> Result<(), AllowedHostsError> {
        self.0.push(Pattern::parse(entry)?);
        Ok(())
    }

    /// Whether a request to `uri` is allowed.
    pub fn allows(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host() else { return false };
        let scheme = uri.scheme_str().unwrap_or("https");
        let default_port = default_port(scheme);
        let Some(port) = uri.port_u16().or(default_port) else {
            return false;
        };
        self.0.iter().any(|pattern| {
            let scheme_fits = match pattern.scheme {
                SchemePattern::Any => true,
                SchemePattern::Only(only) => only == scheme,
            };
            let port_fits = match pattern.ports {
                PortPattern::Any => true,
                PortPattern::Default => Some(port) == default_port,
                PortPattern::Range(first, end) => (u32::from(first)..end).contains(&port.into()),
            };
            scheme_fits && port_fits && pattern.host.fits(host)
        })
    }
}

impl Pattern {
    fn parse(entry: &str) -> Result<Self, AllowedHostsError> {
        let (scheme, rest) = entry
            .split_once("://")
            .ok_or(AllowedHostsError::Malformed)?;
        let scheme = match scheme {
            "*" => SchemePattern::Any,
            "http" => SchemePattern::Only("http"),
            "https" => SchemePattern::Only("https"),
            _ => return Err(AllowedHostsError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() || rest.contains(['/', '?', '#', '@']) {
            return Err(AllowedHostsError::Malformed);
        }
        // The colon of a port stands behind an IPv6 address's closing bracket.
        let (host, ports) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Self::ports(port)?),
            _ => (rest, PortPattern::Default),
        };
        Ok(Self {
            scheme,
            host: HostPattern::parse(host)?,
            ports,
        })
    }

    fn ports(port: &str) -> Result<PortPattern, AllowedHostsError> {
        let number = |text: &str| text.parse::<u16>().map_err(|_| AllowedHostsError::Port);
        Ok(match port.split_once("..") {
            _ if port == "*" => PortPattern::Any,
            Some((first, end)) => PortPattern::Range(number(first)?, number(end)?.into()),
            None => {
                let port = number(port)?;
                PortPattern::Range(port, u32::from(port) + 1)
            }
        })
    }
}

impl HostPattern {
    fn parse(host: &str) -> Result<Self, AllowedHostsError> {
        let host = host.to_ascii_lowercase();
        if host == "self" || host.ends_with(".spin.internal") {
            return Err(AllowedHostsError::Internal);
        }
        match host.strip_prefix('*') {
            Some("") => Ok(Self::Any),
            Some(below) if below.starts_with('.') && !below.contains('*') => {
                Ok(Self::Below(below.to_owned()))
            }
            None if host.is_empty() => Err(AllowedHostsError::Malformed),
            None if !host.contains('*') => Ok(Self::Exact(host)),
            _ => Err(AllowedHostsError::Wildcard),
        }
    }

    fn fits(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.eq_ignore_ascii_case(host),
            Self::Below(below) => {
                let host = host.to_ascii_lowercase();
                host.len() > below.len() && host.ends_with(below)
            }
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Applies [`AllowedHosts`] to what a guest sends with `wasi:http`.
#[derive(Debug)]
pub(crate) struct OutboundPolicy {
    pub(crate) allowed: Arc<AllowedHosts>,
    /// The component's places for requests under way. One is taken until the response's body is read, or let go.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) reached: Arc<LimitCounts>,
}

type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

/// The headers that a guest neither gets nor sets. In a place of their own: as a constant, the list is made and dropped for
/// each header that is looked up.
static FORBIDDEN_HEADERS: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

impl WasiHttpHooks for OutboundPolicy {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        FORBIDDEN_HEADERS.contains(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| FORBIDDEN_HEADERS.contains(name))
    }

    fn is_supported_scheme(&mut self, scheme: &Scheme) -> bool {
        *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.allowed.allows(request.uri()) {
            tracing::warn!(
                host = request.uri().host(),
                "refused an outbound request: the host is not among the component's allowed_outbound_hosts"
            );
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.reached.count(Limit::OutboundRequests);
            return Box::new(std::future::ready(Err(Error::ConnectionLimitReached)));
        };
        Box::new(async move {
            let (response, io) = wasmtime_wasi_http::default_send_request(request, options).await?;
            let response = response.map(|body| {
                Placed {
                    body,
                    _place: place,
                }
                .boxed_unsync()
            });
            Ok((response, Box::new(io) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// A response's body, which keeps the place of its request.
struct Placed<B> {
    body: B,
    _place: OwnedSemaphorePermit,
}

impl<B> Body for Placed<B>
where
    B: Body<Data = Bytes, Error = Error> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entries: &[&str], url: &str, expected: bool) {
        let mut allowed = AllowedHosts::default();
        for entry in entries {
            allowed.allow(entry).unwrap();
        }
        assert_eq!(
            allowed.allows(&url.parse().unwrap()),
            expected,
            "{entries:?} and {url}"
        );
    }

    #[test]
    fn nothing_is_allowed_unless_listed() {
        check(&[], "http://example.com/", false);
        check(&["https://example.com"], "https://example.org/", false);
    }

    #[test]
    fn scheme_host_and_port_must_all_fit() {
        check(&["https://example.com"], "https://EXAMPLE.com/a?b", true);
        check(&["https://example.com"], "http://example.com/", false);
        check(&["https://example.com"], "https://example.com:8443/", false);
        check(
            &["https://example.com:8443"],
            "https://example.com:8443/",
            true,
        );
        check(&["http://127.0.0.1:*"], "http://127.0.0.1:4711/", true);
        check(
            &["http://127.0.0.1:8000..8010"],
            "http://127.0.0.1:8009/",
            true,
        );
        check(
            &["http://127.0.0.1:8000..8010"],
            "http://127.0.0.1:8010/",
            false,
        );
        check(&["http://[::1]:80"], "http://[::1]/", true);
    }

    #[test]
    fn wildcards_cover_whole_labels() {
        check(&["*://*:*"], "http://anything.example:1/", true);
        check(&["https://*.example.com"], "https://a.b.example.com/", true);
        check(&["https://*.example.com"], "https://example.com/", false);
        check(&["https://*.example.com"], "https://badexample.com/", false);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for (entry, expected) in [
            ("example.com", AllowedHostsError::Malformed),
            ("http://h/path", AllowedHostsError::Malformed),
            ("redis://h", AllowedHostsError::Scheme),
            ("http://h:x", AllowedHostsError::Port),
            ("http://a*b", AllowedHostsError::Wildcard),
            ("http://self", AllowedHostsError::Internal),
            ("http://other.spin.internal", AllowedHostsError::Internal),
        ] {
            assert_eq!(
                AllowedHosts::default().allow(entry),
                Err(expected),
                "{entry}"
            );
        }
    }
}
