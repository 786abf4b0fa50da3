//! One bucket: a stream that holds the last message of each subject, as NATS's own key-value stores are laid out.
//!
//! Requests name the [`Link`] that they go over, so that what was concluded on one connection is not acted upon on the
//! next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, PublishAckFuture};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, RawMessageBuilder, StorageType, Stream,
};
use bytes::Bytes;
use starling_kv::Error;
use thiserror::Error as ThisError;

use crate::failure::{self, PublishFailure};
use crate::subject;
use crate::system::{Link, READ_TIMEOUT, System, WRITE_TIMEOUT};

/// The header of a message that ends a key: `DEL` or `PURGE` (NATS ADR-8).
pub(crate) const KV_OPERATION: &str = "KV-Operation";

/// Copied messages carry where they stood in their origin's stream.
pub(crate) const ORIGIN_SEQUENCE: &str = "Starling-Origin-Sequence";

/// Copied messages carry when their origin took them, in nanoseconds since the Unix epoch.
pub(crate) const ORIGIN_TIME: &str = "Starling-Origin-Time";

/// The stream's metadata that names the history which its sequences count: a stream that was made anew has another.
const EPOCH: &str = "starling.epoch";

/// The stream's metadata that says up to which sequence the history is known to reach: a bucket that ends before has
/// lost its end and not got it back yet.
const REACHES: &str = "starling.reaches";

/// Within this time a server recognises a message by its id; part of the convention, though nobody here sends ids.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// A stream that is there, but not as it has to be.
#[derive(Debug, ThisError)]
#[error(
    "the stream {stream} differs from what Starling needs: {what}; see \"Streams\" in docs/regions.md"
)]
pub struct Difference {
    stream: String,
    what: String,
}

/// A bucket on one system. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bucket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    system: System,
    name: String,
    /// What every subject begins with.
    prefix: String,
    /// The name of its stream.
    stream: String,
    /// Copies within the system. With more than one, only the leader is sure to have the latest.
    replicas: usize,
}

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Which history it counts.
    pub(crate) epoch: Option<String>,
    /// Its last sequence; 0 before the first message.
    pub(crate) last_sequence: u64,
    /// Up to where its history is known to reach; 0 where nobody has said so.
    pub(crate) reaches: u64,
}

impl Bucket {
    /// The bucket of this name, there or not.
    pub(crate) fn of(system: &System, name: &str, replicas: usize) -> Self {
        Self(Arc::new(Inner {
            system: system.clone(),
            prefix: format!("$KV.{name}."),
            stream: format!("KV_{name}"),
            name: name.to_owned(),
            replicas,
        }))
    }

    pub(crate) fn system(&self) -> &System {
        &self.0.system
    }

