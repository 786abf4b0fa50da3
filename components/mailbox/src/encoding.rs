//! Stored bytes: one byte of version, then the slot in postcard's wire format.
//!
//! Maps are ordered and integers have one shortest form, so equal slots have equal bytes; readers
//! accept nothing but the whole of what was written.
//!
//! # Changing the format
//!
//! During a rollout two releases of the component serve the same keys side by side, and a rollback
//! brings the older one back. So a new version takes two releases: release N+1 reads the new
//! version and still writes the old one; release N+2 writes the new one. A reader that meets a
//! version from its future says so ([`DecodeError::NewerVersion`]), so that its caller can answer
//! "try again" (the next attempt may meet a newer instance) and never overwrites what it does not
//! understand. Every version ever released keeps its reader here and its fixtures in
//! `tests/fixtures`, which must decode to the same state for ever. The types that version 1 is
//! derived from are the domain's own: when one of them must change, a copy of its old shape moves
//! into a module for version 1, and version 2 begins. Enums grow at the end only, for their
//! variants are stored as numbers.

use crate::Slot;

/// The version that [`encode`] writes, and the newest that [`decode`] reads.
pub const ENCODING_VERSION: u8 = 1;

/// The largest encoded slot that may be stored: below the 1 MiB at which the smallest of the
/// supported stores ends.
pub const SLOT_BYTES_MAX: usize = 1_000_000;

/// Why stored bytes are no slot.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer release, which is being rolled out, or was and is being rolled back.
    #[error("the slot has encoding version {0}; this release reads up to {ENCODING_VERSION}")]
    NewerVersion(u8),
    /// Written by no release: damage, or something else under the same key.
    #[error("the slot is malformed: {0}")]
    Malformed(String),
}

/// The bytes to store.
pub fn encode(slot: &Slot) -> Vec<u8> {
    postcard::to_extend(slot, vec![ENCODING_VERSION])
        .expect("a slot consists of maps, numbers and texts, and a vector takes any length")
}

/// The slot that was stored.
///
/// # Errors
///
/// [`DecodeError`] for bytes that [`encode`] did not write. No bytes make it panic.
pub fn decode(bytes: &[u8]) -> Result<Slot, DecodeError> {
    let malformed = |detail: &str| DecodeError::Malformed(detail.to_owned());
    match bytes.split_first() {
        None => Err(malformed("it is empty")),
        Some((1, body)) => match postcard::take_from_bytes(body) {
            Ok((slot, [])) => Ok(slot),
            Ok((_, rest)) => Err(DecodeError::Malformed(format!(
                "{} bytes too many",
                rest.len()
            ))),
            Err(error) => Err(DecodeError::Malformed(error.to_string())),
        },
        Some((0, _)) => Err(malformed("there is no encoding version 0")),
        Some((newer, _)) => Err(DecodeError::NewerVersion(*newer)),
    }
}
