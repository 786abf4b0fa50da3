//! Under which keys a fleet's state lies in a region's store `fleet`.
//!
//! | key | value |
//! |---|---|
//! | `members` | the hosts of this region ([`Members`](crate::Members)); changed by compare-and-swap |
//! | `host/<host>` | how a host is ([`Heartbeat`](crate::Heartbeat)); written by that host's management alone |
//! | `desired` | what was entered or decided in this region ([`Desired`](crate::Desired)); changed by compare-and-swap |
//! | `artifact/<hex>` | a version of a component ([`ArtifactRecord`](crate::ArtifactRecord)); written after its pieces |
//! | `artifact/<hex>/<n>` | piece `n`, from 0, of its bytes |
//!
//! An artifact's key is the SHA-256 of all its bytes, so two that write it at once write the same. Names contain no `/`,
//! so no key can be mistaken for another.

use crate::{Digest, HostId};

/// The hosts of a region.
pub const MEMBERS: &str = "members";

/// What was entered or decided in a region.
pub const DESIRED: &str = "desired";

/// Where it lies how a host is.
pub fn host(host: &HostId) -> String {
    format!("host/{host}")
}

/// Where the record of an artifact lies.
pub fn artifact(digest: &Digest) -> String {
    format!("artifact/{}", digest.hex())
}

/// Where piece `chunk` (from 0) of an artifact lies.
pub fn artifact_chunk(digest: &Digest, chunk: u32) -> String {
    format!("artifact/{}/{chunk}", digest.hex())
}
