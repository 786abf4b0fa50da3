//! The caller and subscriber HTTP API: a WASI component, thin over [`starling_mailbox`].
//!
//! A request is answered by [`respond`], which needs of the outside world only what [`Platform`]
//! names: the stores of the regions, the time, some random bits, two variables and a log. In the
//! component these are the interfaces that Spin and Starling offer alike (`guest.rs`, the only file
//! that names the SDK); in the tests they are a store in memory that loses races and fails on
//! demand. So nearly everything here runs, and is tested, natively.
//!
//! The path of a request through the files:
//!
//! ```text
//! respond ── trace, cors ── route ── access ── negotiate ── resources/…
//!                                                            ├─ deposit ── recording ── form, spool
//!                                                            └─ slots (the join of regions; compare-and-swap)
//!                                                                 └─ platform
//! in the background: maintenance ── spool, notify, reclaim, directory
//! every refusal: problem        every answer: response, json, conditional
//! ```
//!
//! # Promises
//!
//! - A deposit is acknowledged once its audio and then its header are stored, or both are in the spool, and
//!   not before; what was not stored is not acknowledged. Repeating a request has no further effect.
//! - An error is a problem document (RFC 9457) from the one table in `problem.rs`, with nothing of
//!   the store in it.
//! - No request lists or scans a region's store: it reads one slot for each region, and the pieces of audio
//!   asked for. The list of mailboxes reads shards of a directory. The spool, which is bounded, is listed.
//! - Who may not ask is refused before anything of a mailbox is read.

mod access;
mod conditional;
mod cors;
mod deposit;
mod directory;
mod form;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(target_family = "wasm")]
mod guest;
mod json;
mod limits;
mod maintenance;
mod negotiate;
mod notify;
mod openapi;
mod particulars;
mod platform;
mod problem;
mod query;
mod ranges;
mod reclaim;
mod recording;
mod regions;
mod resources;
mod respond;
mod response;
mod route;
mod shares;
mod slots;
mod spool;
mod time;
mod trace;
mod upload;

pub use maintenance::after;
pub use platform::{Platform, Store, StoreError, Swap, Swapped, UploadError, Variable};
pub use problem::PROBLEM_TYPE_PREFIX;
pub use respond::{Touched, respond};
pub use response::Body;
pub use trace::TRACE_URN_PREFIX;
