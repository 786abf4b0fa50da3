//! A bucket as a [`Store`].

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::StreamMessage;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use starling_kv::{Capabilities, Entry, Error, Page, Result, Store, Swap, Version};

use crate::bucket::{Bucket, KV_OPERATION, expecting_last_of_subject, is_deletion};
use crate::cache::{Cache, Look};
use crate::config::StoreConfig;
use crate::failure::PublishFailure;
use crate::geo::Geo;
use crate::keeper::Settled;
use crate::subject;
use crate::system::{Link, READ_TIMEOUT};
use crate::tasks::Tasks;

/// Entries of one batch that are under way at once.
const BATCH_CONCURRENCY: usize = 32;

/// How often a swap meets a key that is gone, but whose end is not where it was a moment ago.
const CREATE_ATTEMPTS: u32 = 8;

/// How long a server keeps the consumer of a listing that broke off.
const LISTING_INACTIVE: Duration = Duration::from_secs(5);

/// One region's bucket: this region's own, or the replica of another's.
#[derive(Clone, Debug)]
pub struct NatsStore(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) bucket: Bucket,
    pub(crate) cache: Arc<Cache>,
    pub(crate) access: Access,
    pub(crate) config: StoreConfig,
    /// What goes on for as long as anybody has the store.
    #[expect(dead_code, reason = "held, so that it goes on")]
    pub(crate) tasks: Arc<Tasks>,
}

/// What may be done with a bucket.
#[derive(Debug)]
pub(crate) enum Access {
    /// Read and written: it is this region's own.
    Own {
        /// Whether it is known to hold all that it acknowledged.
        settled: Arc<Settled>,
        /// What other regions hold of it, where acknowledgements wait for that.
        geo: Option<Geo>,
    },
    /// Read alone: replicators write it.
    Replica,
}

impl NatsStore {
    /// The connection, where the bucket may be read over it.
    fn to_read(&self) -> Result<Arc<Link>> {
        let system = self.0.bucket.system();
        match &self.0.access {
            Access::Own { settled, .. } => settled.to_read(system),
            Access::Replica => system.well(),
        }
    }

    /// What a message of the key says, and its sequence.
    async fn read(&self, key: &str) -> Result<Option<StreamMessage>> {
        let (link, bucket) = (self.to_read()?, &self.0.bucket);
        bucket.last_of(&link, bucket.subject(key)).await
    }

    /// Writes a message, and waits until it is where acknowledgements have to be.
    async fn write(
        &self,
        key: &str,
        headers: HeaderMap,
        value: Bytes,
        kept: Option<Bytes>,
    ) -> Result<u64, PublishFailure> {
        let Access::Own { settled, geo } = &self.0.access else {
            return Err(PublishFailure::Store(Error::AccessDenied));
        };
        let bucket = &self.0.bucket;
        // Over this connection and no other: what is not sent before it breaks is never sent.
        let link = settled.to_write(bucket.system());
        let link = link.map_err(PublishFailure::Store)?;
        let subject = bucket.subject(key);
        let sequence = bucket.put(&link, subject, headers, value).await?;
        settled.acknowledged(sequence);
        let entry = kept.map(|value| entry(value, sequence));
        self.0.cache.wrote(key, entry, sequence);
        if let Some(geo) = geo {
            geo.wait(sequence).await.map_err(PublishFailure::Store)?;
        }
        Ok(sequence)
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<Version> {
        let written = self.write(key, HeaderMap::new(), value.clone(), Some(value));
        let sequence = written.await.map_err(PublishFailure::into_error)?;
        Ok(Version::new(sequence))
    }

    async fn end(&self, key: &str) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(KV_OPERATION, "DEL");
        let written = self.write(key, headers, Bytes::new(), None).await;
        written.map(drop).map_err(PublishFailure::into_error)
    }
}

fn entry(value: Bytes, sequence: u64) -> Entry {
    Entry {
        value,
        version: Version::new(sequence),
    }
}

/// The entry that a message makes; none where it ends its key.
fn entry_of(message: StreamMessage) -> Option<Entry> {
    (!is_deletion(&message.headers)).then(|| entry(message.payload, message.sequence))
}

