//! The reference: a map under a lock. Exact, ordered, and gone with the process.
//!
//! It says in a few lines what the contract means, serves tests, and is what a new provider is
//! compared with.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Capabilities, Entry, Page, Result, Store, Swap, Version};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    /// The last version given out, to any key: a deleted key cannot get an old one back.
    version: u64,
}

impl State {
    fn put(&mut self, key: String, value: Bytes) -> Version {
        self.version += 1;
        let version = Version::new(self.version);
        self.entries.insert(key, Entry { value, version });
        version
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // No code that can panic runs under the lock, so a poisoned lock guards a whole state.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.read().entries.get(key).cloned())
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        Ok(self.write().put(key.to_owned(), value))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.write().entries.remove(key);
        Ok(())
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.read().entries.contains_key(key))
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        let mut state = self.write();
        let current = state.entries.get(key);
        if current.map(|entry| entry.version) != expected {
            return Ok(Swap::Lost(current.cloned()));
        }
        Ok(Swap::Swapped(state.put(key.to_owned(), value)))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        let state = self.read();
        Ok(keys
            .iter()
            .map(|key| state.entries.get(key).cloned())
            .collect())
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        let mut state = self.write();
        for (key, value) in entries {
            state.put(key, value);
        }
        Ok(())
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        let mut state = self.write();
        for key in keys {
            state.entries.remove(key);
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let state = self.read();
        let mut rest = state
            .entries
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix));
        let keys: Vec<String> = rest.by_ref().take(limit).cloned().collect();
        let next = rest.next().and_then(|_| keys.last().cloned());
        Ok(Page { keys, next })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: false,
            replicas: false,
            compare_and_swap: true,
            ordered_listing: true,
            atomic_batches: true,
        }
    }
}
