//! Which resource a path names, and what may be done to it. A pure table.

use percent_encoding::percent_decode_str;

/// A resource of the API, with the ids as they stand in the path: decoded, not yet checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Resource {
    /// `/v1/openapi.json`
    OpenApi,
    /// `/v1/sessions`
    Sessions,
    /// `/v1/messages`
    Distribution,
    /// `/v1/mailboxes`
    Mailboxes,
    /// `/v1/spool`
    Spool,
    /// `/v1/spool/{order}`
    SpoolEntry { order: String },
    /// `/v1/spool/{order}/retry`
    SpoolRetry { order: String },
    /// `/v1/mailboxes/{mailbox}`
    Mailbox { mailbox: String },
    /// `/v1/mailboxes/{mailbox}/…`
    Of { mailbox: String, part: Part },
    /// `/maintenance`, which no route of the manifest reaches: see [`maintenance`](crate::maintenance).
    Maintenance,
}

/// A part of a mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// `summary`
    Summary,
    /// `messages`
    Messages,
    /// `messages/{message}`
    Message { message: String },
    /// `messages/{message}/audio`
    Audio { message: String },
    /// `messages/{message}/audio/peaks`
    Peaks { message: String },
    /// `messages/{message}/comment`
    Comment { message: String },
    /// `messages/{message}/forward`
    Forward { message: String },
    /// `greeting`
    Heard,
    /// `greetings/{kind}`
    Greeting { kind: String },
}

impl Resource {
    /// The resource of this path. A path has no empty segments, so neither doubled nor trailing
    /// slashes.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path == "/maintenance" {
            return Some(Self::Maintenance);
        }
        let segments = path.strip_prefix("/v1/")?.split('/').map(decoded);
        let segments: Vec<String> = segments.collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (mailbox, rest) = match segments[..] {
            ["openapi.json"] => return Some(Self::OpenApi),
            ["sessions"] => return Some(Self::Sessions),
            ["messages"] => return Some(Self::Distribution),
            ["mailboxes"] => return Some(Self::Mailboxes),
            ["spool"] => return Some(Self::Spool),
            ["spool", order] => {
                return Some(Self::SpoolEntry {
                    order: order.to_owned(),
                });
            }
            ["spool", order, "retry"] => {
                return Some(Self::SpoolRetry {
                    order: order.to_owned(),
                });
            }
            ["mailboxes", mailbox, ref rest @ ..] => (mailbox.to_owned(), rest),
            _ => return None,
        };
        let message = |message: &str| message.to_owned();
        let part = match *rest {
            [] => return Some(Self::Mailbox { mailbox }),
            ["summary"] => Part::Summary,
            ["messages"] => Part::Messages,
            ["messages", id] => Part::Message {
                message: message(id),
            },
            ["messages", id, "audio"] => Part::Audio {
                message: message(id),
            },
            ["messages", id, "audio", "peaks"] => Part::Peaks {
                message: message(id),
            },
            ["messages", id, "comment"] => Part::Comment {
                message: message(id),
            },
            ["messages", id, "forward"] => Part::Forward {
                message: message(id),
            },
            ["greeting"] => Part::Heard,
            ["greetings", kind] => Part::Greeting { kind: kind.into() },
            _ => return None,
        };
        Some(Self::Of { mailbox, part })
    }

    /// The methods that the resource knows, as the `Allow` header lists them (RFC 9110, section
    /// 10.2.1).
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Self::OpenApi | Self::Spool => "GET, HEAD",
            Self::Sessions | Self::Distribution | Self::SpoolRetry { .. } | Self::Maintenance => {
                "POST"
            }
            Self::SpoolEntry { .. } => "DELETE",
            Self::Mailboxes => "GET, HEAD, POST",
            Self::Mailbox { .. } => "GET, HEAD, PUT, DELETE",
            Self::Of { part, .. } => match part {
                Part::Messages => "GET, HEAD, POST, PATCH, DELETE",
                Part::Message { .. } => "GET, HEAD, PATCH, DELETE",
                Part::Greeting { .. } => "GET, HEAD, PUT, DELETE",
                Part::Forward { .. } => "POST",
                Part::Summary
                | Part::Audio { .. }
                | Part::Peaks { .. }
                | Part::Comment { .. }
                | Part::Heard => "GET, HEAD",
            },
        }
    }
}

/// A segment without its percent signs; `None` if it is empty or no text.
fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<Resource>) {
        assert_eq!(Resource::of(path), expected, "{path}");
    }

    fn of(part: Part) -> Resource {
        Resource::Of {
            mailbox: "anna".into(),
            part,
        }
    }

    #[test]
    fn path_names_one_resource() {
        let message = || "0a".to_owned();
        for (path, resource) in [
            ("/v1/openapi.json", Resource::OpenApi),
            ("/v1/sessions", Resource::Sessions),
            ("/v1/messages", Resource::Distribution),
            ("/v1/mailboxes", Resource::Mailboxes),
            ("/maintenance", Resource::Maintenance),
            ("/v1/spool", Resource::Spool),
            ("/v1/spool/17", Resource::SpoolEntry { order: "17".into() }),
            (
                "/v1/spool/17/retry",
                Resource::SpoolRetry { order: "17".into() },
            ),
        ] {
            check(path, Some(resource));
        }
        let mailbox = "anna".to_owned();
        check("/v1/mailboxes/anna", Some(Resource::Mailbox { mailbox }));
        for (path, part) in [
            ("summary", Part::Summary),
            ("messages", Part::Messages),
            ("messages/0a", Part::Message { message: message() }),
            ("messages/0a/audio", Part::Audio { message: message() }),
            (
                "messages/0a/audio/peaks",
                Part::Peaks { message: message() },
            ),
            ("messages/0a/comment", Part::Comment { message: message() }),
            ("messages/0a/forward", Part::Forward { message: message() }),
            ("greeting", Part::Heard),
            (
                "greetings/busy",
                Part::Greeting {
                    kind: "busy".into(),
                },
            ),
        ] {
            check(&format!("/v1/mailboxes/anna/{path}"), Some(of(part)));
        }
    }

    #[test]
    fn plus_is_itself_and_its_escape() {
        for path in ["/v1/mailboxes/+15551230001", "/v1/mailboxes/%2B15551230001"] {
            check(
                path,
                Some(Resource::Mailbox {
                    mailbox: "+15551230001".into(),
                }),
            );
        }
    }

    #[test]
    fn everything_else_is_no_resource() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/mailboxes/",
            "/v1/mailboxes//summary",
            "/v1/mailboxes/anna/",
            "/v1/mailboxes/anna/greetings",
            "/v1/mailboxes/anna/messages/",
            "/v1/mailboxes/anna/messages/0a/audio/",
            "/v1/mailboxes/anna/messages/0a/audio/0",
            "/v1/mailboxes/%ff",
            "/v1/maintenance",
            "/v1/spool/",
            "/v1/spool/17/drop",
            "/v1/../maintenance",
            "/maintenance/",
            "//maintenance",
            "/v2/mailboxes/anna",
            "/V1/mailboxes/anna",
        ] {
            check(path, None);
        }
    }
}
