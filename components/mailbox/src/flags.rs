//! What a subscriber does to a message: three independent flags, and the folders that follow from
//! them.
//!
//! Each flag is a register of its own, so that marking a message seen in one region can never
//! resurrect one that was deleted in another: the two changes touch different registers, and both
//! survive the join.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Join, Register, Stamp};

/// The flags of one message. A register that nobody has written counts as `false`.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Flags {
    /// The subscriber has listened to the message.
    pub seen: Option<Register<bool>>,
    /// The subscriber wants to keep it.
    pub saved: Option<Register<bool>>,
    /// It lies in the trash.
    pub deleted: Option<Register<bool>>,
}

/// A wish to change flags; `None` leaves a flag as it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlagChange {
    /// The new value of [`Flags::seen`].
    pub seen: Option<bool>,
    /// The new value of [`Flags::saved`].
    pub saved: Option<bool>,
    /// The new value of [`Flags::deleted`].
    pub deleted: Option<bool>,
}

impl Flags {
    /// Whether the subscriber has listened to the message.
    pub fn seen(&self) -> bool {
        is_set(&self.seen)
    }

    /// Whether the subscriber wants to keep it.
    pub fn saved(&self) -> bool {
        is_set(&self.saved)
    }

    /// Whether it lies in the trash.
    pub fn deleted(&self) -> bool {
        is_set(&self.deleted)
    }

    /// The one folder that the message is in.
    pub fn folder(&self) -> Folder {
        Folder::of(self.saved(), self.deleted())
    }

    /// The greatest stamp among the registers.
    pub(crate) fn newest_stamp(&self) -> Option<&Stamp> {
        self.registers()
            .into_iter()
            .flatten()
            .map(|register| &register.stamp)
            .max()
    }

    /// The registers that `change` names, written under `stamp`; empty if there are none.
    ///
    /// In a region that is `alone`, a wish for what already holds writes nothing: repeating a
    /// request costs no write and grows no slot.
    pub(crate) fn delta(&self, change: FlagChange, stamp: &Stamp, alone: bool) -> Self {
        let write = |now: bool, wish: Option<bool>| {
            wish.filter(|value| !alone || *value != now)
                .map(|value| Register {
                    stamp: stamp.clone(),
                    value,
                })
        };
        Self {
            seen: write(self.seen(), change.seen),
            saved: write(self.saved(), change.saved),
            deleted: write(self.deleted(), change.deleted),
        }
    }

    fn registers(&self) -> [&Option<Register<bool>>; 3] {
        [&self.seen, &self.saved, &self.deleted]
    }
}

impl Join for Flags {
    fn join(&mut self, other: Self) {
        self.seen.join(other.seen);
        self.saved.join(other.saved);
        self.deleted.join(other.deleted);
    }
}

fn is_set(register: &Option<Register<bool>>) -> bool {
    register.as_ref().is_some_and(|register| register.value)
}

/// Where a message is shown. Every message is in exactly one folder.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Folder {
    /// Neither saved nor deleted, heard or not.
    #[default]
    Inbox,
    /// Saved and not deleted.
    Saved,
    /// Deleted.
    Trash,
}

impl Folder {
    /// The folder of a message with these flags. The trash goes before the rest: a saved message that
    /// is deleted leaves the saved ones, and comes back to them when it is undeleted.
    pub(crate) fn of(saved: bool, deleted: bool) -> Self {
        match (deleted, saved) {
            (true, _) => Self::Trash,
            (false, true) => Self::Saved,
            (false, false) => Self::Inbox,
        }
    }
}

/// The text names no [`Folder`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a folder is one of inbox, saved, trash")]
pub struct UnknownFolder;

impl FromStr for Folder {
    type Err = UnknownFolder;

    fn from_str(text: &str) -> Result<Self, UnknownFolder> {
        match text {
            "inbox" => Ok(Self::Inbox),
            "saved" => Ok(Self::Saved),
            "trash" => Ok(Self::Trash),
            _ => Err(UnknownFolder),
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbox => "inbox",
            Self::Saved => "saved",
            Self::Trash => "trash",
        })
    }
}
