//! What a region stores of a mailbox: its slot, and beside it the region's own chores, which other
//! regions read past.
//!
//! Both lie in one value, so that one compare-and-swap changes them together: a message that leaves
//! the slot and its audio that is to be removed, a change and the notification that is owed for it,
//! a deposit and its share of a rate limit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::encoding::Line;
use crate::{
    Audio, DecodeError, Entry, Greeting, GreetingKind, Header, Join, Mailbox, MessageId, Messages,
    Profile, Rates, Register, Slot, Stamp,
};

/// How long a region keeps what it knows of a message after the message has expired: 30 days.
///
/// Readers drop an expired message at once. What is left (a flag, a tombstone) must outlast every
/// copy that a retry may have left elsewhere, and every disagreement of clocks.
pub const FORGET_AFTER_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// What is stored under [`keys::slot`](crate::keys::slot): a [`Slot`], and [`Chores`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// [`Slot::deleted`].
    pub deleted: Option<Stamp>,
    /// [`Slot::profile`].
    pub profile: Profile,
    /// [`Slot::messages`], which are decoded when they are looked at.
    pub messages: Messages,
    /// What the region has to do about it.
    pub chores: Chores,
}

/// What a region has to do about a mailbox, and remembers for itself. Never joined.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Chores {
    /// Audio in the region's store that has left the slot.
    pub reclaim: BTreeSet<Discarded>,
    /// How many changes there were that the subscriber is to be told of.
    pub changes: u64,
    /// Of how many of them the subscriber has been told.
    pub told: u64,
    /// How fast messages have been deposited.
    pub rates: Rates,
}

/// Audio that has left a slot: to be removed, unless something else shares it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Discarded {
    /// The message that it left with; `None` for a greeting.
    pub message: Option<MessageId>,
    /// The audio.
    pub audio: Audio,
}

impl Discarded {
    /// All audio of a message, if its header is there.
    fn of_message(id: MessageId, header: Option<&Header>) -> impl Iterator<Item = Self> {
        let recordings = header.into_iter().flat_map(Header::recordings);
        recordings.map(move |audio| Self {
            message: Some(id),
            audio: audio.clone(),
        })
    }

    /// The audio of a greeting.
    fn of_greeting(audio: &Audio) -> Self {
        Self {
            message: None,
            audio: audio.clone(),
        }
    }
}

impl Record {
    /// What the region contributes to the mailbox, all of it decoded.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if a message was damaged.
    pub fn slot(&self) -> Result<Slot, DecodeError> {
        Ok(Slot {
            deleted: self.deleted.clone(),
            profile: self.profile.clone(),
            messages: self.messages.entries()?,
        })
    }

    /// The mailbox that this record makes with those of the other regions, at `now_ms` (milliseconds
    /// since the Unix epoch, UTC).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if a message that several regions know something of was damaged.
    pub fn mailbox(&self, others: &[Self], now_ms: u64) -> Result<Mailbox, DecodeError> {
        Mailbox::read(others.iter().chain([self]), now_ms)
    }

    /// Joins a change to the slot, and drops from it what the change, or time, or another region's
    /// change has made superfluous. Audio that leaves the slot is noted to be reclaimed.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if a message that it is about was damaged; the record is then of no use any more.
    pub fn change(&mut self, delta: Slot, others: &[Self], now_ms: u64) -> Result<(), DecodeError> {
        if delta.deleted > self.deleted {
            self.begin_anew(delta.deleted.clone())?;
        }
        if delta.deleted == self.deleted {
            self.join_profile(delta.profile);
            for (id, entry) in delta.messages {
                self.join_entry(id, entry)?;
            }
        }
        self.sweep(others, now_ms)
    }

    /// Whether [`change`](Self::change) would drop something, also without a change.
    pub fn is_sweepable(&self, others: &[Self], now_ms: u64) -> bool {
        let elsewhere = Elsewhere::of(self, others);
        elsewhere.deleted > self.deleted.as_ref()
            || self
                .messages
                .lines()
                .any(|line| elsewhere.is_stale(&line, now_ms))
            || self
                .messages
                .tombstones()
                .any(|it| is_forgotten(it.expires_at_ms(), now_ms))
            || self
                .profile
                .greetings
                .iter()
                .any(|(kind, register)| elsewhere.supersedes(*kind, register, now_ms))
    }

    fn join_profile(&mut self, delta: Profile) {
        let replaceable = delta.greetings.keys().filter_map(|kind| {
            let greeting = self.profile.greetings.get(kind)?.value.as_ref()?;
            Some(greeting.audio.clone())
        });
        let replaceable: Vec<Audio> = replaceable.collect();
        self.profile.join(delta);
        for audio in replaceable {
            if !self.profile.recordings().any(|it| *it == audio) {
                self.chores.reclaim.insert(Discarded::of_greeting(&audio));
            }
        }
    }

    fn join_entry(&mut self, id: MessageId, delta: Entry) -> Result<(), DecodeError> {
        let before = self.messages.get(id)?.unwrap_or_default();
        let entry = before.clone().joined(delta);
        let kept = entry.header.as_ref();
        for discarded in Discarded::of_message(id, before.header.as_ref()) {
            let mut kept = kept.into_iter().flat_map(Header::recordings);
            if !kept.any(|audio| *audio == discarded.audio) {
                self.chores.reclaim.insert(discarded);
            }
        }
        self.messages.set(id, entry);
        Ok(())
    }

