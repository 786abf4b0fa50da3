//! What a mailbox is, without any means of reaching the world: ids, messages, flags, clock stamps,
//! the join, stored bytes and the recognition of audio.
//!
//! A subscriber's mailbox is spread over regions. Each region has one [`Slot`] for it, which that
//! region alone writes; the [`Mailbox`] that a client sees is the join of all slots that can be
//! read, and every change made through it comes back as a small slot to be joined to the region's
//! own:
//!
//! ```text
//! mailbox  = slot(region 1) ⊔ slot(region 2) ⊔ …
//! own slot := own slot ⊔ change(mailbox, origin)
//! ```
//!
//! The join ([`Join`]) is commutative, associative and idempotent, so regions converge in whatever
//! order, and however often, they hear from each other, and no clock has to be right for that.
//! `tests/laws.rs` holds every type here to those laws.
//!
//! # Invariants
//!
//! - No I/O, clock, randomness, environment or concurrency: what is needed of them is an argument
//!   ([`Origin`]). The crate's `clippy.toml` bans the usual doors.
//! - Equal states have equal bytes ([`encode`]), so comparing bytes compares states.
//! - No input makes it panic: ids, stored bytes, cursors and audio all come from outside.
//! - The crate knows nothing of HTTP, of components or of any store; [`keys`] says under which keys
//!   things lie.

pub mod audio;
mod chores;
mod directory;
mod encoding;
mod flags;
mod greeting;
mod hex;
mod ids;
mod join;
pub mod keys;
mod listing;
mod mailbox;
mod message;
mod messages;
mod profile;
mod rates;
mod record;
mod sign_in;
mod slot;
mod spool;
mod stamp;

pub use chores::{
    ATTEMPTS_MAX, Attempts, LEASE_MS, Lease, OWED_SHARDS, Owed, Shares, owed_shard_of,
};
pub use directory::{DIRECTORY_SHARDS, DirectoryRoot, DirectoryShard, directory_shard_of};
pub use encoding::{DecodeError, ENCODING_VERSION, SLOT_BYTES_MAX, decode, encode};
pub use flags::{FlagChange, Flags, Folder, UnknownFolder};
pub use greeting::{
    CallState, Greeting, GreetingChoice, GreetingKind, Heard, UnknownChoice, UnknownGreeting,
};
pub use ids::{AudioId, Digest, InvalidId, MailboxId, MessageId, Region};
pub use join::{Join, Register};
pub use listing::{Cursor, InvalidCursor, Page, Search};
pub use mailbox::{ChangeError, DepositError, Mailbox, Message, Origin, Summary};
pub use message::{
    AUDIO_CHUNK_BYTES, Audio, CALLER_BYTES_MAX, Caller, CallerError, Forwarded, Header,
    MESSAGE_BYTES_MAX,
};
pub use messages::Messages;
pub use profile::{
    InvalidLanguage, InvalidTimeZone, Language, MESSAGE_MS_MAX_DEFAULT, MESSAGE_MS_MAX_MAX,
    PinHash, Profile, ProfileChange, QUOTA_BYTES_DEFAULT, QUOTA_BYTES_MAX, QUOTA_MESSAGES_DEFAULT,
    QUOTA_MESSAGES_MAX, RETENTION_DAYS_DEFAULT, RETENTION_DAYS_MAX, TimeZone,
    WEBHOOK_URL_BYTES_MAX, WEBHOOKS_MAX, Webhook,
};
pub use rates::{RateLimits, Rates, TooFast};
pub use record::{Chores, Discarded, FORGET_AFTER_MS, Record};
pub use sign_in::{Count, FAILURES_FREE, Failures, LOCK_MS_MAX, LOCK_MS_MIN, SignIns};
pub use slot::{Created, Entry, Slot};
pub use spool::{
    Refusal, SPOOL_ORDER, SpoolContents, SpoolEntry, SpoolFill, SpoolKey, SpoolState, Spooled,
};
pub use stamp::{AHEAD_MAX_MS, ClockSkew, Stamp};
