//! Version 3: a head, and behind it the messages, in an order in which they are found and read where
//! they lie.
//!
//! | part | what |
//! |---|---|
//! | head | all of the record but its messages, and how many of the next two there are; in postcard |
//! | tombstones | a [`Tombstone`] for each message that is gone for good, by id |
//! | lines | a [`Line`] for every other message, by id: what lists, counts and quotas look at |
//! | rests | for each line the [`Rest`] of what is known of the message, in the same order; in postcard |
//!
//! What a line says about its rest is held against it when that is read.

use std::num::NonZeroU32;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{DecodeError, whole};
use crate::audio::Format;
use crate::{
    Audio, AudioId, Caller, Chores, Digest, Entry, Flags, Folder, Forwarded, Header, MessageId,
    Profile, Record, Region, Stamp,
};

/// What a record holds beside its messages.
#[derive(Deserialize, Serialize)]
struct Head<Profile, Chores> {
    deleted: Option<Stamp>,
    profile: Profile,
    chores: Chores,
    tombstones: u32,
    lines: u32,
}

/// The record behind the byte of its version.
pub(super) fn decode(body: &Bytes) -> Result<Record, DecodeError> {
    let (head, rest) = postcard::take_from_bytes::<Head<Profile, Chores>>(body)
        .map_err(|error| DecodeError::Malformed(error.to_string()))?;
    let stored = Stored::new(body.slice_ref(rest), head.tombstones, head.lines)?;
    Ok(Record {
        deleted: head.deleted,
        profile: head.profile,
        messages: stored.into(),
        chores: head.chores,
    })
}

/// Adds the record to the byte of its version.
pub(super) fn encode(record: &Record, bytes: Vec<u8>) -> Vec<u8> {
    let messages = record.messages.laid_out();
    let head = Head {
        deleted: record.deleted.clone(),
        profile: &record.profile,
        chores: &record.chores,
        tombstones: messages.tombstones.len() as u32,
        lines: messages.lines.len() as u32,
    };
    let mut bytes = postcard::to_extend(&head, bytes)
        .expect("a head consists of maps, numbers and texts, and a vector takes any length");
    bytes.extend_from_slice(messages.tombstones.as_bytes());
    bytes.extend_from_slice(messages.lines.as_bytes());
    bytes.extend_from_slice(&messages.rests);
    bytes
}

/// A message that is gone for good, as it is stored.
#[derive(
    Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Unaligned,
)]
#[repr(C)]
pub(crate) struct Tombstone {
    pub(crate) id: MessageId,
    expires_at_ms: U64,
}

impl Tombstone {
    pub(crate) fn new(id: MessageId, expires_at_ms: u64) -> Self {
        Self {
            id,
            expires_at_ms: expires_at_ms.into(),
        }
    }

    pub(crate) fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms.get()
    }
}

/// What is to be known of a message without reading the rest, as it is stored.
#[derive(
    Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Unaligned,
)]
#[repr(C)]
pub(crate) struct Line {
    pub(crate) id: MessageId,
    expires_at_ms: U64,
    /// 0 where the header is missing, as the size is.
    received_at_ms: U64,
    /// The physical part of the newest stamp among the flags; 0 if none was ever set.
    changed_at_ms: U64,
    size_bytes: U64,
    marks: U16,
    /// Where the rest ends among the rests. It begins where the one before it ends.
    rest_end: U32,
}

const HAS_HEADER: u16 = 1;
const URGENT: u16 = 1 << 1;
const PURGED: u16 = 1 << 2;
// Whether there is a register, and what is in it.
const HAS_SEEN: u16 = 1 << 3;
const SEEN: u16 = 1 << 4;
const HAS_SAVED: u16 = 1 << 5;
const SAVED: u16 = 1 << 6;
const HAS_DELETED: u16 = 1 << 7;
const DELETED: u16 = 1 << 8;

/// What a line alone cannot join: which of two headers it is, or which of two values of a register.
const CONTENDED: u16 = HAS_HEADER | HAS_SEEN | HAS_SAVED | HAS_DELETED;

