//! Decides what a batch of writes does, one after the other, before any of it is written.

use std::collections::HashMap;

use bytes::Bytes;
use starling_kv::{Entry, Result, Swap, Version};

use crate::{
    engine::{Change, Engine},
    queue::{Outcome, Write},
};

/// The state that a batch is heading for: what it changes, over what the tree holds.
pub(crate) struct Decision<'a> {
    engine: &'a Engine,
    /// What each key that the batch touches will hold; `None` where it is deleted.
    changes: HashMap<String, Option<Entry>>,
    /// The number of the last write decided.
    last: u64,
    /// The bytes of the values that are deleted.
    deleted: u64,
}

impl<'a> Decision<'a> {
    /// Begins a batch. `last` is the number of the last write that was ever decided.
    pub(crate) fn new(engine: &'a Engine, last: u64) -> Self {
        Self {
            engine,
            changes: HashMap::new(),
            last,
            deleted: 0,
        }
    }

    /// The number of the last write decided.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The bytes of the values that are deleted.
    pub(crate) fn deleted(&self) -> u64 {
        self.deleted
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What is to be written: each key once.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.changes
            .iter()
            .map(|(key, entry)| (key.as_str(), entry.as_ref()))
    }

    /// Decides one write in the light of those before it. One that fails changes nothing.
    pub(crate) fn apply(&mut self, write: Write) -> Result<Outcome> {
        match write {
            Write::Put(entries) => {
                let put = entries.into_iter().map(|(key, value)| self.put(key, value));
                Ok(Outcome::Put(put.last()))
            }
            Write::Delete(keys) => {
                let mut present = Vec::with_capacity(keys.len());
                for key in keys {
                    if let Some(bytes) = self.stored_bytes(&key)? {
                        present.push((key, bytes));
                    }
                }
                for (key, bytes) in present {
                    self.last += 1;
                    self.deleted += bytes;
                    self.changes.insert(key, None);
                }
                Ok(Outcome::Deleted)
            }
            Write::Swap {
                key,
                expected,
                value,
            } => {
                let current = self.get(&key)?;
                if current.as_ref().map(|entry| entry.version) != expected {
                    return Ok(Outcome::Swap(Swap::Lost(current)));
                }
                Ok(Outcome::Swap(Swap::Swapped(self.put(key, value))))
            }
        }
    }

    fn put(&mut self, key: String, value: Bytes) -> Version {
        self.last += 1;
        let version = Version::new(self.last);
        self.changes.insert(key, Some(Entry { value, version }));
        version
    }

    fn get(&self, key: &str) -> Result<Option<Entry>> {
        match self.changes.get(key) {
            Some(entry) => Ok(entry.clone()),
            None => Ok(self.engine.get(key)?),
        }
    }

    fn stored_bytes(&self, key: &str) -> Result<Option<u64>> {
        match self.changes.get(key) {
            Some(entry) => Ok(entry.as_ref().map(|entry| entry.value.len() as u64)),
            None => Ok(self.engine.stored_bytes(key)?.map(u64::from)),
        }
    }
}
