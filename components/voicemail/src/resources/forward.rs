//! `/v1/mailboxes/{mailbox}/messages/{message}/forward`: passing a message on to other mailboxes, with a
//! comment in front if the subscriber has recorded one.
//!
//! Within a region the audio is shared, not copied. Audio that lies in another region is copied once,
//! into the own region's store, which is the only one that is written here.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Body as HttpBody;
use starling_mailbox::{Audio, AudioId, Forwarded, Header, MailboxId, MessageId, keys};

use super::distribution::{check_recipients, place_all, recipients, results, share, unshare};
use crate::form::{self, FORM, FORM_OVERHEAD_BYTES_MAX};
use crate::json::{self, JSON_BYTES_MAX};
use crate::limits;
use crate::negotiate::{declared_type, single};
use crate::particulars::{IdFrom, IdempotencyKey, Particulars};
use crate::platform::{Platform, Store, UploadError};
use crate::problem::Problem;
use crate::recording::Recording;
use crate::response::{Body, JSON};
use crate::shares;
use crate::slots::{Slots, unavailable};
use crate::upload;

/// Forwards the message to the mailboxes that the body names: JSON, or a form with a comment.
pub(crate) async fn post<P, B>(
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
    let key = IdempotencyKey::of(headers)?;
    let (to, comment) = read(headers, body).await?;
    let to = check_recipients(to)?;
    let source = source(slots, id, message).await?;
    if source.private {
        return Err(Problem::MessagePrivate);
    }
    let recipients = recipients(slots, to, key).await;
    if recipients.iter().all(|recipient| recipient.is_lost()) {
        return Ok(results(&recipients, &[]));
    }
    let ids = IdFrom::of(key);
    let new_id = |what: &str| match key {
        Some(key) => key.audio_id(id, &format!("{message} {what}")),
        None => AudioId::from_random(slots.platform().random_bits()),
    };
    let comment = match comment {
        Some(recording) => {
            let audio = recording.audio(new_id("comment"));
            share(slots, &audio, &recipients).await?;
            recording.store(slots, &audio).await?;
            Some(audio)
        }
        None => None,
    };
    let audio = if source.region == *slots.region() {
        shares::add(slots, &source.audio, &[(id.clone(), message)]).await?;
        share(slots, &source.audio, &recipients).await?;
        // Now nobody removes it any more; if somebody did before, the message is gone.
        if let Err(gone) = self::source(slots, id, message).await {
            if ids == IdFrom::Chance {
                unshare(slots, &source.audio, &recipients).await;
            }
            return Err(gone);
        }
        source.audio.clone()
    } else {
        let copy = Audio {
            id: new_id("copy"),
            ..source.audio.clone()
        };
        share(slots, &copy, &recipients).await?;
        copy_audio(slots, &source, &copy).await?;
        copy
    };
    let header = Header {
        received_at_ms: slots.platform().now_ms(),
        region: slots.region().clone(),
        audio,
        forwarded: Some(Forwarded {
            by: id.clone(),
            comment,
        }),
        ..source
    };
    let limits = limits::deposits(slots.platform()).await?;
    let placed = place_all(slots, &recipients, &header, limits, ids).await;
    Ok(results(&recipients, &placed))
}

/// Reads to whom, and what is said in front.
async fn read<B>(headers: &HeaderMap, body: B) -> Result<(Vec<String>, Option<Recording>), Problem>
where
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    match declared_type(headers)?.as_deref() {
        Some(JSON) => {
            let body = upload::read(headers, body, JSON_BYTES_MAX).await?;
            Ok((json::recipients(&body)?, None))
        }
        Some(FORM) => {
            let content_type = single(headers, "content-type")?.unwrap_or_default();
            let max_bytes = starling_mailbox::MESSAGE_BYTES_MAX + FORM_OVERHEAD_BYTES_MAX;
            let body = upload::read(headers, body, max_bytes).await?;
            let form = form::read(content_type, body).await?;
            let allowed = Particulars {
                to: form.particulars.to.clone(),
                ..Particulars::default()
            };
            if form.particulars != allowed {
                return Err(Problem::BodyMalformed {
                    detail: "a forward has the fields to and audio, and nothing else".into(),
                });
            }
            let declared = form.declared.as_deref();
            let comment = form
                .audio
                .map(|audio| Recording::check(audio, declared, Particulars::default()))
                .transpose()?;
            Ok((form.particulars.to, comment))
        }
        _ => {
            let detail = format!("a forward is {JSON}, or {FORM} with a comment");
            Err(Problem::MediaTypeUnsupported { detail })
        }
    }
}

async fn source<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
) -> Result<Header, Problem> {
    let mailbox = slots.mailbox(id).await?;
    Ok(slots.message(id, &mailbox, message)?.header)
}

/// Copies audio of another region, piece by piece.
async fn copy_audio<P: Platform>(
    slots: &Slots<'_, P>,
    source: &Header,
    copy: &Audio,
) -> Result<(), Problem> {
    let there = slots.store_of(&source.region).await?;
    let platform = slots.platform();
    for n in 0..copy.chunks() {
        let key = keys::audio_chunk(&source.audio, n);
        let piece = there.get(&key).await;
        let piece = piece.map_err(|error| unavailable(platform, &format!("read {key}"), &error))?;
        let piece = piece.ok_or_else(|| {
            platform.log(&format!("read {key}: it is missing"));
            Problem::StoredDataDamaged
        })?;
        let key = keys::audio_chunk(copy, n);
        let stored = slots.own_store().set(&key, &piece).await;
        stored.map_err(|error| unavailable(platform, &format!("store {key}"), &error))?;
    }
    Ok(())
}
