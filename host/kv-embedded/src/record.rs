//! What is stored under a key, and the two records by which a batch numbers its writes.
//!
//! Every write and every deletion of a key has a number, counted up in the order of the commits. That
//! of a write is the [`Version`] of the value, and stands before it in 8 bytes, little-endian as all
//! numbers here. A batch also holds two records under keys that are no UTF-8, so that no key of a
//! caller can meet them:
//!
//! - [`BEGIN`], written first: the last number before the batch and the last number in it;
//! - [`END`], written last: the last number in it.
//!
//! As a batch is all or nothing, `END` is where counting goes on after a restart, and no number is
//! ever used twice.

use bytes::Bytes;
use fjall::Slice;
use starling_kv::{Entry, Version};

/// The key of the record that is written first in a batch.
pub(crate) const BEGIN: &[u8] = b"\xff<";
/// The key of the record that is written last in a batch.
pub(crate) const END: &[u8] = b"\xff>";
/// The longest value of either record.
pub(crate) const RECORD_BYTES_MAX: usize = 16;

/// What stands before each value: its number.
const NUMBER_BYTES: usize = 8;

/// An entry as it is stored.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(NUMBER_BYTES + entry.value.len());
    bytes.extend_from_slice(&entry.version.get().to_le_bytes());
    bytes.extend_from_slice(&entry.value);
    bytes
}

/// An entry as it was stored, without copying the value; `None` where the number is missing.
pub(crate) fn decode_entry(stored: Slice) -> Option<Entry> {
    let stored = Bytes::from(stored);
    let (number, _) = stored.split_first_chunk()?;
    let version = Version::new(u64::from_le_bytes(*number));
    Some(Entry {
        value: stored.slice(NUMBER_BYTES..),
        version,
    })
}

/// A [`BEGIN`] record.
pub(crate) fn encode_begin(previous: u64, last: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&previous.to_le_bytes());
    bytes[8..].copy_from_slice(&last.to_le_bytes());
    bytes
}

/// The two numbers in a [`BEGIN`] record.
pub(crate) fn decode_begin(value: &[u8]) -> Option<(u64, u64)> {
    let (previous, last) = value.split_first_chunk()?;
    Some((
        u64::from_le_bytes(*previous),
        u64::from_le_bytes(last.try_into().ok()?),
    ))
}

/// The number in an [`END`] record.
pub(crate) fn decode_end(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.try_into().ok()?))
}
