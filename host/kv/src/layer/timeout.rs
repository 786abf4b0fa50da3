//! Gives up on a store that does not answer in time.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::timeout;

use crate::{Capabilities, Entry, Error, Page, Result, Store, Swap, Version};

/// How long an operation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For reads and listings.
    pub read: Duration,
    /// For writes: a write that waits for a disk or a quorum deserves more.
    pub write: Duration,
}

/// A store whose operations end with [`Error::Timeout`] when they take too long.
///
/// A write that timed out may still happen.
#[derive(Debug)]
pub struct Timeout<S> {
    inner: S,
    timeouts: Timeouts,
}

impl<S: Store> Timeout<S> {
    /// Bounds the operations of `inner`.
    pub fn new(inner: S, timeouts: Timeouts) -> Self {
        Self { inner, timeouts }
    }

    async fn read<T>(&self, answer: impl Future<Output = Result<T>> + Send) -> Result<T> {
        timeout(self.timeouts.read, answer)
            .await
            .unwrap_or(Err(Error::Timeout))
    }

    async fn write<T>(&self, answer: impl Future<Output = Result<T>> + Send) -> Result<T> {
        timeout(self.timeouts.write, answer)
            .await
            .unwrap_or(Err(Error::Timeout))
    }
}

#[async_trait]
impl<S: Store> Store for Timeout<S> {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.read(self.inner.get(key)).await
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        self.write(self.inner.set(key, value)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.write(self.inner.delete(key)).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.read(self.inner.exists(key)).await
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        self.write(self.inner.compare_and_swap(key, expected, value))
            .await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        self.read(self.inner.get_many(keys)).await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        self.write(self.inner.set_many(entries)).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        self.write(self.inner.delete_many(keys)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.read(self.inner.list(prefix, after, limit)).await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}
