//! Fills an embedded store as the voicemail component would, but natively and in batches: a million mailboxes over HTTP
//! would take an hour of syncs.
//!
//! Under the same keys lie the same bytes that requests would have left: each mailbox's record, the counter that elected
//! its creator, the directory. The audio that the headers tell of is left out: it lies under keys of its own, and no
//! request that is measured reads it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use starling_kv::{Limits, Store as _};
use starling_kv_embedded::{Config, EmbeddedStore};
use starling_mailbox::audio::Format;
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, Audio, Digest, DirectoryRoot, DirectoryShard, Header, Join as _, Mailbox,
    MailboxId, MessageId, Origin, ProfileChange, Record, Region, Slot, directory_shard_of, encode,
    keys,
};

/// What a message takes that is not there: three seconds of µ-law.
const AUDIO_BYTES: u64 = 24_058;

/// What every mailbox takes at most.
const QUOTA: u32 = 1_200;

/// What is put into a store.
#[derive(Clone, Copy)]
pub(crate) struct Contents {
    pub(crate) mailboxes: u64,
    /// In each of them.
    pub(crate) messages: u64,
    /// Messages of each of them that are gone, and have left a tombstone.
    pub(crate) purged: u64,
}

/// The path of a mailbox, by its number.
pub(crate) fn path(mailbox: u64) -> String {
    format!("/v1/mailboxes/{}", name(mailbox))
}

/// The path of a message, by its number in the mailbox.
pub(crate) fn message_path(mailbox: u64, message: u64) -> String {
    format!("{}/messages/{}", path(mailbox), id(mailbox, message))
}

fn name(mailbox: u64) -> String {
    format!("subscriber-{mailbox}")
}

/// Spread, as ids of chance are.
fn id(mailbox: u64, message: u64) -> MessageId {
    let digest = Digest::of(format!("{mailbox}/{message}").as_bytes());
    let id = digest.to_string()[..32].parse();
    id.expect("32 hexadecimal digits are an id")
}

/// Puts mailboxes into the store `default` of a host that keeps its state in `state`.
pub(crate) async fn fill(state: &Path, contents: Contents) {
    let path = state.join("stores/default");
    let store = EmbeddedStore::open(Config::new(path)).expect("the store opens");
    let origin = here_and_now();
    let mut batch = Batch::new(&store);
    let mut shards = vec![BTreeSet::new(); usize::from(starling_mailbox::DIRECTORY_SHARDS)];
    for number in 0..contents.mailboxes {
        let mailbox: MailboxId = name(number).parse().expect("a name of a mailbox");
        let record = record(number, contents, &origin);
        batch.put(keys::slot(&mailbox), encode(&record)).await;
        let elected = 1_i64.to_le_bytes().to_vec();
        batch.put(keys::slot_creation(&mailbox), elected).await;
        shards[usize::from(directory_shard_of(&mailbox))].insert(mailbox);
    }
    let mut root = DirectoryRoot::default();
    for (shard, entries) in (0..).zip(shards).filter(|(_, entries)| !entries.is_empty()) {
        root.insert(shard);
        let mut sorted = DirectoryShard::default();
        for mailbox in &entries {
            sorted.insert(mailbox);
        }
        batch
            .put(keys::directory_shard(shard), sorted.encode())
            .await;
    }
    batch.put(keys::DIRECTORY.to_owned(), root.encode()).await;
    batch.write().await;
    settle(&store).await;
}

/// How long the record of one of the mailboxes is.
pub(crate) fn record_bytes(contents: Contents) -> usize {
    encode(&record(0, contents, &here_and_now())).len()
}

fn here_and_now() -> Origin {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.expect("it is after 1970").as_millis();
    Origin {
        region: "local".parse().expect("a region"),
        now_ms: u64::try_from(now_ms).expect("milliseconds fit"),
        alone: true,
    }
}

/// Waits until the store has done with merging what was written.
async fn settle(store: &EmbeddedStore) {
    const STILL: Duration = Duration::from_secs(2);
    let disk_bytes = || store.stats().expect("the store tells").disk_bytes;
    let mut before = 0;
    while before != disk_bytes() {
        before = disk_bytes();
        tokio::time::sleep(STILL).await;
    }
}

fn record(number: u64, contents: Contents, origin: &Origin) -> Record {
    let mut record = Record::default();
    let settings = ProfileChange {
        quota_messages: Some(QUOTA),
        ..ProfileChange::default()
    };
    let empty = Mailbox::of([], origin.now_ms);
    let mut slot = empty
        .change_profile(settings, origin)
        .expect("the clock is right");
    let created = empty.with(slot.clone()).expect("it is whole");
    for message in 0..contents.messages + contents.purged {
        let mut change = deposited(&created, number, message, origin);
        if message >= contents.messages {
            change.messages.values_mut().for_each(|it| it.purged = true);
        }
        slot.join(change);
    }
    let filled = record.change(slot, &[], origin.now_ms);
    filled.expect("nothing stands in the way");
    // The audio of what is gone has been removed meanwhile.
    record.chores.reclaim.clear();
    record
}

fn deposited(mailbox: &Mailbox, number: u64, message: u64, origin: &Origin) -> Slot {
    let id = id(number, message);
    let header = Header {
        received_at_ms: origin.now_ms - (message + 1) * 60_000,
        region: Region::clone(&origin.region),
        from: Some("+15551230002".parse().expect("a caller")),
        reply_to: None,
        urgent: message.is_multiple_of(10),
        private: false,
        audio: Audio {
            id: id.into(),
            format: Format::WavMuLaw,
            duration_ms: 3_000,
            size_bytes: AUDIO_BYTES,
            digest: Digest::of(id.as_bytes()),
            chunk_bytes: AUDIO_CHUNK_BYTES,
        },
        forwarded: None,
    };
    mailbox.deposit(id, header).expect("there is room")
}

/// Writes as many values at once as the store takes.
struct Batch<'s> {
    store: &'s EmbeddedStore,
    entries: Vec<(String, Bytes)>,
    bytes: usize,
}

impl<'s> Batch<'s> {
    fn new(store: &'s EmbeddedStore) -> Self {
        Self {
            store,
            entries: Vec::new(),
            bytes: 0,
        }
    }

    async fn put(&mut self, key: String, value: Vec<u8>) {
        let bytes = key.len() + value.len();
        let limits = Limits::DEFAULT;
        if self.entries.len() == limits.batch_entries_max
            || self.bytes + bytes > limits.batch_bytes_max
        {
            self.write().await;
        }
        self.bytes += bytes;
        self.entries.push((key, value.into()));
    }

    async fn write(&mut self) {
        self.bytes = 0;
        let entries = std::mem::take(&mut self.entries);
        let written = self.store.set_many(entries).await;
        written.expect("the store takes a batch");
    }
}
