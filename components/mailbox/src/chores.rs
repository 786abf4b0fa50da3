//! What a region does in the background, and by whom: the lease, the round through the directory, the
//! notifications that are owed, and audio that several messages share.
//!
//! All of it is idempotent. A lease that is lost while its holder still works makes work be done
//! twice, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::directory::stored;
use crate::encoding::whole;
use crate::{DecodeError, MailboxId, MessageId};

const VERSION: u8 = 1;

/// How long a host may do the region's chores before another one may take over.
pub const LEASE_MS: u64 = 10_000;

/// Over how many shards those that are owed a notification are spread.
pub const OWED_SHARDS: u16 = 16;

/// Who does the region's chores, and how far the round through the directory has got.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lease {
    /// Which instance has it: random bits.
    pub holder: [u8; 16],
    /// Until when, in milliseconds since the Unix epoch, UTC.
    pub until_ms: u64,
    /// The shard of the directory that is being gone through.
    pub shard: u16,
    /// The last mailbox of it that was looked after.
    pub after: Option<MailboxId>,
    /// How many pieces of audio have been removed from the store since it was made.
    pub reclaimed_pieces: u64,
    /// How many bytes they had.
    pub reclaimed_bytes: u64,
}

impl Lease {
    /// The lease in the hands of `holder`, or `None` if another has it still.
    #[must_use]
    pub fn taken_by(&self, holder: [u8; 16], now_ms: u64) -> Option<Self> {
        // A lease from a clock that is far ahead is nobody's.
        let held = now_ms < self.until_ms && self.until_ms <= now_ms.saturating_add(2 * LEASE_MS);
        if held && self.holder != holder {
            return None;
        }
        Some(Self {
            holder,
            until_ms: now_ms.saturating_add(LEASE_MS),
            ..self.clone()
        })
    }
}

/// The mailboxes of one shard whose subscribers are owed a notification.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Owed(pub BTreeMap<MailboxId, Attempts>);

/// How a notification has been going.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attempts {
    /// How many have failed.
    pub failed: u32,
    /// When the next one is due, in milliseconds since the Unix epoch, UTC.
    pub due_at_ms: u64,
}

/// The delays between attempts to notify: doubling from one second to ten minutes.
const RETRY_MS_MIN: u64 = 1_000;
const RETRY_MS_MAX: u64 = 600_000;

/// After how many failed attempts a notification is given up, until the mailbox changes again: after
/// some three days.
pub const ATTEMPTS_MAX: u32 = 440;

impl Attempts {
    /// After one more that failed; `None` if it was the last.
    #[must_use]
    pub fn failed(self, now_ms: u64) -> Option<Self> {
        let failed = self.failed.saturating_add(1);
        let delay_ms = RETRY_MS_MIN
            .saturating_mul(1 << failed.saturating_sub(1).min(20))
            .min(RETRY_MS_MAX);
        (failed < ATTEMPTS_MAX).then_some(Self {
            failed,
            due_at_ms: now_ms.saturating_add(delay_ms),
        })
    }
}

/// The shard of a mailbox.
pub fn owed_shard_of(mailbox: &MailboxId) -> u16 {
    crate::directory_shard_of(mailbox) % OWED_SHARDS
}

/// The messages that share a piece of audio: it is removed with the last of them.
///
/// Most audio belongs to one message and has none of this; a forward writes it first, with the
/// message that the audio came with and the new one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shares(pub BTreeSet<(MailboxId, MessageId)>);

stored!(Lease, Owed, Shares);
