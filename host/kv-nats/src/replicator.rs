//! Keeps the replica of one other region's bucket: any host runs it, several at once, and none leads.
//!
//! Where two of a region's hosts replicate the same bucket, the one that is behind is refused, waits a while, and
//! starts from where the replica is by then. So one of them does the work at any time, and the other takes over within
//! seconds of its end.

use std::sync::Arc;
use std::time::Duration;

use starling_kv::Error;
use thiserror::Error as ThisError;

use crate::bucket::{Bucket, Facts, origin_time_ns};
use crate::pump::{PumpError, pump};
use crate::random;
use crate::status::{OriginStatus, Regression};

/// How long one that was overtaken waits, at random in between: or two would go on getting in each other's way.
const OVERTAKEN_PAUSE_MS: std::ops::Range<u64> = 1_000..3_000;

/// How long to wait after another failure.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// How long to wait before an origin that went back is looked at again.
const REGRESSION_PAUSE: Duration = Duration::from_secs(2);

/// How often the origin is asked how far it is.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, ThisError)]
enum ReplicationError {
    #[error("a bucket is out of reach")]
    Store(#[from] Error),
    #[error("the origin has no bucket yet")]
    NoOrigin,
    #[error("the replica's stream is gone")]
    NoReplica,
    #[error("the origin is not where its replica is: {0}")]
    Regression(Regression),
    #[error(transparent)]
    Pump(#[from] PumpError),
}

/// Replicates for ever.
pub(crate) async fn replicate(origin: Bucket, replica: Bucket, status: Arc<OriginStatus>) {
    let measured = measure(origin.clone(), replica.clone(), status.clone());
    tokio::join!(copy(origin, replica, status), measured);
}

async fn copy(origin: Bucket, replica: Bucket, status: Arc<OriginStatus>) {
    loop {
        origin.system().connected().await;
        replica.system().connected().await;
        let error = match copy_once(&origin, &replica, &status).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let pause = match &error {
            ReplicationError::Pump(PumpError::Overtaken) => {
                status.on_conflict();
                Duration::from_millis(random::between(OVERTAKEN_PAUSE_MS))
            }
            ReplicationError::Regression(regression) => {
                if status.on_regression(Some(*regression)) {
                    tracing::error!(
                        bucket = origin.name(),
                        %regression,
                        "an origin went back: its replica here is kept as it is"
                    );
                }
                REGRESSION_PAUSE
            }
            _ => FAILED_PAUSE,
        };
        tracing::debug!(
            bucket = origin.name(),
            error = &error as &dyn std::error::Error,
            "replication starts anew"
        );
        tokio::time::sleep(pause).await;
    }
}

enum Never {}

async fn copy_once(
    origin: &Bucket,
    replica: &Bucket,
    status: &OriginStatus,
) -> Result<Never, ReplicationError> {
    let there = origin.facts().await?.ok_or(ReplicationError::NoOrigin)?;
    let here = replica.facts().await?.ok_or(ReplicationError::NoReplica)?;
    if here.last_sequence == 0
        && here.epoch != there.epoch
        && let Some(epoch) = &there.epoch
    {
        replica.set_epoch(epoch).await?;
    } else if let Some(regression) = regression(origin, replica, &there, &here).await? {
        return Err(ReplicationError::Regression(regression));
    }
    status.on_regression(None);
    status.applied(here.last_sequence);
    pump(origin, replica, here.last_sequence, None, |sequence| {
        status.applied(sequence);
    })
    .await?;
    Err(ReplicationError::NoOrigin)
}

/// Whether, and how, the origin is not a continuation of its replica.
pub(crate) async fn regression(
    origin: &Bucket,
    replica: &Bucket,
    there: &Facts,
    here: &Facts,
) -> Result<Option<Regression>, Error> {
    if here.last_sequence == 0 {
        return Ok(None);
    }
    if here.epoch != there.epoch {
        return Ok(Some(Regression::OtherEpoch));
    }
    if there.last_sequence < here.last_sequence {
        return Ok(Some(Regression::Behind {
            origin: there.last_sequence,
            replica: here.last_sequence,
        }));
    }
    Ok(differs_at(origin, replica, here.last_sequence)
        .await?
        .then_some(Regression::OtherMessage {
            sequence: here.last_sequence,
        }))
}

/// Whether two buckets hold messages of different times at the same sequence. A filler says nothing of time, nor does
/// a message that is superseded already.
pub(crate) async fn differs_at(one: &Bucket, other: &Bucket, sequence: u64) -> Result<bool, Error> {
    let Some(first) = one.at(sequence).await? else {
        return Ok(false);
    };
    let Some(second) = other.at(sequence).await? else {
        return Ok(false);
    };
    let filler =
        |bucket: &Bucket, subject: &str| bucket.below(subject) == Some(crate::subject::GAP);
    if filler(one, &first.subject) || filler(other, &second.subject) {
        return Ok(false);
    }
    Ok(origin_time_ns(&first) != origin_time_ns(&second))
}

/// Asks, again and again, how far the origin is.
async fn measure(origin: Bucket, replica: Bucket, status: Arc<OriginStatus>) {
    let mut interval = tokio::time::interval(MEASURE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let asked = std::time::Instant::now();
        // The origin first: what the replica gets meanwhile makes the lag smaller than it is said to be, not greater.
        let there = origin.system().is_well().then_some(origin.facts());
        let there = match there {
            Some(facts) => facts.await.ok().flatten(),
            None => None,
        };
        if let Ok(Some(here)) = replica.facts().await {
            status.applied(here.last_sequence);
        }
        status.measured(there.map(|facts| facts.last_sequence), asked);
    }
}
