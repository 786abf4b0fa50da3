//! The Redis key-value provider, for a region that has a Redis or Valkey already.
//!
//! One server, or the primary of a replicated pair behind one address; Redis from 6.0 on, any Valkey. A cluster is not
//! supported, and refused: the keys of a batch would be on different nodes.
//!
//! # What is in the server
//!
//! ```text
//! <namespace>:k:<key>   8 bytes of version, big-endian, then the value
//! <namespace>:v         the last version that was given out
//! ```
//!
//! All writes are scripts (`scripts.rs`), which the server runs one after the other and logs whole: so compare-and-swap
//! is exact against every client, and batches are all or nothing. A version is the server's time in microseconds, or the
//! last version and one more where that is greater. So versions grow also where a server has come back without its last
//! writes, or another took its place, unless its clock is behind by more than it lacks.
//!
//! # Listing
//!
//! By `SCAN`: no more is kept in the server for it, and keys come in no order. A key that is there from the first page to
//! the last is returned at least once; one that is written meanwhile may be returned twice, when the server changes the
//! size of its table. The cursor is the server's, with what a page has already taken of the keys that follow it. The
//! whole database is walked, other namespaces too: a page is bounded by what it walks, and may be empty and yet have a
//! next one.
//!
//! # Durability
//!
//! [`durable`](starling_kv::Capabilities::durable) is what the server's configuration says when the store is opened:
//! `appendonly yes`, `appendfsync always`, `no-appendfsync-on-rewrite no`. It is false where the user may not read the
//! configuration. A server that evicts keys when its memory is full is refused: it would take back what it acknowledged.
//!
//! # When the server is away
//!
//! A few connections, shared by all, are kept by a thread of their own (`link.rs`). When one breaks, what is under way on
//! it fails as [`Unavailable`](starling_kv::Error::Unavailable), and so does all that is asked while there is none, at
//! once; the thread goes on trying. A server that hangs, or a network that swallows packets, counts as away after some
//! seconds.

mod config;
mod connect;
mod cursor;
mod failure;
mod inspect;
mod link;
mod scripts;
mod store;

pub use config::{Config, Password, Tls};
pub use failure::OpenError;
pub use store::RedisStore;
