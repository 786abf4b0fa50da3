//! The number of the last acknowledged write, kept beside the tree.
//!
//! A journal that was cut off or damaged at its end looks like one whose last write was torn by a
//! crash; the tree would drop the end and go on, and acknowledged writes would be gone without a
//! word. So the committer notes the number of the last write after each commit, and opening
//! demands that the tree knows at least that number.
//!
//! The note is written after the commit is on disk and is not synced itself. It survives the death
//! of the process; after a loss of power it may be older than the last commit, never newer. An old
//! note only makes the check weaker.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use xxhash_rust::xxh3::xxh3_64;

/// Names the format; the last byte is its version.
const MAGIC: [u8; 8] = *b"starlng\x01";
const BYTES: usize = 24;

/// The open note.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: File,
}

impl Watermark {
    /// Opens the note at `path` and reads the number in it. A note that is missing, short or
    /// damaged has none: it is a second opinion and must not be what loses a store.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Option<u64>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = [0; BYTES];
        let number = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok((Self { file }, number))
    }

    /// Notes that all writes up to `number` are acknowledged.
    pub(crate) fn advance(&self, number: u64) -> io::Result<()> {
        self.file.write_all_at(&encode(number), 0)
    }
}

fn encode(number: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let checksum = xxh3_64(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; BYTES]) -> Option<u64> {
    let (number, _) = bytes[8..].split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    (encode(number) == *bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_read_back_and_damage_is_no_number() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("acknowledged");
        let (watermark, none) = Watermark::open(&path).expect("creates it");
        assert_eq!(none, None);
        watermark.advance(7).expect("writes");
        watermark.advance(8).expect("writes");
        assert_eq!(Watermark::open(&path).expect("opens").1, Some(8));

        let good = encode(8);
        for position in 0..BYTES {
            let mut bytes = good;
            bytes[position] ^= 0x10;
            assert_eq!(decode(&bytes), None, "byte {position}");
        }
    }
}
