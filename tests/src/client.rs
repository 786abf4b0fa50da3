//! An HTTP client for tests: whole answers, no hidden retries, no hidden connections.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::host::{Host, PATIENCE};

/// A request to be sent, on a fresh connection or a kept one.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A request without a body. `path` begins with `/` and may have a query.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// GET.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// PUT.
    #[must_use]
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// POST.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// PATCH.
    #[must_use]
    pub fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// DELETE.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// HEAD.
    #[must_use]
    pub fn head(path: impl Into<String>) -> Self {
        Self::new(Method::HEAD, path)
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// Where name or value cannot be sent.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        let value = value
            .as_ref()
            .parse()
            .expect("a header value that can be sent");
        self.headers.append(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body and its media type to JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Sends it to `host` on a connection of its own.
    ///
    /// # Panics
    ///
    /// Where no whole answer comes.
    pub async fn send(self, host: &Host) -> Answer {
        self.send_to(host.address()).await
    }

    /// The same, to an address.
    ///
    /// # Panics
    ///
    /// Where no whole answer comes.
    pub async fn send_to(self, address: SocketAddr) -> Answer {
        let what = self.to_string();
        self.try_send_to(address)
            .await
            .unwrap_or_else(|lost| panic!("{what}: {lost:?}"))
    }

    /// The same, for callers that expect to fail.
    ///
    /// # Errors
    ///
    /// [`Lost`], where no whole answer comes.
    pub async fn try_send_to(self, address: SocketAddr) -> Result<Answer, Lost> {
        Connection::open(address).await?.send(self).await
    }

    /// Sends it over HTTP/2 with prior knowledge (h2c) on a connection of its own.
    ///
    /// # Panics
    ///
    /// Where no whole answer comes.
    pub async fn send_http2(self, host: &Host) -> Answer {
        let stream = TcpStream::connect(host.address())
            .await
            .expect("the host accepts connections");
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2 begins");
        tokio::spawn(connection);
        let uri = host.url(&self.path);
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri.parse().expect("a URL");
        *request.headers_mut() = self.headers;
        let response = sender.send_request(request).await.expect("an answer");
        Answer::read(response).await.expect("a whole answer")
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Why there was no whole answer. What a client may conclude differs.
#[derive(Debug)]
pub enum Lost {
    /// No connection: the request was never sent.
    NotConnected(std::io::Error),
    /// The connection ended while the answer was outstanding or incomplete: the request may have had its effect.
    Unanswered(hyper::Error),
    /// Nothing came for [`PATIENCE`].
    Silence,
}

/// A kept connection, HTTP/1.1. One request at a time, as HTTP/1.1 clients do.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`Lost::NotConnected`].
    pub async fn open(address: SocketAddr) -> Result<Self, Lost> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(Lost::NotConnected)?;
        stream.set_nodelay(true).map_err(Lost::NotConnected)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Lost::Unanswered)?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            authority: address.to_string(),
        })
    }

    /// Whether the other side has closed it, or has announced that it will.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`Lost`], where no whole answer comes.
    pub async fn send(&mut self, call: Call) -> Result<Answer, Lost> {
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = call.path.parse().expect("a path");
        *request.headers_mut() = call.headers;
        if !request.headers().contains_key("host") {
            request
                .headers_mut()
                .insert("host", self.authority.parse().expect("an authority"));
        }
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            Answer::read(response).await
        };
        match timeout(PATIENCE, exchange).await {
            Ok(outcome) => outcome.map_err(Lost::Unanswered),
            Err(_) => Err(Lost::Silence),
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Self, hyper::Error> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// Checks the status.
    ///
    /// # Panics
    ///
    /// Where it is another, with the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "body: {}", self.text());
        self
    }

    /// Checks that the status is one of success.
    ///
    /// # Panics
    ///
    /// Where it is not, with the body.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(
            self.status.is_success(),
            "status {}, body: {}",
            self.status,
            self.text()
        );
        self
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The value of a header; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Checks for a problem details document (RFC 9457) of this status, and returns it.
    ///
    /// # Panics
    ///
    /// Where it is none, is incomplete or tells too much.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "body: {}", self.text());
        let media_type = self.header(CONTENT_TYPE.as_str());
        assert!(
            media_type.starts_with("application/problem+json"),
            "{media_type:?}: {}",
            self.text()
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["type", "title"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{member} is missing in {problem}");
        }
        for secret in ["/target/", ".rs:", "wasm backtrace", "panicked"] {
            assert!(
                !self.text().contains(secret),
                "{secret:?} is nobody's business: {problem}"
            );
        }
        problem
    }

    /// Whether the other side closes the connection after this answer.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.header(CONNECTION.as_str())
            .eq_ignore_ascii_case("close")
    }
}
