//! Audio that several messages share: whose it is, so that it is removed with the last of them.
//!
//! It is written before a message that shares is. Audio that is being removed is known by its empty set,
//! which goes last: it takes nobody in, so what is stored anew is not removed. Who shares audio that is
//! there already looks afterwards whether the message that it came with still is. So a message that names
//! audio which is not there cannot come about.

use starling_mailbox::{Audio, MailboxId, MessageId, Shares, keys};

use crate::platform::Platform;
use crate::problem::Problem;
use crate::slots::Slots;

/// Enters messages as sharing audio.
///
/// # Errors
///
/// [`Problem::Contention`] if the audio is just being removed; soon it is gone, and can be stored anew.
pub(crate) async fn add<P: Platform>(
    slots: &Slots<'_, P>,
    audio: &Audio,
    messages: &[(MailboxId, MessageId)],
) -> Result<(), Problem> {
    let key = keys::audio_shares(audio);
    let mut being_removed = false;
    let added = slots.change_value(&key, |bytes| {
        let mut shares = Shares::decode(bytes)?;
        // The last one has left, and whoever saw to that is removing the audio.
        being_removed = bytes.is_some() && shares.0.is_empty();
        if being_removed {
            return Ok(None);
        }
        let before = shares.0.len();
        shares.0.extend(messages.iter().cloned());
        Ok((shares.0.len() != before).then(|| shares.encode()))
    });
    added.await?;
    if being_removed {
        return Err(Problem::Contention);
    }
    Ok(())
}

/// Takes a message back that came to nothing. Whether another one still shares the audio.
pub(crate) async fn withdraw<P: Platform>(
    slots: &Slots<'_, P>,
    audio: &Audio,
    message: &(MailboxId, MessageId),
) -> Result<bool, Problem> {
    let mut shared = false;
    let key = keys::audio_shares(audio);
    let withdrawn = slots.change_value(&key, |bytes| {
        let mut shares = Shares::decode(bytes)?;
        let had = shares.0.remove(message);
        shared = !shares.0.is_empty();
        Ok(had.then(|| shares.encode()))
    });
    withdrawn.await?;
    Ok(shared)
}
