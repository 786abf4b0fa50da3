//! What a host keeps of deposits that its region's store could not take: the entries, and under which keys
//! they lie in the host's own store, the spool.
//!
//! | key | value |
//! |---|---|
//! | `order` | the counter that numbers the entries, and nothing else |
//! | `chunk/<order>/<begun>/<n>` | piece `n`, from 0, of the audio; `begun` is when, in milliseconds since 1970 |
//! | `waiting/<order>/<bytes>` | an entry that is to be delivered ([`Spooled`]) |
//! | `undeliverable/<order>/<bytes>` | one that was refused for good, with the reason |
//!
//! The pieces are written before the entry, so an entry is whole, and pieces without one are of a request
//! that is still at it or that died. `bytes` is the size of the audio: so keys alone tell how full the spool
//! is. They name no mailbox and nobody who called.
//!
//! An entry that is both waiting and undeliverable was on its way from one to the other: it counts as
//! waiting.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::encoding::whole;
use crate::{AUDIO_CHUNK_BYTES, DecodeError, Header, MailboxId, MessageId};

const VERSION: u8 = 1;

/// How many digits an order has in a key: those of any number, so that the order of texts is that of entries.
const ORDER_DIGITS: usize = 20;

/// The counter that numbers the entries.
pub const SPOOL_ORDER: &str = "order";

/// A message that was accepted, and is to be put into its mailbox.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Spooled {
    /// Where it goes.
    pub mailbox: MailboxId,
    /// The id that it was promised.
    pub message: MessageId,
    /// What is known of it.
    pub header: Header,
    /// What its client named the deposit with, if it did.
    pub idempotency_key: Option<String>,
    /// When it was accepted, in milliseconds since the Unix epoch, UTC.
    pub accepted_at_ms: u64,
    /// Why the mailbox does not take it, if it does not.
    pub refusal: Option<Refusal>,
}

/// Why an entry cannot be delivered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// The name of the problem.
    pub problem: String,
    /// What it says.
    pub detail: String,
    /// When it was found, in milliseconds since the Unix epoch, UTC.
    pub at_ms: u64,
}

impl Spooled {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION])
            .expect("it consists of texts and numbers, and a vector takes any length")
    }

    /// What was stored.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for bytes that [`encode`](Self::encode) did not write. No bytes make it panic.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&VERSION, body)) => whole(body),
            None | Some((0, _)) => Err(DecodeError::Malformed("it has no version".into())),
            Some((newer, _)) => Err(DecodeError::NewerVersion(*newer)),
        }
    }
}

/// A key of the spool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpoolKey {
    /// A piece of audio.
    Chunk {
        /// Of which entry.
        order: u64,
        /// When it was written, in milliseconds since the Unix epoch, UTC.
        begun_ms: u64,
        /// Which piece.
        n: u64,
    },
    /// An entry that is to be delivered.
    Waiting {
        /// Which entry.
        order: u64,
        /// The size of its audio.
        bytes: u64,
    },
    /// An entry that was refused for good.
    Undeliverable {
        /// Which entry.
        order: u64,
        /// The size of its audio.
        bytes: u64,
    },
}

impl SpoolKey {
    /// The key as it is stored; `None` for everything else.
    fn parse(key: &str) -> Option<Self> {
        let mut parts = key.split('/');
        let kind = parts.next()?;
        let order = parts.next().filter(|order| order.len() == ORDER_DIGITS)?;
        let order = order.parse().ok()?;
        let mut number = || parts.next()?.parse().ok();
        let parsed = match kind {
            "chunk" => Self::Chunk {
                order,
                begun_ms: number()?,
                n: number()?,
            },
            "waiting" => Self::Waiting {
                order,
                bytes: number()?,
            },
            "undeliverable" => Self::Undeliverable {
                order,
                bytes: number()?,
            },
            _ => return None,
        };
        parts.next().is_none().then_some(parsed)
    }
}

