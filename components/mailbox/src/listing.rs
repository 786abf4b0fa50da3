//! Searching a mailbox, and reading what is found page by page, newest message first.
//!
//! A page is told where to go on by the last message of the page before it, not by a count:
//! messages that arrive or move between two pages make nobody miss one that was there all the time.

use std::fmt;
use std::str::FromStr;

use crate::{Folder, Mailbox, Message, MessageId, hex};

/// One page of what was searched for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page<'a> {
    /// The messages, newest first.
    pub messages: Vec<Message<'a>>,
    /// Where the next page begins; `None` if this one is the last.
    pub next: Option<Cursor>,
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
    fn finds(&self, message: &Message<'_>) -> bool {
        let header = message.header;
        let from = self.from.as_deref().is_none_or(|text| {
            let caller = header.from.as_ref();
            caller.is_some_and(|caller| contains(caller.as_str(), text))
        });
        message.flags.folder() == self.folder
            && from
            && self
                .since_ms
                .is_none_or(|since_ms| since_ms <= header.received_at_ms)
            && self
                .until_ms
                .is_none_or(|until_ms| header.received_at_ms < until_ms)
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

impl Mailbox {
    /// At most `limit` of the messages searched for, newest first by (received-at, id), from behind
    /// `after`.
    pub fn list(&self, search: &Search, after: Option<Cursor>, limit: usize) -> Page<'_> {
        let mut messages: Vec<_> = self
            .messages()
            .filter(|message| after.is_none_or(|after| Cursor::at(message) < after))
            .filter(|message| search.finds(message))
            .collect();
        let more = messages.len() > limit;
        if more {
            // A page is short and a mailbox may be long: put the page in front, then sort the page
            // alone.
            messages.select_nth_unstable_by_key(limit, |message| newest_first(message));
            messages.truncate(limit);
        }
        messages.sort_unstable_by_key(newest_first);
        let next = messages.last().filter(|_| more).map(Cursor::at);
        Page { messages, next }
    }
}

fn newest_first(message: &Message<'_>) -> std::cmp::Reverse<Cursor> {
    std::cmp::Reverse(Cursor::at(message))
}

impl Cursor {
    fn at(message: &Message<'_>) -> Self {
        Self {
            received_at_ms: message.header.received_at_ms,
            id: message.id,
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
