//! A stream's messages, from one sequence on, in order, and none left out: or an error.
//!
//! An ephemeral push consumer without acknowledgements. Its deliveries are counted, so one that is missing is noticed;
//! its heartbeats tell how far the stream is while nothing comes, and that they stay away is noticed too. Whoever
//! reads starts anew after an error, from where it has come to.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, push};
use async_nats::jetstream::message::Info;
use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use thiserror::Error;

use crate::bucket::Bucket;
use crate::system::Link;

/// How often a server that has nothing to send says so.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long nothing may come before the connection to the stream counts as broken.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);

/// How long the server keeps a consumer that nobody listens to.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);

/// How long it may take to make a consumer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a tail has ended.
#[derive(Debug, Error)]
pub(crate) enum TailError {
    /// No consumer could be made.
    #[error("the stream cannot be followed")]
    NotOpened(#[source] starling_kv::BoxError),
    /// Neither a message nor a heartbeat came.
    #[error("the stream fell silent")]
    Silent,
    /// A delivery is missing.
    #[error("a message of the stream went missing on its way")]
    Missing,
    /// The client is gone.
    #[error("the connection is closed")]
    Closed,
}

/// What a tail brings.
pub(crate) enum Tailed {
    /// A message.
    Message(Delivery),
    /// There is nothing up to this sequence that has not been delivered.
    UpTo(u64),
}

/// One message of a stream.
pub(crate) struct Delivery {
    /// Its place in the stream.
    pub(crate) sequence: u64,
    /// When the stream took it, in nanoseconds since the Unix epoch.
    pub(crate) time_ns: i128,
    /// Subject, headers and payload.
    pub(crate) message: Message,
}

/// Whether payloads are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// They are.
    Whole,
    /// Headers are enough.
    HeadersOnly,
}

/// A stream that is being followed.
pub(crate) struct Tail {
    bucket: Bucket,
    link: Arc<Link>,
    messages: Subscriber,
    consumer: String,
    delivered: u64,
}

impl Tail {
    /// Follows a bucket's stream from the sequence `from` on, over this connection.
    pub(crate) async fn open(
        bucket: &Bucket,
        link: &Arc<Link>,
        from: u64,
        payload: Payload,
    ) -> Result<Self, TailError> {
        let opened = link.within(OPEN_TIMEOUT, Self::open_now(bucket, link, from, payload));
        opened
            .await
            .unwrap_or_else(|error| Err(TailError::NotOpened(error.into())))
    }

    async fn open_now(
        bucket: &Bucket,
        link: &Arc<Link>,
        from: u64,
        payload: Payload,
    ) -> Result<Self, TailError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| TailError::NotOpened(error);
        let client = link.client();
        let inbox = client.new_inbox();
        // Before the consumer is there, or its first messages would go nowhere.
        let messages = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| failed(error.into()))?;
        let consumer = bucket
            .stream(link)
            .create_consumer(push::Config {
                deliver_subject: inbox,
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: from.max(1),
                },
                ack_policy: AckPolicy::None,
                replay_policy: ReplayPolicy::Instant,
                headers_only: payload == Payload::HeadersOnly,
                flow_control: true,
                idle_heartbeat: HEARTBEAT,
                inactive_threshold: INACTIVE_THRESHOLD,
                memory_storage: true,
                num_replicas: 1,
                max_deliver: 1,
                ..push::Config::default()
            })
            .await
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            bucket: bucket.clone(),
            link: link.clone(),
            messages,
            consumer: consumer.cached_info().name.clone(),
            delivered: 0,
        })
    }

    /// What comes next.
    ///
    /// # Errors
    ///
    /// When it is not certain any more that nothing was left out. The tail is of no use afterwards.
    pub(crate) async fn next(&mut self) -> Result<Tailed, TailError> {
        loop {
            let message = tokio::time::timeout(SILENCE_MAX, self.messages.next())
                .await
                .map_err(|_| TailError::Silent)?
                .ok_or(TailError::Closed)?;
            if message.status.is_some() {
                if let Some(up_to) = self.on_status(&message).await? {
                    return Ok(Tailed::UpTo(up_to));
                }
                continue;
            }
            return self.delivery(message).map(Tailed::Message);
        }
    }

    fn delivery(&mut self, message: Message) -> Result<Delivery, TailError> {
        let wrapped = async_nats::jetstream::Message {
            message,
            context: self.link.jetstream().clone(),
        };
        let (sequence, time_ns) = {
            let info: Info<'_> = wrapped.info().map_err(|_| TailError::Missing)?;
            if info.consumer_sequence != self.delivered + 1 {
                return Err(TailError::Missing);
            }
            (info.stream_sequence, info.published.unix_timestamp_nanos())
        };
        self.delivered += 1;
        Ok(Delivery {
            sequence,
            time_ns,
            message: wrapped.message,
        })
    }

    /// Answers flow control; from a heartbeat, learns how far the stream is.
    async fn on_status(&self, message: &Message) -> Result<Option<u64>, TailError> {
        if message.status != Some(StatusCode::IDLE_HEARTBEAT) {
            // The consumer was deleted, or its leader has changed.
            return Err(TailError::Missing);
        }
        let header = |name: &str| message.headers.as_ref()?.get(name).map(ToString::to_string);
        let stalled = header("Nats-Consumer-Stalled");
        if let Some(reply) = message.reply.as_ref().map(ToString::to_string).or(stalled) {
            let client = self.link.client();
            client
                .publish(reply, bytes::Bytes::new())
                .await
                .map_err(|_| TailError::Closed)?;
        }
        let number = |name| header(name).and_then(|text| text.parse::<u64>().ok());
        match (number("Nats-Last-Consumer"), number("Nats-Last-Stream")) {
            (Some(delivered), _) if delivered != self.delivered => Err(TailError::Missing),
            (Some(_), last) => Ok(last),
            _ => Ok(None),
        }
    }
}

impl Drop for Tail {
    /// Deletes the consumer, which the server would otherwise keep for a while.
    fn drop(&mut self) {
        let (bucket, link) = (self.bucket.clone(), self.link.clone());
        let consumer = std::mem::take(&mut self.consumer);
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !link.is_lost()
        {
            runtime.spawn(async move {
                let _ = bucket.stream(&link).delete_consumer(&consumer).await;
            });
        }
    }
}
