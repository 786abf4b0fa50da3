//! Version 1: a slot of messages with headers and flags, and a profile of two quotas.
//!
//! These shapes never change. Every message of theirs is kept for the default retention.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;

use crate::audio::Format;
use crate::{
    Caller, Created, Digest, Flags, MessageId, RETENTION_DAYS_DEFAULT, Record, Region, Register,
};

#[derive(Deserialize)]
pub(super) struct Slot {
    profile: Profile,
    messages: BTreeMap<MessageId, Entry>,
}

#[derive(Deserialize)]
struct Profile {
    created: Option<Created>,
    quota_messages: Option<Register<u32>>,
    quota_bytes: Option<Register<u64>>,
}

#[derive(Deserialize)]
struct Entry {
    header: Option<Header>,
    flags: Flags,
}

#[derive(Deserialize)]
struct Header {
    received_at_ms: u64,
    region: Region,
    from: Option<Caller>,
    urgent: bool,
    private: bool,
    audio: Audio,
}

#[derive(Deserialize)]
struct Audio {
    format: Format,
    duration_ms: u64,
    size_bytes: u64,
    digest: Digest,
    chunk_bytes: NonZeroU32,
}

impl From<Slot> for Record {
    fn from(slot: Slot) -> Self {
        let Slot { profile, messages } = slot;
        let messages = messages
            .into_iter()
            .map(|(id, entry)| (id, entry.upgraded(id)))
            .collect();
        crate::Slot {
            deleted: None,
            profile: crate::Profile {
                created: profile.created,
                quota_messages: profile.quota_messages,
                quota_bytes: profile.quota_bytes,
                ..crate::Profile::default()
            },
            messages,
        }
        .into()
    }
}

impl Entry {
    fn upgraded(self, id: MessageId) -> crate::Entry {
        let header = self.header.map(|header| crate::Header {
            received_at_ms: header.received_at_ms,
            region: header.region,
            from: header.from,
            reply_to: None,
            urgent: header.urgent,
            private: header.private,
            audio: crate::Audio {
                id: id.into(),
                format: header.audio.format,
                duration_ms: header.audio.duration_ms,
                size_bytes: header.audio.size_bytes,
                digest: header.audio.digest,
                chunk_bytes: header.audio.chunk_bytes,
            },
            forwarded: None,
        });
        // Where the header is in another region's slot, it was received before any flag was set.
        let flagged_ms = self.flags.newest_stamp().map_or(0, |it| it.physical_ms);
        let kept_from_ms = header.as_ref().map_or(flagged_ms, |it| it.received_at_ms);
        let expires_at_ms = crate::message::expires_at_ms(kept_from_ms, RETENTION_DAYS_DEFAULT);
        crate::Entry {
            header,
            flags: self.flags,
            purged: false,
            expires_at_ms,
        }
    }
}
