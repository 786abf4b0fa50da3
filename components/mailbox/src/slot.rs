//! The slot: what one region contributes to a mailbox, and, being a lattice, also what all of them
//! make together, and what a change adds.
//!
//! A region's contribution is written by that region alone, with compare-and-swap among its hosts. It
//! holds what was done *there*: profile settings changed there, messages deposited there, flags set
//! there, also on messages that were deposited elsewhere. Reading a mailbox means joining slots;
//! see [`Mailbox`](crate::Mailbox). It is stored as a [`Record`](crate::Record), from which little is
//! read that is not asked for.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Flags, Header, Join, MessageId, Profile, Region, Stamp};

/// What one region contributes to a mailbox; or the join of several such contributions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Slot {
    /// When the mailbox was last deleted, if it ever was. What was there before is gone.
    pub deleted: Option<Stamp>,
    /// The mailbox itself: whether it exists, its settings.
    pub profile: Profile,
    /// What is known of each message.
    pub messages: BTreeMap<MessageId, Entry>,
}

impl Slot {
    /// Whether there is nothing in it: the bottom of the lattice, and as a change, no change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Lexicographic: of two slots, the one that knows of the later deletion replaces the other, whose
/// contents were deleted by it; where both know of the same, what they hold is joined.
///
/// Obeys the laws because deletions are totally ordered and what lies behind each is a lattice of
/// its own, which begins empty.
impl Join for Slot {
    fn join(&mut self, other: Self) {
        match self.deleted.cmp(&other.deleted) {
            Ordering::Less => *self = other,
            Ordering::Greater => {}
            Ordering::Equal => {
                self.profile.join(other.profile);
                self.messages.join(other.messages);
            }
        }
    }
}

/// A message as far as a slot knows it.
///
/// The header is missing where a flag was set on a message that was deposited elsewhere: the header
/// stays in the slot of the region that took the message, and the join brings the two together. It
/// is missing, too, where the message was purged or has expired, and its origin has removed it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// What is known since the deposit.
    pub header: Option<Header>,
    /// What the subscriber did to it.
    pub flags: Flags,
    /// The message is gone for good, whatever else is known of it: a tombstone.
    pub purged: bool,
    /// When the message expires, in milliseconds since the Unix epoch, UTC. It is decided at the
    /// deposit and copied into every entry of the message, so that each region knows by itself when
    /// it may forget the entry.
    pub expires_at_ms: u64,
}

impl Entry {
    /// What is left of a message that is gone for good.
    pub(crate) fn tombstone(expires_at_ms: u64) -> Self {
        Self {
            purged: true,
            expires_at_ms,
            ..Self::default()
        }
    }

    /// Whether nothing else is left of it.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.purged && self.header.is_none() && self.flags == Flags::default()
    }
}

impl Join for Entry {
    fn join(&mut self, other: Self) {
        self.header.join(other.header);
        self.flags.join(other.flags);
        self.purged |= other.purged;
        self.expires_at_ms = self.expires_at_ms.max(other.expires_at_ms);
    }
}

/// The creation of a mailbox. Where two regions created it at once, the earlier creation is the
/// one.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Created {
    /// When, in milliseconds since the Unix epoch, UTC.
    pub at_ms: u64,
    /// Where.
    pub region: Region,
}

impl Join for Created {
    fn join(&mut self, other: Self) {
        if other < *self {
            *self = other;
        }
    }
}
