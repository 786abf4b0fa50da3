//! A server on the loopback interface that answers as a test says, and remembers what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use starling_operator::Digest;
use starling_operator::client::{Client, Pace, Target, Token};
use starling_test_servers::Identity;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the host asks everybody for.
pub(crate) const TOKEN: &str = "s3cret.of.anna";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) signature: Option<String>,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What to answer.
pub(crate) enum Answer {
    Json(u16, Value),
    Problem(u16, Value),
    /// Something that no management answers.
    Page(u16),
    /// Nothing: the connection ends.
    Lost,
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The server. It ends when it is dropped.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Host {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::launch(None, Arc::new(answer)).await
    }

    /// The same, by TLS.
    pub(crate) async fn start_tls(
        identity: &Identity,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let certificate = CertificateDer::from_pem_file(&identity.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::launch(Some(Arc::new(config).into()), Arc::new(answer)).await
    }

    async fn launch(tls: Option<TlsAcceptor>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembered = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, handler, asked) = (tls.clone(), handler.clone(), remembered.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, handler, asked).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, handler, asked).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    /// A client of this host that is in a hurry.
    pub(crate) fn client(&self) -> Client {
        let url = format!("http://{}", self.address);
        client(Target::Url {
            url,
            token: token(),
            ca: None,
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests without their heads.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// Ends it: nobody listens there any more.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: Arc<Handler>,
    asked: Arc<Mutex<Vec<Asked>>>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, asked) = (handler.clone(), asked.clone());
        async move {
            let header = |name| {
                let value = request.headers().get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            let mut it = Asked {
                line: format!("{} {}", request.method(), request.uri()),
                authorization: header("authorization").unwrap_or_default(),
                signature: header("starling-signature"),
                body: Bytes::new(),
            };
            it.body = request.into_body().collect().await.unwrap().to_bytes();
            asked.lock().unwrap().push(it.clone());
            let answer = if it.authorization == format!("Bearer {TOKEN}") {
                handler(&it)
            } else {
                Answer::Problem(401, json!({ "title": "Unauthorized" }))
            };
            respond(answer).ok_or("lost")
        }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // That the test lost it is no failure.
    let _ = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn respond(answer: Answer) -> Option<Response<Full<Bytes>>> {
    let (status, media_type, body) = match answer {
        Answer::Json(status, json) => (status, "application/json", json.to_string()),
        Answer::Problem(status, json) => (status, "application/problem+json", json.to_string()),
        Answer::Page(status) => (status, "text/html", "<p>Welcome</p>".to_owned()),
        Answer::Lost => return None,
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    headers.insert("content-type", media_type.parse::<_>().unwrap());
    Some(response)
}

/// A client that tries again at once.
pub(crate) fn client(target: Target) -> Client {
    Client::new(target).with_pace(Pace {
        retries: 2,
        retry_after: Duration::from_millis(1),
        poll_every: Duration::from_millis(1),
        ready_within: Duration::from_secs(30),
        outage_max: Duration::ZERO,
    })
}

pub(crate) fn token() -> Token {
    TOKEN.parse().unwrap()
}

pub(crate) fn digest() -> Digest {
    Digest::of(b"the component")
}

/// A rollout as the API shows it.
pub(crate) fn rollout(id: &str, state: &str) -> Value {
    json!({
        "id": id, "component": "voicemail", "digest": digest(), "base": null, "strategy": "canary", "gate": false,
        "canary_percent": 5, "step_ms": 60000, "state": state, "reason": null, "step": 0,
        "steps": [{ "name": "canary", "region": "eu", "zone": "eu-a", "percent": 5 }],
        "created_at": "2026-01-01T00:00:00Z", "created_in": "eu", "step_since": "2026-01-01T00:00:00Z",
        "approved": null, "later": { "unknown": true },
        "observed": { "new": { "requests": 0, "errors": 0, "p50_ms": null, "p99_ms": null },
            "old": { "requests": 0, "errors": 0, "p50_ms": null, "p99_ms": null } },
    })
}

pub(crate) fn write_management(state_dir: &Path, json: &Value, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = state_dir.join("management");
    std::fs::write(&path, json.to_string()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
