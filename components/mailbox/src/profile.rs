//! The settings of a mailbox: one register each, so that changes of different settings in different
//! regions all survive.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Created, Greeting, GreetingChoice, GreetingKind, Join, Register, SignIns, Stamp};

/// How many messages a mailbox holds unless told otherwise, those in the trash included.
pub const QUOTA_MESSAGES_DEFAULT: u32 = 1_000;

/// The greatest quota of messages: a record that holds so many stays below
/// [`SLOT_BYTES_MAX`](crate::SLOT_BYTES_MAX), even when every field is as long as it can be.
pub const QUOTA_MESSAGES_MAX: u32 = 1_200;

/// How many bytes of audio a mailbox holds unless told otherwise: 500 MB, nine hours of
/// uncompressed telephone speech.
pub const QUOTA_BYTES_DEFAULT: u64 = 500_000_000;

/// The greatest quota of bytes: the greatest quota of messages, each as large as it can be.
pub const QUOTA_BYTES_MAX: u64 = QUOTA_MESSAGES_MAX as u64 * crate::MESSAGE_BYTES_MAX as u64;

/// How long messages are kept unless told otherwise, in days.
pub const RETENTION_DAYS_DEFAULT: u32 = 90;

/// The longest time that messages are kept, in days: two years.
pub const RETENTION_DAYS_MAX: u32 = 731;

/// How long a message may play unless told otherwise: half an hour.
pub const MESSAGE_MS_MAX_DEFAULT: u64 = 30 * 60 * 1000;

/// The greatest limit of how long a message may play: three hours, more than
/// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) of the densest codec hold.
pub const MESSAGE_MS_MAX_MAX: u64 = 3 * 60 * 60 * 1000;

/// How many webhooks a mailbox has at most.
pub const WEBHOOKS_MAX: usize = 4;

/// The longest URL of a webhook, in bytes.
pub const WEBHOOK_URL_BYTES_MAX: usize = 512;

/// Declares the registers of a profile once, for everything that has to name each of them.
macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident: $value:ty = $default:expr,)*) => {
        /// The settings of a mailbox, its greetings, and the failures to sign in.
        #[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
        pub struct Profile {
            /// When and where the mailbox was first created; it exists iff this is set.
            pub created: Option<Created>,
            $($(#[$doc])* pub $name: Option<Register<$value>>,)*
            /// The recorded greetings; `None` where one was deleted.
            pub greetings: BTreeMap<GreetingKind, Register<Option<Greeting>>>,
            /// The failures to sign in.
            pub sign_ins: SignIns,
        }

        /// A wish to change settings; `None` leaves a setting as it is.
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct ProfileChange {
            $(
                #[doc = concat!("The new [`Profile::", stringify!($name), "`].")]
                pub $name: Option<$value>,
            )*
        }

        impl Profile {
            $(
                #[doc = concat!("The value of [`Profile::", stringify!($name), "`], or its default.")]
                pub fn $name(&self) -> $value {
                    match &self.$name {
                        Some(register) => register.value.clone(),
                        None => $default,
                    }
                }
            )*

            /// The registers that `change` names, written under `stamp`; in a region that is `alone`, only
            /// those that it really alters.
            pub(crate) fn delta(&self, change: ProfileChange, stamp: &Stamp, alone: bool) -> Self {
                Self {
                    $(
                        $name: change
                            .$name
                            .filter(|value| !alone || *value != self.$name())
                            .map(|value| Register { stamp: stamp.clone(), value }),
                    )*
                    ..Self::default()
                }
            }

            /// The greatest stamp of any register.
            pub(crate) fn newest_stamp(&self) -> Option<&Stamp> {
                let greetings = self.greetings.values().map(|register| &register.stamp).max();
                greetings$(.max(self.$name.as_ref().map(|register| &register.stamp)))*
            }
        }

        impl Join for Profile {
            fn join(&mut self, other: Self) {
                self.created.join(other.created);
                $(self.$name.join(other.$name);)*
                self.greetings.join(other.greetings);
                self.sign_ins.join(other.sign_ins);
            }
        }
    };
}

registers! {
    /// How many messages it may hold, those in the trash included.
    quota_messages: u32 = QUOTA_MESSAGES_DEFAULT,
    /// How many bytes of audio it may hold, those in the trash included.
    quota_bytes: u64 = QUOTA_BYTES_DEFAULT,
    /// For how many days messages are kept after they were deposited. It holds for what is deposited
    /// from then on: each message carries its own expiry.
    retention_days: u32 = RETENTION_DAYS_DEFAULT,
    /// How long a message may play, in milliseconds.
    message_ms_max: u64 = MESSAGE_MS_MAX_DEFAULT,
    /// The subscriber's time zone, for who speaks times to them.
    time_zone: TimeZone = TimeZone::default(),
    /// The subscriber's language, for who speaks to them.
    language: Language = Language::default(),
    /// Whether the subscriber's own recordings are played.
    greeting: GreetingChoice = GreetingChoice::default(),
    /// What is told of changes.
    webhooks: Vec<Webhook> = Vec::new(),
    /// What is kept of the PIN, opaque here; without one, nobody signs in.
    pin: Option<PinHash> = None,
}

impl Profile {
    /// The recordings of all greetings.
    pub(crate) fn recordings(&self) -> impl Iterator<Item = &crate::Audio> {
        self.greetings
            .values()
            .filter_map(|register| register.value.as_ref())
            .map(|greeting| &greeting.audio)
    }
}

/// What is kept of a PIN. Never shown.
#[derive(Clone, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct PinHash(pub Box<str>);

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash(…)")
    }
}

