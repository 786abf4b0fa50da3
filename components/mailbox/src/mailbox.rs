//! The mailbox that a client sees: the join of all slots in sight, its views, and its changes.
//!
//! A change never edits the mailbox. It answers with a *delta*: a slot that holds only what is new,
//! stamped by the region that makes the change, to be joined to that region's own slot (Almeida,
//! Shoker, Baquero: "Delta state replicated data types", 2018). An empty delta means that
//! everything wished for already holds, and that nothing needs to be written; so a repeated request
//! is free.

use crate::{
    AHEAD_MAX_MS, ClockSkew, Created, Entry, FlagChange, Flags, Folder, Header, Join, MessageId,
    Profile, ProfileChange, Region, Register, Slot, Stamp,
};

/// Where and when a change is made. The only clock there is in this crate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The region that makes the change.
    pub region: Region,
    /// Its wall clock, in milliseconds since the Unix epoch, UTC.
    pub now_ms: u64,
}

/// Everything that is known of a mailbox.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mailbox {
    joined: Slot,
}

/// One message of a mailbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// Which message.
    pub id: MessageId,
    /// What is known since the deposit.
    pub header: &'a Header,
    /// What the subscriber did to it.
    pub flags: &'a Flags,
}

/// How many messages a mailbox holds, for message-waiting lamps and quotas.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// In the inbox, not yet heard.
    pub new: u32,
    /// Of the new ones, those that the caller marked urgent.
    pub urgent: u32,
    /// In the saved folder.
    pub saved: u32,
    /// In the trash.
    pub trash: u32,
    /// In all folders together.
    pub messages: u32,
    /// The bytes of audio in all folders together.
    pub bytes: u64,
}

/// Why a change to settings or flags is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such message.
    #[error("there is no such message")]
    NoSuchMessage,
    /// The clocks of the regions disagree by too much to order the change.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
}

/// Why a deposit is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DepositError {
    /// The mailbox does not exist.
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// A message with this id exists, and its audio is another.
    #[error("another message was deposited under the same idempotency key")]
    IdReused,
    /// The quota of messages is used up.
    #[error("the mailbox holds {0} messages, which is its quota")]
    TooManyMessages(u32),
    /// The quota of bytes would be exceeded.
    #[error("the mailbox holds {used} of {quota} bytes; {wanted} more do not fit")]
    TooManyBytes {
        /// What it holds.
        used: u64,
        /// What the deposit adds.
        wanted: u64,
        /// What it may hold.
        quota: u64,
    },
}

impl Mailbox {
    /// The mailbox that these slots make, in whatever order.
    pub fn of(slots: impl IntoIterator<Item = Slot>) -> Self {
        Self {
            joined: slots.into_iter().reduce(Join::joined).unwrap_or_default(),
        }
    }

    /// Whether anybody ever created it. Nothing is shown of a mailbox that does not exist, nor
    /// deposited into it.
    pub fn exists(&self) -> bool {
        self.joined.profile.created.is_some()
    }

    /// Its settings.
    pub fn profile(&self) -> &Profile {
        &self.joined.profile
    }

    /// Its messages, in no order that means anything.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.joined
            .messages
            .iter()
            .filter_map(|(id, entry)| Message::of(*id, entry))
    }

    /// The message of this id, if its header is in sight.
    pub fn message(&self, id: MessageId) -> Option<Message<'_>> {
        self.joined
            .messages
            .get(&id)
            .and_then(|entry| Message::of(id, entry))
    }

    /// Counts the messages.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for message in self.messages() {
            summary.messages += 1;
            summary.bytes = summary
                .bytes
                .saturating_add(message.header.audio.size_bytes);
            match message.flags.folder() {
                Folder::Trash => summary.trash += 1,
                Folder::Saved => summary.saved += 1,
                Folder::Inbox if message.flags.seen() => {}
                Folder::Inbox => {
                    summary.new += 1;
                    summary.urgent += u32::from(message.header.urgent);
                }
            }
        }
        summary
    }

    /// Creates the mailbox if it does not exist, and changes its settings.
    ///
    /// # Errors
    ///
    /// [`ClockSkew`] if a setting in sight was stamped too far in the future.
    pub fn change_profile(
        &self,
        change: ProfileChange,
        origin: &Origin,
    ) -> Result<Slot, ClockSkew> {
        let now = self.profile();
        let quota_messages = change
            .quota_messages
            .filter(|value| *value != now.quota_messages());
        let quota_bytes = change
            .quota_bytes
            .filter(|value| *value != now.quota_bytes());
        let created = Created {
            at_ms: origin.now_ms,
            region: origin.region.clone(),
        };
        let mut delta = Profile {
            created: (!self.exists()).then_some(created),
            ..Profile::default()
        };
        if quota_messages.is_some() || quota_bytes.is_some() {
            let stamp = self.next_stamp(origin)?;
            delta.quota_messages = quota_messages.map(|value| Register {
                stamp: stamp.clone(),
                value,
            });
            delta.quota_bytes = quota_bytes.map(|value| Register { stamp, value });
        }
        Ok(Slot {
            profile: delta,
            ..Slot::default()
        })
    }

    /// Adds a message. One that is there already, with the same audio, is left alone: this is the
    /// retry of a deposit that succeeded, and the delta is empty.
    ///
    /// # Errors
    ///
    /// [`DepositError`] if there is no such mailbox, if it is full, or if the id belongs to another
    /// audio.
    pub fn deposit(&self, id: MessageId, header: Header) -> Result<Slot, DepositError> {
        if !self.exists() {
            return Err(DepositError::NoSuchMailbox);
        }
        if let Some(present) = self.message(id) {
            let same = present.header.audio.digest == header.audio.digest;
            return if same {
                Ok(Slot::default())
            } else {
                Err(DepositError::IdReused)
            };
        }
        let held = self.summary();
        if held.messages >= self.profile().quota_messages() {
            return Err(DepositError::TooManyMessages(held.messages));
        }
        let (wanted, quota) = (header.audio.size_bytes, self.profile().quota_bytes());
        if held.bytes.saturating_add(wanted) > quota {
            return Err(DepositError::TooManyBytes {
                used: held.bytes,
                wanted,
                quota,
            });
        }
        Ok(Slot::of_message(
            id,
            Entry {
                header: Some(header),
                ..Entry::default()
            },
        ))
    }

    /// Changes the flags of a message.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] if there is no such message, or if a register in sight was stamped too far
    /// in the future.
    pub fn change_flags(
        &self,
        id: MessageId,
        change: FlagChange,
        origin: &Origin,
    ) -> Result<Slot, ChangeError> {
        let message = self.message(id).ok_or(ChangeError::NoSuchMessage)?;
        let flags = message.flags.delta(change, &self.next_stamp(origin)?);
        if flags == Flags::default() {
            return Ok(Slot::default());
        }
        Ok(Slot::of_message(
            id,
            Entry {
                flags,
                ..Entry::default()
            },
        ))
    }

    fn next_stamp(&self, origin: &Origin) -> Result<Stamp, ClockSkew> {
        Stamp::next(
            origin.now_ms,
            self.joined.newest_stamp(),
            &origin.region,
            AHEAD_MAX_MS,
        )
    }
}

impl<'a> Message<'a> {
    /// A message is one whose header is in sight; flags alone show nothing yet.
    fn of(id: MessageId, entry: &'a Entry) -> Option<Self> {
        entry.header.as_ref().map(|header| Self {
            id,
            header,
            flags: &entry.flags,
        })
    }
}
