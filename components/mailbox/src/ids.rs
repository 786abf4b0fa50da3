//! The names of things: mailboxes, regions, messages, and the digest of a message's audio.
//!
//! Every type here is valid by construction, decoded bytes included, and has one spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Stamp, hex};

/// Why a text is no id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidId {
    /// Not a [`MailboxId`].
    #[error(
        "a mailbox is an E.164 number (`+` and 2 to 15 digits, the first of them not 0) or a name \
         of 1 to 64 characters a-z, 0-9, `.`, `_`, `-` that does not consist of dots alone"
    )]
    Mailbox,
    /// Not a [`Region`].
    #[error("a region is a name of 1 to 32 characters a-z, 0-9, `-`")]
    Region,
    /// Not a [`MessageId`].
    #[error("a message id is 32 lower-case hexadecimal digits")]
    Message,
    /// Not a [`Digest`].
    #[error("a digest is 64 lower-case hexadecimal digits")]
    Digest,
}

/// Which mailbox: an E.164 number (ITU-T E.164, `+15551230001`) or a name (`front-desk`).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct MailboxId(Box<str>);

impl MailboxId {
    /// The id as it stands in paths and keys.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MailboxId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for MailboxId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let valid = match text.strip_prefix('+') {
            Some(digits) => is_e164(digits),
            None => is_name(&text),
        };
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Mailbox)
        }
    }
}

fn is_e164(digits: &str) -> bool {
    (2..=15).contains(&digits.len())
        && digits.bytes().all(|c| c.is_ascii_digit())
        && !digits.starts_with('0')
}

/// Dots alone are refused because `.` and `..` do not survive the normalisation of a URL's path.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        && text.bytes().any(|c| c != b'.')
}

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which region: the place whose store holds a slot, and the last tie-breaker between stamps.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Region(Box<str>);

impl Region {
    /// The name as it stands in configuration and store labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Region {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::Region)
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which message: 128 bits, shown as 32 lower-case hexadecimal digits.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    FromBytes,
    Hash,
    Immutable,
    IntoBytes,
    KnownLayout,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    Unaligned,
)]
#[repr(transparent)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// The id of the one message that a client deposits into `mailbox` under `idempotency_key`,
    /// whichever host of whichever region the attempt reaches: this is what makes the deposits of a
    /// retry join to one message.
    ///
    /// `deleted` is when the mailbox was last deleted, if it was: the mailbox that was created anew
    /// under the same name is another one, and so are its messages.
    pub fn derive(mailbox: &MailboxId, deleted: Option<&Stamp>, idempotency_key: &[u8]) -> Self {
        // The prefix separates this use of SHA-256 from every other; the lengths keep (mailbox,
        // deleted, key) unambiguous.
        let mut hash = Sha256::new()
            .chain_update(b"starling message id, version 1\0")
            .chain_update((mailbox.0.len() as u64).to_be_bytes())
            .chain_update(mailbox.0.as_bytes());
        if let Some(stamp) = deleted {
            // A key consists of visible characters, so none can be taken for this.
            hash = hash
                .chain_update(b"\0deleted\0")
                .chain_update(stamp.physical_ms.to_be_bytes())
                .chain_update(stamp.counter.to_be_bytes())
                .chain_update((stamp.region.0.len() as u64).to_be_bytes())
                .chain_update(stamp.region.0.as_bytes());
        }
        let digest = hash.chain_update(idempotency_key).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// The id of a message whose client sent no idempotency key, from 128 random bits.
    pub const fn from_random(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// The 128 bits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hex::parse(text).map(Self).ok_or(InvalidId::Message)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.0)
    }
}

/// Which piece of stored audio: that of a message, a greeting, a comment.
///
/// The audio of a message has the message's id, so that the retry of a deposit writes to the same
/// keys; every other has an id of its own, from 128 random bits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct AudioId([u8; 16]);

impl AudioId {
    /// An id from 128 random bits.
    pub const fn from_random(bits: [u8; 16]) -> Self {
        Self(bits)
    }
}

impl From<MessageId> for AudioId {
    fn from(message: MessageId) -> Self {
        Self(message.0)
    }
}

impl fmt::Display for AudioId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.0)
    }
}

/// The SHA-256 of a message's audio: its strong entity tag, and a part of the keys that it lies
/// under.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 256 bits.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hex::parse(text).map(Self).ok_or(InvalidId::Digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.0)
    }
}
