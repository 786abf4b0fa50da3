//! The slot: what one region contributes to a mailbox, and, being a lattice, also what all of them
//! make together.
//!
//! A slot is written by its region alone, with compare-and-swap among that region's hosts. It holds
//! what was done *there*: profile settings changed there, messages deposited there, flags set
//! there, also on messages that were deposited elsewhere. Reading a mailbox means joining slots;
//! see [`Mailbox`](crate::Mailbox).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Flags, Header, Join, MessageId, Region, Register, Stamp};

/// How many messages a mailbox holds unless told otherwise, those in the trash included.
pub const QUOTA_MESSAGES_DEFAULT: u32 = 1_000;

/// The greatest quota of messages: a slot that holds so many stays below
/// [`SLOT_BYTES_MAX`](crate::SLOT_BYTES_MAX), even when every field is as long as it can be.
pub const QUOTA_MESSAGES_MAX: u32 = 2_000;

/// How many bytes of audio a mailbox holds unless told otherwise: 500 MB, nine hours of
/// uncompressed telephone speech.
pub const QUOTA_BYTES_DEFAULT: u64 = 500_000_000;

/// The greatest quota of bytes: the greatest quota of messages, each as large as it can be.
pub const QUOTA_BYTES_MAX: u64 = QUOTA_MESSAGES_MAX as u64 * crate::MESSAGE_BYTES_MAX as u64;

/// What one region contributes to a mailbox; or the join of several such contributions.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Slot {
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

    /// A slot that knows of one message, and of nothing else.
    pub(crate) fn of_message(id: MessageId, entry: Entry) -> Self {
        Self {
            messages: [(id, entry)].into(),
            ..Self::default()
        }
    }

    /// The greatest stamp of any register.
    pub(crate) fn newest_stamp(&self) -> Option<&Stamp> {
        let messages = self
            .messages
            .values()
            .filter_map(|entry| entry.flags.newest_stamp());
        messages.chain(self.profile.newest_stamp()).max()
    }
}

impl Join for Slot {
    fn join(&mut self, other: Self) {
        self.profile.join(other.profile);
        self.messages.join(other.messages);
    }
}

/// A message as far as a slot knows it.
///
/// The header is missing where a flag was set on a message that was deposited elsewhere: the header
/// stays in the slot of the region that took the message, and the join brings the two together.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// What is known since the deposit.
    pub header: Option<Header>,
    /// What the subscriber did to it.
    pub flags: Flags,
}

impl Join for Entry {
    fn join(&mut self, other: Self) {
        self.header.join(other.header);
        self.flags.join(other.flags);
    }
}

/// The settings of a mailbox, one register each: changes of different settings in different regions
/// all survive.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Profile {
    /// When and where the mailbox was first created; it exists iff this is set.
    pub created: Option<Created>,
    /// How many messages it holds; unset means [`QUOTA_MESSAGES_DEFAULT`].
    pub quota_messages: Option<Register<u32>>,
    /// How many bytes of audio it holds; unset means [`QUOTA_BYTES_DEFAULT`].
    pub quota_bytes: Option<Register<u64>>,
}

/// A wish to change settings; `None` leaves a setting as it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ProfileChange {
    /// The new [`Profile::quota_messages`].
    pub quota_messages: Option<u32>,
    /// The new [`Profile::quota_bytes`].
    pub quota_bytes: Option<u64>,
}

impl Profile {
    /// How many messages the mailbox may hold, those in the trash included.
    pub fn quota_messages(&self) -> u32 {
        self.quota_messages
            .as_ref()
            .map_or(QUOTA_MESSAGES_DEFAULT, |register| register.value)
    }

    /// How many bytes of audio it may hold, those in the trash included.
    pub fn quota_bytes(&self) -> u64 {
        self.quota_bytes
            .as_ref()
            .map_or(QUOTA_BYTES_DEFAULT, |register| register.value)
    }

    fn newest_stamp(&self) -> Option<&Stamp> {
        let messages = self.quota_messages.as_ref().map(|register| &register.stamp);
        let bytes = self.quota_bytes.as_ref().map(|register| &register.stamp);
        messages.max(bytes)
    }
}

impl Join for Profile {
    fn join(&mut self, other: Self) {
        self.created.join(other.created);
        self.quota_messages.join(other.quota_messages);
        self.quota_bytes.join(other.quota_bytes);
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
