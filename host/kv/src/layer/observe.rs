//! Tells an observer what was done, how long it took and how it ended. Metrics live with the
//! observer, not here.

use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Capabilities, Entry, Error, Page, Result, Store, Swap, Version};

/// Hears of every operation when it ends. Called on the caller's task: it must not block.
pub trait Observer: Send + Sync + fmt::Debug + 'static {
    /// `operation` ended after `elapsed` as `outcome` says.
    fn observe(&self, operation: Operation, elapsed: Duration, outcome: Outcome<'_>);
}

/// Which method of [`Store`] was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Store::get`]
    Get,
    /// [`Store::set`]
    Set,
    /// [`Store::delete`]
    Delete,
    /// [`Store::exists`]
    Exists,
    /// [`Store::compare_and_swap`]
    CompareAndSwap,
    /// [`Store::get_many`]
    GetMany,
    /// [`Store::set_many`]
    SetMany,
    /// [`Store::delete_many`]
    DeleteMany,
    /// [`Store::list`]
    List,
}

impl Operation {
    /// A stable name in kebab-case, for metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Exists => "exists",
            Self::CompareAndSwap => "compare-and-swap",
            Self::GetMany => "get-many",
            Self::SetMany => "set-many",
            Self::DeleteMany => "delete-many",
            Self::List => "list",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// It did what was asked.
    Done,
    /// A compare-and-swap lost its race: no failure, but a measure of contention.
    Lost,
    /// It failed.
    Failed(&'a Error),
    /// The caller went away before there was an answer.
    Abandoned,
}

/// A store that tells an [`Observer`] of every operation.
#[derive(Debug)]
pub struct Observe<S, O> {
    inner: S,
    observer: O,
}

impl<S: Store, O: Observer> Observe<S, O> {
    /// Tells `observer` of the operations on `inner`.
    pub fn new(inner: S, observer: O) -> Self {
        Self { inner, observer }
    }

    async fn watch<T>(
        &self,
        operation: Operation,
        answer: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let watch = Watch::begin(&self.observer, operation);
        let answer = answer.await;
        watch.end(
            answer
                .as_ref()
                .map_or_else(Outcome::Failed, |_| Outcome::Done),
        );
        answer
    }
}

#[async_trait]
impl<S: Store, O: Observer> Store for Observe<S, O> {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.watch(Operation::Get, self.inner.get(key)).await
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        self.watch(Operation::Set, self.inner.set(key, value)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.watch(Operation::Delete, self.inner.delete(key)).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        self.watch(Operation::Exists, self.inner.exists(key)).await
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        let watch = Watch::begin(&self.observer, Operation::CompareAndSwap);
        let answer = self.inner.compare_and_swap(key, expected, value).await;
        watch.end(match &answer {
            Ok(Swap::Swapped(_)) => Outcome::Done,
            Ok(Swap::Lost(_)) => Outcome::Lost,
            Err(error) => Outcome::Failed(error),
        });
        answer
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        self.watch(Operation::GetMany, self.inner.get_many(keys))
            .await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        self.watch(Operation::SetMany, self.inner.set_many(entries))
            .await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        self.watch(Operation::DeleteMany, self.inner.delete_many(keys))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        self.watch(Operation::List, self.inner.list(prefix, after, limit))
            .await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

/// An operation under way. Dropped without an end, its caller has gone.
struct Watch<'a> {
    observer: Option<&'a dyn Observer>,
    operation: Operation,
    begun: Instant,
}

impl<'a> Watch<'a> {
    fn begin(observer: &'a dyn Observer, operation: Operation) -> Self {
        Self {
            observer: Some(observer),
            operation,
            begun: Instant::now(),
        }
    }

    fn end(mut self, outcome: Outcome<'_>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        if let Some(observer) = self.observer.take() {
            observer.observe(self.operation, self.begun.elapsed(), outcome);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.tell(Outcome::Abandoned);
    }
}
