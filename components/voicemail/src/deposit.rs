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
use http::HeaderMap;
use http_body::Body;
use starling_mailbox::{
    Audio, Header, Mailbox, MailboxId, MessageId, RateLimits, Record, Stamp, TooFast,
};

use crate::limits;
use crate::particulars::{IdFrom, IdempotencyKey, Particulars};
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::reclaim;
use crate::recording::Announced;
use crate::shares;
use crate::slots::{Change, Slots, exists};

/// A message that is in its mailbox; or was, if it has been purged since or has expired.
pub(crate) struct Deposited {
    pub(crate) mailbox: Mailbox,
    pub(crate) message: MessageId,
    pub(crate) header: Header,
}

/// Takes a message.
pub(crate) async fn deposit<P, B>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    headers: &HeaderMap,
    body: B,
) -> Result<Deposited, Problem>
where
    P: Platform,
    B: Body<Data = Bytes, Error = UploadError>,
{
    // Cheap refusals first: no caller uploads for minutes to hear that the mailbox does not exist.
    let key = IdempotencyKey::of(headers)?;
    let announced = Announced::of(headers)?;
    let (mailbox, _) = slots.read(id).await?;
    exists(id, &mailbox)?;

    let recording = announced.receive(headers, body).await?;
    if !recording.particulars.to.is_empty() {
        return Err(Problem::MemberInvalid {
            member: "to".into(),
            detail: "the path says for which mailbox it is; POST /v1/messages takes several".into(),
        });
    }
    let message = match key {
        Some(key) => key.message_id(id, &mailbox),
        None => MessageId::from_random(slots.platform().random_bits()),
    };
    let header = header(
        slots,
        &recording.particulars,
        recording.audio(message.into()),
    )?;

    // Known already, or refused already? The answer may change until the header is written, but if
    // it is found here, nothing needs to be written at all.
    let known = mailbox.deposit(message, header.clone());
    if known
        .map_err(|error| Problem::of_deposit(&error, id.as_str()))?
        .is_empty()
    {
        return Ok(Deposited {
            mailbox,
            message,
            header,
        });
    }

    let limits = limits::deposits(slots.platform()).await?;
    recording.store(slots, &header.audio).await?;
    let mut named_by_own_slot = false;
    let place_in = Place {
        id,
        deleted: mailbox.deleted().cloned(),
        message,
    };
    let placed = place(slots, &place_in, &header, limits, |record| {
        named_by_own_slot = names(record, message, &header.audio);
    });
    match placed.await {
        Ok(mailbox) => {
            // A purge, or a deletion of the mailbox, may have overtaken it.
            if mailbox.message(message).is_none() && !named_by_own_slot {
                withdraw(slots, &header.audio, id, message).await;
            }
            Ok(Deposited {
                mailbox,
                message,
                header,
            })
        }
        Err(problem) => {
            let nobody_elses = match problem {
                Problem::IdempotencyKeyReused => !named_by_own_slot,
                Problem::MailboxFull { .. } | Problem::TooManyDeposits { .. } => {
                    IdFrom::of(key) == IdFrom::Chance
                }
                _ => false,
            };
            if nobody_elses {
                withdraw(slots, &header.audio, id, message).await;
            }
            Err(problem)
        }
    }
}

/// Where a message goes.
pub(crate) struct Place<'a> {
    pub(crate) id: &'a MailboxId,
    /// When the mailbox had last been deleted, as far as was known when the message got its id: one that
    /// was made anew since is another mailbox, and may be another subscriber's.
    pub(crate) deleted: Option<Stamp>,
    pub(crate) message: MessageId,
}

/// Writes a header, whose audio is stored. `look` is shown the own record of each try.
pub(crate) async fn place<P: Platform>(
    slots: &Slots<'_, P>,
    place: &Place<'_>,
    header: &Header,
    limits: RateLimits,
    mut look: impl FnMut(&Record),
) -> Result<Mailbox, Problem> {
    let (id, message) = (place.id, place.message);
    let deposit = |mailbox: &Mailbox, own: &Record| {
        look(own);
        if mailbox.deleted() != place.deleted.as_ref() {
            return Err(Problem::Contention);
        }
        let delta = mailbox
            .deposit(message, header.clone())
            .map_err(|error| Problem::of_deposit(&error, id.as_str()))?;
        if delta.is_empty() {
            return Ok(Change::default());
        }
        let mut reclaim = own.chores.reclaim.iter();
        if reclaim.any(|discarded| discarded.message == Some(message)) {
            // An old message of this id has been forgotten, and its audio is still to be removed,
            // under keys that may be the same. Soon it is gone.
            return Err(Problem::Contention);
        }
        let mut rates = own.chores.rates.clone();
        rates
            .count(header.from.as_ref(), limits, mailbox.now_ms())
            .map_err(|TooFast { retry_after_ms }| Problem::TooManyDeposits {
                retry_after_s: retry_after_ms.div_ceil(1000),
            })?;
        Ok(Change {
            rates: Some(rates),
            ..Change::of_messages(delta)
        })
    };
    slots.change(id, deposit).await
}

/// What is known of a message that comes with these particulars.
pub(crate) fn header<P: Platform>(
    slots: &Slots<'_, P>,
    said: &Particulars,
    audio: Audio,
) -> Result<Header, Problem> {
    Ok(Header {
        received_at_ms: said.received_at_ms(slots.platform().now_ms())?,
        region: slots.region().clone(),
        from: said.from.clone(),
        reply_to: said.reply_to.clone(),
        urgent: said.urgent.unwrap_or(false),
        private: said.private.unwrap_or(false),
        audio,
        forwarded: None,
    })
}

/// Whether the region's own record holds on to this audio with this message, or is about to remove
/// it.
fn names(record: &Record, message: MessageId, audio: &Audio) -> bool {
    let entry = record.slot.messages.get(&message);
    let header = entry.and_then(|entry| entry.header.as_ref());
    header.is_some_and(|header| header.recordings().any(|it| it == audio))
        || record.chores.reclaim.iter().any(|it| it.audio == *audio)
}

/// Removes audio that came to nothing, as far as that is possible: what is not removed is left over.
pub(crate) async fn discard<P: Platform>(slots: &Slots<'_, P>, audio: &Audio) {
    // Who cannot be told has been: the log says what failed.
    let _ = reclaim::remove(slots, audio).await;
}

/// Takes back the share of a message that came to nothing, and the audio with the last one.
pub(crate) async fn withdraw<P: Platform>(
    slots: &Slots<'_, P>,
    audio: &Audio,
    id: &MailboxId,
    message: MessageId,
) {
    if let Ok(false) = shares::withdraw(slots, audio, &(id.clone(), message)).await {
        discard(slots, audio).await;
    }
}
