//! Every refusal of the API, in one table: RFC 9457 problem documents.
//!
//! Clients switch on `type`, which is stable; `title` is fixed for each type; `detail` helps this
//! caller with this request and may be reworded at any time. Nothing of the store, of other
//! mailboxes or of the code gets out.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use starling_access::Scope;
use starling_mailbox::InvalidId;
use starling_mailbox::audio::AudioError;

use crate::response::{self, Body};
use crate::trace::TRACE_URN_PREFIX;

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
    /// The spool holds no such undeliverable entry.
    SpoolEntryNotFound,
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
    /// The request says not who asks.
    TokenMissing,
    /// The token is none of ours, or not valid any more.
    TokenInvalid,
    /// The token was valid until a moment ago.
    TokenExpired,
    /// The token is for something else.
    ScopeInsufficient { needed: Vec<Scope> },
    /// A subscriber may not change this member.
    MemberForbidden { member: String },
    /// Mailbox and PIN do not fit together, or the mailbox is locked for now, or there is none.
    SignInFailed,
    /// The present PIN, given to change it, is wrong.
    PinWrong,
    /// The caller asked for the message not to be passed on.
    MessagePrivate,
    /// The state that the client meant is not the present one.
    PreconditionFailed,
    /// The message is of a kind that cannot be deposited here.
    DepositRefused { detail: String },
    /// Too many deposits in too short a time.
    TooManyDeposits { retry_after_s: u64 },
    /// There is no recording of this greeting.
    GreetingNotFound,
    /// The message was not forwarded with a comment.
    CommentNotFound,
    /// What is asked for cannot be computed from this kind of audio.
    NotDecodable { media_type: String },
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
            SpoolEntryNotFound => (
                404,
                "spool-entry-not-found",
                "There is no such undeliverable entry",
            ),
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
            TokenMissing => (401, "token-missing", "The request says not who asks"),
            TokenInvalid => (401, "token-invalid", "The token is not valid"),
            TokenExpired => (401, "token-expired", "The token has expired"),
            ScopeInsufficient { .. } => {
                (403, "scope-insufficient", "The token is for something else")
            }
            MemberForbidden { .. } => (
                403,
                "member-forbidden",
                "A subscriber may not change this member",
            ),
            SignInFailed => (401, "sign-in-failed", "Nobody is signed in"),
            PinWrong => (403, "pin-wrong", "The present PIN is wrong"),
            MessagePrivate => (403, "message-private", "The message is private"),
            PreconditionFailed => (
                412,
                "precondition-failed",
                "The state is another than the one that was meant",
            ),
            DepositRefused { .. } => (422, "deposit-refused", "The message is not taken"),
            TooManyDeposits { .. } => (429, "too-many-deposits", "Too many messages at once"),
            GreetingNotFound => (404, "greeting-not-found", "There is no such recording"),
            CommentNotFound => (404, "comment-not-found", "There is no comment"),
            NotDecodable { .. } => (
                406,
                "not-decodable",
                "The audio can be given only as it was left",
            ),
            ClockSkew { .. } => (503, "clock-skew", "The clocks of the regions disagree"),
            Contention => (503, "contention", "Too many changes at once"),
            StoreUnavailable => (503, "store-unavailable", "The store is not available"),
            NewerRelease => (503, "newer-release", "A newer release is being rolled out"),
            StoredDataDamaged => (500, "stored-data-damaged", "Stored data cannot be read"),
            Misconfigured => (500, "misconfigured", "The application is misconfigured"),
        }
    }

    /// Its name in the table, with which its type ends.
    pub(crate) fn name(&self) -> &'static str {
        self.row().1
    }

    /// What helps this caller with this request.
    pub(crate) fn detail(&self) -> String {
        match self {
            NotFound => "The API is described at /v1/openapi.json.".into(),
            MailboxNotFound { mailbox } => {
                format!("There is no mailbox {mailbox:?}; a PUT to its path creates it.")
            }
            MessageNotFound { message } => format!("The mailbox holds no message {message:?}."),
            SpoolEntryNotFound => {
                "GET /v1/spool shows the entries of the spool of the host that answers.".into()
            }
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
            TokenMissing => {
                "Send a bearer token in Authorization; subscribers get one from POST \
                 /v1/sessions."
                    .into()
            }
            TokenInvalid => "Get a new token; subscribers, from POST /v1/sessions.".into(),
            TokenExpired => "Get a new token; subscribers, from POST /v1/sessions.".into(),
            ScopeInsufficient { needed } => {
                let needed: Vec<_> = needed.iter().map(Scope::to_string).collect();
                format!("This takes a token of the scope {}, for this mailbox.", needed.join(" or "))
            }
            MemberForbidden { member } => {
                format!("Member {member:?}: it takes a token of the scope provision.")
            }
            SignInFailed => {
                "Mailbox and PIN do not fit together, or there were too many attempts; wait a \
                 while before the next one."
                    .into()
            }
            PinWrong => "Give the present PIN as \"current_pin\".".into(),
            MessagePrivate => "Its caller asked for it not to be passed on.".into(),
            PreconditionFailed => "Fetch it again and decide anew.".into(),
            DepositRefused { detail } => sentence(detail),
            TooManyDeposits { retry_after_s } => {
                format!("The next message is taken in {retry_after_s} seconds.")
            }
            GreetingNotFound => "The subscriber has not recorded it, or it has expired.".into(),
            CommentNotFound => "Nothing was said in front of this message.".into(),
            NotDecodable { media_type } => format!("It is {media_type}, which is not decoded here."),
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
            TooManyDeposits { retry_after_s } => {
                Some((RETRY_AFTER, HeaderValue::from(*retry_after_s)))
            }
            // RFC 6750, section 3; RFC 9110, section 11.6.1.
            TokenMissing | SignInFailed => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            TokenInvalid | TokenExpired => Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer error=\"invalid_token\""),
            )),
            ScopeInsufficient { .. } => Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer error=\"insufficient_scope\""),
            )),
            _ => None,
        }
    }

    /// The document, for a request of this trace if it is the answer to one.
    pub(crate) fn document(&self, trace: Option<&str>) -> Document {
        let (status, name, title) = self.row();
        Document {
            r#type: format!("{PROBLEM_TYPE_PREFIX}{name}"),
            title,
            status,
            detail: self.detail(),
            instance: trace.map(|id| format!("{TRACE_URN_PREFIX}{id}")),
        }
    }

    /// The answer.
    pub(crate) fn response(&self, trace: &str) -> Response<Body> {
        let document = self.document(Some(trace));
        let status = document.status;
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
pub(crate) struct Document {
    r#type: String,
    title: &'static str,
    pub(crate) status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
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
