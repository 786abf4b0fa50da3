//! `/v1/mailboxes/{mailbox}/messages/{message}`: one message and its flags.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_mailbox::{ChangeError, FlagChange, Mailbox, MailboxId, MessageId, Origin, Slot};

use crate::json::{self, JSON_BYTES_MAX, MessageJson};
use crate::negotiate::declared_type;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::response::{self, Body, JSON};
use crate::slots::Slots;
use crate::upload;

/// A merge patch says the same as plain JSON here, for flags can only be set, never removed.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Shows the message.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
) -> Result<Response<Body>, Problem> {
    shown(id, &slots.mailbox(id).await?, message)
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
    let declared = declared_type(headers)?;
    if ![Some(JSON), Some(MERGE_PATCH)].contains(&declared.as_deref()) {
        let detail = format!("a change of a message is {JSON} or {MERGE_PATCH}");
        return Err(Problem::MediaTypeUnsupported { detail });
    }
    let body = upload::read(headers, body, JSON_BYTES_MAX).await?;
    let mailbox = flag(slots, id, message, json::flag_change(&body)?).await?;
    shown(id, &mailbox, message)
}

/// Moves the message to the trash. It stays there, to be undeleted: deleting it again changes
/// nothing.
pub(crate) async fn delete<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
) -> Result<Response<Body>, Problem> {
    flag(
        slots,
        id,
        message,
        FlagChange {
            deleted: Some(true),
            ..FlagChange::default()
        },
    )
    .await?;
    Ok(response::no_content())
}

async fn flag<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    change: FlagChange,
) -> Result<Mailbox, Problem> {
    let make = |mailbox: &Mailbox, _: &Slot| {
        if !mailbox.exists() {
            return Err(Problem::MailboxNotFound {
                mailbox: id.to_string(),
            });
        }
        let origin = Origin {
            region: slots.region().clone(),
            now_ms: slots.platform().now_ms(),
        };
        mailbox
            .change_flags(message, change, &origin)
            .map_err(|error| match error {
                ChangeError::NoSuchMessage => Problem::MessageNotFound {
                    message: message.to_string(),
                },
                ChangeError::ClockSkew(skew) => skew.into(),
            })
    };
    slots.change(id, make).await
}

fn shown(id: &MailboxId, mailbox: &Mailbox, message: MessageId) -> Result<Response<Body>, Problem> {
    let not_found = || Problem::MessageNotFound {
        message: message.to_string(),
    };
    let message = mailbox.message(message).ok_or_else(not_found)?;
    Ok(response::json(
        StatusCode::OK,
        &MessageJson::of(id, message),
    ))
}
