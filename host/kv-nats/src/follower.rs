//! Follows a bucket for as long as its cache is in use, and keeps the cache true.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::bucket::Bucket;
use crate::cache::Cache;
use crate::subject;
use crate::tail::{Payload, Tail, TailError, Tailed};

/// How long to wait before following again.
const PAUSE: Duration = Duration::from_millis(250);

/// Follows until nobody else holds the cache.
pub(crate) async fn follow(bucket: Bucket, cache: Weak<Cache>) {
    while let Some(held) = cache.upgrade() {
        bucket.system().connected().await;
        let ended = follow_once(&bucket, held, &cache).await;
        if let Some(cache) = cache.upgrade() {
            cache.switch_off();
        }
        match ended {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(
                    bucket = bucket.name(),
                    error = &error as &dyn std::error::Error,
                    "reads pass the cache by"
                );
            }
        }
        bucket.system().changed(PAUSE).await;
    }
}

/// `Ok` once nobody holds the cache.
async fn follow_once(
    bucket: &Bucket,
    held: Arc<Cache>,
    cache: &Weak<Cache>,
) -> Result<(), TailError> {
    let facts = bucket
        .facts()
        .await
        .map_err(|error| TailError::NotOpened(error.into()))?
        .ok_or(TailError::Missing)?;
    let mut tail = Tail::open(bucket, facts.last_sequence + 1, Payload::HeadersOnly).await?;
    held.switch_on(facts.last_sequence);
    drop(held);
    loop {
        let next = tail.next().await?;
        let Some(cache) = cache.upgrade() else {
            return Ok(());
        };
        match next {
            Tailed::Message(delivery) => {
                let below = bucket.below(&delivery.message.subject);
                let key = below.and_then(subject::decode);
                cache.on_message(key.as_deref(), delivery.sequence);
            }
            Tailed::UpTo(sequence) => cache.on_progress(sequence),
        }
    }
}
