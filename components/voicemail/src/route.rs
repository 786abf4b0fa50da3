//! Which resource a path names, and what may be done to it. A pure table.

use percent_encoding::percent_decode_str;

/// A resource of the API, with the ids as they stand in the path: decoded, not yet checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Resource {
    /// `/v1/mailboxes/{mailbox}`
    Mailbox { mailbox: String },
    /// `/v1/mailboxes/{mailbox}/summary`
    Summary { mailbox: String },
    /// `/v1/mailboxes/{mailbox}/messages`
    Messages { mailbox: String },
    /// `/v1/mailboxes/{mailbox}/messages/{message}`
    Message { mailbox: String, message: String },
    /// `/v1/mailboxes/{mailbox}/messages/{message}/audio`
    Audio { mailbox: String, message: String },
}

impl Resource {
    /// The resource of this path. A path has no empty segments, so neither doubled nor trailing
    /// slashes.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix("/v1/mailboxes/")?.split('/').map(decoded);
        let mailbox = segments.next()??;
        let tail: Vec<String> = segments.collect::<Option<_>>()?;
        let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
        Some(match tail[..] {
            [] => Self::Mailbox { mailbox },
            ["summary"] => Self::Summary { mailbox },
            ["messages"] => Self::Messages { mailbox },
            ["messages", message] => Self::Message {
                mailbox,
                message: message.into(),
            },
            ["messages", message, "audio"] => Self::Audio {
                mailbox,
                message: message.into(),
            },
            _ => return None,
        })
    }

    /// The methods that the resource knows, as the `Allow` header lists them (RFC 9110, section
    /// 10.2.1).
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Self::Mailbox { .. } => "GET, HEAD, PUT",
            Self::Messages { .. } => "GET, HEAD, POST",
            Self::Message { .. } => "GET, HEAD, PATCH, DELETE",
            Self::Summary { .. } | Self::Audio { .. } => "GET, HEAD",
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

    #[test]
    fn path_names_one_resource() {
        let (mailbox, message) = (|| "anna".to_owned(), || "0a".to_owned());
        check(
            "/v1/mailboxes/anna",
            Some(Resource::Mailbox { mailbox: mailbox() }),
        );
        check(
            "/v1/mailboxes/anna/summary",
            Some(Resource::Summary { mailbox: mailbox() }),
        );
        check(
            "/v1/mailboxes/anna/messages",
            Some(Resource::Messages { mailbox: mailbox() }),
        );
        let one = Resource::Message {
            mailbox: mailbox(),
            message: message(),
        };
        check("/v1/mailboxes/anna/messages/0a", Some(one));
        let audio = Resource::Audio {
            mailbox: mailbox(),
            message: message(),
        };
        check("/v1/mailboxes/anna/messages/0a/audio", Some(audio));
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
            "/v1/mailboxes",
            "/v1/mailboxes/",
            "/v1/mailboxes//summary",
            "/v1/mailboxes/anna/",
            "/v1/mailboxes/anna/greetings",
            "/v1/mailboxes/anna/messages/",
            "/v1/mailboxes/anna/messages/0a/audio/",
            "/v1/mailboxes/anna/messages/0a/audio/0",
            "/v1/mailboxes/%ff",
            "/v2/mailboxes/anna",
            "/V1/mailboxes/anna",
        ] {
            check(path, None);
        }
    }
}
