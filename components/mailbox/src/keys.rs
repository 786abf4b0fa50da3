//! Under which keys a mailbox lies in a region's store.
//!
//! | key | value |
//! |---|---|
//! | `slot/<mailbox>` | the region's slot, [encoded](crate::encode); changed by compare-and-swap |
//! | `audio/<message>/<digest>/<n>` | piece `n`, from 0, of a message's audio; written once |
//! | `slot-creation/<mailbox>` | a counter that elects the creator of the slot, and nothing else |
//!
//! The digest in the key of a piece is the first 16 hexadecimal digits of the SHA-256 of the
//! *whole* audio. Two deposits under one id with different bodies, at once or one after the other,
//! can therefore never mix their pieces; two with the same body write the same bytes to the same
//! keys, so that the retry of a deposit that died half-way completes what is there. Audio is
//! written before the header that names it.
//!
//! Ids contain no `/`, so no key can be mistaken for another.

use crate::{Audio, MailboxId, MessageId};

/// Where the region's slot of this mailbox lies.
pub fn slot(mailbox: &MailboxId) -> String {
    format!("slot/{mailbox}")
}

/// Where the hosts of a region count those that want to create the slot of this mailbox.
///
/// For stores whose compare-and-swap does not guard the creation of a missing key: whoever gets 1
/// creates.
pub fn slot_creation(mailbox: &MailboxId) -> String {
    format!("slot-creation/{mailbox}")
}

/// Where piece `chunk` (from 0) of a message's audio lies.
pub fn audio_chunk(message: MessageId, audio: &Audio, chunk: u64) -> String {
    let digest = audio.digest.to_string();
    format!("audio/{message}/{}/{chunk}", &digest[..16])
}
