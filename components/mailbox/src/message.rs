//! What is known of a message from the moment it is deposited, and never changes afterwards.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::audio::Format;
use crate::{AudioId, Digest, Join, MailboxId, Region};

/// The largest audio of a message: 10 MiB, 22 minutes of telephone speech (16 bit, 8 kHz).
pub const MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The size of the pieces that audio is stored in: 256 KiB, all full but the last.
///
/// It is written into every header ([`Audio::chunk_bytes`]), so it may change without touching what
/// is stored.
pub const AUDIO_CHUNK_BYTES: NonZeroU32 = NonZeroU32::new(256 * 1024).unwrap();

/// The longest [`Caller`], in bytes of UTF-8.
pub const CALLER_BYTES_MAX: usize = 128;

/// What is known of a message since its deposit.
///
/// The order of the fields is the order of the join: see [`Header::join`].
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Header {
    /// When the message was taken, in milliseconds since the Unix epoch, UTC.
    pub received_at_ms: u64,
    /// Where it was taken: the region whose store holds the audio.
    pub region: Region,
    /// Who left it, if anybody said so.
    pub from: Option<Caller>,
    /// Where the caller wants to be called back, if that is elsewhere.
    pub reply_to: Option<Caller>,
    /// The caller marked it urgent.
    pub urgent: bool,
    /// The caller asked for it not to be passed on.
    pub private: bool,
    /// What there is to hear.
    pub audio: Audio,
    /// How it came here from another mailbox, if it did.
    pub forwarded: Option<Forwarded>,
}

/// When a message expires that is kept for so many days from an instant on, in milliseconds since the
/// Unix epoch, UTC.
pub(crate) fn expires_at_ms(from_ms: u64, retention_days: u32) -> u64 {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    from_ms.saturating_add(u64::from(retention_days) * DAY_MS)
}

/// How a message came from another mailbox.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Forwarded {
    /// The mailbox whose subscriber passed it on.
    pub by: MailboxId,
    /// What that subscriber said in front.
    pub comment: Option<Audio>,
}

impl Header {
    /// All audio that the message holds on to.
    pub fn recordings(&self) -> impl Iterator<Item = &Audio> {
        let comment = self.forwarded.as_ref().and_then(|it| it.comment.as_ref());
        [&self.audio].into_iter().chain(comment)
    }

    /// The bytes of all audio that the message holds on to.
    pub fn size_bytes(&self) -> u64 {
        self.recordings()
            .fold(0, |sum, audio| sum.saturating_add(audio.size_bytes))
    }
}

/// Write-once, with a rule for the case that it was written twice: a client that retried its
/// deposit in another region left two headers under one id. The smaller (received-at, region) is
/// the message, in every region alike; should even these be equal, the remaining fields decide in
/// their order.
impl Join for Header {
    fn join(&mut self, other: Self) {
        if other < *self {
            *self = other;
        }
    }
}

/// Stored audio, of a message or a greeting: what it is and how it lies in the store (see [`keys`](crate::keys)).
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Audio {
    /// What it is stored under.
    pub id: AudioId,
    /// Container and codec, as recognised from the bytes.
    pub format: Format,
    /// How long it plays, in milliseconds; at least 1.
    pub duration_ms: u64,
    /// The size of the whole file, container included.
    pub size_bytes: u64,
    /// SHA-256 of the whole file.
    pub digest: Digest,
    /// The size of every stored piece but the last, in bytes.
    pub chunk_bytes: NonZeroU32,
}

impl Audio {
    /// How many pieces the audio is stored in.
    pub fn chunks(&self) -> u64 {
        self.size_bytes.div_ceil(u64::from(self.chunk_bytes.get()))
    }
}

/// Who left a message: a number, a name, an address; free text that is safe to show.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Caller(Box<str>);

/// Why a text is no [`Caller`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CallerError {
    /// Nothing, or nothing but spaces.
    #[error("the caller is empty")]
    Empty,
    /// More than [`CALLER_BYTES_MAX`] bytes.
    #[error("the caller is longer than {CALLER_BYTES_MAX} bytes")]
    TooLong,
    /// A character that cannot be shown, or that changes how its neighbours are shown.
    #[error("the caller contains the character U+{:04X}, which cannot be shown", *.0 as u32)]
    Unprintable(char),
}

impl Caller {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Caller {
    type Err = CallerError;

    fn from_str(text: &str) -> Result<Self, CallerError> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Caller {
    type Error = CallerError;

    /// Takes the text as it is; whether to trim it first is the affair of whoever read it.
    fn try_from(text: String) -> Result<Self, CallerError> {
        if text.trim().is_empty() {
            return Err(CallerError::Empty);
        }
        if text.len() > CALLER_BYTES_MAX {
            return Err(CallerError::TooLong);
        }
        match text.chars().find(|character| is_unprintable(*character)) {
            Some(character) => Err(CallerError::Unprintable(character)),
            None => Ok(Self(text.into())),
        }
    }
}

/// Control characters, line separators, and the marks that reorder the text around them (Unicode
/// UAX #9), with which a caller could forge what a subscriber reads.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
