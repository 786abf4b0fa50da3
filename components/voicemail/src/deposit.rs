//! Taking a message: everything is checked before anything is written, and the audio is written
//! before the header.
//!
//! # When the store fails
//!
//! A deposit for which the region's store does not do its part, at whatever point, goes into the spool of
//! the host, where there is one ([`spool`](crate::spool)), under the id that it had by then; else it is
//! refused. The store is asked no second time: the host waits five seconds for an answer, and a store that
//! hangs needs up to four of them to say so.
//!
//! # What a failure leaves behind
//!
//! A deposit that fails half-way leaves pieces of audio that no header names: invisible, and
//! completed by a retry under the same idempotency key, or from the spool, which writes the same bytes to
//! the same keys. Pieces are removed only where nobody can be relying on them: those of a refused message
//! without an idempotency key (its id is known to nobody else), and those with *other* audio than
//! the message that got the id. After a failure whose outcome is not certain nothing is removed,
//! since the header may have been written.

use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use futures::future::{Either, select};
use http::HeaderMap;
use http_body::Body;
use starling_mailbox::{
    Audio, DecodeError, Header, Mailbox, MailboxId, MessageId, RateLimits, Record, Region, Spooled,
    Stamp, TooFast,
};

use crate::limits;
use crate::particulars::{IdFrom, IdempotencyKey, Particulars};
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::reclaim;
use crate::recording::{self, Announced};
use crate::regions::Regions;
use crate::shares;
use crate::slots::{Change, Slots, exists};
use crate::spool::Spool;

/// How long the store may take for a deposit in all, but for a compare-and-swap that is under way: the host
/// ends a request after five seconds, and the spool needs some of them.
const STORE_MS: u64 = 4_000;

/// A message that is in its mailbox; or was, if it has been purged since or has expired.
pub(crate) struct Deposited {
    pub(crate) mailbox: Mailbox,
    pub(crate) message: MessageId,
    pub(crate) header: Header,
}

/// What has become of a deposit.
pub(crate) enum Taken {
    /// It is stored.
    Stored(Box<Deposited>),
    /// It is in the spool.
    Spooled(Box<Spooled>),
}

/// A message that was received and checked, and has its id.
struct Incoming<'a> {
    id: &'a MailboxId,
    message: MessageId,
    header: Header,
    bytes: Vec<u8>,
    ids: IdFrom,
}

/// Takes a message.
pub(crate) async fn deposit<P, B>(
    platform: &P,
    id: &MailboxId,
    headers: &HeaderMap,
    body: B,
) -> Result<Taken, Problem>
where
    P: Platform,
    B: Body<Data = Bytes, Error = UploadError>,
{
    // Cheap refusals first: no caller uploads for minutes to hear that the mailbox does not exist.
    let key = IdempotencyKey::of(headers)?;
    let announced = Announced::of(headers)?;
    let region = Regions::read(platform).await?.own;
    let begun_ms = platform.now_ms();
    let found = match find(platform, id).await {
        Ok(found) => Some(found),
        Err(Problem::StoreUnavailable) if Spool::open(platform).await?.is_some() => None,
        Err(problem) => return Err(problem),
    };
    let store_ms = STORE_MS.saturating_sub(platform.now_ms().saturating_sub(begun_ms));

    let recording = announced.receive(headers, body).await?;
    if !recording.particulars.to.is_empty() {
        return Err(Problem::MemberInvalid {
            member: "to".into(),
            detail: "the path says for which mailbox it is; POST /v1/messages takes several".into(),
        });
    }
    let message = match (key, &found) {
        (Some(key), Some((_, mailbox))) => key.message_id(id, mailbox),
        (Some(key), None) => key.message_id_unread(id),
        (None, _) => MessageId::from_random(platform.random_bits()),
    };
    let audio = recording.audio(message.into());
    let incoming = Incoming {
        id,
        message,
        header: header(platform, &region, &recording.particulars, audio)?,
        bytes: recording.bytes,
        ids: IdFrom::of(key),
    };
    if let Some((slots, mailbox)) = found {
        let limits = limits::deposits(platform).await?;
        let stored = incoming.store(&slots, mailbox, limits);
        match in_time(platform, store_ms, stored).await {
            Err(Problem::StoreUnavailable) => {}
            stored => return stored.map(Box::new).map(Taken::Stored),
        }
    }

    let spool = Spool::open(platform).await?;
    let spool = spool.ok_or(Problem::StoreUnavailable)?;
    let Incoming { header, bytes, .. } = incoming;
    let spooled = Spooled {
        mailbox: id.clone(),
        message,
        header,
        idempotency_key: key.map(|key| key.as_str().to_owned()),
        accepted_at_ms: platform.now_ms(),
        refusal: None,
    };
    spool.keep(&spooled, &bytes).await?;
    Ok(Taken::Spooled(Box::new(spooled)))
}

