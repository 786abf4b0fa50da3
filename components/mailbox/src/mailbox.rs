//! The mailbox that a client sees: the join of all slots in sight, its views, and its changes.
//!
//! A change never edits the mailbox. It answers with a *delta*: a slot that holds only what is new,
//! stamped by the region that makes the change, to be joined to that region's own slot (Almeida,
//! Shoker, Baquero: "Delta state replicated data types", 2018). An empty delta means that
//! everything wished for already holds, and that nothing needs to be written; so a repeated request
//! is free.
//!
//! Nor does it take the slots apart: what is known of a message stays where it lies until somebody asks
//! for it, and where several regions know of it, it is mostly their lines that are joined.

use std::collections::BTreeMap;

use crate::encoding::Line;
use crate::message::expires_at_ms;
use crate::{
    AHEAD_MAX_MS, ClockSkew, Created, DecodeError, Entry, FlagChange, Flags, Folder, Greeting,
    GreetingKind, Header, Join, MessageId, Messages, Profile, ProfileChange, Record, Region,
    Register, Slot, Stamp,
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
#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    deleted: Option<Stamp>,
    profile: Profile,
    /// What each region knows of the messages.
    regions: Vec<Messages>,
    /// The lines of the join of that by id, but of messages that are gone for good; if there are several.
    lines: Vec<Line>,
    /// What is known of messages to which something has been joined since.
    changed: BTreeMap<MessageId, Entry>,
    now_ms: u64,
}

