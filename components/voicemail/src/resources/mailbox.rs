//! `/v1/mailboxes/{mailbox}` and its summary.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_mailbox::{MailboxId, Origin};

use crate::json::{self, JSON_BYTES_MAX, MailboxJson, SummaryJson};
use crate::negotiate::declared_type;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::response::{self, Body, JSON};
use crate::slots::Slots;
use crate::upload;

/// Shows the settings.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    Ok(response::json(
        StatusCode::OK,
        &MailboxJson::of(id, &mailbox),
    ))
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
    let change = json::profile_change(&body)?;
    let mut created = false;
    let mailbox = slots
        .change(id, |mailbox, _| {
            created = !mailbox.exists();
            let origin = Origin {
                region: slots.region().clone(),
                now_ms: slots.platform().now_ms(),
            };
            Ok(mailbox.change_profile(change, &origin)?)
        })
        .await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = response::json(status, &MailboxJson::of(id, &mailbox));
    if created {
        response
            .headers_mut()
            .extend(response::header(LOCATION, format!("/v1/mailboxes/{id}")));
    }
    Ok(response)
}
