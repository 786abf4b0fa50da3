//! The one thread that writes: it turns what waits in the queue into one synced batch.
//!
//! # After a failed commit
//!
//! fjall takes no more writes once one failed, and rightly: what is on disk is uncertain. The
//! committer first cuts what was refused out of the journal, so that a crash cannot bring it back.
//! Reads go on with the tree as it is. With the next write, at most once a second, it tries whether
//! the disk takes bytes again; if so it closes the tree, puts a fresh copy of the good part of the
//! journal in its place (fjall may have put the remains of its buffer into the old one when it
//! closed), and opens the tree anew. Reads are unavailable for that moment only.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    iter,
    sync::{
        Arc, PoisonError,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use starling_kv::{Error, Result};
use tokio::sync::oneshot;

use crate::{
    Config,
    decide::Decision,
    failure::CommitError,
    journal,
    open::{self, OpenError, Opened},
    paths::Paths,
    queue::{Outcome, Request, Write},
    reclaim::Reclaim,
    slot::{Shared, Slot},
    watermark::Watermark,
};

/// How long after a failure, or an attempt to recover from one, the next attempt may follow.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long after deletions the committer looks again whether they are to be merged away.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// The committer's own state.
pub(crate) struct Committer {
    config: Config,
    paths: Paths,
    watermark: Watermark,
    shared: Arc<Shared>,
    queue: Receiver<Request>,
    /// The number of the last write on disk.
    committed: u64,
    /// The number of the last write decided. Those above `committed` were refused, and their
    /// numbers are not used again.
    decided: u64,
    failure: Option<Failure>,
    /// Not before then is a failed tree opened anew.
    retry_at: Instant,
    reclaim: Reclaim,
    /// Held until all else is dropped.
    _lock: File,
}

/// Why the tree takes no writes.
#[derive(Clone)]
struct Failure {
    error: CommitError,
    /// Whether it is for want of space, as far as one can tell: when a table cannot be written out,
    /// fjall does not tell the next writer why.
    full: bool,
}

impl Failure {
    /// What a writer is told whose write was not made.
    fn refusal(&self) -> Error {
        if self.full {
            Error::Full
        } else {
            Error::unavailable(self.error.clone())
        }
    }
}

/// What a writer is told, and where.
type Reply = (oneshot::Sender<Result<Outcome>>, Result<Outcome>);

impl Committer {
    /// A committer for an open store, and what it shares with readers.
    pub(crate) fn new(
        config: Config,
        opened: Opened,
        queue: Receiver<Request>,
    ) -> (Self, Arc<Shared>) {
        let Opened {
            paths,
            lock,
            watermark,
            engine,
            last,
        } = opened;
        let shared = Arc::new(Shared::new(engine));
        let committer = Self {
            config,
            paths,
            watermark,
            shared: Arc::clone(&shared),
            queue,
            committed: last,
            decided: last,
            failure: None,
            retry_at: Instant::now(),
            reclaim: Reclaim::default(),
            _lock: lock,
        };
        (committer, shared)
    }

    /// Commits until the queue is closed and empty, then closes the tree.
    pub(crate) fn run(mut self) {
        loop {
            let first = if self.reclaim.waits() {
                self.queue.recv_timeout(LOOK_AFTER)
            } else {
                self.queue.recv().map_err(Into::into)
            };
            match first {
                Ok(first) => self.serve(first),
                Err(RecvTimeoutError::Timeout) => self.commit(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.reclaim.stop();
        self.shared.put(Slot::Closed);
        if self.failure.is_some()
            && let Err(error) = self.take_back(Anew::FreshFile)
        {
            tracing::warn!(%error, "refused writes may be left in the journal");
        }
    }

    /// Serves all that is queued, beginning with `first`.
    fn serve(&mut self, first: Request) {
        let mut requests = vec![first];
        requests.extend(self.queue.try_iter());
        self.shared
            .requests
            .fetch_add(requests.len() as u64, Ordering::Relaxed);
        match self.ready() {
            Ok(()) => self.commit(requests),
            Err(failure) => {
                for request in requests {
                    reply((request.reply, Err(failure.refusal())));
                }
            }
        }
    }

    /// Decides and writes one batch, and tells every writer in it.
    fn commit(&mut self, requests: Vec<Request>) {
        let shared = Arc::clone(&self.shared);
        let slot = shared.slot.read().unwrap_or_else(PoisonError::into_inner);
        let Slot::Open(engine) = &*slot else { return };

        let full = self.is_full();
        let mut decision = Decision::new(engine, self.decided);
        // The room in the queue is given back when the batch is done, not when it is taken out.
        let mut rooms = Vec::with_capacity(requests.len());
        let mut replies: Vec<Reply> = Vec::with_capacity(requests.len());
        for Request { write, reply, room } in requests {
            // A deletion is how space comes back.
            let refused = full && !matches!(write, Write::Delete(_));
            let outcome = if refused {
                Err(Error::Full)
            } else {
                decision.apply(write)
            };
            replies.push((reply, outcome));
            rooms.push(room);
        }
        self.decided = decision.last();

        if !decision.is_empty() {
            match engine.commit(decision.changes(), self.committed, self.decided) {
                Ok(()) => self.acknowledged(),
                Err(error) => self.failed(CommitError::new(error), &mut replies),
            }
        }
        replies.into_iter().for_each(reply);
        let is_time = self.reclaim.deleted(decision.deleted(), engine, full);
        if is_time && self.failure.is_none() {
            let nothing = iter::empty();
            let proceeded = engine
                .commit(nothing, self.committed, self.committed)
                .and_then(|()| self.reclaim.proceed(engine));
            if let Err(error) = proceeded {
                self.failed(CommitError::new(error), &mut []);
            }
        }
    }

    fn acknowledged(&mut self) {
        self.committed = self.decided;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.watermark.advance(self.committed) {
            // It only makes a later check weaker.
            tracing::warn!(%error, "the number of the last write cannot be noted");
        }
    }

    /// Turns every answer that rests on the batch into what became of it.
    fn failed(&mut self, error: CommitError, replies: &mut [Reply]) {
        tracing::error!(
            error = error_chain(&error),
            "a commit failed; its writes are refused"
        );
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        let taken_back = self.take_back(Anew::InPlace);
        let failure = Failure {
            full: error.is_full() || self.is_full(),
            error,
        };
        for (_, outcome) in replies.iter_mut().filter(|(_, outcome)| outcome.is_ok()) {
            *outcome = Err(match taken_back {
                Ok(()) => failure.refusal(),
                // It may still be there after a restart, so that this must not sound like a no.
                Err(_) => Error::unavailable(failure.error.clone()),
            });
        }
        self.failure = Some(failure);
        self.retry_at = Instant::now() + RETRY_AFTER;
    }

    fn is_full(&self) -> bool {
        match self.paths.free_bytes() {
            Ok(free) => free < self.config.free_bytes_min,
            // If the file system cannot even be asked, the commit will tell.
            Err(_) => false,
        }
    }

    /// Makes sure that the tree takes writes. If not, tells why they are refused.
    fn ready(&mut self) -> Result<(), Failure> {
        if self.failure.is_none()
            && let Err(error) = self.shared.wait_for_room()
        {
            tracing::error!(%error, "the tree takes no more writes");
            self.failure = Some(Failure {
                full: self.is_full(),
                error: CommitError::new(error),
            });
        }
        let Some(failure) = &self.failure else {
            return Ok(());
        };
        let mut failure = failure.clone();
        let now = Instant::now();
        if now >= self.retry_at {
            self.retry_at = now + RETRY_AFTER;
            match self.reopen() {
                Ok(()) => {
                    tracing::info!("the tree was opened anew and takes writes again");
                    self.failure = None;
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(
                        error = error_chain(&error),
                        "the tree cannot be reopened yet"
                    );
                    failure.full = matches!(error, OpenError::NoSpace { .. });
                }
            }
        }
        self.failure = Some(failure.clone());
        Err(failure)
    }

    /// Closes the tree that takes no more writes and opens it anew, without what was refused.
    fn reopen(&mut self) -> Result<(), OpenError> {
        // As long as the disk takes nothing, the old tree at least serves reads.
        let space = if self.is_full() {
            Err(ErrorKind::StorageFull.into())
        } else {
            self.probe()
        };
        space.map_err(|error| self.paths.failed(error))?;
        self.reclaim.stop();
        self.shared.put(Slot::Reopening);
        self.take_back(Anew::FreshFile)
            .map_err(|error| self.paths.failed(error))?;
        let engine = open::recover(&self.paths, &self.config, Some(self.committed))?;
        self.shared.put(Slot::Open(engine));
        Ok(())
    }

    /// Cuts the writes that were refused out of the journal.
    fn take_back(&self, anew: Anew) -> io::Result<()> {
        let journals = journal::journals(&self.paths.data)?;
        let Some(active) = journals.last() else {
            return Ok(());
        };
        let length = active.length_up_to(self.committed)?;
        match anew {
            Anew::InPlace => active.cut(length),
            Anew::FreshFile => active.replace(length),
        }
    }

    /// Whether the disk takes bytes.
    fn probe(&self) -> io::Result<()> {
        let path = self.paths.root.join("probe");
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&[0x55; 64 * 1024])?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        written.and(removed)
    }
}

/// How the journal is freed of refused writes.
#[derive(Clone, Copy)]
enum Anew {
    /// Works on a full disk and under an open tree.
    InPlace,
    /// Leaves a file that nobody else can still write to.
    FreshFile,
}

/// Tells a writer. One that went away needs no answer.
fn reply((sender, outcome): Reply) {
    let _ = sender.send(outcome);
}

/// An error with all its causes, for the log.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
