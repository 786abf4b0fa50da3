//! `/v1/mailboxes/{mailbox}/greetings/{kind}`, the subscriber's recordings, and
//! `/v1/mailboxes/{mailbox}/greeting`, what a caller should hear now.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_mailbox::{
    AudioId, CallState, DepositError, Greeting, GreetingKind, Mailbox, MailboxId,
};

use super::audio;
use crate::conditional;
use crate::deposit::discard;
use crate::json::{GreetingJson, HeardJson};
use crate::maintenance;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::recording::Announced;
use crate::response::{self, Body};
use crate::slots::{Slots, exists};

/// A greeting is replaced under the same path: who keeps it asks whether it is still the one.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Says what a caller should hear.
pub(crate) async fn heard<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mut state = CallState::default();
    for (name, value) in Query::of(query) {
        match (name.as_str(), value.as_str()) {
            ("reason", "busy") => state = CallState::Busy,
            ("reason", "unavailable") => state = CallState::Unanswered,
            ("reason", _) => {
                return Err(query::invalid(
                    &name,
                    "it is neither busy nor unavailable".into(),
                ));
            }
            _ => return Err(query::unknown(&name, "reason")),
        }
    }
    let mailbox = slots.mailbox(id).await?;
    let heard = HeardJson::of(id, &mailbox, state);
    Ok(response::json(StatusCode::OK, &heard))
}

/// Plays a recording.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    kind: GreetingKind,
    method: &Method,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    let greeting = mailbox.profile().greeting_of(kind, mailbox.now_ms());
    let greeting = greeting.ok_or(Problem::GreetingNotFound)?;
    let recording = audio::Recording {
        audio: &greeting.audio,
        region: &greeting.region,
        name: &format!("greeting-{kind}"),
        keep: REVALIDATE,
    };
    audio::serve(slots, recording, method, headers, query).await
}

/// Sets a recording; a temporary one until `expires_at`, if that is given.
pub(crate) async fn put<P, B>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    kind: GreetingKind,
    headers: &HeaderMap,
    query: &str,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let mut expires_at_ms = None;
    for (name, value) in Query::of(query) {
        match name.as_str() {
            "expires_at" if kind == GreetingKind::Temporary => {
                let at_ms = query::time_ms(&name, &value)?;
                if at_ms <= slots.platform().now_ms() {
                    return Err(query::invalid(&name, "it is in the past".into()));
                }
                expires_at_ms = Some(at_ms);
            }
            "expires_at" => {
                return Err(query::invalid(
                    &name,
                    "only a temporary greeting expires".into(),
                ));
            }
            _ => return Err(query::unknown(&name, "expires_at")),
        }
    }
    let announced = Announced::of(headers)?;
    slots.mailbox(id).await?;
    let recording = announced.receive(headers, body).await?;
    let audio = recording.audio(AudioId::from_random(slots.platform().random_bits()));
    recording.store(slots, &audio).await?;
    let greeting = Greeting {
        region: slots.region().clone(),
        audio,
        expires_at_ms,
    };
    let mut created = false;
    let set = |mailbox: &Mailbox, _: &_| {
        exists(id, mailbox)?;
        let present = mailbox.profile().greeting_of(kind, mailbox.now_ms());
        conditional::check_tag(headers, present.map(tag).as_deref())?;
        created = present.is_none();
        let (duration_ms, max_ms) = (
            greeting.audio.duration_ms,
            mailbox.profile().message_ms_max(),
        );
        if duration_ms > max_ms {
            let error = DepositError::TooLong {
                duration_ms,
                max_ms,
            };
            return Err(slots.deposit_refused(id, &error));
        }
        Ok(mailbox.change_greeting(kind, Some(greeting.clone()), &slots.origin())?)
    };
    let changed = slots.change(id, set).await;
    if let Err(
        Problem::MailboxNotFound { .. }
        | Problem::ClockSkew { .. }
        | Problem::DepositRefused { .. }
        | Problem::PreconditionFailed,
    ) = changed
    {
        // Refused for certain, and the audio has an id that nobody else knows.
        discard(slots, &greeting.audio).await;
    }
    changed?;
    maintenance::tend(slots, id).await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = response::json(status, &GreetingJson::of(id, kind, &greeting));
    if created {
        let location = format!("/v1/mailboxes/{id}/greetings/{kind}");
        response
            .headers_mut()
            .extend(response::header(LOCATION, location));
    }
    Ok(response)
}

/// Deletes a recording.
pub(crate) async fn delete<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    kind: GreetingKind,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let delete = |mailbox: &Mailbox, _: &_| {
        exists(id, mailbox)?;
        let present = mailbox.profile().greeting_of(kind, mailbox.now_ms());
        let present = present.ok_or(Problem::GreetingNotFound)?;
        conditional::check_tag(headers, Some(&tag(present)))?;
        Ok(mailbox.change_greeting(kind, None, &slots.origin())?)
    };
    slots.change(id, delete).await?;
    maintenance::tend(slots, id).await?;
    Ok(response::no_content())
}

/// The entity tag under which the recording is played.
fn tag(greeting: &Greeting) -> String {
    format!("\"{}\"", greeting.audio.digest)
}
