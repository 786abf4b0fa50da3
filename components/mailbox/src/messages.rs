//! What a region knows of the messages of a mailbox: a map from their ids to entries, of which nothing
//! is decoded but what somebody looks at.
//!
//! A mailbox of a thousand messages is read with every request, and few requests want more than a
//! count, a page or a single message. So what is stored stays as it is, and has a short line of a
//! fixed length for each message, in which all can be found and counted; changes lie on top of it
//! until the record is encoded.

use std::collections::BTreeMap;

use crate::encoding::{Layout, Line, Stored, Tombstone};
use crate::{DecodeError, Entry, MessageId};

/// The messages of a record.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    stored: Stored,
    /// What is known now of messages that were changed since; `None` of one that was forgotten.
    changed: BTreeMap<MessageId, Option<Entry>>,
}

impl Messages {
    /// Whether nothing is known of any message.
    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none() && self.tombstones().next().is_none()
    }

    /// What is known of a message.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if what is stored of it was damaged.
    pub fn get(&self, id: MessageId) -> Result<Option<Entry>, DecodeError> {
        match self.changed.get(&id) {
            Some(entry) => Ok(entry.clone()),
            None => self.stored.entry(id),
        }
    }

    /// What is known of all messages.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if anything that is stored of them was damaged.
    pub fn entries(&self) -> Result<BTreeMap<MessageId, Entry>, DecodeError> {
        self.stored.check_order()?;
        let lines = self.lines().map(|line| line.id);
        let ids = lines.chain(self.tombstones().map(|tombstone| tombstone.id));
        ids.filter_map(|id| Some(self.get(id).transpose()?.map(|entry| (id, entry))))
            .collect()
    }

    /// The line of a message, also of one that is gone for good.
    pub(crate) fn line(&self, id: MessageId) -> Option<Line> {
        match self.changed.get(&id) {
            Some(entry) => entry.as_ref().map(|entry| Line::of(id, entry)),
            None => {
                let line = self.stored.line(id);
                line.or_else(|| self.stored.tombstone(id).map(Line::from))
            }
        }
    }

    /// The lines of all messages but those that are gone for good, in no order that means anything.
    ///
    /// Going through them from within ([`Iterator::for_each`]) is six times as quick as with a loop.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line> {
        let stored = self.stored.lines().iter().copied();
        let changed = self.changed.iter().filter_map(|(id, entry)| {
            let entry = entry.as_ref().filter(|entry| !entry.is_tombstone())?;
            Some(Line::of(*id, entry))
        });
        stored
            .filter(|line| self.is_unchanged(line.id))
            .chain(changed)
    }

    /// What is left of a message that is gone for good.
    pub(crate) fn tombstone(&self, id: MessageId) -> Option<Tombstone> {
        match self.changed.get(&id) {
            Some(entry) => {
                let entry = entry.as_ref().filter(|entry| entry.is_tombstone())?;
                Some(Tombstone::new(id, entry.expires_at_ms))
            }
            None => self.stored.tombstone(id),
        }
    }

    /// Those that are gone for good, in no order that means anything.
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = Tombstone> {
        let stored = self.stored.tombstones().iter().copied();
        let changed = self.changed.iter().filter_map(|(id, entry)| {
            let entry = entry.as_ref().filter(|entry| entry.is_tombstone())?;
            Some(Tombstone::new(*id, entry.expires_at_ms))
        });
        stored.filter(|it| self.is_unchanged(it.id)).chain(changed)
    }

    /// Sets what is known of a message.
    pub(crate) fn set(&mut self, id: MessageId, entry: Entry) {
        self.changed.insert(id, Some(entry));
    }

    /// Forgets a message.
    pub(crate) fn forget(&mut self, id: MessageId) {
        self.changed.insert(id, None);
    }

    /// All of it as it is to be stored.
    pub(crate) fn laid_out(&self) -> Layout {
        Layout::of(&self.stored, self.changed.iter())
    }

    fn is_unchanged(&self, id: MessageId) -> bool {
        // Mostly nothing has been changed: then nothing is searched either.
        self.changed.is_empty() || !self.changed.contains_key(&id)
    }
}

/// Equal messages have equal bytes.
impl PartialEq for Messages {
    fn eq(&self, other: &Self) -> bool {
        self.laid_out() == other.laid_out()
    }
}

impl From<BTreeMap<MessageId, Entry>> for Messages {
    fn from(entries: BTreeMap<MessageId, Entry>) -> Self {
        let changed = entries.into_iter().map(|(id, entry)| (id, Some(entry)));
        Self {
            stored: Stored::default(),
            changed: changed.collect(),
        }
    }
}

impl From<Stored> for Messages {
    fn from(stored: Stored) -> Self {
        Self {
            stored,
            changed: BTreeMap::new(),
        }
    }
}
