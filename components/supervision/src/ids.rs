//! The names of things: hosts, zones, components, their versions, and rollouts.
//!
//! Every type here is valid by construction, decoded documents included, and has one spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use starling_mailbox::Region;

/// Why a text is no id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidId {
    /// Not a [`HostId`].
    #[error("a host is a name of 1 to 64 characters a-z, 0-9, `-`")]
    Host,
    /// Not a [`Zone`].
    #[error("a zone is a name of 1 to 64 characters a-z, 0-9, `-`")]
    Zone,
    /// Not a [`ComponentName`].
    #[error("a component is a name of 1 to 64 characters A-Z, a-z, 0-9, `-`, `_`")]
    Component,
    /// Not a [`Digest`].
    #[error("a digest is `sha256:` and 64 lower-case hexadecimal digits")]
    Digest,
    /// Not a [`RolloutId`].
    #[error(
        "a rollout is milliseconds, a region and 8 lower-case hexadecimal digits, with `-` between"
    )]
    Rollout,
}

/// Conversions of an id that is a checked text: its one spelling is the text itself.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $invalid:expr, $character:pat) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as it stands in configuration, paths and keys.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                let valid = (1..=64).contains(&text.len())
                    && text.bytes().all(|c| matches!(c, $character));
                if valid { Ok(Self(text.into())) } else { Err($invalid) }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.to_owned().try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// Which host, in the whole fleet.
    HostId, InvalidId::Host, b'a'..=b'z' | b'0'..=b'9' | b'-'
}

name! {
    /// Which zone of a region: hosts that fail together. Its name means something within its region only.
    Zone, InvalidId::Zone, b'a'..=b'z' | b'0'..=b'9' | b'-'
}

name! {
    /// Which component: its id in the manifests of the hosts.
    ComponentName, InvalidId::Component, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'
}

/// Which version of a component: the SHA-256 of its bytes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(starling_mailbox::Digest);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(starling_mailbox::Digest::of(bytes))
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(starling_mailbox::Digest::from_bytes(bytes))
    }

    /// The 64 hexadecimal digits alone, as keys have them.
    pub fn hex(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for Digest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let hex = text.strip_prefix("sha256:").ok_or(InvalidId::Digest)?;
        hex.parse().map(Self).map_err(|_| InvalidId::Digest)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Which rollout. Of two rollouts of a component the greater one is the later one: it is what counts.
///
/// Shown as `1767225600123-eu-west-5bd1e995`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RolloutId {
    /// When it was created, in milliseconds since the Unix epoch, by the clock of the host that did it.
    pub created_ms: u64,
    /// Where it was created.
    pub created_in: Region,
    /// Tells apart what was created in one region in the same millisecond.
    pub random: u32,
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{:08x}",
            self.created_ms, self.created_in, self.random
        )
    }
}

impl FromStr for RolloutId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parsed = || {
            let (created_ms, rest) = text.split_once('-')?;
            let (created_in, random) = rest.rsplit_once('-')?;
            Some(Self {
                created_ms: created_ms.parse().ok()?,
                created_in: created_in.parse().ok()?,
                random: u32::from_str_radix(random, 16).ok()?,
            })
        };
        // The parsers of numbers take signs, zeros in front and upper case: those are other spellings.
        let id = parsed().filter(|id| id.to_string() == text);
        id.ok_or(InvalidId::Rollout)
    }
}

impl TryFrom<String> for RolloutId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<RolloutId> for String {
    fn from(id: RolloutId) -> Self {
        id.to_string()
    }
}