impl Line {
    /// The line of an entry that is not stored.
    pub(crate) fn of(id: MessageId, entry: &Entry) -> Self {
        Self::ending_at(0, id, entry)
    }

    fn ending_at(rest_end: u32, id: MessageId, entry: &Entry) -> Self {
        let (header, flags) = (entry.header.as_ref(), &entry.flags);
        let mark = |mark, is_set: bool| if is_set { mark } else { 0 };
        let marks = mark(HAS_HEADER, header.is_some())
            | mark(URGENT, header.is_some_and(|header| header.urgent))
            | mark(HAS_SEEN, flags.seen.is_some())
            | mark(SEEN, flags.seen())
            | mark(HAS_SAVED, flags.saved.is_some())
            | mark(SAVED, flags.saved())
            | mark(HAS_DELETED, flags.deleted.is_some())
            | mark(DELETED, flags.deleted())
            | mark(PURGED, entry.purged);
        let changed_at_ms = flags.newest_stamp().map_or(0, |stamp| stamp.physical_ms);
        Self {
            id,
            expires_at_ms: entry.expires_at_ms.into(),
            received_at_ms: header.map_or(0, |header| header.received_at_ms).into(),
            changed_at_ms: changed_at_ms.into(),
            size_bytes: header.map_or(0, |header| header.size_bytes()).into(),
            marks: marks.into(),
            rest_end: rest_end.into(),
        }
    }

    /// The line of the join of two entries of a message, if these need not be read for it.
    pub(crate) fn joined(&self, other: &Self) -> Option<Self> {
        let (mine, theirs) = (self.marks.get(), other.marks.get());
        let greater = |one: U64, other: U64| U64::new(one.get().max(other.get()));
        (mine & theirs & CONTENDED == 0).then(|| Self {
            id: self.id,
            expires_at_ms: greater(self.expires_at_ms, other.expires_at_ms),
            received_at_ms: greater(self.received_at_ms, other.received_at_ms),
            changed_at_ms: greater(self.changed_at_ms, other.changed_at_ms),
            size_bytes: greater(self.size_bytes, other.size_bytes),
            marks: (mine | theirs).into(),
            rest_end: U32::ZERO,
        })
    }

    /// A message is shown if its header is in sight, and it is neither purged nor expired; flags
    /// alone show nothing yet.
    pub(crate) fn is_shown(&self, now_ms: u64) -> bool {
        self.has_header() && !self.is_purged() && self.expires_at_ms() > now_ms
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::of(self.is(SAVED), self.is(DELETED))
    }

    pub(crate) fn has_header(&self) -> bool {
        self.is(HAS_HEADER)
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.is(URGENT)
    }

    pub(crate) fn is_seen(&self) -> bool {
        self.is(SEEN)
    }

    pub(crate) fn is_purged(&self) -> bool {
        self.is(PURGED)
    }

    pub(crate) fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms.get()
    }

    pub(crate) fn received_at_ms(&self) -> u64 {
        self.received_at_ms.get()
    }

    pub(crate) fn changed_at_ms(&self) -> u64 {
        self.changed_at_ms.get()
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes.get()
    }

    fn is(&self, mark: u16) -> bool {
        self.marks.get() & mark != 0
    }
}

impl From<Tombstone> for Line {
    fn from(tombstone: Tombstone) -> Self {
        Self::of(tombstone.id, &tombstone.into())
    }
}

impl From<Tombstone> for Entry {
    fn from(tombstone: Tombstone) -> Self {
        Self::tombstone(tombstone.expires_at_ms())
    }
}

/// What is known of a message beyond its [`Line`].
#[derive(Deserialize, Serialize)]
struct Rest {
    header: Option<HeaderRest>,
    flags: Flags,
}

#[derive(Deserialize, Serialize)]
struct HeaderRest {
    region: Region,
    from: Option<Caller>,
    reply_to: Option<Caller>,
    private: bool,
    /// `None` where it is the message's.
    audio_id: Option<AudioId>,
    format: Format,
    duration_ms: u64,
    size_bytes: u64,
    digest: Digest,
    chunk_bytes: NonZeroU32,
    forwarded: Option<Forwarded>,
}

