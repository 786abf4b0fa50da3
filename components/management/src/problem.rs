//! Every refusal of the API, in one table: RFC 9457 problem documents.
//!
//! Clients switch on `type`, which is stable; `title` is fixed for each type; `detail` helps this caller with this
//! request and may be reworded at any time. Nothing of a store's words or of the keys gets out.

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use starling_supervision::{DecodeError, Refusal};

use crate::artifacts::ARTIFACTS_MAX;
use crate::response::{self, Body};
use crate::shapes::RefusalJson;

/// What the `type` of every problem begins with; the rest is the name in the table.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:starling:problem:";

/// After how many seconds a client may try again what failed through no fault of its own.
const RETRY_AFTER_S: &str = "1";

/// Why a request is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    /// The path names nothing.
    NotFound,
    /// The fleet has no such host.
    HostNotFound { host: String },
    /// The host has no such component.
    ComponentNotFound { component: String },
    /// Nothing is stored under this digest.
    ArtifactNotFound,
    /// There is no such rollout, or none any more.
    RolloutNotFound { rollout: String },
    /// The resource does not know the method; these it knows.
    MethodNotAllowed { allow: &'static str },
    /// A part of the query is wrong.
    ParameterInvalid { parameter: String, detail: String },
    /// A header is wrong.
    HeaderInvalid {
        header: &'static str,
        detail: String,
    },
    /// The body cannot be read.
    BodyMalformed { detail: String },
    /// A member of a JSON body is wrong.
    MemberInvalid { member: String, detail: String },
    /// The body is too large.
    BodyTooLarge { bytes_max: u64 },
    /// The body is of a type that is not taken here.
    MediaTypeUnsupported { expected: &'static str },
    /// The path's digest is not one.
    DigestInvalid,
    /// The body is not what the path's digest names.
    DigestMismatch { actual: String },
    /// The artifact cannot serve.
    ArtifactRefused(Refusal),
    /// The artifact is not ready on this host: staging, or refused.
    ArtifactNotReady { refusal: Option<Refusal> },
    /// Somebody is storing or removing the artifact.
    ArtifactBusy,
    /// The region holds as many artifacts as it takes.
    ArtifactsFull,
    /// What is asked of the rollout does not fit the state that it is in.
    RolloutConflict { detail: String },
    /// There is nothing to go back to.
    NothingToRollBack,
    /// The request says not who asks.
    TokenMissing,
    /// The token is none of ours, or not valid any more.
    TokenInvalid,
    /// The token was valid until a moment ago.
    TokenExpired,
    /// The token is for something else.
    ScopeInsufficient,
    /// The clocks of the regions disagree.
    ClockSkew { detail: String },
    /// Too many writers at once; this one lost every time.
    Contention,
    /// The region's store did not answer, or not yes.
    StoreUnavailable,
    /// What is stored was written by a newer release.
    NewerRelease,
    /// What is stored cannot be read.
    StoredDataDamaged,
    /// The component's variables, or what the host says of itself, make no sense.
    Misconfigured,
}

use Problem::*;

impl Problem {
    /// The table: status, name of the type, title.
    fn row(&self) -> (u16, &'static str, &'static str) {
        match self {
            NotFound => (404, "not-found", "There is nothing under this path"),
            HostNotFound { .. } => (404, "host-not-found", "There is no such host"),
            ComponentNotFound { .. } => (404, "component-not-found", "There is no such component"),
            ArtifactNotFound => (404, "artifact-not-found", "There is no such artifact"),
            RolloutNotFound { .. } => (404, "rollout-not-found", "There is no such rollout"),
            MethodNotAllowed { .. } => (405, "method-not-allowed", "The method is not known here"),
            ParameterInvalid { .. } => (400, "parameter-invalid", "A query parameter is wrong"),
            HeaderInvalid { .. } => (400, "header-invalid", "A header is wrong"),
            BodyMalformed { .. } => (400, "body-malformed", "The body cannot be read"),
            MemberInvalid { .. } => (422, "member-invalid", "A member of the body is wrong"),
            BodyTooLarge { .. } => (413, "body-too-large", "The body is too large"),
            MediaTypeUnsupported { .. } => {
                (415, "media-type-unsupported", "The media type is not taken")
            }
            DigestInvalid => (422, "digest-invalid", "The digest is not one"),
            DigestMismatch { .. } => (422, "digest-mismatch", "The body has another digest"),
            ArtifactRefused(_) => (422, "artifact-refused", "The artifact cannot serve"),
            ArtifactNotReady { .. } => (409, "artifact-not-ready", "The artifact is not ready"),
            ArtifactBusy => (
                503,
                "artifact-busy",
                "The artifact is being stored or removed",
            ),
            ArtifactsFull => (507, "artifacts-full", "There are too many artifacts"),
            RolloutConflict { .. } => (409, "rollout-conflict", "The rollout is in another state"),
            NothingToRollBack => (
                409,
                "nothing-to-roll-back",
                "There is nothing to go back to",
            ),
            TokenMissing => (401, "token-missing", "The request says not who asks"),
            TokenInvalid => (401, "token-invalid", "The token is not valid"),
            TokenExpired => (401, "token-expired", "The token has expired"),
            ScopeInsufficient => (403, "scope-insufficient", "The token is for something else"),
            ClockSkew { .. } => (503, "clock-skew", "The clocks of the regions disagree"),
            Contention => (503, "contention", "Too many changes at once"),
            StoreUnavailable => (503, "store-unavailable", "The store is not available"),
            NewerRelease => (503, "newer-release", "A newer release is being rolled out"),
            StoredDataDamaged => (500, "stored-data-damaged", "Stored data cannot be read"),
            Misconfigured => (500, "misconfigured", "The management is misconfigured"),
        }
    }

    /// What helps this caller with this request.
    fn detail(&self) -> String {
        match self {
            NotFound => "The operator API begins at /v1/fleet.".into(),
            HostNotFound { host } => format!("GET /v1/fleet shows no host {host:?}."),
            ComponentNotFound { component } => {
                format!("This host's manifest has no component {component:?}.")
            }
            ArtifactNotFound => "This region's store has no artifact of this digest; a PUT stores it.".into(),
            RolloutNotFound { rollout } => {
                format!("There is no rollout {rollout:?}, or it is so old that it was dropped.")
            }
            MethodNotAllowed { allow } => format!("The methods known here are {allow}."),
            ParameterInvalid { parameter, detail } => format!("Parameter {parameter:?}: {detail}."),
            HeaderInvalid { header, detail } => format!("Header {header:?}: {detail}."),
            MemberInvalid { member, detail } => format!("Member {member:?}: {detail}."),
            BodyMalformed { detail } | RolloutConflict { detail } | ClockSkew { detail } => {
                sentence(detail)
            }
            BodyTooLarge { bytes_max } => format!("At most {bytes_max} bytes are taken here."),
            MediaTypeUnsupported { expected } => format!("The body is to be {expected}."),
            DigestInvalid => "A digest is sha256: and 64 lower-case hexadecimal digits.".into(),
            DigestMismatch { actual } => format!("The body's is {actual}. Nothing was kept."),
            ArtifactRefused(refusal) => sentence(&refusal.detail),
            ArtifactNotReady { refusal: None } => {
                "It is not stored in this region, or still being staged on this host: GET the artifact to see."
                    .into()
            }
            ArtifactNotReady { refusal: Some(refusal) } => sentence(&refusal.detail),
            ArtifactBusy => {
                "Try again; an upload that died is given up after some seconds.".into()
            }
            ArtifactsFull => {
                format!(
                    "A region holds {ARTIFACTS_MAX}; one that no rollout refers to leaves after an hour."
                )
            }
            NothingToRollBack => {
                "No rollout of this component is running or done, so each host's own version serves.".into()
            }
            TokenMissing => "Send a bearer token of the scope operator in Authorization.".into(),
            TokenInvalid | TokenExpired => "Make a new one: starling token --scope operator.".into(),
            ScopeInsufficient => "This takes a token of the scope operator.".into(),
            Contention => "Others changed the fleet's state again and again; try again.".into(),
            StoreUnavailable => {
                "The region's store could not do its part. Nothing is acknowledged; try again.".into()
            }
            NewerRelease => "Ask a host of the newer release, which GET /v1/fleet shows.".into(),
            StoredDataDamaged | Misconfigured => "The host's log says more.".into(),
        }
    }

    /// Why the artifact is refused, where that is the reason.
    fn refusal(&self) -> Option<RefusalJson<'_>> {
        match self {
            ArtifactRefused(refusal) => Some(refusal.into()),
            ArtifactNotReady { refusal } => refusal.as_ref().map(RefusalJson::from),
            _ => None,
        }
    }

    /// The header that belongs to the status.
    fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self {
            MethodNotAllowed { allow } => Some((ALLOW, allow)),
            ArtifactBusy | ClockSkew { .. } | Contention | StoreUnavailable | NewerRelease => {
                Some((RETRY_AFTER, RETRY_AFTER_S))
            }
            // RFC 6750, section 3; RFC 9110, section 11.6.1.
            TokenMissing => Some((WWW_AUTHENTICATE, "Bearer")),
            TokenInvalid | TokenExpired => {
                Some((WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""))
            }
            ScopeInsufficient => Some((WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\"")),
            _ => None,
        }
    }

    /// The answer to a request with these headers.
    pub(crate) fn response(&self, request: &HeaderMap) -> Response<Body> {
        let (status, name, title) = self.row();
        let document = Document {
            r#type: format!("{PROBLEM_TYPE_PREFIX}{name}"),
            title,
            status,
            detail: self.detail(),
            instance: trace(request),
            refusal: self.refusal(),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = response::typed(status, "application/problem+json", &document);
        if let Some((name, value)) = self.header() {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// RFC 9457, section 3.1, and the refusal of an artifact.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<RefusalJson<'a>>,
}

/// The request's trace (W3C Trace Context), which the host gives each.
fn trace(headers: &HeaderMap) -> Option<String> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let id = parent.split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit());
    is_id.then(|| format!("urn:starling:trace:{id}"))
}

/// What is said in the middle of a sentence, as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.trim_end_matches('.').chars();
    match characters.next() {
        Some(first) => first
            .to_uppercase()
            .chain(characters)
            .chain(['.'])
            .collect(),
        None => "The host's log says more.".into(),
    }
}

impl From<&DecodeError> for Problem {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::NewerVersion { .. } => NewerRelease,
            DecodeError::Malformed { .. } => StoredDataDamaged,
        }
    }
}
