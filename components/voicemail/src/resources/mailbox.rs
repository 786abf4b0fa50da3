//! `/v1/mailboxes/{mailbox}` and its summary.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_access::{PIN_SALT_BYTES, PinCost, PinVerifier};
use starling_mailbox::{Join, Mailbox, MailboxId, PinHash};

use super::sessions;
use crate::access::Access;
use crate::conditional;
use crate::json::{self, JSON_BYTES_MAX, MailboxJson, Settings, SummaryJson};
use crate::maintenance;
use crate::negotiate::declared_type;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::response::{self, Body, JSON};
use crate::slots::{Slots, exists};
use crate::upload;

/// Shows the settings.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    Ok(conditional::shown(headers, &MailboxJson::of(id, &mailbox)))
}

/// Shows the counts.
pub(crate) async fn summary<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    Ok(response::json(
        StatusCode::OK,
        &SummaryJson::from(mailbox.summary()),
    ))
}

/// Creates the mailbox, or changes the settings of one that exists; the body may be empty.
pub(crate) async fn put<P, B>(
    slots: &Slots<'_, P>,
    access: &Access,
    id: &MailboxId,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let declared = declared_type(headers)?;
    let body = upload::read(headers, body, JSON_BYTES_MAX).await?;
    if !body.is_empty() && declared.as_deref() != Some(JSON) {
        let detail = format!("the settings of a mailbox are {JSON}");
        return Err(Problem::MediaTypeUnsupported { detail });
    }
    let settings = json::settings(id, &body)?;
    if access.is_subscriber() {
        check_subscriber(slots, id, &settings).await?;
    }
    let (mailbox, created) = apply(slots, id, settings, !access.is_subscriber(), headers).await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = conditional::tagged(status, &MailboxJson::of(id, &mailbox));
    if created {
        response
            .headers_mut()
            .extend(response::header(LOCATION, format!("/v1/mailboxes/{id}")));
    }
    Ok(response)
}

/// A subscriber changes what is theirs, and the PIN only by the present one.
async fn check_subscriber<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    settings: &Settings,
) -> Result<(), Problem> {
    if let Some(member) = settings.operators.first() {
        return Err(Problem::MemberForbidden {
            member: member.clone(),
        });
    }
    if settings.pin.is_none() {
        return Ok(());
    }
    let current = settings.current_pin.as_deref().unwrap_or_default();
    let current = current.parse().map_err(|_| Problem::PinWrong)?;
    if sessions::attempt(slots, id, &current).await? {
        Ok(())
    } else {
        Err(Problem::PinWrong)
    }
}

/// Makes the settings hold, in a mailbox that is created if it may be. Whether it was.
pub(crate) async fn apply<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    settings: Settings,
    may_create: bool,
    headers: &HeaderMap,
) -> Result<(Mailbox, bool), Problem> {
    let mut change = settings.change;
    let pin_given = settings.pin.is_some();
    if let Some(pin) = settings.pin {
        let salt: [u8; PIN_SALT_BYTES] = slots.platform().random_bits();
        change.pin = Some(pin.map(|pin| {
            let verifier = PinVerifier::of(&pin, &salt, PinCost::DEFAULT);
            PinHash(verifier.as_stored().into())
        }));
    }
    let mut created = false;
    let make = |mailbox: &Mailbox, _: &_| {
        created = !mailbox.exists();
        if !may_create {
            exists(id, mailbox)?;
        }
        let present = MailboxJson::of(id, mailbox);
        conditional::check(headers, mailbox.exists().then_some(&present))?;
        let mut delta = mailbox.change_profile(change.clone(), &slots.origin())?;
        if pin_given {
            // Whoever was locked out is not any more.
            delta.join(mailbox.sign_in_succeeded());
        }
        Ok(delta)
    };
    let mailbox = slots.change(id, make).await?;
    Ok((mailbox, created))
}

/// Deletes the mailbox with everything in it. Deleting it again finds nothing.
pub(crate) async fn delete<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let delete = |mailbox: &Mailbox, _: &_| {
        exists(id, mailbox)?;
        conditional::check(headers, Some(&MailboxJson::of(id, mailbox)))?;
        Ok(mailbox.delete(&slots.origin())?)
    };
    slots.change(id, delete).await?;
    // The first of its audio at once, the rest in the background.
    maintenance::tend(slots, id).await?;
    Ok(response::no_content())
}