/// Where to tell of a change, and the secret that proves who tells.
#[derive(Clone, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Webhook {
    /// An absolute `http` or `https` URL.
    pub url: Box<str>,
    /// What what is sent is signed with. Never shown.
    pub secret: Box<str>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A time zone by its name in the IANA Time Zone Database (RFC 6557), such as `Europe/Vienna`.
/// Only its form is checked: the database changes, and who speaks times has one.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct TimeZone(Box<str>);

/// The text has not the form of a time zone's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a time zone is a name of the IANA Time Zone Database, such as Europe/Vienna")]
pub struct InvalidTimeZone;

impl TimeZone {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self("UTC".into())
    }
}

impl TryFrom<String> for TimeZone {
    type Error = InvalidTimeZone;

    fn try_from(text: String) -> Result<Self, InvalidTimeZone> {
        let is_part = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'+'))
        };
        if text.len() <= 64 && text.split('/').all(is_part) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTimeZone)
        }
    }
}

impl FromStr for TimeZone {
    type Err = InvalidTimeZone;

    fn from_str(text: &str) -> Result<Self, InvalidTimeZone> {
        text.to_owned().try_into()
    }
}

/// A language by its tag (RFC 5646, BCP 47), such as `de-AT`: well-formed, in the form that the RFC
/// recommends for case.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Language(Box<str>);

/// The text is no language tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a language is a tag such as en, de-AT or zh-Hant (BCP 47) of at most 35 characters")]
pub struct InvalidLanguage;

impl Language {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Language {
    fn default() -> Self {
        Self("en".into())
    }
}

impl TryFrom<String> for Language {
    type Error = InvalidLanguage;

    fn try_from(text: String) -> Result<Self, InvalidLanguage> {
        if text.len() > 35 {
            return Err(InvalidLanguage);
        }
        match oxilangtag::LanguageTag::parse_and_normalize(&text) {
            Ok(tag) => Ok(Self(tag.into_inner().into())),
            Err(_) => Err(InvalidLanguage),
        }
    }
}

impl FromStr for Language {
    type Err = InvalidLanguage;

    fn from_str(text: &str) -> Result<Self, InvalidLanguage> {
        text.to_owned().try_into()
    }
}
