//! Copies one bucket's messages into another, sequence by sequence, as [`Course`] says.
//!
//! Publications are sent ahead of their acknowledgements; the order of one connection and the sequence that each of
//! them expects make that safe.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::publish::PublishAck;
use starling_kv::Error;
use thiserror::Error as ThisError;

use crate::bucket::{Bucket, ORIGIN_SEQUENCE, ORIGIN_TIME, expecting_last};
use crate::course::{Course, Step};
use crate::failure::PublishFailure;
use crate::system::Link;
use crate::tail::{Delivery, Payload, Tail, TailError, Tailed};

/// Publications that may be under way at once.
const WINDOW: usize = 512;

/// Bytes of payload that may be under way at once.
const WINDOW_BYTES: usize = 16 << 20;

/// Headers that say how a message was written in its own stream, and mean nothing in another.
const OWN_HEADERS: [&str; 6] = [
    "Nats-Expected-Last-Sequence",
    "Nats-Expected-Last-Subject-Sequence",
    "Nats-Expected-Last-Subject-Sequence-Subject",
    "Nats-Expected-Last-Msg-Id",
    "Nats-Expected-Stream",
    "Nats-Msg-Id",
];

/// Why copying has ended.
#[derive(Debug, ThisError)]
pub(crate) enum PumpError {
    /// The bucket that is written is not where it was: somebody else writes it too, and is ahead.
    #[error("another replicator is ahead")]
    Overtaken,
    /// The bucket that is read cannot be followed.
    #[error("the bucket that is copied is out of reach")]
    Source(#[from] TailError),
    /// The bucket that is written cannot be.
    #[error("the copy cannot be written")]
    Target(#[source] Error),
}

impl From<PublishFailure> for PumpError {
    fn from(failure: PublishFailure) -> Self {
        match failure {
            PublishFailure::WrongLastSequence => Self::Overtaken,
            PublishFailure::Store(error) => Self::Target(error),
        }
    }
}

type Ack = Pin<Box<dyn Future<Output = Result<PublishAck, PublishError>> + Send>>;

/// What is under way.
#[derive(Default)]
struct Window {
    acks: VecDeque<(Ack, usize)>,
    bytes: usize,
}

impl Window {
    fn push(&mut self, ack: PublishAckFuture, bytes: usize) {
        self.acks.push_back((ack.into_future(), bytes));
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.acks.len() >= WINDOW || self.bytes >= WINDOW_BYTES
    }

    /// Waits for the oldest acknowledgement, and answers its sequence. Waits for ever if there is none.
    async fn oldest(&mut self) -> Result<u64, PumpError> {
        let Some((ack, _)) = self.acks.front_mut() else {
            return std::future::pending().await;
        };
        let answered = ack.await;
        if let Some((_, bytes)) = self.acks.pop_front() {
            self.bytes -= bytes;
        }
        let ack = answered.map_err(PublishFailure::from)?;
        Ok(ack.sequence)
    }
}

/// A bucket over one connection.
#[derive(Clone)]
pub(crate) struct Linked {
    pub(crate) bucket: Bucket,
    pub(crate) link: Arc<Link>,
}

/// Copies from `source` into `target`, whose last sequence is `last`, until `target` holds `until`: for ever, if there
/// is no such sequence. `on_copied` is told how far the copy is.
///
/// That `source` continues what `target` holds, the caller knows; over other connections than these it might not.
pub(crate) async fn pump(
    source: &Linked,
    target: &Linked,
    last: u64,
    until: Option<u64>,
    mut on_copied: impl FnMut(u64),
) -> Result<(), PumpError> {
    let mut course = Course::from(last);
    let mut tail = Tail::open(&source.bucket, &source.link, last + 1, Payload::Whole).await?;
    let mut window = Window::default();
    let mut copied = last;
    while until.is_none_or(|until| copied < until) {
        tokio::select! {
            biased;
            next = tail.next(), if !window.is_full() => match next? {
                Tailed::Message(delivery) => {
                    while let Some(step) = course.towards(delivery.sequence) {
                        match step {
                            Step::Gap(sequence) => send_gap(target, sequence, &mut window).await?,
                            Step::Copy => send_copy(source, target, &delivery, &mut window).await?,
                        }
                        while window.is_full() {
                            copied = window.oldest().await?;
                            on_copied(copied);
                        }
                    }
                }
                Tailed::UpTo(sequence) => {
                    while let Some(gap) = course.through(sequence) {
                        send_gap(target, gap, &mut window).await?;
                        while window.is_full() {
                            copied = window.oldest().await?;
                            on_copied(copied);
                        }
                    }
                }
            },
            acknowledged = window.oldest() => {
                copied = acknowledged?;
                on_copied(copied);
            }
            // Where there is nothing to write, nothing else would tell.
            () = target.link.lost() => {
                return Err(PumpError::Target(Error::unavailable("the connection broke")));
            }
        }
    }
    Ok(())
}

async fn send_gap(target: &Linked, sequence: u64, window: &mut Window) -> Result<(), PumpError> {
    let sent = target.bucket.send_gap(&target.link, sequence);
    window.push(sent.await?, 0);
    Ok(())
}

async fn send_copy(
    source: &Linked,
    target: &Linked,
    delivery: &Delivery,
    window: &mut Window,
) -> Result<(), PumpError> {
    let message = &delivery.message;
    let subject = source
        .bucket
        .same_subject_in(&target.bucket, &message.subject)
        .ok_or(PumpError::Source(TailError::Missing))?;
    let headers = headers(message.headers.as_ref(), delivery);
    let bytes = message.payload.len();
    let payload = message.payload.clone();
    let sent = target.bucket.send(&target.link, subject, headers, payload);
    window.push(sent.await?, bytes);
    Ok(())
}

/// The headers of a copy. A copy of a copy keeps what it says of its origin.
fn headers(original: Option<&HeaderMap>, delivery: &Delivery) -> HeaderMap {
    let mut headers = expecting_last(delivery.sequence - 1);
    let mut time = delivery.time_ns.to_string();
    for (name, values) in original.into_iter().flat_map(HeaderMap::iter) {
        let name = name.to_string();
        if name == ORIGIN_TIME {
            time = values.first().map(ToString::to_string).unwrap_or(time);
        } else if name != ORIGIN_SEQUENCE && !OWN_HEADERS.contains(&name.as_str()) {
            for value in values {
                headers.append(name.as_str(), value.as_str());
            }
        }
    }
    headers.insert(ORIGIN_SEQUENCE, delivery.sequence.to_string().as_str());
    headers.insert(ORIGIN_TIME, time.as_str());
    headers
}