/// One message of a mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Which message.
    pub id: MessageId,
    /// What is known since the deposit.
    pub header: Header,
    /// What the subscriber did to it.
    pub flags: Flags,
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
    /// What is stored of the message was damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Why a deposit is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
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
    /// What is stored of the message of this id was damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Mailbox {
    /// The mailbox that these slots make, in whatever order, at `now_ms` (milliseconds since the Unix
    /// epoch, UTC).
    pub fn of(slots: impl IntoIterator<Item = Slot>, now_ms: u64) -> Self {
        let joined = slots.into_iter().reduce(Join::joined).unwrap_or_default();
        Self {
            deleted: joined.deleted,
            profile: joined.profile,
            regions: Vec::new(),
            lines: Vec::new(),
            changed: joined.messages,
            now_ms,
        }
    }

    /// The mailbox that the slots in these records make, one record for each region, in whatever
    /// order.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if a message that several regions know something of was damaged.
    pub fn read<'a>(
        records: impl IntoIterator<Item = &'a Record>,
        now_ms: u64,
    ) -> Result<Self, DecodeError> {
        let mut mailbox = Self {
            now_ms,
            ..Self::default()
        };
        for record in records {
            if record.deleted > mailbox.deleted {
                mailbox = Self {
                    now_ms,
                    deleted: record.deleted.clone(),
                    ..Self::default()
                };
            }
            if record.deleted == mailbox.deleted {
                mailbox.profile.join(record.profile.clone());
                mailbox.regions.push(record.messages.clone());
            }
        }
        if mailbox.regions.len() > 1 {
            mailbox.lines = mailbox.joined_lines()?;
        }
        Ok(mailbox)
    }

    fn joined_lines(&self) -> Result<Vec<Line>, DecodeError> {
        let mut all: Vec<Line> = Vec::new();
        for region in &self.regions {
            region.lines().for_each(|line| all.push(line));
        }
        // Those of each region are in order, or nearly: this merges them.
        all.sort_by_key(|line| line.id);
        let mut joined: Vec<Line> = Vec::with_capacity(all.len());
        for line in all {
            match joined.last_mut().filter(|last| last.id == line.id) {
                None => joined.push(line),
                Some(last) => {
                    *last = match last.joined(&line) {
                        Some(both) => both,
                        None => Line::of(line.id, &self.entry(line.id)?.unwrap_or_default()),
                    }
                }
            }
        }
        for region in &self.regions {
            for line in &mut joined {
                let tombstone = region.tombstone(line.id).map(Line::from);
                if let Some(purged) = tombstone.and_then(|it| line.joined(&it)) {
                    *line = purged;
                }
            }
        }
        Ok(joined)
    }

    /// The mailbox with a change made to it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if a message that the change is about was damaged.
    pub fn with(mut self, delta: Slot) -> Result<Self, DecodeError> {
        if delta.deleted > self.deleted {
            return Ok(Self::of([delta], self.now_ms));
        }
        if delta.deleted == self.deleted {
            self.profile.join(delta.profile);
            for (id, entry) in delta.messages {
                let known = self.entry(id)?;
                let entry = known.unwrap_or_default().joined(entry);
                self.changed.insert(id, entry);
            }
        }
        Ok(self)
    }

    /// The instant at which it is seen, in milliseconds since the Unix epoch, UTC.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// When it was last deleted, if it ever was.
    pub fn deleted(&self) -> Option<&Stamp> {
        self.deleted.as_ref()
    }

    /// Whether anybody ever created it. Nothing is shown of a mailbox that does not exist, nor
    /// deposited into it.
    pub fn exists(&self) -> bool {
        self.profile.created.is_some()
    }

    /// Its settings.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The message of this id, if its header is in sight, and it is neither purged nor expired.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it was damaged.
    pub fn message(&self, id: MessageId) -> Result<Option<Message>, DecodeError> {
        let Some(entry) = self.entry(id)? else {
            return Ok(None);
        };
        let is_gone = entry.purged || entry.expires_at_ms <= self.now_ms;
        Ok(entry.header.filter(|_| !is_gone).map(|header| Message {
            id,
            header,
            flags: entry.flags,
            expires_at_ms: entry.expires_at_ms,
        }))
    }

    /// Whether there is a message of this id.
    pub fn shows(&self, id: MessageId) -> bool {
        self.line(id).is_some_and(|line| line.is_shown(self.now_ms))
    }

    /// Whether there is a message of this id, or was: whether a deposit of it would change nothing.
    pub fn knows(&self, id: MessageId) -> bool {
        self.line(id)
            .is_some_and(|line| line.is_purged() || line.has_header())
    }

    /// The messages of a folder, in no order that means anything.
    pub fn folder(&self, folder: Folder) -> impl Iterator<Item = MessageId> {
        let lines = self.lines().filter(move |line| line.folder() == folder);
        lines.map(|line| line.id)
    }

    /// Counts the messages.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        self.lines().for_each(|line| {
            summary.messages += 1;
            summary.bytes = summary.bytes.saturating_add(line.size_bytes());
            match line.folder() {
                Folder::Trash => summary.trash += 1,
                Folder::Saved => summary.saved += 1,
                Folder::Inbox if line.is_seen() => {}
                Folder::Inbox => {
                    summary.new += 1;
                    summary.urgent += u32::from(line.is_urgent());
                }
            }
        });
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
    /// mailbox takes, if the id belongs to another audio, or if what is stored of it was damaged.
    pub fn deposit(&self, id: MessageId, header: Header) -> Result<Slot, DepositError> {
        if !self.exists() {
            return Err(DepositError::NoSuchMailbox);
        }
        if self.knows(id) {
            let present = self.entry(id)?.and_then(|present| present.header);
            let audio = present.map(|it| it.audio.digest);
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
        Ok(self.change(
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
    /// [`ChangeError`] if there is no such message, if it was damaged, or if a register in sight was
    /// stamped too far in the future.
    pub fn change_flags(
        &self,
        id: MessageId,
        change: FlagChange,
        origin: &Origin,
    ) -> Result<Slot, ChangeError> {
        let message = self.message(id)?.ok_or(ChangeError::NoSuchMessage)?;
        let flags = message
            .flags
            .delta(change, &self.next_stamp(origin)?, origin.alone);
        if flags == Flags::default() {
            return Ok(Slot::default());
        }
        Ok(self.change(
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
        let line = self.line(id).ok_or(ChangeError::NoSuchMessage)?;
        if line.is_shown(self.now_ms) {
            return Ok(self.change(id, Entry::tombstone(line.expires_at_ms())));
        }
        if line.is_purged() {
            Ok(Slot::default())
        } else {
            Err(ChangeError::NoSuchMessage)
        }
    }

    /// A change of the mailbox itself.
    fn delta(&self, profile: Profile) -> Slot {
        if profile == Profile::default() {
            return Slot::default();
        }
        Slot {
            deleted: self.deleted.clone(),
            profile,
            ..Slot::default()
        }
    }

    /// A change of one message.
    fn change(&self, id: MessageId, entry: Entry) -> Slot {
        Slot {
            deleted: self.deleted.clone(),
            messages: [(id, entry)].into(),
            ..Slot::default()
        }
    }

    /// The stamp of a change made now.
    fn next_stamp(&self, origin: &Origin) -> Result<Stamp, ClockSkew> {
        let profile = self.profile.newest_stamp();
        let mut newest = profile.max(self.deleted.as_ref()).cloned();
        // Those of flags that were set before now do not matter, and need not be read.
        let mut ahead = Vec::new();
        self.all_lines()
            .filter(|line| line.changed_at_ms() >= origin.now_ms)
            .for_each(|line| ahead.push(line));
        for line in ahead {
            let stamp = match self.entry(line.id) {
                Ok(entry) => entry.and_then(|entry| entry.flags.newest_stamp().cloned()),
                // It is taken for the last of its millisecond.
                Err(_) => Some(Stamp {
                    physical_ms: line.changed_at_ms(),
                    counter: u32::MAX,
                    region: origin.region.clone(),
                }),
            };
            newest = newest.max(stamp);
        }
        Stamp::next(origin.now_ms, newest.as_ref(), &origin.region, AHEAD_MAX_MS)
    }

    /// The lines of the messages that are shown.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> {
        self.all_lines().filter(|line| line.is_shown(self.now_ms))
    }

    /// The lines of all messages but those of which nothing is left.
    fn all_lines(&self) -> impl Iterator<Item = Line> {
        let changed = self.changed.iter().map(|(id, entry)| Line::of(*id, entry));
        let only = self.regions.first().filter(|_| self.regions.len() == 1);
        let unjoined = only.into_iter().flat_map(Messages::lines);
        let rest = unjoined.chain(self.lines.iter().copied());
        // Mostly nothing was joined to it: then nothing is searched either.
        changed.chain(
            rest.filter(|line| self.changed.is_empty() || !self.changed.contains_key(&line.id)),
        )
    }

    fn line(&self, id: MessageId) -> Option<Line> {
        if let Some(entry) = self.changed.get(&id) {
            return Some(Line::of(id, entry));
        }
        match self.lines.binary_search_by_key(&id, |line| line.id) {
            Ok(at) => self.lines.get(at).copied(),
            // It is one region's; or there are tombstones of it, and one says as much as all.
            Err(_) => self.regions.iter().find_map(|region| region.line(id)),
        }
    }

    /// What is known of a message.
    fn entry(&self, id: MessageId) -> Result<Option<Entry>, DecodeError> {
        if let Some(entry) = self.changed.get(&id) {
            return Ok(Some(entry.clone()));
        }
        if let [only] = self.regions.as_slice() {
            return only.get(id);
        }
        let mut known: Option<Entry> = None;
        for region in &self.regions {
            known.join(region.get(id)?);
        }
        Ok(known)
    }
}
