//! A view of a store that cannot change it, such as a replica of another region's store.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Capabilities, Entry, Error, Page, Result, Store, Swap, Version};

/// A store whose writes are all [`Error::AccessDenied`].
#[derive(Debug)]
pub struct ReadOnly<S> {
    inner: S,
}

impl<S: Store> ReadOnly<S> {
    /// Shows `inner` for reading only.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl<S: Store> Store for ReadOnly<S> {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.inner.get(key).await
    }

    async fn set(&self, _: &str, _: Bytes) -> Result<Version> {
        Err(Error::AccessDenied)
    }

    async fn delete(&self, _: &str) -> Result<()> {
        Err(Error::AccessDenied)
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.inner.exists(key).await
    }

    async fn compare_and_swap(&self, _: &str, _: Option<Version>, _: Bytes) -> Result<Swap> {
        Err(Error::AccessDenied)
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        self.inner.get_many(keys).await
    }

    async fn set_many(&self, _: Vec<(String, Bytes)>) -> Result<()> {
        Err(Error::AccessDenied)
    }

    async fn delete_many(&self, _: &[String]) -> Result<()> {
        Err(Error::AccessDenied)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.inner.list(prefix, after, limit).await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}
