//! What a region stores of a mailbox: its slot, and beside it the region's own chores, which other
//! regions read past.
//!
//! Both lie in one value, so that one compare-and-swap changes them together: a message that leaves
//! the slot and its audio that is to be removed, a change and the notification that is owed for it,
//! a deposit and its share of a rate limit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Audio, Entry, GreetingKind, Header, Join, Mailbox, MessageId, Rates, Register, Slot};

/// How long a region keeps what it knows of a message after the message has expired: 30 days.
///
/// Readers drop an expired message at once. What is left (a flag, a tombstone) must outlast every
/// copy that a retry may have left elsewhere, and every disagreement of clocks.
pub const FORGET_AFTER_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// What is stored under [`keys::slot`](crate::keys::slot).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// What the region contributes to the mailbox.
    pub slot: Slot,
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
    /// The mailbox that this record makes with the slots of the other regions.
    pub fn mailbox(&self, others: &Slot, now_ms: u64) -> Mailbox {
        Mailbox::of([others.clone(), self.slot.clone()], now_ms)
    }

    /// The same, for who needs the record no more: nothing is copied.
    pub fn into_mailbox(self, others: Slot, now_ms: u64) -> Mailbox {
        Mailbox::of([others, self.slot], now_ms)
    }

    /// Joins a change to the slot, and drops from it what the change, or time, or another region's
    /// change has made superfluous. Audio that leaves the slot is noted to be reclaimed.
    ///
    /// `others` are the slots of the other regions, joined.
    pub fn change(&mut self, delta: Slot, others: &Slot, now_ms: u64) {
        // What the join itself may replace: little, since a change is small.
        let before = replaceable(&self.slot, &delta);
        if delta.deleted > self.slot.deleted {
            self.discard_all();
        }
        self.slot.join(delta);
        for discarded in before {
            if !holds(&self.slot, &discarded) {
                self.chores.reclaim.insert(discarded);
            }
        }
        self.sweep(others, now_ms);
    }

    /// Whether [`change`](Self::change) would drop something, also without a change.
    pub fn is_sweepable(&self, others: &Slot, now_ms: u64) -> bool {
        others.deleted > self.slot.deleted
            || self
                .slot
                .messages
                .iter()
                .any(|(id, entry)| entry.is_stale(others.messages.get(id), now_ms))
            || self
                .slot
                .profile
                .greetings
                .iter()
                .any(|(kind, register)| is_superseded(*kind, register, others, now_ms))
    }

    fn sweep(&mut self, others: &Slot, now_ms: u64) {
        if others.deleted > self.slot.deleted {
            // Deleted elsewhere, with everything in it.
            self.discard_all();
            self.slot = Slot {
                deleted: others.deleted.clone(),
                ..Slot::default()
            };
        }
        let reclaim = &mut self.chores.reclaim;
        self.slot.messages.retain(|id, entry| {
            if entry.is_stale(others.messages.get(id), now_ms) {
                reclaim.extend(Discarded::of_message(*id, entry.header.as_ref()));
                // Also at the origin of an expired message: a late retry must not bring it back.
                *entry = Entry {
                    purged: true,
                    expires_at_ms: entry.expires_at_ms,
                    ..Entry::default()
                };
            }
            !entry.is_forgotten(now_ms)
        });
        self.slot.profile.greetings.retain(|kind, register| {
            if !is_superseded(*kind, register, others, now_ms) {
                return true;
            }
            let greeting = register.value.take();
            reclaim.extend(greeting.map(|greeting| Discarded::of_greeting(&greeting.audio)));
            // An expired one stays as a deleted one: an older one elsewhere must not come back.
            others
                .profile
                .greetings
                .get(kind)
                .is_none_or(|newest| newest.stamp <= register.stamp)
        });
    }

    fn discard_all(&mut self) {
        let slot = std::mem::take(&mut self.slot);
        for (id, entry) in &slot.messages {
            let discarded = Discarded::of_message(*id, entry.header.as_ref());
            self.chores.reclaim.extend(discarded);
        }
        let greetings = slot.profile.recordings();
        self.chores
            .reclaim
            .extend(greetings.map(Discarded::of_greeting));
        self.slot.deleted = slot.deleted;
    }
}

impl Entry {
    /// Whether it holds more than a tombstone although the message is gone: purged here or, as far
    /// as it is known, elsewhere, or expired.
    fn is_stale(&self, elsewhere: Option<&Self>, now_ms: u64) -> bool {
        let purged = self.purged || elsewhere.is_some_and(|it| it.purged);
        let expires_at_ms = elsewhere
            .map_or(0, |it| it.expires_at_ms)
            .max(self.expires_at_ms);
        let tombstone = self.header.is_none() && self.purged;
        (purged || expires_at_ms <= now_ms) && !tombstone || self.is_forgotten(now_ms)
    }

    fn is_forgotten(&self, now_ms: u64) -> bool {
        self.expires_at_ms.saturating_add(FORGET_AFTER_MS) <= now_ms
    }
}

/// Whether a greeting has expired, or was replaced in another region.
fn is_superseded(
    kind: GreetingKind,
    register: &Register<Option<crate::Greeting>>,
    others: &Slot,
    now_ms: u64,
) -> bool {
    let expired = register.value.as_ref().is_some_and(|greeting| {
        greeting
            .expires_at_ms
            .is_some_and(|expires_at_ms| expires_at_ms <= now_ms)
    });
    let newest = others.profile.greetings.get(&kind);
    expired || newest.is_some_and(|newest| newest.stamp > register.stamp)
}

/// The audio in `slot` that joining `delta` might replace.
fn replaceable(slot: &Slot, delta: &Slot) -> Vec<Discarded> {
    let greetings = delta.profile.greetings.keys().filter_map(|kind| {
        let greeting = slot.profile.greetings.get(kind)?.value.as_ref()?;
        Some(Discarded::of_greeting(&greeting.audio))
    });
    let messages = delta.messages.keys().flat_map(|id| {
        let entry = slot.messages.get(id);
        Discarded::of_message(*id, entry.and_then(|entry| entry.header.as_ref()))
    });
    greetings.chain(messages).collect()
}

/// Whether the slot still names this audio in this place.
fn holds(slot: &Slot, discarded: &Discarded) -> bool {
    match discarded.message {
        Some(id) => slot
            .messages
            .get(&id)
            .and_then(|entry| entry.header.as_ref())
            .is_some_and(|header| header.recordings().any(|it| *it == discarded.audio)),
        None => slot
            .profile
            .recordings()
            .any(|audio| *audio == discarded.audio),
    }
}
