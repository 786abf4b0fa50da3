//! Where the open tree is, for readers and for the committer, which may have to replace it.

use std::{
    mem,
    sync::{PoisonError, RwLock, atomic::AtomicU64},
};

use starling_kv::{Error, Result};

use crate::engine::{Engine, ReadError};

/// What readers and the committer share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) slot: RwLock<Slot>,
    /// How many batches were committed, each with one sync of the disk.
    pub(crate) commits: AtomicU64,
    /// How many writes the committer was asked for.
    pub(crate) requests: AtomicU64,
    /// How many commits failed.
    pub(crate) failures: AtomicU64,
}

/// Where the tree is.
#[derive(Default)]
pub(crate) enum Slot {
    Open(Engine),
    /// Being opened anew after a failed commit.
    Reopening,
    #[default]
    Closed,
}

impl Shared {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            slot: RwLock::new(Slot::Open(engine)),
            ..Self::default()
        }
    }

    /// Reads from the tree. Waits for nobody: the lock is only ever held for the time of a read,
    /// or to put another tree into the slot.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Engine) -> Result<T, ReadError>) -> Result<T> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(engine) => Ok(read(engine)?),
            Slot::Reopening => Err(Error::unavailable("reopening after a failed commit")),
            Slot::Closed => Err(Error::Closed),
        }
    }

    /// Waits until the tree has room for a batch.
    pub(crate) fn wait_for_room(&self) -> fjall::Result<()> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(engine) => engine.wait_for_room(),
            Slot::Reopening | Slot::Closed => Ok(()),
        }
    }

    /// Puts something else into the slot and drops what was there, once no reader is in it.
    pub(crate) fn put(&self, slot: Slot) {
        let mut guard = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *guard, slot);
        // Closing a tree takes its time; readers need not wait for it.
        drop(guard);
        drop(old);
    }
}
