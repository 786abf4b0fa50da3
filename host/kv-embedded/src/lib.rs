//! The embedded key-value provider: one directory, one process, no server.
//!
//! Values live in an LSM tree (fjall) with large ones kept apart in value files, so that audio is
//! written twice and not over and over. Reads go straight to the tree on the caller's thread. All
//! writes go through one **committer** thread, which takes everything that waits, decides the
//! compare-and-swaps one after the other, writes one batch, syncs the disk **once**, and only then
//! acknowledges them all: writers that come together share the sync.
//!
//! # What is on disk
//!
//! ```text
//! <path>/lock           held while a process has the store open
//! <path>/acknowledged   the number of the last acknowledged write (module `watermark`)
//! <path>/data/          the tree: journals, tables, value files
//! <path>/new/           a creation that was interrupted; thrown away
//! <path>/torn.jnl       a journal as it was before a torn write was cut off its end
//! ```
//!
//! # What can go wrong
//!
//! - **The process is killed or the power fails**: everything acknowledged is there on the next
//!   open. What was being written and never acknowledged is there whole or not at all.
//! - **The disk fills up**: below [`Config::free_bytes_min`] writes are refused as
//!   [`Full`](starling_kv::Error::Full) while reads and deletions go on; when there is space again,
//!   so do writes. Nothing needs a restart.
//! - **Messages are deleted and nothing is written**: the space of what is deleted is given back by
//!   a merge that the committer starts when there is enough of it, or the disk is full.
//! - **A write fails all the same** (I/O error, quota): every writer of that batch is told, nothing
//!   of it is kept, reads go on, and the committer reopens the tree when the disk takes bytes again.
//! - **Bytes rot**: journals are verified before the tree touches them, and the last acknowledged
//!   write must be found. Where it is not, [`EmbeddedStore::open`] refuses as
//!   [`OpenError::Corrupt`]. Damage in tables and value files is found by checksum when it is
//!   read, and fails that read as [`Corrupt`](starling_kv::Error::Corrupt).

mod committer;
mod config;
mod decide;
mod engine;
mod failure;
mod journal;
mod open;
mod paths;
mod queue;
mod reclaim;
mod record;
mod slot;
mod store;
mod watermark;

pub use config::Config;
pub use open::OpenError;
pub use store::{EmbeddedStore, Stats};