impl Rest {
    fn of(id: MessageId, entry: Entry) -> Self {
        let header = entry.header.map(|header| HeaderRest {
            region: header.region,
            from: header.from,
            reply_to: header.reply_to,
            private: header.private,
            audio_id: Some(header.audio.id).filter(|audio| *audio != id.into()),
            format: header.audio.format,
            duration_ms: header.audio.duration_ms,
            size_bytes: header.audio.size_bytes,
            digest: header.audio.digest,
            chunk_bytes: header.audio.chunk_bytes,
            forwarded: header.forwarded,
        });
        Self {
            header,
            flags: entry.flags,
        }
    }

    fn with(self, line: &Line) -> Entry {
        let header = self.header.map(|rest| Header {
            received_at_ms: line.received_at_ms(),
            region: rest.region,
            from: rest.from,
            reply_to: rest.reply_to,
            urgent: line.is_urgent(),
            private: rest.private,
            audio: Audio {
                id: rest.audio_id.unwrap_or(line.id.into()),
                format: rest.format,
                duration_ms: rest.duration_ms,
                size_bytes: rest.size_bytes,
                digest: rest.digest,
                chunk_bytes: rest.chunk_bytes,
            },
            forwarded: rest.forwarded,
        });
        Entry {
            header,
            flags: self.flags,
            purged: line.is_purged(),
            expires_at_ms: line.expires_at_ms(),
        }
    }
}

/// Messages as they are stored: shared, and never changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    tombstones: Bytes,
    lines: Bytes,
    rests: Bytes,
}

impl Stored {
    /// Finds the parts; what is in them is looked at later, and only where that is needed.
    fn new(mut bytes: Bytes, tombstones: u32, lines: u32) -> Result<Self, DecodeError> {
        let mut take = |count: u32, size: usize| {
            let length = usize::try_from(count)
                .ok()
                .and_then(|it| it.checked_mul(size));
            let length = length.filter(|length| *length <= bytes.len());
            let length = length.ok_or_else(|| DecodeError::Malformed("it is cut off".into()))?;
            Ok(bytes.split_to(length))
        };
        let stored = Self {
            tombstones: take(tombstones, size_of::<Tombstone>())?,
            lines: take(lines, size_of::<Line>())?,
            rests: bytes,
        };
        let end = stored.lines().last().map_or(0, |line| line.rest_end.get());
        if end as usize == stored.rests.len() {
            Ok(stored)
        } else {
            let detail = format!("{} bytes of rests, not {end}", stored.rests.len());
            Err(DecodeError::Malformed(detail))
        }
    }

    /// Whether everything stands where it is looked for.
    pub(crate) fn check_order(&self) -> Result<(), DecodeError> {
        let tombstones = self.tombstones();
        let ordered = tombstones.is_sorted_by(|a, b| a.id < b.id)
            && self.lines().is_sorted_by(|a, b| a.id < b.id)
            && !tombstones.iter().any(|it| self.line(it.id).is_some());
        if ordered {
            Ok(())
        } else {
            Err(DecodeError::Malformed("it is out of order".into()))
        }
    }

    pub(crate) fn tombstones(&self) -> &[Tombstone] {
        <[Tombstone]>::ref_from_bytes(&self.tombstones).expect("it was cut to so many of them")
    }

    pub(crate) fn lines(&self) -> &[Line] {
        <[Line]>::ref_from_bytes(&self.lines).expect("it was cut to so many of them")
    }

    pub(crate) fn tombstone(&self, id: MessageId) -> Option<Tombstone> {
        let tombstones = self.tombstones();
        let at = tombstones.binary_search_by_key(&id, |it| it.id).ok()?;
        tombstones.get(at).copied()
    }

    pub(crate) fn line(&self, id: MessageId) -> Option<Line> {
        let lines = self.lines();
        let at = lines.binary_search_by_key(&id, |it| it.id).ok()?;
        lines.get(at).copied()
    }

    /// What is known of a message.
    pub(crate) fn entry(&self, id: MessageId) -> Result<Option<Entry>, DecodeError> {
        let lines = self.lines();
        match lines.binary_search_by_key(&id, |it| it.id) {
            Ok(at) => self.entry_at(lines, at).map(Some),
            Err(_) => Ok(self.tombstone(id).map(Entry::from)),
        }
    }

