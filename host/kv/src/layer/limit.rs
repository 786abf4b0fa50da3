//! Refuses what is over the limits or has no valid key, before the store sees it.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Capabilities, Entry, Limits, Page, Result, Store, Swap, Version};

/// A store that takes only requests within its [`Limits`].
#[derive(Debug)]
pub struct Limit<S> {
    inner: S,
    limits: Limits,
}

impl<S: Store> Limit<S> {
    /// Puts `limits` in front of `inner`.
    pub fn new(inner: S, limits: Limits) -> Self {
        Self { inner, limits }
    }
}

#[async_trait]
impl<S: Store> Store for Limit<S> {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.limits.check_key(key)?;
        self.inner.get(key).await
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        self.limits.check_key(key)?;
        self.limits.check_value(&value)?;
        self.inner.set(key, value).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.limits.check_key(key)?;
        self.inner.delete(key).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.limits.check_key(key)?;
        self.inner.exists(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        self.limits.check_key(key)?;
        self.limits.check_value(&value)?;
        self.inner.compare_and_swap(key, expected, value).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        self.limits.check_keys(keys)?;
        self.inner.get_many(keys).await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        self.limits.check_entries(&entries)?;
        self.inner.set_many(entries).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        self.limits.check_keys(keys)?;
        self.inner.delete_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.limits.check_prefix(prefix)?;
        // A cursor is the store's own and may be no key, but it is never longer than one.
        if let Some(after) = after {
            self.limits.check_prefix(after)?;
        }
        self.inner
            .list(prefix, after, self.limits.page_keys(limit))
            .await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}