impl fmt::Display for SpoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk { order, begun_ms, n } => {
                write!(f, "chunk/{order:0ORDER_DIGITS$}/{begun_ms}/{n}")
            }
            Self::Waiting { order, bytes } => write!(f, "waiting/{order:0ORDER_DIGITS$}/{bytes}"),
            Self::Undeliverable { order, bytes } => {
                write!(f, "undeliverable/{order:0ORDER_DIGITS$}/{bytes}")
            }
        }
    }
}

/// What a spool holds, as far as its keys tell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SpoolContents {
    /// What lies under each order.
    pub entries: BTreeMap<u64, SpoolEntry>,
}

/// What lies under one order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SpoolEntry {
    /// The key of the entry as one to be delivered.
    pub waiting: Option<SpoolKey>,
    /// The key of the entry as one that was refused.
    pub undeliverable: Option<SpoolKey>,
    /// The keys of its audio, by the number of the piece.
    pub chunks: BTreeMap<u64, SpoolKey>,
    /// The size of the audio, once there is an entry that says it.
    bytes: u64,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpoolState {
    /// It is not whole, and perhaps never will be.
    Unfinished,
    /// It is to be delivered.
    Waiting,
    /// It was refused for good.
    Undeliverable,
}

/// How much there is in a spool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SpoolFill {
    /// How many messages.
    pub messages: u64,
    /// How many bytes of audio.
    pub bytes: u64,
}

impl SpoolContents {
    /// What these keys tell, in whatever order they come.
    pub fn of(keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut contents = Self::default();
        let keys = keys.into_iter();
        for key in keys.filter_map(|key| SpoolKey::parse(key.as_ref())) {
            let (SpoolKey::Chunk { order, .. }
            | SpoolKey::Waiting { order, .. }
            | SpoolKey::Undeliverable { order, .. }) = key;
            contents.entries.entry(order).or_default().add(key);
        }
        contents
    }

    /// How much there is of what is in this state; of everything, without one.
    pub fn fill(&self, state: Option<SpoolState>) -> SpoolFill {
        let mut fill = SpoolFill::default();
        for entry in self.entries.values() {
            if state.is_none_or(|state| state == entry.state()) {
                fill.messages += 1;
                fill.bytes = fill.bytes.saturating_add(entry.bytes());
            }
        }
        fill
    }
}

impl SpoolEntry {
    fn add(&mut self, key: SpoolKey) {
        match key {
            SpoolKey::Chunk { n, .. } => {
                self.chunks.insert(n, key);
            }
            SpoolKey::Waiting { bytes, .. } => {
                self.waiting = Some(key);
                self.bytes = bytes;
            }
            SpoolKey::Undeliverable { bytes, .. } => {
                self.undeliverable = Some(key);
                self.bytes = bytes;
            }
        }
    }

    /// What becomes of it.
    pub fn state(&self) -> SpoolState {
        match (self.waiting, self.undeliverable) {
            (Some(_), _) => SpoolState::Waiting,
            (None, Some(_)) => SpoolState::Undeliverable,
            (None, None) => SpoolState::Unfinished,
        }
    }

    /// The size of its audio, or a bound of it as long as it is unfinished.
    pub fn bytes(&self) -> u64 {
        match self.state() {
            SpoolState::Unfinished => {
                (self.chunks.len() as u64).saturating_mul(AUDIO_CHUNK_BYTES.get().into())
            }
            SpoolState::Waiting | SpoolState::Undeliverable => self.bytes,
        }
    }

    /// When the last of its pieces was written, in milliseconds since the Unix epoch, UTC.
    pub fn begun_ms(&self) -> Option<u64> {
        let begun = self.chunks.values().map(|key| match key {
            SpoolKey::Chunk { begun_ms, .. } => *begun_ms,
            SpoolKey::Waiting { .. } | SpoolKey::Undeliverable { .. } => 0,
        });
        begun.max()
    }
}