    fn entry_at(&self, lines: &[Line], at: usize) -> Result<Entry, DecodeError> {
        let line = &lines[at];
        let range = start_of(lines, at)..line.rest_end.get() as usize;
        let bytes = self.rests.get(range);
        let bytes = bytes.ok_or_else(|| DecodeError::Malformed("a rest lies outside".into()))?;
        let entry = whole::<Rest>(bytes)?.with(line);
        if Line::ending_at(line.rest_end.get(), line.id, &entry) == *line {
            Ok(entry)
        } else {
            let detail = format!("message {} is not what its line says", line.id);
            Err(DecodeError::Malformed(detail))
        }
    }
}

/// Where a rest begins.
fn start_of(lines: &[Line], at: usize) -> usize {
    let before = at.checked_sub(1).and_then(|before| lines.get(before));
    before.map_or(0, |line| line.rest_end.get() as usize)
}

/// Messages as they are to be stored.
#[derive(Default, PartialEq)]
pub(crate) struct Layout {
    tombstones: Vec<Tombstone>,
    lines: Vec<Line>,
    rests: Vec<u8>,
}

impl Layout {
    /// Lays out what is stored, but for the messages of `changed`, of which there is now what stands
    /// there, if anything.
    pub(crate) fn of<'a>(
        stored: &Stored,
        changed: impl Iterator<Item = (&'a MessageId, &'a Option<Entry>)>,
    ) -> Self {
        let (tombstones, lines) = (stored.tombstones(), stored.lines());
        let mut layout = Self {
            tombstones: Vec::with_capacity(tombstones.len()),
            lines: Vec::with_capacity(lines.len()),
            rests: Vec::with_capacity(stored.rests.len()),
        };
        let (mut next_tombstone, mut next_line) = (0, 0);
        for (id, entry) in changed {
            let end = next_tombstone
                + tombstones[next_tombstone..].partition_point(|tombstone| tombstone.id < *id);
            layout
                .tombstones
                .extend_from_slice(&tombstones[next_tombstone..end]);
            let replaced = tombstones.get(end).is_some_and(|it| it.id == *id);
            next_tombstone = end + usize::from(replaced);

            let end = next_line + lines[next_line..].partition_point(|line| line.id < *id);
            layout.copy(stored, next_line..end);
            let replaced = lines.get(end).is_some_and(|it| it.id == *id);
            next_line = end + usize::from(replaced);

            if let Some(entry) = entry {
                layout.push(*id, entry);
            }
        }
        layout
            .tombstones
            .extend_from_slice(&tombstones[next_tombstone..]);
        layout.copy(stored, next_line..lines.len());
        layout
    }

    fn push(&mut self, id: MessageId, entry: &Entry) {
        if entry.is_tombstone() {
            let tombstone = Tombstone::new(id, entry.expires_at_ms);
            return self.tombstones.push(tombstone);
        }
        let rests = std::mem::take(&mut self.rests);
        self.rests = postcard::to_extend(&Rest::of(id, entry.clone()), rests)
            .expect("a rest consists of numbers and texts, and a vector takes any length");
        let line = Line::ending_at(self.rests.len() as u32, id, entry);
        self.lines.push(line);
    }

    /// Takes over some of what is stored, as it is.
    fn copy(&mut self, stored: &Stored, range: std::ops::Range<usize>) {
        let lines = stored.lines();
        let start = start_of(lines, range.start);
        let bytes = start..start_of(lines, range.end);
        // Where it was damaged, it stays so.
        let bytes = stored.rests.get(bytes).unwrap_or_default();
        let moved_to = self.rests.len();
        self.rests.extend_from_slice(bytes);
        self.lines.extend(lines[range].iter().map(|line| {
            let end = (line.rest_end.get() as usize).wrapping_sub(start);
            let rest_end = end.wrapping_add(moved_to) as u32;
            Line {
                rest_end: rest_end.into(),
                ..*line
            }
        }));
    }
}