    /// Its stream, over this connection.
    pub(crate) fn stream(&self, link: &Link) -> Stream<()> {
        link.stream(&self.0.stream)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// The subject of a key.
    pub(crate) fn subject(&self, key: &str) -> String {
        format!("{}{}", self.0.prefix, subject::encode(key))
    }

    /// The filter of a prefix of keys.
    pub(crate) fn filter(&self, prefix: &str) -> String {
        format!("{}{}", self.0.prefix, subject::filter(prefix))
    }

    /// What a subject holds below the bucket's prefix.
    pub(crate) fn below<'s>(&self, subject: &'s str) -> Option<&'s str> {
        subject.strip_prefix(&self.0.prefix)
    }

    /// The subject with the same tokens in another bucket.
    pub(crate) fn same_subject_in(&self, other: &Self, subject: &str) -> Option<String> {
        Some(format!("{}{}", other.0.prefix, self.below(subject)?))
    }

    fn gap_subject(&self) -> String {
        format!("{}{}", self.0.prefix, subject::GAP)
    }

    /// Whether a message is a filler, which says nothing.
    pub(crate) fn is_filler(&self, message: &StreamMessage) -> bool {
        self.below(&message.subject) == Some(subject::GAP)
    }

    /// How the stream has to be.
    fn config(&self, epoch: &str, reaches: u64) -> Config {
        Config {
            name: self.0.stream.clone(),
            description: Some("a bucket of Starling".to_owned()),
            subjects: vec![format!("{}>", self.0.prefix)],
            max_bytes: -1,
            max_messages: -1,
            max_messages_per_subject: 1,
            max_consumers: -1,
            max_message_size: -1,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: self.0.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            metadata: HashMap::from([
                (EPOCH.to_owned(), epoch.to_owned()),
                (REACHES.to_owned(), reaches.to_string()),
            ]),
            ..Config::default()
        }
    }

    /// Reads what the stream says of itself: `None` where there is none.
    pub(crate) async fn facts(&self, link: &Link) -> Result<Option<Facts>, Error> {
        Ok(self.info(link).await?.map(|info| facts(&info)))
    }

    /// Like [`facts`](Self::facts), with a check of the configuration.
    ///
    /// A setting that an old server does not know is ignored silently: so all of them are read back.
    pub(crate) async fn verified(
        &self,
        link: &Link,
    ) -> Result<Result<Option<Facts>, Difference>, Error> {
        let Some(info) = self.info(link).await? else {
            return Ok(Ok(None));
        };
        Ok(match self.difference(&info.config) {
            None => Ok(Some(facts(&info))),
            Some(what) => Err(Difference {
                stream: info.config.name,
                what,
            }),
        })
    }

    async fn info(&self, link: &Link) -> Result<Option<Info>, Error> {
        let asked = link.jetstream().get_stream(&self.0.stream);
        match link.within(READ_TIMEOUT, asked).await? {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(ref said)
                    if said.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(Error::unavailable(error)),
            },
        }
    }

    fn difference(&self, config: &Config) -> Option<String> {
        let wanted = self.config("", 0);
        macro_rules! differs {
            ($($field:ident),*) => {
                $(if config.$field != wanted.$field {
                    return Some(format!(
                        "{} is {:?} and has to be {:?}",
                        stringify!($field), config.$field, wanted.$field
                    ));
                })*
            };
        }
        differs!(
            subjects,
            subject_transform,
            retention,
            max_messages_per_subject,
            max_messages,
            max_age,
            discard,
            discard_new_per_subject,
            storage,
            num_replicas,
            allow_rollup,
            deny_delete,
            allow_direct,
            mirror,
            sources,
            no_ack,
            sealed
        );
        None
    }

    /// Makes the stream, beginning or continuing the history `epoch`, which is known to reach so far. That it is there
    /// already is no error.
    pub(crate) async fn create(&self, link: &Link, epoch: &str, reaches: u64) -> Result<(), Error> {
        let config = self.config(epoch, reaches);
        let made = link.jetstream().create_stream(config);
        match link.within(WRITE_TIMEOUT, made).await? {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(ref said)
                    if said.error_code() == ErrorCode::STREAM_NAME_EXIST =>
                {
                    Ok(())
                }
                CreateStreamErrorKind::JetStream(ref said)
                    if said.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED =>
                {
                    Err(Error::Full)
                }
                _ => Err(Error::unavailable(error)),
            },
        }
    }

    /// Notes which history the stream counts, and how far that is known to reach.
    pub(crate) async fn set_history(
        &self,
        link: &Link,
        epoch: &str,
        reaches: u64,
    ) -> Result<(), Error> {
        let config = self.config(epoch, reaches);
        let updated = link.jetstream().update_stream(config);
        let updated = link.within(WRITE_TIMEOUT, updated).await?;
        updated.map(drop).map_err(Error::unavailable)
    }

    /// The last message of a subject: read where the latest is sure to be.
    pub(crate) async fn last_of(
        &self,
        link: &Link,
        subject: String,
    ) -> Result<Option<StreamMessage>, Error> {
        let stream = self.stream(link);
        if self.0.replicas > 1 {
            let asked = stream.get_last_raw_message_by_subject(&subject);
            return match link.within(READ_TIMEOUT, asked).await? {
                Ok(message) => Ok(Some(message)),
                Err(error) => failure::leader_get(error).map(|()| None),
            };
        }
        let asked = stream.direct_get_last_for_subject(subject);
        match link.within(READ_TIMEOUT, asked).await? {
            Ok(message) => Ok(Some(message)),
            Err(error) => failure::direct_get(error).map(|()| None),
        }
    }

    /// The message at a sequence; `None` where a later one has taken its place.
    pub(crate) async fn at(
        &self,
        link: &Link,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, Error> {
        let asked = self.stream(link).raw_message_builder().sequence(sequence);
        raw(link, asked).await
    }

    /// The first message from a sequence on.
    pub(crate) async fn first_from(
        &self,
        link: &Link,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, Error> {
        let asked = self.stream(link).raw_message_builder();
        let any = format!("{}>", self.0.prefix);
        raw(link, asked.sequence(sequence.max(1)).next_by_subject(any)).await
    }

    /// Writes a message, and waits until it is stored; answers its sequence.
    pub(crate) async fn put(
        &self,
        link: &Link,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, PublishFailure> {
        let stored = async {
            let sent = self.send(link, subject, headers, payload).await?;
            Ok::<_, PublishFailure>(sent.await?.sequence)
        };
        let stored = link.within(WRITE_TIMEOUT, stored).await;
        let stored = stored.map_err(PublishFailure::Store)?;
        if let Err(PublishFailure::Store(Error::Timeout)) = stored {
            link.suspect();
        }
        stored
    }

    /// Sends a message. The answer tells, later, whether it is stored.
    pub(crate) async fn send(
        &self,
        link: &Link,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PublishAckFuture, PublishFailure> {
        let message = PublishMessage::build().headers(headers).payload(payload);
        Ok(link.jetstream().send_publish(subject, message).await?)
    }

    /// Sends a message that takes the place of one which is not there any more.
    pub(crate) async fn send_gap(
        &self,
        link: &Link,
        sequence: u64,
    ) -> Result<PublishAckFuture, PublishFailure> {
        let mut headers = expecting_last(sequence - 1);
        headers.insert(KV_OPERATION, "PURGE");
        self.send(link, self.gap_subject(), headers, Bytes::new())
            .await
    }
}

/// Reads where the latest is sure to be: of several copies, others may not have it yet.
async fn raw(link: &Link, asked: RawMessageBuilder) -> Result<Option<StreamMessage>, Error> {
    match link.within(READ_TIMEOUT, asked.send()).await? {
        Ok(message) => Ok(Some(message)),
        Err(error) => failure::leader_get(error).map(|()| None),
    }
}

fn facts(info: &Info) -> Facts {
    Facts {
        epoch: info.config.metadata.get(EPOCH).cloned(),
        last_sequence: info.state.last_sequence,
        reaches: info
            .config
            .metadata
            .get(REACHES)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    }
}

/// Headers of a message that has to follow right after this sequence of the stream.
pub(crate) fn expecting_last(sequence: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, sequence.to_string().as_str());
    headers
}

/// Headers of a message that has to follow right after this sequence of its subject; 0 where there is none.
pub(crate) fn expecting_last_of_subject(sequence: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
        sequence.to_string().as_str(),
    );
    headers
}

/// Whether a message ends its key.
pub(crate) fn is_deletion(headers: &HeaderMap) -> bool {
    headers
        .get(KV_OPERATION)
        .is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"))
}

/// When a message was first taken: by its origin, if it is a copy.
pub(crate) fn origin_time_ns(message: &StreamMessage) -> i128 {
    message
        .headers
        .get(ORIGIN_TIME)
        .and_then(|text| text.as_str().parse().ok())
        .unwrap_or_else(|| message.time.unix_timestamp_nanos())
}
