//! Every refusal of the API, in one table: RFC 9457 problem documents.
//!
//! Clients switch on `type`, which is stable; `title` is fixed for each type; `detail` helps this
//! caller with this request and may be reworded at any time. Nothing of the store, of other
//! mailboxes or of the code gets out.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_RANGE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use starling_mailbox::audio::AudioError;
use starling_mailbox::{DepositError, InvalidId};

use crate::response::{self, Body};

/// What the `type` of every problem begins with; the rest is the name in the table.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:starling:problem:";

/// After how many seconds a client may try again what failed through no fault of its own.
const RETRY_AFTER_S: &str = "1";

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Problem {
    /// The path names nothing.
    NotFound,
    /// There is no such mailbox, or no text that could be one.
    MailboxNotFound { mailbox: String },
    /// The mailbox holds no such message.
    MessageNotFound { message: String },
    /// The resource does not know the method; these it knows.
    MethodNotAllowed { allow: &'static str },
    /// The client takes nothing that can be given.
    NotAcceptable { offered: Cow<'static, str> },
    /// The path asks for a mailbox that cannot be.
    MailboxIdInvalid(InvalidId),
    /// A part of the query is wrong.
    ParameterInvalid { parameter: String, detail: String },
    /// A header is wrong.
    HeaderInvalid { header: String, detail: String },
    /// The body is not of the form that it should have, or not whole.
    BodyMalformed { detail: String },
    /// A member of a JSON body, or a field of a form, is wrong.
    MemberInvalid { member: String, detail: String },
    /// The body is too large.
    BodyTooLarge { max_bytes: usize },
    /// The body is of a type that is not taken here, by declaration or by content.
    MediaTypeUnsupported { detail: String },
    /// The audio contradicts itself, is cut off or holds no sound.
    AudioBroken { detail: String },
    /// The idempotency key belongs to another deposit.
    IdempotencyKeyReused,
    /// The range lies outside the audio.
    RangeNotSatisfiable { size_bytes: u64 },
    /// A quota of the mailbox is used up.
    MailboxFull { detail: String },
    /// The clocks of the regions disagree.
    ClockSkew { detail: String },
    /// Too many writers at once; this one lost every time.
    Contention,
    /// A store did not answer, or not yes.
    StoreUnavailable,
    /// What is stored was written by a newer release, during a rollout.
    NewerRelease,
    /// What is stored cannot be read.
    StoredDataDamaged,
    /// The application's variables make no sense.
    Misconfigured,
}

use Problem::*;

impl Problem {
    /// The table: status, name of the type, title.
    fn row(&self) -> (u16, &'static str, &'static str) {
        match self {
            NotFound => (404, "not-found", "There is nothing under this path"),
            MailboxNotFound { .. } => (404, "mailbox-not-found", "There is no such mailbox"),
            MessageNotFound { .. } => (404, "message-not-found", "There is no such message"),
            MethodNotAllowed { .. } => (405, "method-not-allowed", "The method is not known here"),
            NotAcceptable { .. } => (
                406,
                "not-acceptable",
                "None of the accepted media types can be given",
            ),
            MailboxIdInvalid(_) => (422, "mailbox-id-invalid", "No mailbox can have this id"),
            ParameterInvalid { .. } => (400, "parameter-invalid", "A query parameter is wrong"),
            HeaderInvalid { .. } => (400, "header-invalid", "A header is wrong"),
            BodyMalformed { .. } => (400, "body-malformed", "The body cannot be read"),
            MemberInvalid { .. } => (422, "member-invalid", "A member of the body is wrong"),
            BodyTooLarge { .. } => (413, "body-too-large", "The body is too large"),
            MediaTypeUnsupported { .. } => {
                (415, "media-type-unsupported", "The media type is not taken")
            }
            AudioBroken { .. } => (422, "audio-broken", "The audio is broken"),
            IdempotencyKeyReused => (
                422,
                "idempotency-key-reused",
                "The idempotency key belongs to another deposit",
            ),
            RangeNotSatisfiable { .. } => (
                416,
                "range-not-satisfiable",
                "The range lies outside the audio",
            ),
            MailboxFull { .. } => (507, "mailbox-full", "The mailbox is full"),
            ClockSkew { .. } => (503, "clock-skew", "The clocks of the regions disagree"),
            Contention => (503, "contention", "Too many changes at once"),
            StoreUnavailable => (503, "store-unavailable", "The store is not available"),
            NewerRelease => (503, "newer-release", "A newer release is being rolled out"),
            StoredDataDamaged => (500, "stored-data-damaged", "Stored data cannot be read"),
            Misconfigured => (500, "misconfigured", "The application is misconfigured"),
        }
    }

    /// What helps this caller with this request.
    fn detail(&self) -> String {
        match self {
            NotFound => "The API lies under /v1/mailboxes/{mailbox}.".into(),
            MailboxNotFound { mailbox } => {
                format!("Mailbox {mailbox:?} was never created; a PUT to its path creates it.")
            }
            MessageNotFound { message } => format!("The mailbox holds no message {message:?}."),
            MethodNotAllowed { allow } => format!("The methods known here are {allow}."),
            NotAcceptable { offered } => format!("What can be given here is {offered}."),
            MailboxIdInvalid(why) => sentence(why),
            ParameterInvalid { parameter, detail } => format!("Parameter {parameter:?}: {detail}."),
            HeaderInvalid { header, detail } => format!("Header {header:?}: {detail}."),
            BodyMalformed { detail } => sentence(detail),
            MemberInvalid { member, detail } => format!("Member {member:?}: {detail}."),
            BodyTooLarge { max_bytes } => format!("At most {max_bytes} bytes are taken here."),
            MediaTypeUnsupported { detail } | AudioBroken { detail } | MailboxFull { detail } => {
                sentence(detail)
            }
            IdempotencyKeyReused => {
                "An earlier deposit into this mailbox used the key with other audio. Use a new key for \
                 a new message; to retry a deposit, send the very same audio."
                    .into()
            }
            RangeNotSatisfiable { size_bytes } => format!("The audio has {size_bytes} bytes."),
            ClockSkew { detail } => sentence(detail),
            Contention => "Others changed the mailbox again and again; try again.".into(),
            StoreUnavailable => {
                "The store could not do its part. Nothing is acknowledged; try again.".into()
            }
            NewerRelease => "This instance is about to be replaced; try again.".into(),
            StoredDataDamaged => "The operator has been told.".into(),
            Misconfigured => "The operator has been told.".into(),
        }
    }

    /// The headers that belong to the status.
    fn header(&self) -> Option<(http::HeaderName, HeaderValue)> {
        match self {
            MethodNotAllowed { allow } => Some((ALLOW, HeaderValue::from_static(allow))),
            RangeNotSatisfiable { size_bytes } => {
                response::header(CONTENT_RANGE, format!("bytes */{size_bytes}"))
            }
            ClockSkew { .. } | Contention | StoreUnavailable | NewerRelease => {
                Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S)))
            }
            _ => None,
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response<Body> {
        let (status, name, title) = self.row();
        let document = Document {
            r#type: format!("{PROBLEM_TYPE_PREFIX}{name}"),
            title,
            status,
            detail: self.detail(),
        };
        // Texts and a number: this cannot fail, and if it did, the status alone would still be
        // right.
        let body = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = response::whole(status, "application/problem+json", body);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.header());
        if matches!(self, RangeNotSatisfiable { .. }) {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        response
    }
}

/// RFC 9457, section 3.1.
#[derive(Serialize)]
struct Document {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
}

/// What the domain says in the middle of a sentence, as a sentence.
fn sentence(text: &impl ToString) -> String {
    let text = text.to_string();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first
            .to_uppercase()
            .chain(characters)
            .chain(['.'])
            .collect(),
        None => text,
    }
}

impl From<AudioError> for Problem {
    fn from(error: AudioError) -> Self {
        let detail = error.to_string();
        match error {
            AudioError::Unrecognised | AudioError::Unsupported { .. } => {
                MediaTypeUnsupported { detail }
            }
            AudioError::Broken { .. } => AudioBroken { detail },
        }
    }
}

impl From<starling_mailbox::ClockSkew> for Problem {
    fn from(error: starling_mailbox::ClockSkew) -> Self {
        ClockSkew {
            detail: error.to_string(),
        }
    }
}

impl Problem {
    /// Why a deposit into this mailbox is refused.
    pub(crate) fn of_deposit(error: &DepositError, mailbox: &str) -> Self {
        match error {
            DepositError::NoSuchMailbox => MailboxNotFound {
                mailbox: mailbox.into(),
            },
            DepositError::IdReused => IdempotencyKeyReused,
            DepositError::TooManyMessages(_) | DepositError::TooManyBytes { .. } => MailboxFull {
                detail: error.to_string(),
            },
        }
    }
}
