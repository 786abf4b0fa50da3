//! One call: to the host that the target names now, with its token, by its certificate.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, Url};
use serde_json::Value;

use super::error::{Error, Problem};
use super::target::{Management, Target, Token};
use super::trust;
use crate::loopback::is_loopback;
use crate::signing::Signature;

/// The header of a component's signature.
const SIGNATURE: &str = "Starling-Signature";

/// How long a connection may take to be made, and a call to be answered; with a component to be sent, over a slow line too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(900);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What to ask a host.
pub(super) struct Call {
    method: Method,
    /// Below `/v1/`.
    path: Vec<String>,
    query: Option<(&'static str, String)>,
    body: Body,
}

enum Body {
    None,
    Json(Bytes),
    Component(Bytes, Option<Signature>),
}

impl Call {
    pub(super) fn new(method: Method, path: &[&str]) -> Self {
        Self {
            method,
            path: path.iter().map(|&segment| segment.to_owned()).collect(),
            query: None,
            body: Body::None,
        }
    }

    pub(super) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn query(self, name: &'static str, value: &str) -> Self {
        let query = Some((name, value.to_owned()));
        Self { query, ..self }
    }

    pub(super) fn json(self, body: &Value) -> Self {
        let body = Body::Json(body.to_string().into());
        Self { body, ..self }
    }

    pub(super) fn component(self, bytes: &Bytes, signature: &Option<Signature>) -> Self {
        let body = Body::Component(bytes.clone(), signature.clone());
        Self { body, ..self }
    }
}

/// The way to a target. A host on this machine may be started again meanwhile, elsewhere and with another token: the file
/// in its state directory is read for each call.
pub(super) struct Connections {
    target: Target,
    /// The last one, and the text of the file that it is made from.
    known: Mutex<Option<(String, Arc<Connection>)>>,
}

/// The way to a host.
struct Connection {
    /// Ends in `/v1`.
    base: Url,
    /// For people.
    place: String,
    token: Token,
    http: reqwest::Client,
}

impl Connections {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            known: Mutex::new(None),
        }
    }

    /// Makes a call, once. Returns where it was made, and the text of the answer.
    pub(super) async fn send(&self, call: &Call) -> Result<(String, String), Error> {
        let connection = self.connection()?;
        let text = connection.send(call).await?;
        Ok((connection.place.clone(), text))
    }

    fn connection(&self) -> Result<Arc<Connection>, Error> {
        let text = match &self.target {
            Target::Url { .. } => String::new(),
            Target::StateDir(path) => Management::read_text(path)?,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, connection)) = &*known
            && *of == text
        {
            return Ok(connection.clone());
        }
        let connection = Arc::new(match &self.target {
            Target::Url { url, token, ca } => Connection::to_url(url, token, ca.as_deref())?,
            Target::StateDir(path) => Connection::of_state_dir(path, &text)?,
        });
        *known = Some((text, connection.clone()));
        Ok(connection)
    }
}

/// Without the file's text, which has the token.
impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl Connection {
    fn to_url(url: &str, token: &Token, ca: Option<&Path>) -> Result<Self, Error> {
        let mut certificates = Vec::new();
        if let Some(path) = ca {
            let pem = fs::read(path).map_err(|source| Error::File {
                path: path.to_owned(),
                source,
            })?;
            certificates = trust::certificates(&pem, &path.display().to_string())?;
        }
        let trusted = trust::by_everybody_or(certificates);
        Self::new(url, url.to_owned(), token.clone(), trusted)
    }

    fn of_state_dir(path: &Path, text: &str) -> Result<Self, Error> {
        let (management, token) = Management::parse(text, path)?;
        let trusted = match &management.ca {
            Some(pem) => trust::by_nobody_but(trust::certificates(
                pem.as_bytes(),
                &path.display().to_string(),
            )?),
            None => trust::by_everybody_or(Vec::new()),
        };
        let place = format!("{} (of {})", management.url, path.display());
        Self::new(&management.url, place, token, trusted)
    }

    fn new(
        url: &str,
        place: String,
        token: Token,
        trusted: rustls::ClientConfig,
    ) -> Result<Self, Error> {
        let invalid = || Error::Url(url.to_owned());
        let mut base = Url::parse(url).map_err(|_| invalid())?;
        let here = is_loopback(base.host_str().ok_or_else(invalid)?);
        match base.scheme() {
            "https" => {}
            "http" if here => {}
            "http" => return Err(Error::Plain(place)),
            _ => return Err(invalid()),
        }
        base.path_segments_mut()
            .map_err(|()| invalid())?
            .pop_if_empty()
            .push("v1");
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(trusted)
            .user_agent(concat!("starling/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // The token is for this host. What points elsewhere is no management API.
            .redirect(Policy::none())
            // A connection that the host closes meanwhile would leave a call undecided.
            .pool_max_idle_per_host(0);
        if here {
            // Not through somebody else, who would get the token.
            http = http.no_proxy();
        }
        let http = http
            .build()
            .map_err(|error| Error::on_the_way(place.clone(), error))?;
        Ok(Self {
            base,
            place,
            token,
            http,
        })
    }

    async fn send(&self, call: &Call) -> Result<String, Error> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(&call.path);
        }
        if let Some((name, value)) = &call.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .header(AUTHORIZATION, self.token.authorization())
            .header(ACCEPT, "application/json, application/problem+json");
        request = match &call.body {
            Body::None => request.timeout(TIMEOUT),
            Body::Json(json) => request
                .timeout(TIMEOUT)
                .header(CONTENT_TYPE, "application/json")
                .body(json.clone()),
            Body::Component(bytes, signature) => {
                let request = request
                    .timeout(UPLOAD_TIMEOUT)
                    .header(CONTENT_TYPE, "application/wasm")
                    .body(bytes.clone());
                match signature {
                    Some(signature) => request.header(SIGNATURE, signature.to_string()),
                    None => request,
                }
            }
        };
        let failed = |error| Error::on_the_way(self.place.clone(), error);
        self.answer(request.send().await.map_err(failed)?).await
    }

    /// The text of an answer that is a success.
    async fn answer(&self, mut response: Response) -> Result<String, Error> {
        let status = response.status();
        let mut body = Vec::new();
        let failed = |error| Error::on_the_way(self.place.clone(), error);
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(Error::TooLong(self.place.clone()));
            }
            body.extend_from_slice(&part);
        }
        let not_management = || Error::NotManagement {
            place: self.place.clone(),
            status,
        };
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let is = |wanted| media_type.is_some_and(|is| is.split(';').next() == Some(wanted));
        if status.is_success() && is("application/json") {
            return String::from_utf8(body).map_err(|_| not_management());
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if !status.is_success() && is("application/problem+json") => {
                Err(Error::of_problem(problem, status))
            }
            _ => Err(not_management()),
        }
    }
}
