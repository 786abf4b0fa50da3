//! Taking a message: everything is checked before anything is written, and the audio is written
//! before the header.
//!
//! # What a failure leaves behind
//!
//! A deposit that fails half-way leaves pieces of audio that no header names: invisible, and
//! completed by a retry under the same idempotency key, which writes the same bytes to the same
//! keys. Pieces are removed only where nobody can be relying on them: those of a refused message
//! without an idempotency key (its id is known to nobody else), and those with *other* audio than
//! the message that got the id. After a failure whose outcome is not certain nothing is removed,
//! since the header may have been written.

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use starling_mailbox::audio::{self, Recognised};
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, Audio, Digest, Header, MESSAGE_BYTES_MAX, Mailbox, MailboxId, MessageId,
    keys,
};

use crate::form::{self, FORM, FORM_OVERHEAD_BYTES_MAX};
use crate::negotiate::{declared_type, single};
use crate::particulars::{self, Particulars};
use crate::platform::{Platform, Store, UploadError};
use crate::problem::Problem;
use crate::slots::{Slots, unavailable};
use crate::upload;

/// What a client sent.
struct Upload {
    audio: Vec<u8>,
    declared: Option<String>,
    particulars: Particulars,
}

/// Where a message's id comes from.
#[derive(Clone, Copy, Eq, PartialEq)]
enum IdFrom {
    /// The client's idempotency key: other attempts may share the id.
    Key,
    /// Random bits: nobody else knows it.
    Chance,
}

/// Takes a message and returns the mailbox that holds it, with its id.
pub(crate) async fn deposit<P, B>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    headers: &HeaderMap,
    body: B,
) -> Result<(Mailbox, MessageId), Problem>
where
    P: Platform,
    B: Body<Data = Bytes, Error = UploadError>,
{
    // Cheap refusals first: no caller uploads for minutes to hear that the mailbox does not exist.
    let key_id = particulars::id_of_key(headers, id)?;
    let declared = declared_type(headers)?;
    check_declared(declared.as_deref())?;
    let said = Particulars::of_headers(headers)?;
    let mailbox = slots.mailbox(id).await?;

    let upload = receive(headers, body, declared, said).await?;
    let recognised = audio::recognise(&upload.audio)?;
    if let Some(declared) = upload
        .declared
        .as_deref()
        .filter(|it| !recognised.format.agrees_with(it))
    {
        let found = recognised.format.media_type();
        let detail = format!("the body is declared as {declared}, but it is {found}");
        return Err(Problem::MediaTypeUnsupported { detail });
    }
    let header = header(slots, &upload, recognised)?;
    let (message, id_from) = match key_id {
        Some(message) => (message, IdFrom::Key),
        None => (
            MessageId::from_random(slots.platform().random_bits()),
            IdFrom::Chance,
        ),
    };

    // Known already, or refused already? The answer may change until the header is written, but if
    // it is found here, nothing needs to be written at all.
    let refusal = |error| Problem::of_deposit(&error, id.as_str());
    if mailbox
        .deposit(message, header.clone())
        .map_err(refusal)?
        .is_empty()
    {
        return Ok((mailbox, message));
    }

    store_audio(slots, message, &header.audio, &upload.audio).await?;
    let mut named_by_own_slot = false;
    let change = slots.change(id, |mailbox, own| {
        let present = own
            .messages
            .get(&message)
            .and_then(|entry| entry.header.as_ref());
        named_by_own_slot =
            present.is_some_and(|present| present.audio.digest == header.audio.digest);
        mailbox.deposit(message, header.clone()).map_err(refusal)
    });
    match change.await {
        Ok(mailbox) => Ok((mailbox, message)),
        Err(problem) => {
            let nobody_elses = match problem {
                Problem::IdempotencyKeyReused => !named_by_own_slot,
                Problem::MailboxFull { .. } => id_from == IdFrom::Chance,
                _ => false,
            };
            if nobody_elses {
                remove_audio(slots, message, &header.audio).await;
            }
            Err(problem)
        }
    }
}

/// Refuses a declared type that can be no deposit, before it is read.
fn check_declared(declared: Option<&str>) -> Result<(), Problem> {
    let plausible = declared.is_none_or(|it| {
        it == FORM || it == "application/octet-stream" || it.starts_with("audio/")
    });
    if plausible {
        return Ok(());
    }
    let detail = format!(
        "a deposit is audio, declared as such or not declared at all, or {FORM}; this one is \
         declared as {}",
        declared.unwrap_or_default()
    );
    Err(Problem::MediaTypeUnsupported { detail })
}

async fn receive<B>(
    headers: &HeaderMap,
    body: B,
    declared: Option<String>,
    said: Particulars,
) -> Result<Upload, Problem>
where
    B: Body<Data = Bytes, Error = UploadError>,
{
    if declared.as_deref() != Some(FORM) {
        let audio = upload::read(headers, body, MESSAGE_BYTES_MAX).await?;
        return Ok(Upload {
            audio,
            declared,
            particulars: said,
        });
    }
    let content_type = single(headers, CONTENT_TYPE.as_str())?
        .unwrap_or_default()
        .to_owned();
    let body = upload::read(headers, body, MESSAGE_BYTES_MAX + FORM_OVERHEAD_BYTES_MAX).await?;
    let form = form::read(&content_type, body).await?;
    Ok(Upload {
        audio: form.audio,
        declared: form.declared,
        particulars: form.particulars.or(said),
    })
}

fn header<P: Platform>(
    slots: &Slots<'_, P>,
    upload: &Upload,
    recognised: Recognised,
) -> Result<Header, Problem> {
    let said = &upload.particulars;
    Ok(Header {
        received_at_ms: said.received_at_ms(slots.platform().now_ms())?,
        region: slots.region().clone(),
        from: said.from.clone(),
        urgent: said.urgent.unwrap_or(false),
        private: said.private.unwrap_or(false),
        audio: Audio {
            format: recognised.format,
            duration_ms: recognised.duration_ms,
            size_bytes: upload.audio.len() as u64,
            digest: Digest::of(&upload.audio),
            chunk_bytes: AUDIO_CHUNK_BYTES,
        },
    })
}

/// Writes all pieces at once, so that the store can make them durable together.
async fn store_audio<P: Platform>(
    slots: &Slots<'_, P>,
    message: MessageId,
    audio: &Audio,
    bytes: &[u8],
) -> Result<(), Problem> {
    let pieces = bytes.chunks(audio.chunk_bytes.get() as usize).zip(0..);
    let writes = pieces.map(|(piece, n)| async move {
        let key = keys::audio_chunk(message, audio, n);
        slots.own_store().set(&key, piece).await
    });
    let stored = try_join_all(writes).await;
    stored.map_err(|error| {
        unavailable(
            slots.platform(),
            &format!("store audio of {message}"),
            &error,
        )
    })?;
    Ok(())
}

/// Removes the pieces of a message that was refused. What cannot be removed is merely left over.
async fn remove_audio<P: Platform>(slots: &Slots<'_, P>, message: MessageId, audio: &Audio) {
    let removals = (0..audio.chunks()).map(|n| async move {
        slots
            .own_store()
            .delete(&keys::audio_chunk(message, audio, n))
            .await
    });
    for error in join_all(removals).await.into_iter().filter_map(Result::err) {
        slots
            .platform()
            .log(&format!("remove audio of {message}: {error}"));
    }
}
