//! Version 2: a record in one piece, read whole or not at all.
//!
//! Its shapes are made of those of the domain, as they still are.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Chores, Entry, MessageId, Profile, Stamp};

#[derive(Deserialize)]
pub(super) struct Record {
    slot: Slot,
    chores: Chores,
}

#[derive(Deserialize)]
struct Slot {
    deleted: Option<Stamp>,
    profile: Profile,
    messages: BTreeMap<MessageId, Entry>,
}

impl From<Record> for crate::Record {
    fn from(record: Record) -> Self {
        let Record { slot, chores } = record;
        Self {
            deleted: slot.deleted,
            profile: slot.profile,
            messages: slot.messages.into(),
            chores,
        }
    }
}
