//! The mailbox that a client sees: the join of all slots in sight, its views, and its changes.
//!
//! A change never edits the mailbox. It answers with a *delta*: a slot that holds only what is new,
//! stamped by the region that makes the change, to be joined to that region's own slot (Almeida,
//! Shoker, Baquero: "Delta state replicated data types", 2018). An empty delta means that
//! everything wished for already holds, and that nothing needs to be written; so a repeated request
//! is free.

use crate::message::expires_at_ms;
use crate::{
    AHEAD_MAX_MS, ClockSkew, Created, Entry, FlagChange, Flags, Folder, Greeting, GreetingKind,
    Header, Join, MessageId, Profile, ProfileChange, Region, Register, Slot, Stamp,
};

/// Where and when a change is made. The only clock there is in this crate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The region that makes the change.
    pub region: Region,
    /// Its wall clock, in milliseconds since the Unix epoch, UTC.
    pub now_ms: u64,
    /// Whether there is no other region, so that what is known here is all there is. Where there are others, a wish for
    /// what holds already is written all the same: it is later than a change that has not been heard of here.
    pub alone: bool,
}

/// Everything that is known of a mailbox, as it is to be seen at one instant: what has expired by
/// then is not there any more.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mailbox {
    joined: Slot,
    now_ms: u64,
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
    /// When it expires, in milliseconds since the Unix epoch, UTC.
    pub expires_at_ms: u64,
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
    /// It plays longer than the mailbox takes.
    #[error("the message plays {duration_ms} ms; the mailbox takes up to {max_ms} ms")]
    TooLong {
        /// How long it plays.
        duration_ms: u64,
        /// How long it may play.
        max_ms: u64,
    },
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
    /// The mailbox that these slots make, in whatever order, at `now_ms` (milliseconds since the Unix
    /// epoch, UTC).
    pub fn of(slots: impl IntoIterator<Item = Slot>, now_ms: u64) -> Self {
        Self {
            joined: slots.into_iter().reduce(Join::joined).unwrap_or_default(),
            now_ms,
        }
    }

    /// The mailbox with a change made to it.
    #[must_use]
    pub fn with(mut self, delta: Slot) -> Self {
        self.joined.join(delta);
        self
    }

    /// The instant at which it is seen, in milliseconds since the Unix epoch, UTC.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// When it was last deleted, if it ever was.
    pub fn deleted(&self) -> Option<&Stamp> {
        self.joined.deleted.as_ref()
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
            .filter_map(|(id, entry)| Message::of(*id, entry, self.now_ms))
    }

    /// The message of this id, if its header is in sight.
    pub fn message(&self, id: MessageId) -> Option<Message<'_>> {
        self.joined
            .messages
            .get(&id)
            .and_then(|entry| Message::of(id, entry, self.now_ms))
    }

    /// Whether there is a message of this id, or was: whether a deposit of it would change nothing.
    pub fn knows(&self, id: MessageId) -> bool {
        let entry = self.joined.messages.get(&id);
        entry.is_some_and(|entry| entry.purged || entry.header.is_some())
    }

    /// Counts the messages.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for message in self.messages() {
            summary.messages += 1;
            summary.bytes = summary.bytes.saturating_add(message.header.size_bytes());
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
        let created = Created {
            at_ms: origin.now_ms,
            region: origin.region.clone(),
        };
        let mut profile = if change == ProfileChange::default() {
            Profile::default()
        } else {
            self.profile()
                .delta(change, &self.next_stamp(origin)?, origin.alone)
        };
        profile.created = (!self.exists()).then_some(created);
        Ok(self.delta(profile))
    }

    /// Deletes the mailbox with everything in it: messages, greetings, settings, PIN. A mailbox that
    /// is created under the same id later is another one.
    ///
    /// What is deposited in another region before it hears of the deletion is deleted, too.
    ///
    /// # Errors
    ///
    /// [`ClockSkew`] if something in sight was stamped too far in the future.
    pub fn delete(&self, origin: &Origin) -> Result<Slot, ClockSkew> {
        if !self.exists() {
            return Ok(Slot::default());
        }
        Ok(Slot {
            deleted: Some(self.next_stamp(origin)?),
            ..Slot::default()
        })
    }

    /// Sets a greeting, or with `None` deletes it.
    ///
    /// # Errors
    ///
    /// [`ClockSkew`] if something in sight was stamped too far in the future.
    pub fn change_greeting(
        &self,
        kind: GreetingKind,
        value: Option<Greeting>,
        origin: &Origin,
    ) -> Result<Slot, ClockSkew> {
        let present = self.profile().greetings.get(&kind);
        if present.and_then(|register| register.value.as_ref()) == value.as_ref() {
            return Ok(Slot::default());
        }
        let stamp = self.next_stamp(origin)?;
        Ok(self.delta(Profile {
            greetings: [(kind, Register { stamp, value })].into(),
            ..Profile::default()
        }))
    }

    /// Counts a wrong PIN.
    pub fn sign_in_failed(&self, origin: &Origin) -> Slot {
        self.delta(Profile {
            sign_ins: self.profile().sign_ins.failed(origin),
            ..Profile::default()
        })
    }

    /// Forgives the wrong PINs in sight, after the right one or by an operator; empty if there are
    /// none.
    pub fn sign_in_succeeded(&self) -> Slot {
        self.delta(Profile {
            sign_ins: self.profile().sign_ins.succeeded(),
            ..Profile::default()
        })
    }

    /// Adds a message. One that is there already, with the same audio, is left alone: this is the
    /// retry of a deposit that succeeded, and the delta is empty. So it is if the message was purged
    /// since, or has expired.
    ///
    /// # Errors
    ///
    /// [`DepositError`] if there is no such mailbox, if it is full, if the message is longer than the
    /// mailbox takes, or if the id belongs to another audio.
    pub fn deposit(&self, id: MessageId, header: Header) -> Result<Slot, DepositError> {
        if !self.exists() {
            return Err(DepositError::NoSuchMailbox);
        }
        if let Some(present) = self.joined.messages.get(&id)
            && self.knows(id)
        {
            let audio = present.header.as_ref().map(|it| it.audio.digest);
            return if audio.is_none_or(|digest| digest == header.audio.digest) {
                Ok(Slot::default())
            } else {
                Err(DepositError::IdReused)
            };
        }
        let profile = self.profile();
        if header.audio.duration_ms > profile.message_ms_max() {
            return Err(DepositError::TooLong {
                duration_ms: header.audio.duration_ms,
                max_ms: profile.message_ms_max(),
            });
        }
        // From the deposit on, not from when it was received: messages that are moved here from
        // elsewhere are old.
        let expires_at_ms = expires_at_ms(self.now_ms, profile.retention_days());
        let held = self.summary();
        if held.messages >= profile.quota_messages() {
            return Err(DepositError::TooManyMessages(held.messages));
        }
        let (wanted, quota) = (header.size_bytes(), profile.quota_bytes());
        if held.bytes.saturating_add(wanted) > quota {
            return Err(DepositError::TooManyBytes {
                used: held.bytes,
                wanted,
                quota,
            });
        }
        Ok(self.entry(
            id,
            Entry {
                header: Some(header),
                expires_at_ms,
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
        let flags = message
            .flags
            .delta(change, &self.next_stamp(origin)?, origin.alone);
        if flags == Flags::default() {
            return Ok(Slot::default());
        }
        Ok(self.entry(
            id,
            Entry {
                flags,
                expires_at_ms: message.expires_at_ms,
                ..Entry::default()
            },
        ))
    }

    /// Removes a message for good; empty if it is gone already.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] if there never was such a message, as far as it is known.
    pub fn purge(&self, id: MessageId) -> Result<Slot, ChangeError> {
        let entry = self.joined.messages.get(&id);
        match (entry, self.message(id)) {
            (_, Some(message)) => Ok(self.entry(
                id,
                Entry {
                    purged: true,
                    expires_at_ms: message.expires_at_ms,
                    ..Entry::default()
                },
            )),
            (Some(entry), None) if entry.purged => Ok(Slot::default()),
            _ => Err(ChangeError::NoSuchMessage),
        }
    }

    /// A change of the mailbox itself.
    fn delta(&self, profile: Profile) -> Slot {
        if profile == Profile::default() {
            return Slot::default();
        }
        Slot {
            deleted: self.joined.deleted.clone(),
            profile,
            ..Slot::default()
        }
    }

    /// A change of one message.
    fn entry(&self, id: MessageId, entry: Entry) -> Slot {
        Slot {
            deleted: self.joined.deleted.clone(),
            messages: [(id, entry)].into(),
            ..Slot::default()
        }
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
    /// A message is one whose header is in sight, and that is neither purged nor expired; flags alone
    /// show nothing yet.
    fn of(id: MessageId, entry: &'a Entry, now_ms: u64) -> Option<Self> {
        let gone = entry.purged || entry.expires_at_ms <= now_ms;
        let header = entry.header.as_ref().filter(|_| !gone)?;
        Some(Self {
            id,
            header,
            flags: &entry.flags,
            expires_at_ms: entry.expires_at_ms,
        })
    }
}
