//! Where writes wait for the committer: bounded in bytes, so that a slow disk slows its writers
//! and does not fill the memory.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use bytes::Bytes;
use starling_kv::{Error, Measure, Result, Swap, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What an entry costs beside its key and value, so that many small ones are bounded too.
pub(crate) const ENTRY_BYTES: usize = 256;

/// The unit in which room is given out: a semaphore counts no further than `u32` at once.
const UNIT_BYTES: usize = 256;

/// What a writer wants.
#[derive(Debug)]
pub(crate) enum Write {
    /// Write these keys, whatever they hold.
    Put(Vec<(String, Bytes)>),
    /// Delete these keys, if they are there.
    Delete(Vec<String>),
    /// Write a key if it has this version, or is missing.
    Swap {
        key: String,
        expected: Option<Version>,
        value: Bytes,
    },
}

impl Write {
    /// The memory that it holds while it waits, about.
    fn bytes(&self) -> usize {
        let entry = |key: &str, value: usize| ENTRY_BYTES + key.len() + value;
        match self {
            Self::Put(entries) => entries
                .iter()
                .map(|(key, value)| entry(key, value.len()))
                .sum(),
            Self::Delete(keys) => keys.iter().map(|key| entry(key, 0)).sum(),
            Self::Swap { key, value, .. } => entry(key, value.len()),
        }
    }
}

/// What a writer gets.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The keys were written; this is the version of the last.
    Put(Option<Version>),
    /// The keys are not there.
    Deleted,
    /// How the swap ended.
    Swap(Swap),
}

/// A write that waits, and where its writer waits for the outcome.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) write: Write,
    pub(crate) reply: oneshot::Sender<Result<Outcome>>,
    /// Its room in the queue, given back when the request is dropped.
    pub(crate) room: OwnedSemaphorePermit,
}

/// The writers' end of the queue.
#[derive(Debug)]
pub(crate) struct Queue {
    room: Arc<Semaphore>,
    bytes_max: usize,
    /// `None` once it is closed.
    sender: Mutex<Option<mpsc::Sender<Request>>>,
}

impl Queue {
    /// A queue that holds `bytes_max` bytes of writes, and the committer's end of it.
    pub(crate) fn new(bytes_max: usize) -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel();
        let room = Arc::new(Semaphore::new(bytes_max.div_ceil(UNIT_BYTES)));
        (
            Self {
                room,
                bytes_max,
                sender: Mutex::new(Some(sender)),
            },
            receiver,
        )
    }

    /// Waits for room, queues the write, and waits for its outcome.
    pub(crate) async fn submit(&self, write: Write) -> Result<Outcome> {
        let bytes = write.bytes();
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        if bytes > self.bytes_max {
            let what = Measure::BatchBytes;
            return Err(Error::TooLarge {
                what,
                size: bytes,
                max: self.bytes_max,
            });
        }
        let room = Arc::clone(&self.room);
        let room = room
            .acquire_many_owned(units)
            .await
            .map_err(|_| Error::Closed)?;
        let (reply, outcome) = oneshot::channel();
        self.send(Request { write, reply, room })?;
        // No reply at all means that the committer died on it, and the outcome is unknown.
        outcome
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the committer stopped")))
    }

    fn send(&self, request: Request) -> Result<()> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender
            .as_ref()
            .ok_or(Error::Closed)?
            .send(request)
            .map_err(|_| Error::Closed)
    }

    /// Takes no more writes. Those that wait for room are told so, those in the queue are done.
    pub(crate) fn close(&self) {
        self.sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.room.close();
    }
}
