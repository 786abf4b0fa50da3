//! Every answer that the host gives by itself, as problem details (RFC 9457). The only place where errors become
//! responses.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use starling_engine::{RequestError, Response};

use crate::readiness::Readiness;
use crate::trace::TraceId;

/// Why the host answers in place of a component. `type` is `urn:starling:problem:` and [`Problem::name`].
#[derive(Debug)]
pub enum Problem {
    /// No route of the application covers the path.
    NoRoute,
    /// The `Host` header is not a host and port.
    InvalidHost,
    /// The declared or actual body is longer than this host takes.
    BodyTooLarge {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// There are more requests than this host can serve in time.
    Overloaded {
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// The client sent the body too slowly.
    BodyTooSlow,
    /// The component gave no response.
    Component(RequestError),
    /// The route's component has no version that could be run here, and no sibling could serve the request.
    NoVersion,
    /// A sibling was to serve the request, and gave no response.
    SiblingFailed,
    /// The host is not to be given traffic, for this reason.
    NotReady(Readiness),
}

#[derive(Serialize)]
struct Details<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
    instance: &'a str,
}

impl Problem {
    /// The stable last part of the problem's type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoRoute => "no-route",
            Self::InvalidHost => "invalid-host",
            Self::BodyTooLarge { .. } | Self::Component(RequestError::BodyTooLarge) => {
                "body-too-large"
            }
            Self::BodyTooSlow => "body-too-slow",
            Self::NoVersion => "no-version",
            Self::Overloaded { .. } => "overloaded",
            Self::SiblingFailed => "sibling-failed",
            Self::NotReady(_) => "not-ready",
            Self::Component(error) => match error {
                RequestError::Busy => "overloaded",
                RequestError::TimedOut => "component-timeout",
                RequestError::CpuExhausted => "component-cpu-exhausted",
                RequestError::OutOfMemory => "component-out-of-memory",
                RequestError::Failed(_) => "component-failed",
                RequestError::Refused(_) => "component-refused",
                RequestError::BodyIncomplete => "body-incomplete",
                RequestError::BodyTooLarge => "body-too-large",
            },
        }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::InvalidHost => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoVersion | Self::NotReady(_) | Self::Overloaded { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::SiblingFailed => StatusCode::GATEWAY_TIMEOUT,
            Self::Component(error) => match error {
                RequestError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                RequestError::TimedOut | RequestError::CpuExhausted => StatusCode::GATEWAY_TIMEOUT,
                RequestError::OutOfMemory | RequestError::Failed(_) | RequestError::Refused(_) => {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
                RequestError::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                RequestError::BodyIncomplete => StatusCode::BAD_REQUEST,
            },
        }
    }

    fn title(&self) -> &'static str {
        match self.name() {
            "no-route" => "No such route",
            "invalid-host" => "The Host header is not valid",
            "body-too-large" => "The request body is too large",
            "body-too-slow" => "The request body came too slowly",
            "body-incomplete" => "The request body was not complete",
            "no-version" => "The component is not here yet",
            "sibling-failed" => "Another host gave no response",
            "not-ready" => "The host is not to be given traffic",
            "overloaded" => "The host is busy",
            "component-timeout" => "The request took too long",
            "component-cpu-exhausted" => "The request needed too much computing",
            "component-out-of-memory" => "The request needed too much memory",
            _ => "The request could not be handled",
        }
    }

    /// What this caller can do about it. Never what went wrong inside.
    fn detail(&self) -> String {
        match self {
            Self::NoRoute => "No component of this application serves this path.".to_owned(),
            Self::InvalidHost => "Send one Host header, of the form `host` or `host:port`.".to_owned(),
            Self::BodyTooLarge { bytes_max } => {
                format!("This host takes request bodies of at most {bytes_max} bytes.")
            }
            Self::BodyTooSlow => {
                "The body came too slowly to be waited for. Send the request again.".to_owned()
            }
            Self::Component(RequestError::BodyTooLarge) => {
                "This host takes no request body of this size.".to_owned()
            }
            Self::Component(RequestError::BodyIncomplete) => {
                "The connection ended before the whole body had come. Send the request again.".to_owned()
            }
            Self::Component(RequestError::Busy) => {
                "All instances are busy. The request had no effect; send it again, here or elsewhere."
                    .to_owned()
            }
            Self::Overloaded { .. } => {
                "There are more requests than this host can serve in time. This one had no effect; send it again, \
                 elsewhere or later."
                    .to_owned()
            }
            Self::NoVersion => {
                "This host has no version of the component that serves this path. The request had no \
                 effect; send it again, here or elsewhere."
                    .to_owned()
            }
            Self::NotReady(readiness) => match readiness {
                Readiness::Starting => "It is starting.".to_owned(),
                // Why is for those who run the host.
                Readiness::Degraded(_) => "It is degraded.".to_owned(),
                Readiness::Draining | Readiness::Ready => {
                    "It is taken out of the traffic, or about to stop.".to_owned()
                }
            },
            Self::SiblingFailed | Self::Component(_) => {
                "The request may or may not have had an effect. Send it again, here or elsewhere; \
                 with an Idempotency-Key a deposit happens once."
                    .to_owned()
            }
        }
    }

    /// Seconds until another try is worth it, for what is only so now.
    fn retry_after_s(&self) -> u64 {
        match self {
            Self::Overloaded { retry_after } => retry_after.as_secs().max(1),
            _ => 1,
        }
    }

    /// The response to a request of this trace, which names the occurrence in it and in the log.
    pub(crate) fn response(&self, trace: TraceId) -> Response {
        let status = self.status();
        let instance = format!("urn:starling:trace:{trace}");
        let details = Details {
            r#type: format!("urn:starling:problem:{}", self.name()),
            title: self.title(),
            status: status.as_u16(),
            detail: self.detail(),
            instance: &instance,
        };
        let body = serde_json::to_vec(&details).expect("strings and numbers become JSON");
        let length = HeaderValue::from(body.len());
        let body = Full::new(Bytes::from(body))
            .map_err(|never| match never {})
            .boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CONTENT_LENGTH, length);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, self.retry_after_s().into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Trace;
    use http_body_util::BodyExt;

    #[test]
    fn a_problem_names_its_type_status_and_occurrence() {
        let trace = Trace::begin().id();
        let response = Problem::BodyTooLarge { bytes_max: 10 }.response(trace);
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let body = futures::executor::block_on(response.into_body().collect())
            .unwrap()
            .to_bytes();
        let details: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(details["type"], "urn:starling:problem:body-too-large");
        assert_eq!(details["status"], 413);
        assert_eq!(details["instance"], format!("urn:starling:trace:{trace}"));
    }

    #[test]
    fn a_busy_host_says_when_to_come_back() {
        let response = Problem::Component(RequestError::Busy).response(Trace::begin().id());
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let retry_after = Duration::from_secs(7);
        let response = Problem::Overloaded { retry_after }.response(Trace::begin().id());
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
    }
}
