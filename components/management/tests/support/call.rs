//! Requests to a host's operator API, and its answers.

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use management::{PROBLEM_TYPE_PREFIX, UploadError, respond};
use serde_json::Value;
use starling_supervision::Digest;

use super::host::Host;
use super::{digest, wait, wasm};

/// A request to a host.
pub(crate) struct Call {
    host: Host,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Payload,
}

enum Payload {
    Whole(Vec<u8>),
    /// Pieces, and then perhaps an error.
    Pieces(Vec<Vec<u8>>, Option<UploadError>),
}

/// An answer of a host.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Host {
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call {
            host: self.clone(),
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Payload::Whole(Vec::new()),
        }
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).send().expect(StatusCode::OK)
    }

    /// An upload of these bytes under this digest.
    pub(crate) fn upload(&self, digest: Digest, bytes: &[u8]) -> Call {
        let path = format!("/v1/components/voicemail/artifacts/{digest}");
        let call = self.call(Method::PUT, &path);
        call.header("content-type", "application/wasm").body(bytes)
    }

    /// Stores a version, which is then ready on this host.
    #[track_caller]
    pub(crate) fn store(&self, version: &str) {
        let uploaded = self.upload(digest(version), &wasm(version)).send();
        assert!(uploaded.status.is_success(), "{uploaded:?}");
        let shown = self.artifact(version);
        assert_eq!(shown["state"], "ready", "{shown}");
    }

    #[track_caller]
    pub(crate) fn artifact(&self, version: &str) -> Value {
        let digest = digest(version);
        self.get(&format!("/v1/components/voicemail/artifacts/{digest}"))
            .json()
    }

    /// Begins a rollout of a version; its id. `more` are members of the request, with a comma before.
    #[track_caller]
    pub(crate) fn roll_out(&self, version: &str, more: &str) -> String {
        let rollout = self.rollout_of(version, more).send();
        let rollout = rollout.expect(StatusCode::CREATED).json();
        rollout["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn rollout_of(&self, version: &str, more: &str) -> Call {
        let digest = digest(version);
        let body = format!(r#"{{"component": "voicemail", "digest": "{digest}"{more}}}"#);
        self.post("/v1/rollouts").json(&body)
    }
}

impl Call {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header");
        self.headers.append(name, value);
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = Payload::Whole(body.to_vec());
        self
    }

    pub(crate) fn pieces(mut self, pieces: Vec<Vec<u8>>, end: Option<UploadError>) -> Self {
        self.body = Payload::Pieces(pieces, end);
        self
    }

    pub(crate) fn json(self, json: &str) -> Self {
        self.header("content-type", "application/json")
            .body(json.as_bytes())
    }

    pub(crate) fn send(self) -> Answer {
        wait(self.run())
    }

    pub(crate) async fn run(self) -> Answer {
        let request = Request::builder().method(self.method).uri(&self.path);
        let mut request = request.body(()).expect("a request");
        *request.headers_mut() = self.headers;
        let response = match self.body {
            Payload::Whole(body) => {
                if !body.is_empty() {
                    let length = body.len().into();
                    request.headers_mut().insert("content-length", length);
                }
                let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
                respond(&self.host, request.map(|()| body)).await
            }
            Payload::Pieces(pieces, end) => {
                let world = self.host.world().clone();
                let pieces = pieces.into_iter().map(move |piece| {
                    world.pass(world.shared().piece_ms.get());
                    Ok(Frame::data(Bytes::from(piece)))
                });
                let body = StreamBody::new(stream::iter(pieces.chain(end.map(Err))));
                respond(&self.host, request.map(|()| body)).await
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.expect("a body"),
        }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name);
        value.map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// The document of a problem.
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        let media_type = self.header("content-type");
        assert_eq!(media_type, Some("application/problem+json"), "{self:?}");
        let document: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(document["status"], self.status.as_u16());
        let detail = document["detail"].as_str().expect("a detail");
        assert!(detail.ends_with('.'), "{document}");
        document
    }

    /// The problem's status, and its type without what all types begin with.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        let document = self.document();
        let name = document["type"].as_str().expect("a type");
        let name = name.strip_prefix(PROBLEM_TYPE_PREFIX);
        (
            self.status.as_u16(),
            name.expect("a type of ours").to_owned(),
        )
    }
}
