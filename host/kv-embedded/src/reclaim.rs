//! Gives the space of deleted values back to the file system.
//!
//! A deletion is a few bytes more in the tree. What it deletes goes when tables are merged, and
//! fjall merges when enough was **written**. On a store where messages expire and few come in, or
//! one so full that writes are refused, that moment never comes. So the committer counts what is
//! deleted and, when it is worth it, has everything merged on a thread of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::engine::{Engine, Merger};

/// Less than this is not worth a merge, as long as there is space.
const DELETED_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Nor is less than this part of the store. A merge writes all small values anew, so that the
/// share bounds what is written for each byte deleted.
const DELETED_SHARE: u64 = 4;

/// How often a full store is merged, at most: for as long as it is full, every byte counts.
const FULL_EVERY: Duration = Duration::from_secs(10);

/// How many rounds one merge takes at most. The first finds out what nobody refers to any more,
/// each further one frees some value files, the oldest first.
const ROUNDS_MAX: usize = 100;

/// Counts what is deleted and merges when it is time.
#[derive(Default)]
pub(crate) struct Reclaim {
    /// What was deleted since the last merge began, in bytes of values.
    deleted: u64,
    begun: Option<Instant>,
    running: Option<Running>,
    /// Whether the store was full when last looked at.
    full: bool,
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Reclaim {
    /// Takes note of deleted values, and says whether it is time for [`proceed`](Self::proceed).
    pub(crate) fn deleted(&mut self, bytes: u64, engine: &Engine, full: bool) -> bool {
        self.deleted = self.deleted.saturating_add(bytes);
        self.full = full;
        match &self.running {
            Some(running) => running.thread.is_finished(),
            None => self.is_due(engine, full),
        }
    }

    /// Whether to look again after a while without deletions, as time alone may have brought more
    /// to do.
    pub(crate) fn waits(&self) -> bool {
        self.running.is_some() || (self.full && self.deleted > 0)
    }

    /// Starts a merge, or has the files removed that a finished one left behind. fjall keeps what
    /// the last committed batch replaced, as somebody might still be reading it: that batch must
    /// be one of nothing.
    pub(crate) fn proceed(&mut self, engine: &Engine) -> fjall::Result<()> {
        if self.running.is_some() {
            self.stop();
            return engine.merger().rotate();
        }
        self.deleted = 0;
        self.begun = Some(Instant::now());
        self.running = Running::start(engine.merger());
        Ok(())
    }

    fn is_due(&self, engine: &Engine, full: bool) -> bool {
        if full {
            // The first merge is for what was deleted before the store was opened.
            return self
                .begun
                .is_none_or(|begun| self.deleted > 0 && begun.elapsed() > FULL_EVERY);
        }
        self.deleted >= DELETED_BYTES_MIN.max(engine.disk_bytes() / DELETED_SHARE)
    }

    /// Ends a merge that is under way, after its current round. Before the tree is closed.
    pub(crate) fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            stop.store(true, Ordering::Relaxed);
            if thread.join().is_err() {
                tracing::error!("the merge of deleted values panicked");
            }
        }
    }
}

impl Running {
    fn start(merger: Merger) -> Option<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("kv-reclaim".to_owned())
            .spawn(move || merge(&merger, &stopped))
            .inspect_err(|error| tracing::warn!(%error, "deleted values cannot be merged away"))
            .ok()?;
        Some(Self { stop, thread })
    }
}

/// Merges until nothing more comes free.
fn merge(merger: &Merger, stop: &AtomicBool) {
    let begun = Instant::now();
    let before = merger.disk_bytes();
    let merged = merger.write_out(stop).and_then(|()| {
        for _ in 0..ROUNDS_MAX {
            let last = merger.progress();
            if stop.load(Ordering::Relaxed) {
                break;
            }
            merger.merge()?;
            if merger.progress() == last {
                break;
            }
        }
        Ok(())
    });
    let freed = before.saturating_sub(merger.disk_bytes());
    match merged {
        Ok(()) => {
            tracing::debug!(freed, elapsed = ?begun.elapsed(), "merged deleted values away");
        }
        Err(error) => tracing::warn!(%error, freed, "deleted values were not all merged away"),
    }
}
