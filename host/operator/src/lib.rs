//! What an operator does from a shell: sign a component, deploy it over a fleet, watch, hold back and turn back.
//!
//! [`signing`] makes keys and signatures. [`artifact`] reads a component from a file or an OCI registry. [`client`] speaks
//! the management API of a host, whose documents are in [`api`]. [`deploy`](mod@deploy) puts them together. [`output`] shows
//! the results, as JSON or as tables for people.
//!
//! This crate reads no arguments, prints nothing and does not exit: `starling`, the binary, does. It knows nothing of the
//! host's inside either, and depends on no other crate of the host: what it knows of a host is the API.
//!
//! Secrets (tokens, private keys, passwords of registries) are in no error, no `Debug` and no output.

pub mod api;
pub mod artifact;
pub mod client;
pub mod deploy;
mod digest;
mod loopback;
pub mod output;
mod private_file;
pub mod signing;

pub use digest::{Digest, InvalidDigest};
