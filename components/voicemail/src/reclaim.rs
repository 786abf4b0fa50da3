//! Removing audio that nothing names any more, in small steps.
//!
//! A record notes what has left it in the very write with which it left ([`Chores::reclaim`]). So
//! whoever comes by, at once after a purge or on the round through the directory, finds what is to be
//! removed, and a step that is repeated removes what is gone already.
//!
//! [`Chores::reclaim`]: starling_mailbox::Chores

use futures::future::join_all;
use starling_mailbox::{Audio, Discarded, MailboxId, Record, keys};

use crate::platform::{Platform, Store};
use crate::problem::Problem;
use crate::shares;
use crate::slots::{Slots, unavailable};

/// How many pieces of audio one step removes: 8 MiB.
const PIECES_MAX: u64 = 32;

/// What a step has removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reclaimed {
    pub(crate) pieces: u64,
    pub(crate) bytes: u64,
}

/// Takes one step for a mailbox, whose record was just read.
pub(crate) async fn step<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    record: &Record,
) -> Result<Reclaimed, Problem> {
    let mut done: Vec<&Discarded> = Vec::new();
    let mut reclaimed = Reclaimed::default();
    for discarded in &record.chores.reclaim {
        let pieces = discarded.audio.chunks();
        if !done.is_empty() && reclaimed.pieces + pieces > PIECES_MAX {
            break;
        }
        if !is_shared(slots, id, discarded).await? {
            remove(slots, &discarded.audio).await?;
            reclaimed.pieces += pieces;
            reclaimed.bytes += discarded.audio.size_bytes;
        }
        done.push(discarded);
    }
    if !done.is_empty() {
        let forget = |record: &mut Record| {
            let before = record.chores.reclaim.len();
            for discarded in &done {
                record.chores.reclaim.remove(discarded);
            }
            record.chores.reclaim.len() != before
        };
        slots.change_chores(id, forget).await?;
    }
    Ok(reclaimed)
}

/// Whether another message shares the audio. This one does not any more.
async fn is_shared<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    discarded: &Discarded,
) -> Result<bool, Problem> {
    let Some(message) = discarded.message else {
        return Ok(false);
    };
    shares::withdraw(slots, &discarded.audio, &(id.clone(), message)).await
}

/// Removes all pieces, and what is known of who shared them.
pub(crate) async fn remove<P: Platform>(
    slots: &Slots<'_, P>,
    audio: &Audio,
) -> Result<(), Problem> {
    let failed = |error| {
        let what = format!("remove audio {}", audio.id);
        unavailable(slots.platform(), &what, &error)
    };
    let pieces: Vec<_> = (0..audio.chunks())
        .map(|n| keys::audio_chunk(audio, n))
        .collect();
    let removals = pieces.iter().map(|key| slots.own_store().delete(key));
    let first_error = join_all(removals).await.into_iter().find_map(Result::err);
    first_error.map_or(Ok(()), Err).map_err(failed)?;
    // Last, for as long as it is there and empty, nobody shares the audio anew.
    let shares = slots.own_store().delete(&keys::audio_shares(audio)).await;
    shares.map_err(failed)
}
