//! Where a listing goes on: the server's cursor, and what was taken of the keys behind it.
//!
//! `SCAN` answers with all keys of a part of the server's table, as many as there are: they may be more than a page has
//! room for. Then the next page begins at the same cursor, and leaves out what the page before has taken. That is
//! remembered as hashes and not as a position: when the table changes between two pages, so do the keys that one answer
//! holds, and their order.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use starling_kv::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// The most keys that a cursor remembers. It must not be longer than a key: 20 digits, a dot, and 11 letters for each
/// 8 bytes.
const TAKEN_MAX: usize = 40;

/// A place in a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The server's cursor; 0 at the beginning.
    pub(crate) scan: u64,
    /// Hashes of the keys behind it that were returned.
    taken: Vec<u64>,
}

impl Cursor {
    /// Whether `key` was returned by an earlier page.
    pub(crate) fn has_taken(&self, key: &str) -> bool {
        self.taken.contains(&hash(key))
    }

    /// Whether as many more keys can be remembered.
    pub(crate) fn has_room(&self, keys: usize) -> bool {
        self.taken.len() + keys <= TAKEN_MAX
    }

    /// Remembers that `key` is returned.
    pub(crate) fn take(&mut self, key: &str) {
        self.taken.push(hash(key));
    }

    /// Goes on to `scan`, after all of `keys` were returned. Keys that were taken and are not among them may still come.
    pub(crate) fn advance(&mut self, scan: u64, keys: &[String]) {
        self.scan = scan;
        if !self.taken.is_empty() {
            let passed: Vec<u64> = keys.iter().map(|key| hash(key)).collect();
            self.taken.retain(|taken| !passed.contains(taken));
        }
    }

    /// Reads what [`print`](Self::print) has written.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let parse = || {
            let (scan, taken) = text.split_once('.')?;
            let scan = scan.parse().ok()?;
            let taken = BASE64_URL_SAFE_NO_PAD.decode(taken).ok()?;
            let (taken, rest) = taken.as_chunks::<8>();
            if !rest.is_empty() || taken.len() > TAKEN_MAX {
                return None;
            }
            let taken = taken.iter().map(|bytes| u64::from_be_bytes(*bytes));
            Some(Self {
                scan,
                taken: taken.collect(),
            })
        };
        parse().ok_or(Error::InvalidKey {
            reason: "it is no cursor of this store",
        })
    }

    /// The cursor as text, no longer than a key.
    pub(crate) fn print(&self) -> String {
        let taken: Vec<u8> = self
            .taken
            .iter()
            .flat_map(|taken| taken.to_be_bytes())
            .collect();
        format!("{}.{}", self.scan, BASE64_URL_SAFE_NO_PAD.encode(taken))
    }
}

fn hash(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

/// `text` as a pattern that matches it and nothing else.
pub(crate) fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use starling_kv::Limits;

    use super::*;

    #[test]
    fn the_longest_cursor_is_no_longer_than_a_key_and_is_read_back() {
        let mut cursor = Cursor {
            scan: u64::MAX,
            ..Cursor::default()
        };
        for number in 0..TAKEN_MAX {
            assert!(cursor.has_room(1));
            cursor.take(&number.to_string());
        }
        assert!(!cursor.has_room(1));
        let text = cursor.print();
        assert!(
            text.len() <= Limits::DEFAULT.key_bytes_max,
            "{}",
            text.len()
        );
        assert_eq!(Cursor::parse(&text).unwrap(), cursor);
        assert_eq!(Cursor::parse("17.").unwrap().scan, 17);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "17",
            "slot/a",
            "-1.",
            "1.AA",
            "1.!",
            ".",
            "1.AAAAAAAAAAA.x",
        ] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_taken_is_forgotten_when_it_is_passed() {
        let mut cursor = Cursor::default();
        cursor.take("a");
        cursor.take("b");
        cursor.advance(8, &["a".to_owned(), "c".to_owned()]);
        assert!(!cursor.has_taken("a"));
        assert!(cursor.has_taken("b"));
        assert_eq!(cursor.scan, 8);
    }

    #[test]
    fn patterns_match_themselves() {
        assert_eq!(escape(r"a*b?[c]\d/é"), r"a\*b\?\[c\]\\d/é");
    }
}
