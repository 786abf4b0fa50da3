//! Reads the tree's journals before the tree does, to tell a torn write from damage.
//!
//! The tree takes whatever follows the last whole batch for a write that a crash tore, drops it and
//! goes on; or, if the checksum is what fails, refuses to open for ever. Both are wrong at times:
//! the first when the batch was acknowledged and has rotted, the second when it was torn. This
//! module reads batches one by one, in constant memory, so that [`open`](crate::open) can decide.
//!
//! The format is that of fjall 3 journals (magic `FJL` 3). Numbers are little-endian.
//!
//! ```text
//! batch   start item* end
//! start   tag 1: u8 | items: u32 | sequence: u64
//! item    tag 2: u8 | kind: u8 | compression: u8 | keyspace: u64
//!           | key bytes: u16 | value bytes: u32 | stored value bytes: u32 | key | value
//! end     tag 3: u8 | XXH3-64 of all items: u64 | "FJL" 3
//! ```
//!
//! Every batch of ours holds the two records of [`crate::record`] that number its writes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind, Read, Seek, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use crate::record;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];
const TRAILER: [u8; 4] = *b"FJL\x03";

/// One journal file. The one with the highest number is active, the others are sealed: complete,
/// and kept until the tables hold what they hold.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
}

/// The journals in the tree's directory, oldest first.
pub(crate) fn journals(data: &Path) -> io::Result<Vec<Journal>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl")
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
            && let Ok(number) = stem.parse()
        {
            journals.push(Journal { number, path });
        }
    }
    journals.sort_by_key(|journal| journal.number);
    Ok(journals)
}

impl Journal {
    /// Begins to read the batches.
    pub(crate) fn batches(&self) -> io::Result<Batches> {
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        Ok(Batches {
            reader: BufReader::with_capacity(256 * 1024, file),
            length,
            whole: 0,
        })
    }

    /// The length that the journal has without the batches after write number `last`.
    pub(crate) fn length_up_to(&self, last: u64) -> io::Result<u64> {
        let mut batches = self.batches()?;
        let mut length = 0;
        while let Some(batch) = batches.next()? {
            if batch.last > last {
                break;
            }
            length = batches.whole;
        }
        Ok(length)
    }

    /// Cuts the journal to its first `length` bytes, in place.
    pub(crate) fn cut(&self, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    /// Puts a fresh file with the first `length` bytes in the journal's place. Unlike after
    /// [`cut`](Self::cut), nothing that still holds the old file open can add to the new one.
    pub(crate) fn replace(&self, length: u64) -> io::Result<()> {
        let fresh = self.path.with_extension("jnl-new");
        let mut file = File::create(&fresh)?;
        io::copy(&mut File::open(&self.path)?.take(length), &mut file)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        sync_directory(self.path.parent().unwrap_or(Path::new(".")))
    }
}

/// Makes what was created, renamed or removed in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A whole batch: its start, items and end are there and the checksum fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The last write before it.
    pub(crate) previous: u64,
    /// The last write in it.
    pub(crate) last: u64,
}

/// A journal under reading.
pub(crate) struct Batches {
    reader: BufReader<File>,
    length: u64,
    /// Where the last whole batch ends.
    whole: u64,
}

/// Why no batch could be read.
enum Stop {
    /// The bytes at hand are none, or not all of one.
    NoBatch,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::NoBatch,
            _ => Self::Io(error),
        }
    }
}

impl Batches {
    /// The next whole batch; `None` where no whole one follows, be it the end or damage.
    pub(crate) fn next(&mut self) -> io::Result<Option<Batch>> {
        match self.batch() {
            Ok(batch) => {
                self.whole = self.reader.stream_position()?;
                Ok(Some(batch))
            }
            Err(Stop::NoBatch) => Ok(None),
            Err(Stop::Io(error)) => Err(error),
        }
    }

    /// Where the last whole batch ends, in bytes.
    pub(crate) fn whole(&self) -> u64 {
        self.whole
    }

    /// Whether anything but zeroes follows the last whole batch. Zeroes are space that was set
    /// aside and not yet written: tens of megabytes of it, which the file system mostly knows to
    /// be empty.
    pub(crate) fn is_torn(&self) -> io::Result<bool> {
        let file = self.reader.get_ref();
        let mut bytes = [0; 64 * 1024];
        let mut at = self.whole;
        loop {
            at = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(rustix::io::Errno::NXIO) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let count = file.read_at(&mut bytes, at)?;
            if count == 0 {
                return Ok(false);
            }
            if bytes[..count] != ZEROES[..count] {
                return Ok(true);
            }
            at += count as u64;
        }
    }

    fn batch(&mut self) -> Result<Batch, Stop> {
        let [START, items @ .., _, _, _, _, _, _, _, _] = self.array::<13>()? else {
            return Err(Stop::NoBatch);
        };
        let mut hasher = Xxh3::new();
        let (mut begin, mut end) = (None, None);
        for _ in 0..u32::from_le_bytes(items) {
            let (key, value) = self.item(&mut hasher)?;
            match key.as_slice() {
                record::BEGIN => begin = record::decode_begin(&value),
                record::END => end = record::decode_end(&value),
                _ => {}
            }
        }
        let [END, rest @ ..] = self.array::<13>()? else {
            return Err(Stop::NoBatch);
        };
        let mut expected = [0; 12];
        expected[..8].copy_from_slice(&hasher.digest().to_le_bytes());
        expected[8..].copy_from_slice(&TRAILER);
        match (begin, end) {
            (Some((previous, last)), Some(end)) if rest == expected && last == end => {
                Ok(Batch { previous, last })
            }
            _ => Err(Stop::NoBatch),
        }
    }

    /// Reads an item and returns its key, and its value if that is short enough to number writes.
    fn item(&mut self, hasher: &mut Xxh3) -> Result<(Vec<u8>, Vec<u8>), Stop> {
        let head = self.array::<21>()?;
        let [ITEM, _, 0, _, _, _, _, _, _, _, _, sizes @ ..] = head else {
            return Err(Stop::NoBatch);
        };
        let [k0, k1, v0, v1, v2, v3, s0, s1, s2, s3] = sizes;
        let key_bytes = u16::from_le_bytes([k0, k1]);
        let value_bytes = u32::from_le_bytes([v0, v1, v2, v3]);
        let left = self.length.saturating_sub(self.reader.stream_position()?);
        if value_bytes != u32::from_le_bytes([s0, s1, s2, s3])
            || u64::from(key_bytes) + u64::from(value_bytes) > left
        {
            return Err(Stop::NoBatch);
        }
        hasher.update(&head);
        let mut key = vec![0; usize::from(key_bytes)];
        self.reader.read_exact(&mut key)?;
        hasher.update(&key);

        let mut value = Vec::new();
        let mut left = value_bytes as usize;
        while left > 0 {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Err(Stop::NoBatch);
            }
            let bytes = &bytes[..bytes.len().min(left)];
            hasher.update(bytes);
            if value_bytes as usize <= record::RECORD_BYTES_MAX {
                value.extend_from_slice(bytes);
            }
            let count = bytes.len();
            left -= count;
            self.reader.consume(count);
        }
        Ok((key, value))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
