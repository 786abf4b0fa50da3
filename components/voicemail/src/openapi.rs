//! `/v1/openapi.json`: the API, described for programs (OpenAPI 3.1).
//!
//! The document is written by hand beside this file; the tests hold it against the table of routes, and
//! a running host is held against the document by schemathesis.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{self, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::conditional::{etag, unless_known};
use crate::negotiate::accepts;
use crate::problem::Problem;
use crate::response::{self, Body, JSON};

const DOCUMENT: &str = include_str!("openapi.json");

static ETAG: LazyLock<String> = LazyLock::new(|| etag(DOCUMENT.as_bytes()));

/// Shows the document, which changes with releases alone.
pub(crate) fn get(headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    if !accepts(headers, &[JSON]) {
        return Err(Problem::NotAcceptable {
            offered: JSON.into(),
        });
    }
    let body = Bytes::from_static(DOCUMENT.as_bytes());
    let mut response = response::whole(StatusCode::OK, JSON, body);
    let fields = response.headers_mut();
    fields.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    fields.extend(response::header(header::ETAG, ETAG.clone()));
    Ok(unless_known(headers, response))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::DOCUMENT;
    use crate::route::{Part, Resource};

    /// The documented path of a resource. A new one stops this from compiling, for it needs a path in
    /// the document, and a line below.
    fn template(resource: &Resource) -> String {
        let part = match resource {
            Resource::OpenApi => return "/v1/openapi.json".into(),
            Resource::Sessions => return "/v1/sessions".into(),
            Resource::Distribution => return "/v1/messages".into(),
            Resource::Mailboxes => return "/v1/mailboxes".into(),
            Resource::Spool => return "/v1/spool".into(),
            Resource::SpoolEntry { .. } => return "/v1/spool/{order}".into(),
            Resource::SpoolRetry { .. } => return "/v1/spool/{order}/retry".into(),
            Resource::Mailbox { .. } => return "/v1/mailboxes/{mailbox}".into(),
            Resource::Of { part, .. } => match part {
                Part::Summary => "summary",
                Part::Messages => "messages",
                Part::Message { .. } => "messages/{message}",
                Part::Audio { .. } => "messages/{message}/audio",
                Part::Peaks { .. } => "messages/{message}/audio/peaks",
                Part::Comment { .. } => "messages/{message}/comment",
                Part::Forward { .. } => "messages/{message}/forward",
                Part::Heard => "greeting",
                Part::Greeting { .. } => "greetings/{kind}",
            },
            Resource::Maintenance => unreachable!("nobody is told of it"),
        };
        format!("/v1/mailboxes/{{mailbox}}/{part}")
    }

    #[test]
    fn every_resource_is_documented() {
        let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let paths = document["paths"].as_object().expect("paths").keys();
        let documented: BTreeSet<_> = paths.cloned().collect();
        let of = |part| Resource::Of {
            mailbox: "anna".into(),
            part,
        };
        let message = || "0a".to_owned();
        let resources = [
            Resource::OpenApi,
            Resource::Sessions,
            Resource::Distribution,
            Resource::Mailboxes,
            Resource::Spool,
            Resource::SpoolEntry { order: "17".into() },
            Resource::SpoolRetry { order: "17".into() },
            Resource::Mailbox {
                mailbox: "anna".into(),
            },
            of(Part::Summary),
            of(Part::Messages),
            of(Part::Message { message: message() }),
            of(Part::Audio { message: message() }),
            of(Part::Peaks { message: message() }),
            of(Part::Comment { message: message() }),
            of(Part::Forward { message: message() }),
            of(Part::Heard),
            of(Part::Greeting {
                kind: "busy".into(),
            }),
        ];
        assert_eq!(
            resources.iter().map(template).collect::<BTreeSet<_>>(),
            documented
        );
        for path in &documented {
            let path = path.replace("{mailbox}", "anna");
            let path = path.replace("{message}", "0a").replace("{kind}", "busy");
            let path = path.replace("{order}", "17");
            assert!(
                resources.contains(&Resource::of(&path).expect(&path)),
                "{path}"
            );
        }
    }
}
