//! Cross-origin requests (the Fetch standard's CORS protocol), for the origins that an operator lists
//! in the variable `cors_allowed_origins`: comma-separated, or `*`; by default none.
//!
//! Tokens travel in `Authorization`, never in cookies, so credentials are not allowed and `*` gives
//! nobody anything that they could not ask for without a browser.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response};

use crate::platform::{Platform, Variable};
use crate::response::{self, Body};

const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, \
     If-None-Match, Range, Traceparent, Voicemail-From, Voicemail-Private, Voicemail-Received-At, \
     Voicemail-Reply-To, Voicemail-To, Voicemail-Urgent";
const RESPONSE_HEADERS: &str = "Accept-Ranges, Content-Disposition, Content-Range, ETag, Location, \
     Retry-After, Voicemail-Access, WWW-Authenticate";
/// How long a browser may remember, in seconds: two hours, the most that any keeps to.
const MAX_AGE_S: &str = "7200";

/// What a browser is told.
pub(crate) struct Cors {
    /// The origin that is allowed, as it is to be echoed; `None` if none is, or nobody asks.
    allowed: Option<HeaderValue>,
    /// Whether the answer depends on who asks.
    configured: bool,
}

impl Cors {
    /// Looks up whether the origin of a request is allowed.
    pub(crate) async fn of(platform: &impl Platform, headers: &HeaderMap) -> Self {
        let origins = match platform.variable("cors_allowed_origins").await {
            Variable::Set(origins) => origins,
            Variable::Unset | Variable::Unreadable(_) => String::new(),
        };
        let configured = !origins.trim().is_empty();
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        let allowed = origin.and_then(|origin| {
            let mut origins = origins.split(',').map(str::trim);
            let allowed = origins.find(|allowed| *allowed == "*" || *allowed == origin)?;
            HeaderValue::from_str(allowed).ok()
        });
        Self {
            allowed,
            configured,
        }
    }

    /// The answer to a preflight request for a resource that knows these methods; `None` if the
    /// request is none.
    pub(crate) fn preflight(
        &self,
        method: &Method,
        headers: &HeaderMap,
        allow: &'static str,
    ) -> Option<Response<Body>> {
        let asked = *method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asked {
            return None;
        }
        let mut response = response::no_content();
        let known = HeaderValue::from_static(allow);
        response.headers_mut().insert(ALLOW, known);
        if self.allowed.is_some() {
            let fields = response.headers_mut();
            fields.insert(
                ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(allow),
            );
            let headers = HeaderValue::from_static(REQUEST_HEADERS);
            fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
            fields.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
        }
        Some(response)
    }

    /// Marks an answer for the browser.
    pub(crate) fn mark(self, response: &mut Response<Body>) {
        let fields = response.headers_mut();
        if self.configured {
            fields.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allowed) = self.allowed {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            let exposed = HeaderValue::from_static(RESPONSE_HEADERS);
            fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}
