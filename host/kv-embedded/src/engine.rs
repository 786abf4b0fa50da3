//! The tree: fjall, opened the way this store needs it, and what a batch of ours looks like.
//!
//! # What readers see
//!
//! fjall writes a batch to its journal, syncs it, puts the items into the memtable one after the
//! other, and then moves the visible sequence number past the batch. So nothing is readable before
//! it is durable; but a plain read may meet a batch half applied, and so may fjall's snapshots: a
//! table that is registered during a commit moves the visible number past a batch that is still on
//! its way. [`Engine::moment`] takes a snapshot that is neither too early nor too late.

use std::{
    ops::Bound,
    path::Path,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable, Snapshot,
};
use starling_kv::{Entry, Error, Measure};

use crate::{
    Config,
    record::{self, BEGIN, END},
};

/// The first key that is no caller's.
const KEYS_END: &[u8] = b"\xff";

/// The longest key that the tree can hold.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// The name of the one keyspace.
const KEYSPACE: &str = "entries";

/// Values from this size are kept apart from the tree. A mailbox slot of a few KiB, which changes
/// often, stays in it; a chunk of audio, which never changes, does not travel with every compaction.
const SEPARATED_BYTES_MIN: u32 = 16 * 1024;

/// How large value files get. One that is rewritten needs this much space for a moment.
const VALUE_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A value file is rewritten when this part of it is deleted, so that a byte that stays is written
/// once more for each byte that comes free. One of which nothing stays is just removed.
const STALE_SHARE: f32 = 0.5;

/// The part of the files in need of it that one merge rewrites: the oldest half, which bounds the
/// space that the merge needs before it frees any.
const REWRITTEN_SHARE: f32 = 0.5;

/// How much is gathered in memory before it is written out as a table. Three of these at most are
/// alive at once. fjall keeps the value that a store was created with.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;

/// Background threads, for writing out and compacting. With more than one, fjall 3.1 keeps one of
/// them spinning on the queue for as long as another compacts.
const WORKERS: usize = 1;

/// Commits wait while more than this many memtables wait to be written out, or more than
/// [`L0_TABLES_MAX`] tables wait to be compacted. Both are well below the marks (4 and 30) at
/// which fjall itself waits inside a commit: that wait does not end if its workers have died.
const SEALED_MEMTABLES_MAX: usize = 1;
const L0_TABLES_MAX: usize = 24;

/// How often a reader looks for a moment between two batches before it waits for one.
const MOMENT_TRIES: usize = 64;

/// The open tree.
pub(crate) struct Engine {
    database: Database,
    entries: Keyspace,
    /// Held for writing during a commit.
    committing: RwLock<()>,
    /// During a commit, a sequence number that is not above the batch's; otherwise the greatest.
    pending: AtomicU64,
}

/// One key of a batch: its new value, or `None` where it is deleted.
pub(crate) type Change<'a> = (&'a str, Option<&'a Entry>);

impl Engine {
    fn new(database: Database, entries: Keyspace) -> Self {
        let pending = AtomicU64::new(u64::MAX);
        Self {
            database,
            entries,
            committing: RwLock::new(()),
            pending,
        }
    }

