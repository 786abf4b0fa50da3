//! The management of a fleet: the operator HTTP API, and the supervision; a WASI component, thin over
//! [`starling_supervision`].
//!
//! Every host runs it, and none leads. A request is answered by [`respond`], which needs of the outside world only what
//! [`Platform`] names: the `fleet` stores of the regions, the time, some random bits, a few variables, other servers, and
//! the host that it runs on. In the component these are the interfaces that Starling offers (`guest.rs`, the only file
//! that names the SDK); in the tests they are several hosts in memory, which lose races and fail on demand. So nearly
//! everything here runs, and is tested, natively.
//!
//! The path of a request through the files:
//!
//! ```text
//! respond ── route ── access ── resources/…   what operators ask for
//!    │                            ├─ json, upload, lease
//!    │                            └─ artifacts, fleet ── platform
//!    └─ supervise                             what the host's timer asks for
//!         └─ steer, heartbeat, probe, artifacts, fleet ── platform
//! every refusal: problem        every answer: response, shapes
//! ```
//!
//! # Promises
//!
//! - Instances keep nothing: all state is in the stores, and changes by compare-and-swap on the own region's documents.
//! - A change is acknowledged once it is stored. It rules where it is seen, in all regions in the end.
//! - What is stored of an artifact is whole and has its digest, or has no record, and goes.
//! - An error is a problem document (RFC 9457) from the one table in `problem.rs`, with nothing of a store or a key in it.
//! - Who may not ask is refused before anything is read.
//! - While some region cannot be read, what rules is not known, and nothing is done that only that could tell.
//! - No store is listed. What is read and kept is bounded.

mod access;
mod artifacts;
mod components;
mod fleet;
#[cfg(target_family = "wasm")]
mod guest;
mod heartbeat;
mod json;
mod lease;
mod platform;
mod probe;
mod problem;
mod resources;
mod respond;
mod response;
mod route;
mod shapes;
mod steer;
mod supervise;
mod time;
mod upload;

pub use platform::{
    Identity, Platform, RolloutReport, Route, Sibling, Store, StoreError, Swap, Swapped,
    UploadError, Variable, Version,
};
pub use problem::PROBLEM_TYPE_PREFIX;
pub use respond::respond;
pub use response::Body;