#[async_trait]
impl Store for NatsStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let cache = &self.0.cache;
        let ticket = match cache.look(key) {
            Look::Hit(entry) => return Ok(entry),
            Look::Miss(ticket) => Some(Reading::new(cache, key, ticket)),
            Look::Bypass => None,
        };
        let message = self.read(key).await?;
        let as_of = message.as_ref().map(|message| message.sequence);
        let entry = message.and_then(entry_of);
        match ticket {
            Some(ticket) => ticket.keep(entry.clone(), as_of),
            None => cache.saw_of(key, as_of.unwrap_or(0)),
        }
        Ok(entry)
    }

    async fn set(&self, key: &str, value: Bytes) -> Result<Version> {
        self.put(key, value).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.end(key).await
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.get(key).await?.is_some())
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Version>,
        value: Bytes,
    ) -> Result<Swap> {
        // A key that is missing never was, or its last message ends it.
        let mut sequence = expected.map_or(0, Version::get);
        for _ in 0..CREATE_ATTEMPTS {
            let headers = expecting_last_of_subject(sequence);
            let written = self.write(key, headers, value.clone(), Some(value.clone()));
            match written.await {
                Ok(sequence) => return Ok(Swap::Swapped(Version::new(sequence))),
                Err(PublishFailure::Store(error)) => return Err(error),
                Err(PublishFailure::WrongLastSequence) => {}
            }
            let current = self.read(key).await?;
            let last = current.as_ref().map_or(0, |message| message.sequence);
            self.0.cache.saw_of(key, last);
            match (current.and_then(entry_of), expected) {
                (None, None) if last != sequence => sequence = last,
                (current, _) => return Ok(Swap::Lost(current)),
            }
        }
        Err(Error::Contended {
            attempts: CREATE_ATTEMPTS,
        })
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        let reads: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        stream::iter(reads)
            .buffered(BATCH_CONCURRENCY)
            .try_collect()
            .await
    }

    async fn set_many(&self, entries: Vec<(String, Bytes)>) -> Result<()> {
        let puts = last_of_each(entries);
        stream::iter(puts)
            .map(|(key, value)| async move { self.put(&key, value).await.map(drop) })
            .buffer_unordered(BATCH_CONCURRENCY)
            .try_collect()
            .await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        let ends: Vec<_> = keys.iter().map(|key| self.end(key)).collect();
        stream::iter(ends)
            .buffer_unordered(BATCH_CONCURRENCY)
            .try_collect()
            .await
    }

    /// Keys come in the order in which they were last written, and `after` is a sequence: a key that is written
    /// meanwhile comes again.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        let link = self.to_read()?;
        let from = match after {
            None => 1,
            Some(after) => after.parse::<u64>().map_err(|_| Error::InvalidKey {
                reason: "a listing goes on from what the page before it gave",
            })?,
        };
        let page = page(&self.0.bucket, &link, prefix, from.max(1), limit);
        let (page, seen) = link.within(READ_TIMEOUT, page).await??;
        // A key that is listed is there for whoever reads it next.
        self.0.cache.saw(seen);
        Ok(page)
    }

    fn capabilities(&self) -> Capabilities {
        let config = &self.0.config;
        Capabilities {
            durable: config.sync_always,
            replicas: config.replicas > 1
                || matches!(self.0.access, Access::Own { geo: Some(_), .. }),
            compare_and_swap: true,
            ordered_listing: false,
            atomic_batches: false,
        }
    }
}

/// Reads a page through a consumer of its own: the server's list of subjects has no pages worth the name. Answers the
/// greatest sequence on it, too.
async fn page(
    bucket: &Bucket,
    link: &Arc<Link>,
    prefix: &str,
    from: u64,
    limit: usize,
) -> Result<(Page, u64)> {
    let consumer = bucket
        .stream(link)
        .create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: from,
            },
            ack_policy: AckPolicy::None,
            filter_subject: bucket.filter(prefix),
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: LISTING_INACTIVE,
            ..pull::Config::default()
        })
        .await
        .map_err(Error::unavailable)?;
    let (mut page, mut seen) = (Page::default(), 0);
    if consumer.cached_info().num_pending > 0 {
        let mut messages = consumer
            .fetch()
            .max_messages(limit)
            .messages()
            .await
            .map_err(Error::unavailable)?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(Error::unavailable)?;
            let (sequence, pending) = {
                let info = message.info().map_err(Error::unavailable)?;
                (info.stream_sequence, info.pending)
            };
            let deleted = message.headers.as_ref().is_some_and(is_deletion);
            let key = bucket.below(&message.subject).and_then(subject::decode);
            page.keys
                .extend(key.filter(|key| !deleted && key.starts_with(prefix)));
            page.next = (pending > 0).then(|| (sequence + 1).to_string());
            seen = sequence;
        }
        // Messages that were pending are there, or later ones of their keys: a listing that broke off has not ended.
        if seen == 0 {
            return Err(Error::unavailable("NATS broke a listing off"));
        }
    }
    let (bucket, link) = (bucket.clone(), link.clone());
    let name = consumer.cached_info().name.clone();
    let runtime = bucket.system().runtime().clone();
    runtime.spawn(async move {
        let _ = bucket.stream(&link).delete_consumer(&name).await;
    });
    Ok((page, seen))
}

/// Of keys that are named twice the last value, so that writes at once do not race for it.
fn last_of_each(entries: Vec<(String, Bytes)>) -> Vec<(String, Bytes)> {
    let mut places = std::collections::HashMap::with_capacity(entries.len());
    let mut kept: Vec<(String, Bytes)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match places.get(&key) {
            Some(&place) => {
                let (_, old): &mut (String, Bytes) = &mut kept[place];
                *old = value;
            }
            None => {
                places.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}

/// A read under way. One that is dropped before its end leaves nothing behind in the cache.
struct Reading<'c> {
    cache: &'c Cache,
    key: &'c str,
    ticket: Option<crate::cache::Ticket>,
}

impl<'c> Reading<'c> {
    fn new(cache: &'c Cache, key: &'c str, ticket: crate::cache::Ticket) -> Self {
        Self {
            cache,
            key,
            ticket: Some(ticket),
        }
    }

    fn keep(mut self, entry: Option<Entry>, as_of: Option<u64>) {
        if let Some(ticket) = self.ticket.take() {
            self.cache.keep(self.key, &ticket, entry, as_of);
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            self.cache.give_up(self.key, ticket);
        }
    }
}
