//! The store itself: reads from the tree, writes through the committer.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
};

use async_trait::async_trait;
use bytes::Bytes;
use starling_kv::{Capabilities, Entry, Error, Page, Result, Store, Swap, Version};

use crate::{
    Config, OpenError,
    committer::Committer,
    engine, open, paths,
    queue::{Outcome, Queue, Write},
    slot::Shared,
};

/// A store in a directory of this machine.
///
/// One process may have a directory open at a time. Dropping the store closes it.
pub struct EmbeddedStore {
    path: PathBuf,
    shared: Arc<Shared>,
    queue: Queue,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What a store can tell about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// How many batches were committed since it was opened, each with one sync of the disk.
    pub commits: u64,
    /// How many writes were asked for since it was opened. The more of them there are to a commit,
    /// the more writers shared a sync.
    pub requests: u64,
    /// How many commits failed since it was opened.
    pub failures: u64,
    /// How many bytes its files take on disk.
    pub disk_bytes: u64,
}

impl EmbeddedStore {
    /// Opens the store at [`Config::path`] and makes it where there is none.
    ///
    /// Blocks for as long as it takes to read the journals: up to 100 MB after much writing.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the store was then left as it was.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let path = config.path.clone();
        let opened = open::open(&config)?;
        let (queue, requests) = Queue::new(config.queue_bytes_max);
        let (committer, shared) = Committer::new(config, opened, requests);
        let committer = thread::Builder::new()
            .name("kv-committer".to_owned())
            .spawn(|| committer.run())
            .map_err(|error| OpenError::Io {
                path: path.clone(),
                source: error.into(),
            })?;
        Ok(Self {
            path,
            shared,
            queue,
            committer: Mutex::new(Some(committer)),
        })
    }

    /// Takes no more requests, commits what waits, and closes the files. Blocks until that is done.
    /// Every request afterwards is [`Error::Closed`].
    pub fn close(&self) {
        self.queue.close();
        let committer = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(committer) = committer
            && committer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the committer panicked");
        }
    }

    /// Counts and sizes, for metrics. Walks the directory, some tens of files.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn stats(&self) -> io::Result<Stats> {
        Ok(Stats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            requests: self.shared.requests.load(Ordering::Relaxed),
            failures: self.shared.failures.load(Ordering::Relaxed),
            disk_bytes: paths::disk_bytes(&self.path)?,
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        engine::check_key(key)?;
        self.shared.read(|engine| engine.get(key))
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        engine::check_key(key)?;
        match self
            .queue
            .submit(Write::Put(vec![(key.to_owned(), value)]))
            .await?
        {
            Outcome::Put(Some(version)) => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        engine::check_key(key)?;
        self.queue
            .submit(Write::Delete(vec![key.to_owned()]))
            .await
            .map(drop)
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        engine::check_key(key)?;
        self.shared.read(|engine| engine.contains(key))
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        engine::check_key(key)?;
        let key = key.to_owned();
        match self
            .queue
            .submit(Write::Swap {
                key,
                expected,
                value,
            })
            .await?
        {
            Outcome::Swap(swap) => Ok(swap),
            other => Err(unexpected(&other)),
        }
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        keys.iter().try_for_each(|key| engine::check_key(key))?;
        self.shared.read(|engine| engine.get_many(keys))
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        entries
            .iter()
            .try_for_each(|(key, _)| engine::check_key(key))?;
        self.queue.submit(Write::Put(entries)).await.map(drop)
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| engine::check_key(key))?;
        self.queue
            .submit(Write::Delete(keys.to_vec()))
            .await
            .map(drop)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        engine::check_length(prefix)?;
        after.map_or(Ok(()), engine::check_length)?;
        let (keys, more) = self
            .shared
            .read(|engine| engine.list(prefix, after, limit))?;
        let next = if more { keys.last().cloned() } else { None };
        Ok(Page { keys, next })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            replicas: false,
            compare_and_swap: true,
            ordered_listing: true,
            atomic_batches: true,
        }
    }
}

fn unexpected(outcome: &Outcome) -> Error {
    Error::other(format!(
        "the committer answered another question: {outcome:?}"
    ))
}
