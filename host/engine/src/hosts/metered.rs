//! A store as one request may use it: what it does is taken out of the request's budget, and refused past its end.
//!
//! What is written is counted before it is, what is read as soon as its length is known. A refusal of what was to be
//! written has no effect.

use bytes::Bytes;
use starling_kv::{Entry, Page, Store, StoreExt, Swap, Version};
use thiserror::Error;

use crate::budget::{Budget, Exhausted};

/// Why an operation has no result.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// The request may do no more.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The store says no.
    #[error(transparent)]
    Store(#[from] starling_kv::Error),
}

type Result<T> = std::result::Result<T, Refusal>;

/// A store, and the budget of who asks it.
pub(crate) struct Metered<'a> {
    store: &'a dyn Store,
    budget: &'a Budget,
}

impl<'a> Metered<'a> {
    pub(crate) fn new(store: &'a dyn Store, budget: &'a Budget) -> Self {
        Self { store, budget }
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.begin(1, key.len())?;
        let entry = self.store.get(key).await?;
        self.read(entry.as_ref())?;
        Ok(entry)
    }

    pub(crate) async fn set(&self, key: &str, value: Bytes) -> Result<()> {
        self.begin(1, key.len() + value.len())?;
        self.store.set(key, value).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        self.begin(1, key.len())?;
        Ok(self.store.delete(key).await?)
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool> {
        self.begin(1, key.len())?;
        Ok(self.store.exists(key).await?)
    }

    pub(crate) async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        self.begin(1, key.len() + value.len())?;
        Ok(self.store.compare_and_swap(key, expected, value).await?)
    }

    /// It reads and swaps, so it counts twice, however often it has to try.
    pub(crate) async fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        self.begin(2, key.len())?;
        Ok(self.store.increment(key, delta).await?)
    }

    pub(crate) async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        self.begin(keys.len(), length(keys))?;
        let entries = self.store.get_many(keys).await?;
        for entry in &entries {
            self.read(entry.as_ref())?;
        }
        Ok(entries)
    }

    pub(crate) async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        let lengths = entries.iter().map(|(key, value)| key.len() + value.len());
        self.begin(entries.len(), lengths.sum())?;
        Ok(self.store.set_many(entries).await?)
    }

    pub(crate) async fn delete_many(&self, keys: &[String]) -> Result<()> {
        self.begin(keys.len(), length(keys))?;
        Ok(self.store.delete_many(keys).await?)
    }

    pub(crate) async fn list(&self, after: Option<&str>, limit: usize) -> Result<Page> {
        self.begin(1, 0)?;
        let page = self.store.list("", after, limit).await?;
        self.budget.bytes(length(&page.keys))?;
        Ok(page)
    }

    fn begin(&self, operations: usize, bytes: usize) -> Result<()> {
        self.budget.operations(operations)?;
        Ok(self.budget.bytes(bytes)?)
    }

    fn read(&self, entry: Option<&Entry>) -> Result<()> {
        Ok(self
            .budget
            .bytes(entry.map_or(0, |entry| entry.value.len()))?)
    }
}

fn length(keys: &[String]) -> usize {
    keys.iter().map(String::len).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::executor::block_on;
    use starling_kv::Memory;

    use super::*;
    use crate::limits::Limits;

    fn budget(operations: u64, bytes: u64) -> Budget {
        let limits = Limits {
            store_operations_max: operations,
            store_bytes_max: bytes,
            ..Limits::default()
        };
        Budget::new(&limits, Arc::default())
    }

    #[test]
    fn a_batch_counts_by_its_entries() {
        let (store, budget) = (Memory::new(), budget(5, 1_000));
        let metered = Metered::new(&store, &budget);
        let entry = |key: &str| (key.to_owned(), Bytes::from_static(b"value"));
        block_on(metered.set_many(vec![entry("a"), entry("b"), entry("c")])).unwrap();
        let keys = ["a", "b", "c"].map(str::to_owned);
        let refused = block_on(metered.get_many(&keys)).unwrap_err();
        assert!(matches!(refused, Refusal::Exhausted(Exhausted::Operations)));
        assert_eq!(
            block_on(metered.get_many(&keys[..2])).unwrap(),
            block_on(store.get_many(&keys[..2])).unwrap()
        );
    }

    #[test]
    fn a_write_past_the_budget_has_no_effect() {
        let (store, budget) = (Memory::new(), budget(100, 10));
        let metered = Metered::new(&store, &budget);
        let refused = block_on(metered.set("key", Bytes::from_static(b"12345678"))).unwrap_err();
        assert!(matches!(refused, Refusal::Exhausted(Exhausted::Bytes)));
        assert_eq!(block_on(store.get("key")).unwrap(), None);
        block_on(metered.set("key", Bytes::from_static(b"1234567"))).unwrap();
        let refused = block_on(metered.get("key")).unwrap_err();
        assert!(matches!(refused, Refusal::Exhausted(Exhausted::Bytes)));
    }
}