/// Puts a message from the spool into its mailbox, as if it came now, but for when it was received and for
/// how fast messages may come. Repeating it has no further effect.
pub(crate) async fn deliver<P: Platform>(
    slots: &Slots<'_, P>,
    spooled: &Spooled,
    bytes: Vec<u8>,
) -> Result<(), Problem> {
    let id = &spooled.mailbox;
    let mailbox = slots.in_sight(id).await?;
    exists(id, &mailbox)?;
    let deleted = mailbox.deleted();
    if deleted.is_some_and(|deleted| deleted.physical_ms > spooled.accepted_at_ms) {
        // This is another mailbox of the same name, and may be another subscriber's.
        return Err(Problem::DepositRefused {
            detail: "the mailbox was deleted after the message had been accepted".into(),
        });
    }
    // Another attempt of the same deposit may have been stored, under the id that it has in a mailbox that
    // was once deleted.
    let key = spooled.idempotency_key.as_deref().map(IdempotencyKey::kept);
    let other = key.map(|key| key.message_id(id, &mailbox));
    let other = other.filter(|other| !mailbox.knows(spooled.message) && mailbox.knows(*other));
    let incoming = Incoming {
        id,
        message: other.unwrap_or(spooled.message),
        header: spooled.header.clone(),
        bytes,
        // Nobody is sure to be the only one who stored audio under this id: the first attempt was another.
        ids: IdFrom::Key,
    };
    let stored = incoming.store(slots, mailbox, RateLimits::default());
    stored.await.map(drop)
}

/// The store, and the mailbox in it.
async fn find<'p, P: Platform>(
    platform: &'p P,
    id: &MailboxId,
) -> Result<(Slots<'p, P>, Mailbox), Problem> {
    let slots = Slots::open(platform).await?;
    let mailbox = slots.mailbox(id).await?;
    Ok((slots, mailbox))
}

/// What the store did, if it did it within so many milliseconds. Else the outcome is not certain.
async fn in_time<P: Platform, T>(
    platform: &P,
    ms: u64,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    match select(pin!(work), pin!(platform.pause(ms))).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => {
            platform.log("deposit: the store takes too long");
            Err(Problem::StoreUnavailable)
        }
    }
}

impl Incoming<'_> {
    /// Stores it, in the mailbox as it was read.
    async fn store<P: Platform>(
        &self,
        slots: &Slots<'_, P>,
        mailbox: Mailbox,
        limits: RateLimits,
    ) -> Result<Deposited, Problem> {
        let (id, message, header) = (self.id, self.message, &self.header);
        let deposited = |mailbox| Deposited {
            mailbox,
            message,
            header: header.clone(),
        };
        // Known already, or refused already? The answer may change until the header is written, but if
        // it is found here, nothing needs to be written at all.
        let known = mailbox.deposit(message, header.clone());
        if known
            .map_err(|error| slots.deposit_refused(id, &error))?
            .is_empty()
        {
            return Ok(deposited(mailbox));
        }

        recording::store(slots, &header.audio, &self.bytes).await?;
        let mut named_by_own_slot = false;
        let place_in = Place {
            id,
            deleted: mailbox.deleted().cloned(),
            message,
        };
        let placed = place(slots, &place_in, header, limits, |record| {
            named_by_own_slot = names(record, message, &header.audio)?;
            Ok(())
        });
        match placed.await {
            Ok(mailbox) => {
                // A purge, or a deletion of the mailbox, may have overtaken it.
                if !mailbox.shows(message) && !named_by_own_slot {
                    withdraw(slots, &header.audio, id, message).await;
                }
                Ok(deposited(mailbox))
            }
            Err(problem) => {
                let nobody_elses = match problem {
                    Problem::IdempotencyKeyReused => !named_by_own_slot,
                    Problem::MailboxFull { .. } | Problem::TooManyDeposits { .. } => {
                        self.ids == IdFrom::Chance
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
    mut look: impl FnMut(&Record) -> Result<(), DecodeError>,
) -> Result<Mailbox, Problem> {
    let (id, message) = (place.id, place.message);
    let deposit = |mailbox: &Mailbox, own: &Record| {
        slots.decoded_of(id, look(own))?;
        if mailbox.deleted() != place.deleted.as_ref() {
            return Err(Problem::Contention);
        }
        let delta = mailbox
            .deposit(message, header.clone())
            .map_err(|error| slots.deposit_refused(id, &error))?;
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
pub(crate) fn header(
    platform: &impl Platform,
    region: &Region,
    said: &Particulars,
    audio: Audio,
) -> Result<Header, Problem> {
    Ok(Header {
        received_at_ms: said.received_at_ms(platform.now_ms())?,
        region: region.clone(),
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
fn names(record: &Record, message: MessageId, audio: &Audio) -> Result<bool, DecodeError> {
    let entry = record.messages.get(message)?;
    let header = entry.and_then(|entry| entry.header);
    let named = header.is_some_and(|header| header.recordings().any(|it| it == audio));
    Ok(named || record.chores.reclaim.iter().any(|it| it.audio == *audio))
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
