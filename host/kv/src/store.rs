//! The contract between the host and a key-value provider.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// A store of keys and values, as a provider offers it.
///
/// It is the minimum, with no method given for free: a wrapper that forgets one does not compile.
/// Comfort lives in [`StoreExt`](crate::StoreExt). The trait is object safe; the host holds
/// `Arc<dyn Store>`.
///
/// # Contract
///
/// Every provider keeps these; the conformance suite checks them.
///
/// - **Acknowledged means done.** When a write returns `Ok` it is as durable as
///   [`Capabilities::durable`] says, and nothing is acknowledged that a crash could take back.
///   Nobody reads a value that such a crash could take back either.
/// - **Read-your-writes.** A read sees every write that this host acknowledged before the read
///   began, whatever task asks.
/// - **One order for each key.** Operations on one key are linearizable: there is one order of
///   them, in agreement with real time, that explains every answer. Nothing is promised about the
///   order of operations on different keys, apart from batches (below).
/// - **Exact compare-and-swap.** Of the swaps that expect the same version, one wins. That holds
///   for the creation of a missing key too.
/// - **A version is never used twice.** Each write of a key gives it a version that the key never
///   had, and a greater one; not after deletion and creation, not after a restart. An old version
///   can therefore never match again (no ABA).
/// - **Batches.** Where [`Capabilities::atomic_batches`] holds, a `set_many` or `delete_many`
///   happens whole or not at all, also across a crash, and one `get_many` sees it whole or not at
///   all. Elsewhere each entry stands for itself, and an error leaves any part of it done.
/// - **Errors.** A refusal has no effect; after another error of a write its outcome is unknown
///   ([`Error`](crate::Error) says which is which).
/// - **A dropped future** of a read did nothing. One of a write leaves the outcome unknown.
///
/// # Limits
///
/// A provider takes any request within [`Limits`](crate::Limits) and may rely on nothing larger:
/// the host puts [`layer::Limit`](crate::layer::Limit) in front of it. It need not check keys.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Reads a key; `None` where it is missing.
    async fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Writes a key whatever it held, and returns the version that this value now has.
    async fn set(&self, key: &str, value: Bytes) -> Result<Version>;

    /// Deletes a key. That the key is missing is no error.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Whether a key is there, without its value.
    async fn exists(&self, key: &str) -> Result<bool>;

    /// Writes a key if it still has the version `expected`; `None` means that it must be missing.
    ///
    /// A lost race is an answer, not an error: [`Swap::Lost`] hands back what is there now, so
    /// that the caller can decide anew without another read.
    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap>;

    /// Reads several keys. The answer has the order and the length of `keys`; a key that is asked
    /// for twice is answered twice.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>>;

    /// Writes several keys whatever they held. Of a key that is named twice the last value stays.
    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()>;

    /// Deletes several keys. That some are missing is no error.
    async fn delete_many(&self, keys: &[String]) -> Result<()>;

    /// Lists keys that begin with `prefix` (empty: all), at most `limit` (1 or more) of them.
    ///
    /// `after` is `None` for the first page, then the [`Page::next`] of the page before, with the
    /// same prefix. A listing may run beside writes: a key that is there from the first page to the
    /// last is returned at least once, a key that comes or goes meanwhile may be returned or not.
    /// Where [`Capabilities::ordered_listing`] holds, keys come in the order of their bytes, none
    /// twice, and any key may serve as `after`.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page>;

    /// What this store promises beyond the contract. Constant while the store is open.
    fn capabilities(&self) -> Capabilities;
}

/// What a provider promises beyond the contract that all keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// An acknowledged write survives the loss of power on every machine that holds it.
    /// Where it is false, an acknowledgement means memory or the operating system's page cache.
    pub durable: bool,
    /// An acknowledged write is on more than one machine.
    pub replicas: bool,
    /// Compare-and-swap is exact against every writer of the underlying store, this host's or not.
    /// Where it is false, it is exact among the writes of this host alone.
    pub compare_and_swap: bool,
    /// Listings come in byte order of the keys, none twice, and go on after any key.
    pub ordered_listing: bool,
    /// Batches of writes are all or nothing, for crashes and for readers.
    pub atomic_batches: bool,
}

/// A value with the version that it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes, as they were written.
    pub value: Bytes,
    /// What [`Store::compare_and_swap`] expects in order to replace this very value.
    pub version: Version,
}

/// Which write of a key a value comes from.
///
/// Opaque: a version is made by a store and means something to that store and that key alone. Of
/// two versions of one key the greater is the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// A version as a provider numbers it, or as [`get`](Self::get) gave it out.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The provider's number, to be handed back through [`new`](Self::new).
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// How a compare-and-swap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a lost swap wrote nothing"]
pub enum Swap {
    /// The value was written and has this version.
    Swapped(Version),
    /// Nothing was written: the key had another version, or was not missing as expected. This is
    /// what it held.
    Lost(Option<Entry>),
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys of this page; a page may be empty and yet have a next one.
    pub keys: Vec<String>,
    /// Where the next page goes on; `None` after the last.
    pub next: Option<String>,
}

/// A shared store is a store, so wrappers take either.
#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        (**self).get(key).await
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        (**self).set(key, value).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        (**self).delete(key).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        (**self).exists(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        (**self).compare_and_swap(key, expected, value).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        (**self).get_many(keys).await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        (**self).set_many(entries).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        (**self).delete_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        (**self).list(prefix, after, limit).await
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
}
