//! Follows a bucket, and keeps its cache true.

use std::sync::Arc;
use std::time::Duration;

use crate::bucket::Bucket;
use crate::cache::Cache;
use crate::subject;
use crate::system::Link;
use crate::tail::{Payload, Tail, TailError, Tailed};

/// How long to wait before following again.
const PAUSE: Duration = Duration::from_millis(250);

/// Follows for ever.
pub(crate) async fn follow(bucket: Bucket, cache: Arc<Cache>) {
    loop {
        let link = bucket.system().connected().await;
        let ended = follow_once(&bucket, &link, &cache).await;
        cache.switch_off();
        if let Err(error) = ended {
            tracing::debug!(
                bucket = bucket.name(),
                error = &error as &dyn std::error::Error,
                "reads pass the cache by"
            );
        }
        bucket.system().changed(PAUSE).await;
    }
}

async fn follow_once(bucket: &Bucket, link: &Arc<Link>, cache: &Cache) -> Result<(), TailError> {
    let facts = bucket
        .facts(link)
        .await
        .map_err(|error| TailError::NotOpened(error.into()))?
        .ok_or(TailError::Missing)?;
    let from = facts.last_sequence + 1;
    let mut tail = Tail::open(bucket, link, from, Payload::HeadersOnly).await?;
    cache.switch_on(facts.last_sequence);
    loop {
        match tail.next().await? {
            Tailed::Message(delivery) => {
                let below = bucket.below(&delivery.message.subject);
                let key = below.and_then(subject::decode);
                cache.on_message(key.as_deref(), delivery.sequence);
            }
            Tailed::UpTo(sequence) => cache.on_progress(sequence),
        }
    }
}
