//! `/v1/mailboxes/{mailbox}/messages/{message}`: one message and its flags.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Body as HttpBody;
use starling_mailbox::{FlagChange, Join, Mailbox, MailboxId, MessageId, Slot};

use crate::conditional;
use crate::json::{self, JSON_BYTES_MAX, MessageJson};
use crate::maintenance;
use crate::negotiate::declared_type;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::response::{self, Body, JSON};
use crate::slots::{Change, Slots, exists};
use crate::upload;

/// A merge patch says the same as plain JSON here, for flags can only be set, never removed.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Shows the message.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    let message = slots.message(id, &mailbox, message)?;
    Ok(conditional::shown(headers, &MessageJson::of(id, &message)))
}

/// Sets flags, and shows the message as it is then.
pub(crate) async fn patch<P, B>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    declared_change(headers)?;
    let body = upload::read(headers, body, JSON_BYTES_MAX).await?;
    let flags = json::flag_change(&body)?;
    let mailbox = flag(slots, id, message, flags, headers).await?;
    let message = slots.message(id, &mailbox, message)?;
    let shown = MessageJson::of(id, &message);
    Ok(conditional::tagged(http::StatusCode::OK, &shown))
}

/// Moves the message to the trash. It stays there, to be undeleted: deleting it again changes
/// nothing. With `purge=true` it is gone for good, from wherever it is.
pub(crate) async fn delete<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mut for_good = false;
    for (name, value) in Query::of(query) {
        match name.as_str() {
            "purge" => for_good = query::boolean(&name, &value)?,
            _ => return Err(query::unknown(&name, "purge")),
        }
    }
    if for_good {
        let check = |mailbox: &Mailbox| {
            // Who purges again what is gone is right.
            mailbox
                .purge(message)
                .map_err(|error| slots.change_refused(id, message, error))?;
            let present = slots.decoded_of(id, mailbox.message(message))?;
            let present = present.map(|it| MessageJson::of(id, &it));
            conditional::check(headers, present.as_ref())?;
            Ok(present.is_some())
        };
        let mut refused = None;
        let chosen = |mailbox: &Mailbox| match check(mailbox) {
            Ok(true) => vec![message],
            Ok(false) => Vec::new(),
            Err(problem) => {
                refused = Some(problem);
                Vec::new()
            }
        };
        purge(slots, id, chosen).await?;
        if let Some(problem) = refused {
            return Err(problem);
        }
        maintenance::tend(slots, id).await?;
        return Ok(response::no_content());
    }
    let deleted = FlagChange {
        deleted: Some(true),
        ..FlagChange::default()
    };
    flag(slots, id, message, deleted, headers).await?;
    Ok(response::no_content())
}

/// Removes the messages that `chosen` picks, for good.
pub(crate) async fn purge<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    mut chosen: impl FnMut(&Mailbox) -> Vec<MessageId>,
) -> Result<(), Problem> {
    let purge = |mailbox: &Mailbox, _: &_| {
        exists(id, mailbox)?;
        let mut deltas = Slot::default();
        for message in chosen(mailbox) {
            let delta = mailbox
                .purge(message)
                .map_err(|error| slots.change_refused(id, message, error))?;
            add(&mut deltas, delta);
        }
        Ok(Change::of_messages(deltas))
    };
    slots.change(id, purge).await?;
    Ok(())
}

async fn flag<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    flags: FlagChange,
    headers: &HeaderMap,
) -> Result<Mailbox, Problem> {
    let make = |mailbox: &Mailbox, _: &_| {
        exists(id, mailbox)?;
        let shown = slots.message(id, mailbox, message)?;
        conditional::check(headers, Some(&MessageJson::of(id, &shown)))?;
        let mut delta = Slot::default();
        change(&mut delta, slots, id, mailbox, message, flags)?;
        Ok(Change::of_messages(delta))
    };
    slots.change(id, make).await
}

/// Adds what changing a message's flags makes new.
pub(crate) fn change<P: Platform>(
    deltas: &mut Slot,
    slots: &Slots<'_, P>,
    id: &MailboxId,
    mailbox: &Mailbox,
    message: MessageId,
    flags: FlagChange,
) -> Result<(), Problem> {
    let delta = mailbox
        .change_flags(message, flags, &slots.origin())
        .map_err(|error| slots.change_refused(id, message, error))?;
    add(deltas, delta);
    Ok(())
}

/// Joins a change to others that were made upon the same mailbox.
fn add(deltas: &mut Slot, delta: Slot) {
    if deltas.is_empty() {
        *deltas = delta;
    } else if !delta.is_empty() {
        deltas.join(delta);
    }
}

/// Refuses a body that is not declared as a change.
pub(crate) fn declared_change(headers: &HeaderMap) -> Result<(), Problem> {
    let declared = declared_type(headers)?;
    if [Some(JSON), Some(MERGE_PATCH)].contains(&declared.as_deref()) {
        return Ok(());
    }
    let detail = format!("a change of a message is {JSON} or {MERGE_PATCH}");
    Err(Problem::MediaTypeUnsupported { detail })
}
