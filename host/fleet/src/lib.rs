//! The host's side of `starling:management`: what a management component may see of the host that it runs on, and what
//! it may do to it.
//!
//! Mechanism alone: which version is to run where, and whether this host is well, is decided by the component, with
//! `starling-supervision`. Here versions are read from the fleet's stores, checked and compiled ([`Fleet`] does it on a
//! thread of its own), requests are shared among those that are ready, and their figures are kept for a minute.
//!
//! # Invariants
//!
//! - What nobody trusted has signed is not compiled, unless the host's configuration allows it ([`TrustedKeys`]).
//! - Requests are only ever sent to versions that are compiled and linked.

mod artifacts;
mod fleet;
mod managed;
mod recent;
mod refusal;
mod signatures;

pub use fleet::{Fleet, Parts};
pub use signatures::{InvalidKey, TrustedKeys, Untrusted};