    /// Makes a new tree in an empty directory, with no writes in it.
    pub(crate) fn create(path: &Path, config: &Config) -> fjall::Result<()> {
        let database = builder(path, config).open()?;
        let separation = KvSeparationOptions::default()
            .separation_threshold(SEPARATED_BYTES_MIN)
            .file_target_size(VALUE_FILE_BYTES)
            .staleness_threshold(STALE_SHARE)
            .age_cutoff(REWRITTEN_SHARE);
        let entries = database.keyspace(KEYSPACE, || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .with_kv_separation(Some(separation))
        })?;
        Self::new(database, entries).commit(std::iter::empty(), 0, 0)
    }

    /// Opens a tree that was made before. `None`: it is not whole, its keyspace is gone.
    pub(crate) fn recover(path: &Path, config: &Config) -> fjall::Result<Option<Self>> {
        let database = builder(path, config).open()?;
        if !database.keyspace_exists(KEYSPACE) {
            return Ok(None);
        }
        let entries = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
        Ok(Some(Self::new(database, entries)))
    }

    /// The number of the last write that the tree holds. `None`: its record is gone or damaged.
    pub(crate) fn last_number(&self) -> fjall::Result<Option<u64>> {
        Ok(self
            .entries
            .get(END)?
            .and_then(|value| record::decode_end(&value)))
    }

    /// Reads a key.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let stored = self.entries.get(key)?;
        stored
            .map(|stored| record::decode_entry(stored).ok_or(ReadError::Value))
            .transpose()
    }

    /// Whether a key is there.
    pub(crate) fn contains(&self, key: &str) -> Result<bool, ReadError> {
        Ok(self.entries.contains_key(key)?)
    }

    /// The length of a key's value in bytes, its number included; `None` where it is missing.
    pub(crate) fn stored_bytes(&self, key: &str) -> Result<Option<u32>, ReadError> {
        Ok(self.entries.size_of(key)?)
    }

    /// What tables and value files take on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.entries.disk_space()
    }

    /// A handle for merging. It must be dropped before the tree is opened again.
    pub(crate) fn merger(&self) -> Merger {
        Merger {
            entries: self.entries.clone(),
        }
    }

    /// Reads several keys as they were at one moment, so that each batch is seen whole or not at
    /// all.
    pub(crate) fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, ReadError> {
        let moment = self.moment()?;
        let read = |key| {
            let stored = moment.get(&self.entries, key)?;
            stored
                .map(|stored| record::decode_entry(stored).ok_or(ReadError::Value))
                .transpose()
        };
        keys.iter().map(read).collect()
    }

    /// The tree as it is between two batches.
    fn moment(&self) -> Result<Snapshot, ReadError> {
        for _ in 0..MOMENT_TRIES {
            if let Some(moment) = self.try_moment()? {
                return Ok(moment);
            }
            thread::yield_now();
        }
        // A table was registered in the middle of a commit, which is rare. Between two commits
        // there is always a moment.
        let _none = self
            .committing
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        self.try_moment()?.ok_or(ReadError::Numbers)
    }

    fn try_moment(&self) -> Result<Option<Snapshot>, ReadError> {
        let snapshot = self.database.snapshot();
        // Too late: it would let in a batch on its way, item by item.
        if snapshot.seqno() > self.pending.load(Ordering::SeqCst) {
            return Ok(None);
        }
        // Too early: a batch that it does not show is being applied, and somebody may have read
        // from it already.
        let shown = snapshot.get(&self.entries, END)?;
        let begun = self.entries.get(BEGIN)?;
        let shown = shown.and_then(|value| record::decode_end(&value));
        let begun = begun.and_then(|value| record::decode_begin(&value));
        Ok(begun
            .is_some_and(|(_, last)| shown == Some(last))
            .then_some(snapshot))
    }

    /// The keys with this prefix after `after`, in byte order, at most `limit` of them; and whether
    /// there are more.
    pub(crate) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), ReadError> {
        let end = prefix_end(prefix);
        let from = match after {
            Some(after) if after.as_bytes() >= end.as_slice() => return Ok((Vec::new(), false)),
            Some(after) if after >= prefix => Bound::Excluded(after.as_bytes()),
            _ => Bound::Included(prefix.as_bytes()),
        };
        let mut keys = Vec::new();
        for item in self
            .entries
            .range::<&[u8], _>((from, Bound::Excluded(end.as_slice())))
        {
            if keys.len() == limit {
                return Ok((keys, true));
            }
            let key = String::from_utf8(item.key()?.to_vec()).map_err(|_| ReadError::Key)?;
            keys.push(key);
        }
        Ok((keys, false))
    }

    /// Writes a batch, whole and synced to disk, or fails; then nothing of it is readable.
    /// `previous` and `last` are the numbers of the last write before and in it.
    pub(crate) fn commit<'a>(
        &self,
        changes: impl Iterator<Item = Change<'a>>,
        previous: u64,
        last: u64,
    ) -> fjall::Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        batch.insert(&self.entries, BEGIN, record::encode_begin(previous, last));
        for (key, entry) in changes {
            match entry {
                Some(entry) => batch.insert(&self.entries, key, record::encode_entry(entry)),
                None => batch.remove(&self.entries, key),
            }
        }
        batch.insert(&self.entries, END, last.to_le_bytes());

        let _committing = self
            .committing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.pending.store(self.database.seqno(), Ordering::SeqCst);
        let committed = batch.commit();
        self.pending.store(u64::MAX, Ordering::SeqCst);
        committed
    }

    /// Waits until the background has kept up, and fails if it, or a commit, failed before: fjall
    /// then takes no more writes.
    pub(crate) fn wait_for_room(&self) -> fjall::Result<()> {
        loop {
            // Has no bytes to write, so that it only tells whether fjall takes any.
            self.database.persist(PersistMode::Buffer)?;
            if self.entries.sealed_memtable_count() <= SEALED_MEMTABLES_MAX
                && self.entries.l0_table_count() <= L0_TABLES_MAX
            {
                return Ok(());
            }
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// What merges tables and value files, beside reads and commits.
pub(crate) struct Merger {
    entries: Keyspace,
}

impl Merger {
    /// Has what is in memory written out as a table, deletions among it, and waits for that.
    pub(crate) fn write_out(&self, stop: &AtomicBool) -> fjall::Result<()> {
        self.rotate()?;
        while self.entries.sealed_memtable_count() > 0 && !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Begins a new memtable. That is also when fjall lets go of files that no reader can need.
    pub(crate) fn rotate(&self) -> fjall::Result<()> {
        self.entries.rotate_memtable().map(drop)
    }

    /// Merges all tables into one level and rewrites or removes some value files.
    pub(crate) fn merge(&self) -> fjall::Result<()> {
        self.entries.major_compact()
    }

    /// What tables and value files take on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.entries.disk_space()
    }

    /// Changes with each merge that freed something, or found something to be freed.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (
            self.entries.disk_space(),
            self.entries.fragmented_blob_bytes(),
        )
    }
}

fn builder(path: &Path, config: &Config) -> fjall::DatabaseBuilder<Database> {
    Database::builder(path)
        .cache_size(config.cache_bytes)
        .worker_threads(WORKERS)
}

/// Checks a key for what the tree cannot hold: it would panic or, worse, cut the key. The limits of
/// the host are narrower, and are checked before.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::InvalidKey {
            reason: "it is empty",
        });
    }
    check_length(key)
}

/// Checks the length of a key, or of the beginning of one.
pub(crate) fn check_length(key: &str) -> Result<(), Error> {
    match key.len() {
        0..=KEY_BYTES_MAX => Ok(()),
        size => Err(Error::TooLarge {
            what: Measure::KeyBytes,
            size,
            max: KEY_BYTES_MAX,
        }),
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the tree failed")]
    Tree(#[from] fjall::Error),
    #[error("a stored value is too short to hold its number")]
    Value,
    #[error("a stored key is not UTF-8")]
    Key,
    #[error("the records of the last batch do not agree")]
    Numbers,
}

/// The first byte string after all keys with this prefix. The last byte of UTF-8 is at most 0xF4,
/// so that there always is one of the same length.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.extend_from_slice(KEYS_END),
    }
    end
}
