//! Searching a mailbox, and reading what is found page by page, newest message first.
//!
//! A page is told where to go on by the last message of the page before it, not by a count:
//! messages that arrive or move between two pages make nobody miss one that was there all the time.

use std::fmt;
use std::str::FromStr;

use crate::encoding::Line;
use crate::{DecodeError, Folder, Mailbox, Message, MessageId, hex};

/// One page of what was searched for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// The messages, newest first.
    pub messages: Vec<Message>,
    /// Where the next page begins; `None` if this one is the last.
    pub next: Option<Cursor>,
    /// Those that are left out because they cannot be read, and why not.
    pub damaged: Vec<(MessageId, DecodeError)>,
}

/// A place in a folder: behind the message of this age and id. As text it is opaque to clients.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor {
    received_at_ms: u64,
    id: MessageId,
}

/// The text is no [`Cursor`] that a page ever gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a cursor is taken, unchanged, from the page before")]
pub struct InvalidCursor;

/// Which messages to list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Search {
    /// Those in this folder.
    pub folder: Folder,
    /// Those whose caller contains this text, in whatever case.
    pub from: Option<String>,
    /// Those received at or after this time, in milliseconds since the Unix epoch, UTC.
    pub since_ms: Option<u64>,
    /// Those received before this time.
    pub until_ms: Option<u64>,
}

impl Search {
    /// Whether it finds a message, as far as its line tells.
    fn may_find(&self, line: &Line) -> bool {
        let received_at_ms = line.received_at_ms();
        line.folder() == self.folder
            && self
                .since_ms
                .is_none_or(|since_ms| since_ms <= received_at_ms)
            && self
                .until_ms
                .is_none_or(|until_ms| received_at_ms < until_ms)
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

impl Mailbox {
    /// At most `limit` of the messages searched for, newest first by (received-at, id), from behind
    /// `after`.
    pub fn list(&self, search: &Search, after: Option<Cursor>, limit: usize) -> Page {
        let mut damaged = Vec::new();
        let mut whole = |place: &Cursor| match self.at(place) {
            Ok(message) => Some(message),
            Err(error) => {
                damaged.push((place.id, error));
                None
            }
        };
        let mut places = Vec::new();
        self.lines()
            .filter(|line| search.may_find(line))
            .map(|line| Cursor::at(&line))
            .filter(|place| after.is_none_or(|after| *place < after))
            .for_each(|place| places.push(place));
        if let Some(text) = &search.from {
            // Who left it is not in the line.
            places.retain(|place| {
                let caller = whole(place).and_then(|message| message.header.from);
                caller.is_some_and(|caller| contains(caller.as_str(), text))
            });
        }
        let more = places.len() > limit;
        if more {
            // A page is short and a mailbox may be long: put the page in front, then sort the page
            // alone.
            places.select_nth_unstable_by(limit, |a, b| b.cmp(a));
            places.truncate(limit);
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        let next = places.last().copied().filter(|_| more);
        Page {
            messages: places.iter().filter_map(whole).collect(),
            next,
            damaged,
        }
    }

    /// The message in a place where its line says that it is.
    fn at(&self, place: &Cursor) -> Result<Message, DecodeError> {
        let out_of_order = || DecodeError::Malformed("it is out of order".into());
        self.message(place.id)?.ok_or_else(out_of_order)
    }
}

impl Cursor {
    fn at(line: &Line) -> Self {
        Self {
            received_at_ms: line.received_at_ms(),
            id: line.id,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.received_at_ms.to_be_bytes())?;
        hex::write(f, self.id.as_bytes())
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (age, id) = text.split_at_checked(16).ok_or(InvalidCursor)?;
        Ok(Self {
            received_at_ms: u64::from_be_bytes(hex::parse(age).ok_or(InvalidCursor)?),
            id: MessageId::from_random(hex::parse(id).ok_or(InvalidCursor)?),
        })
    }
}
