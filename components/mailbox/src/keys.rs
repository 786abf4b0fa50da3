//! Under which keys a mailbox lies in a region's store.
//!
//! | key | value |
//! |---|---|
//! | `slot/<mailbox>` | the region's record, [encoded](crate::encode); changed by compare-and-swap |
//! | `slot-creation/<mailbox>` | a counter that elects the creator of the slot, and nothing else |
//! | `audio/<audio>/<digest>/<n>` | piece `n`, from 0, of audio; written once |
//! | `audio-shares/<audio>/<digest>` | which messages share audio, if more than one ever did ([`Shares`](crate::Shares)) |
//! | `directory` | which shards of the directory hold anything ([`DirectoryRoot`](crate::DirectoryRoot)) |
//! | `directory/<shard>` | the mailboxes of a shard ([`DirectoryShard`](crate::DirectoryShard)) |
//! | `owed/<shard>` | the mailboxes whose subscribers are owed a notification ([`Owed`](crate::Owed)) |
//! | `maintenance` | who does the region's chores, and how far it got ([`Lease`](crate::Lease)) |
//!
//! The digest in the key of a piece is the first 16 hexadecimal digits of the SHA-256 of the
//! *whole* audio. Two deposits under one id with different bodies, at once or one after the other,
//! can therefore never mix their pieces; two with the same body write the same bytes to the same
//! keys, so that the retry of a deposit that died half-way completes what is there. Audio is
//! written before the header that names it.
//!
//! Ids contain no `/`, so no key can be mistaken for another.

use crate::{Audio, MailboxId};

/// Who does the region's chores, and how far it got.
pub const MAINTENANCE: &str = "maintenance";

/// Which shards of the directory hold anything.
pub const DIRECTORY: &str = "directory";

/// Where the region's record of this mailbox lies.
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

/// Where piece `chunk` (from 0) of this audio lies.
pub fn audio_chunk(audio: &Audio, chunk: u64) -> String {
    let digest = audio.digest.to_string();
    format!("audio/{}/{}/{chunk}", audio.id, &digest[..16])
}

/// Where it is kept which messages share this audio.
pub fn audio_shares(audio: &Audio) -> String {
    let digest = audio.digest.to_string();
    format!("audio-shares/{}/{}", audio.id, &digest[..16])
}

/// Where a shard of the directory lies.
pub fn directory_shard(shard: u16) -> String {
    format!("directory/{shard}")
}

/// Where a shard of those that are owed a notification lies.
pub fn owed_shard(shard: u16) -> String {
    format!("owed/{shard}")
}