    fn sweep(&mut self, others: &[Self], now_ms: u64) -> Result<(), DecodeError> {
        let elsewhere = Elsewhere::of(self, others);
        if elsewhere.deleted > self.deleted.as_ref() {
            // Deleted elsewhere, with everything in it.
            return self.begin_anew(elsewhere.deleted.cloned());
        }
        let mut stale = Vec::new();
        self.messages
            .lines()
            .filter(|line| elsewhere.is_stale(line, now_ms))
            .for_each(|line| stale.push(line));
        let tombstones = self.messages.tombstones();
        let forgotten: Vec<_> = tombstones
            .filter(|it| is_forgotten(it.expires_at_ms(), now_ms))
            .collect();
        for line in stale {
            // What was damaged stays, for which audio it holds on to is not known; it must not stop every
            // change of the mailbox.
            let Ok(entry) = self.messages.get(line.id) else {
                continue;
            };
            let header = entry.as_ref().and_then(|entry| entry.header.as_ref());
            let discarded = Discarded::of_message(line.id, header);
            self.chores.reclaim.extend(discarded);
            let expires_at_ms = line.expires_at_ms();
            if is_forgotten(expires_at_ms, now_ms) {
                self.messages.forget(line.id);
            } else {
                // Also at the origin of an expired message: a late retry must not bring it back.
                self.messages.set(line.id, Entry::tombstone(expires_at_ms));
            }
        }
        for tombstone in forgotten {
            self.messages.forget(tombstone.id);
        }
        let reclaim = &mut self.chores.reclaim;
        self.profile.greetings.retain(|kind, register| {
            if !elsewhere.supersedes(*kind, register, now_ms) {
                return true;
            }
            let greeting = register.value.take();
            reclaim.extend(greeting.map(|greeting| Discarded::of_greeting(&greeting.audio)));
            // An expired one stays as a deleted one: an older one elsewhere must not come back.
            !elsewhere.is_newer(*kind, register)
        });
        Ok(())
    }

    /// Discards everything, as of a deletion.
    fn begin_anew(&mut self, deleted: Option<Stamp>) -> Result<(), DecodeError> {
        let discarded = std::mem::take(self);
        let mut reclaim = discarded.chores.reclaim;
        for (id, entry) in discarded.messages.entries()? {
            reclaim.extend(Discarded::of_message(id, entry.header.as_ref()));
        }
        let greetings = discarded.profile.recordings();
        reclaim.extend(greetings.map(Discarded::of_greeting));
        *self = Self {
            deleted,
            chores: Chores {
                reclaim,
                ..discarded.chores
            },
            ..Self::default()
        };
        Ok(())
    }
}

impl From<Slot> for Record {
    fn from(slot: Slot) -> Self {
        Self {
            deleted: slot.deleted,
            profile: slot.profile,
            messages: slot.messages.into(),
            chores: Chores::default(),
        }
    }
}

/// What the other regions know, as far as it is about the same mailbox: one that they have not heard
/// yet was deleted is another.
struct Elsewhere<'a> {
    deleted: Option<&'a Stamp>,
    records: Vec<&'a Record>,
}

impl<'a> Elsewhere<'a> {
    fn of(own: &Record, others: &'a [Record]) -> Self {
        let same = |other: &&Record| other.deleted == own.deleted;
        Self {
            deleted: others
                .iter()
                .filter_map(|other| other.deleted.as_ref())
                .max(),
            records: others.iter().filter(same).collect(),
        }
    }

    /// Whether a message of which more than a tombstone is there is gone: purged here or, as far as it
    /// is known, elsewhere, or expired.
    fn is_stale(&self, own: &Line, now_ms: u64) -> bool {
        let mut purged = own.is_purged();
        let mut expires_at_ms = own.expires_at_ms();
        for line in self
            .records
            .iter()
            .filter_map(|it| it.messages.line(own.id))
        {
            purged |= line.is_purged();
            expires_at_ms = expires_at_ms.max(line.expires_at_ms());
        }
        purged || expires_at_ms <= now_ms || is_forgotten(own.expires_at_ms(), now_ms)
    }

    /// Whether a greeting has expired, or was replaced.
    fn supersedes(
        &self,
        kind: GreetingKind,
        own: &Register<Option<Greeting>>,
        now_ms: u64,
    ) -> bool {
        let greeting = own.value.as_ref();
        let expires_at_ms = greeting.and_then(|greeting| greeting.expires_at_ms);
        expires_at_ms.is_some_and(|it| it <= now_ms) || self.is_newer(kind, own)
    }

    /// Whether a greeting was replaced.
    fn is_newer(&self, kind: GreetingKind, own: &Register<Option<Greeting>>) -> bool {
        let others = self.records.iter();
        let mut others = others.filter_map(|other| other.profile.greetings.get(&kind));
        others.any(|other| other.stamp > own.stamp)
    }
}

/// Whether even a tombstone has done what it was there for.
fn is_forgotten(expires_at_ms: u64, now_ms: u64) -> bool {
    expires_at_ms.saturating_add(FORGET_AFTER_MS) <= now_ms
}
