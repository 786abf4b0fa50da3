//! What callers hear before they speak.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Audio, Profile, Region};

/// The recordings that a subscriber can make. Stored as numbers: new ones are added at the end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum GreetingKind {
    /// For when nobody answers.
    Unavailable,
    /// For when the line is busy.
    Busy,
    /// Instead of all others, until it expires or is deleted: on holiday.
    Temporary,
    /// The subscriber's name alone, to be spoken within the standard greeting.
    Name,
}

/// The text names no [`GreetingKind`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a greeting is one of unavailable, busy, temporary, name")]
pub struct UnknownGreeting;

impl FromStr for GreetingKind {
    type Err = UnknownGreeting;

    fn from_str(text: &str) -> Result<Self, UnknownGreeting> {
        match text {
            "unavailable" => Ok(Self::Unavailable),
            "busy" => Ok(Self::Busy),
            "temporary" => Ok(Self::Temporary),
            "name" => Ok(Self::Name),
            _ => Err(UnknownGreeting),
        }
    }
}

impl fmt::Display for GreetingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Temporary => "temporary",
            Self::Name => "name",
        })
    }
}

/// A recorded greeting.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Greeting {
    /// The region whose store holds the audio.
    pub region: Region,
    /// The recording.
    pub audio: Audio,
    /// From when on it is not played any more, in milliseconds since the Unix epoch, UTC. Only a
    /// temporary one expires.
    pub expires_at_ms: Option<u64>,
}

/// Whether the subscriber's own recordings are played. Stored as numbers: new ones are added at the
/// end.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum GreetingChoice {
    /// What is recorded is played.
    #[default]
    Recorded,
    /// The standard greeting is played, with the name if that is recorded. A temporary greeting goes
    /// before it nevertheless.
    Standard,
}

/// The text names no [`GreetingChoice`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a choice of greeting is one of recorded, standard")]
pub struct UnknownChoice;

impl FromStr for GreetingChoice {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        match text {
            "recorded" => Ok(Self::Recorded),
            "standard" => Ok(Self::Standard),
            _ => Err(UnknownChoice),
        }
    }
}

impl fmt::Display for GreetingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recorded => "recorded",
            Self::Standard => "standard",
        })
    }
}

/// Why the caller hears a greeting at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CallState {
    /// Nobody answered.
    #[default]
    Unanswered,
    /// The line is busy.
    Busy,
}

/// What a caller should hear now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard<'a> {
    /// A recording of the subscriber's.
    Recording(GreetingKind, &'a Greeting),
    /// The standard greeting, with the subscriber's name if that is recorded.
    Standard {
        /// The name.
        name: Option<&'a Greeting>,
    },
}

impl Profile {
    /// The recording of this kind that is in force at `now_ms`.
    pub fn greeting_of(&self, kind: GreetingKind, now_ms: u64) -> Option<&Greeting> {
        let greeting = self.greetings.get(&kind)?.value.as_ref()?;
        greeting
            .expires_at_ms
            .is_none_or(|expires_at_ms| now_ms < expires_at_ms)
            .then_some(greeting)
    }

    /// What a caller should hear at `now_ms`.
    pub fn heard(&self, state: CallState, now_ms: u64) -> Heard<'_> {
        let recorded = |kind| {
            self.greeting_of(kind, now_ms)
                .map(|greeting| Heard::Recording(kind, greeting))
        };
        let usual = || match (self.greeting(), state) {
            (GreetingChoice::Standard, _) => None,
            (GreetingChoice::Recorded, CallState::Busy) => {
                recorded(GreetingKind::Busy).or_else(|| recorded(GreetingKind::Unavailable))
            }
            (GreetingChoice::Recorded, CallState::Unanswered) => {
                recorded(GreetingKind::Unavailable)
            }
        };
        recorded(GreetingKind::Temporary)
            .or_else(usual)
            .unwrap_or_else(|| Heard::Standard {
                name: self.greeting_of(GreetingKind::Name, now_ms),
            })
    }
}
