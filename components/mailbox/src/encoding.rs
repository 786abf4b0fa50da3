//! Stored bytes: one byte of version, then the record in postcard's wire format.
//!
//! Maps are ordered and integers have one shortest form, so equal records have equal bytes; readers
//! accept nothing but the whole of what was written.
//!
//! # Changing the format
//!
//! During a rollout two releases of the component serve the same keys side by side, and a rollback
//! brings the older one back. So a new version takes two releases: release N+1 reads the new
//! version and still writes the old one; release N+2 writes the new one. A reader that meets a
//! version from its future says so ([`DecodeError::NewerVersion`]), so that its caller can answer
//! "try again" (the next attempt may meet a newer instance) and never overwrites what it does not
//! understand. Every version keeps its reader here and its fixtures in `tests/fixtures`, which must
//! decode to the same state for ever. The types that the newest version is derived from are the
//! domain's own; the shapes of older versions are copies, in a module for each. Enums grow at the
//! end only, for their variants are stored as numbers.
//!
//! - Version 1 held the slot alone, without tombstones and expiry. It was written by no release, and
//!   so version 2 did not have to wait for one that reads it.
//! - Version 2 holds a [`Record`].

mod v1;

use serde::de::DeserializeOwned;

use crate::Record;

/// The version that [`encode`] writes, and the newest that [`decode`] reads.
pub const ENCODING_VERSION: u8 = 2;

/// The largest encoded record that may be stored: below the 1 MiB at which the smallest of the
/// supported stores ends.
pub const SLOT_BYTES_MAX: usize = 1_000_000;

/// Why stored bytes are no record.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer release, which is being rolled out, or was and is being rolled back.
    #[error("the record has encoding version {0}; this release reads up to {ENCODING_VERSION}")]
    NewerVersion(u8),
    /// Written by no release: damage, or something else under the same key.
    #[error("the record is malformed: {0}")]
    Malformed(String),
}

/// The bytes to store.
pub fn encode(record: &Record) -> Vec<u8> {
    postcard::to_extend(record, vec![ENCODING_VERSION])
        .expect("a record consists of maps, numbers and texts, and a vector takes any length")
}

/// The record that was stored.
///
/// # Errors
///
/// [`DecodeError`] for bytes that [`encode`] did not write, now or formerly. No bytes make it panic.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Malformed("it is empty".into())),
        Some((1, body)) => whole::<v1::Slot>(body).map(Record::from),
        Some((2, body)) => whole(body),
        Some((0, _)) => Err(DecodeError::Malformed(
            "there is no encoding version 0".into(),
        )),
        Some((newer, _)) => Err(DecodeError::NewerVersion(*newer)),
    }
}

/// What was encoded, if it is the whole of it.
pub(crate) fn whole<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(DecodeError::Malformed(format!(
            "{} bytes too many",
            rest.len()
        ))),
        Err(error) => Err(DecodeError::Malformed(error.to_string())),
    }
}
