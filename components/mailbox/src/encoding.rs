//! Stored bytes: one byte of version, then the record in the layout of that version.
//!
//! Maps are ordered and integers have one shortest form, so equal records have equal bytes; what is
//! read has the length of what was written. The messages of the newest version are looked at one by
//! one, when somebody wants to know of them, and so is damage to them.
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
//! - Version 2 held a [`Record`] that had to be read whole. No release wrote it either.
//! - Version 3 holds a [`Record`] whose messages are read where they lie.

mod v1;
mod v2;
mod v3;

use bytes::Bytes;
use serde::Deserialize;

pub(crate) use v3::{Layout, Line, Stored, Tombstone};

use crate::Record;

/// The version that [`encode`] writes, and the newest that [`decode`] reads.
pub const ENCODING_VERSION: u8 = 3;

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
    v3::encode(record, vec![ENCODING_VERSION])
}

/// The record that was stored. It keeps the bytes for as long as it needs them.
///
/// # Errors
///
/// [`DecodeError`] for bytes that [`encode`] did not write, now or formerly; but damage to a message is
/// found when that message is read. No bytes make it panic.
pub fn decode(bytes: impl Into<Bytes>) -> Result<Record, DecodeError> {
    let mut body = bytes.into();
    let version = body.split_to(body.len().min(1));
    match version.first() {
        None => Err(DecodeError::Malformed("it is empty".into())),
        Some(0) => Err(DecodeError::Malformed(
            "there is no encoding version 0".into(),
        )),
        Some(1) => whole::<v1::Slot>(&body).map(Record::from),
        Some(2) => whole::<v2::Record>(&body).map(Record::from),
        Some(3) => v3::decode(&body),
        Some(newer) => Err(DecodeError::NewerVersion(*newer)),
    }
}

/// What was encoded, if it is the whole of it.
pub(crate) fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(DecodeError::Malformed(format!(
            "{} bytes too many",
            rest.len()
        ))),
        Err(error) => Err(DecodeError::Malformed(error.to_string())),
    }
}
