//! Keeps the replica of one other region's bucket: any host runs it, several at once, and none leads.
//!
//! Where two of a region's hosts replicate the same bucket, the one that is behind is refused, waits a while, and
//! starts from where the replica is by then. So one of them does the work at any time, and the other takes over within
//! seconds of its end.

use std::sync::Arc;
use std::time::Duration;

use starling_kv::Error;
use thiserror::Error as ThisError;
use tokio::sync::Notify;

use crate::bucket::{Bucket, Difference, Facts};
use crate::comparison::difference;
use crate::pump::{Linked, PumpError, pump};
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

/// Why replication has ended, for the moment.
#[derive(Debug, ThisError)]
enum ReplicationError {
    /// One of the two systems does not answer.
    #[error("a bucket is out of reach")]
    Store(#[from] Error),
    /// The replica's stream is not as it has to be.
    #[error(transparent)]
    Difference(#[from] Difference),
    /// The origin has never been written.
    #[error("the origin has no bucket yet")]
    NoOrigin,
    /// The replica holds what its origin does not.
    #[error("the origin is not where its replica is: {0}")]
    Regression(Regression),
    /// The replica holds less than it did.
    #[error("the replica has lost what was written to it")]
    Shrunk,
    /// Copying broke off.
    #[error(transparent)]
    Pump(#[from] PumpError),
}

/// Replicates for ever.
pub(crate) async fn replicate(origin: Bucket, replica: Bucket, status: Arc<OriginStatus>) {
    let shrunk = Notify::new();
    let copied = async {
        // It is read before its origin has ever answered.
        prepare(replica.clone()).await;
        copy(&origin, &replica, &status, &shrunk).await;
    };
    tokio::join!(copied, measure(&origin, &replica, &status, &shrunk));
}

/// Sees to it that the replica has a stream.
pub(crate) async fn prepare(replica: Bucket) {
    loop {
        let here = Linked {
            link: replica.system().connected().await,
            bucket: replica.clone(),
        };
        match prepared(&here).await {
            Ok(_) => return,
            Err(error @ ReplicationError::Difference(_)) => {
                tracing::error!(%error, "a replica is not used");
            }
            Err(error) => tracing::warn!(
                bucket = replica.name(),
                error = &error as &dyn std::error::Error,
                "a replica cannot be made"
            ),
        }
        tokio::time::sleep(FAILED_PAUSE).await;
    }
}

async fn copy(origin: &Bucket, replica: &Bucket, status: &OriginStatus, shrunk: &Notify) {
    loop {
        let there = Linked {
            link: origin.system().connected().await,
            bucket: origin.clone(),
        };
        let here = Linked {
            link: replica.system().connected().await,
            bucket: replica.clone(),
        };
        let copied = tokio::select! {
            copied = copy_once(&there, &here, status) => copied,
            () = shrunk.notified() => Err(ReplicationError::Shrunk),
        };
        let error = match copied {
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
    origin: &Linked,
    replica: &Linked,
    status: &OriginStatus,
) -> Result<Never, ReplicationError> {
    let here = prepared(replica).await?;
    // What this host knows of a replica that has lost its disk is not true any more.
    status.restarts_at(here.last_sequence);
    let there = origin.bucket.facts(&origin.link).await?;
    let there = there.ok_or(ReplicationError::NoOrigin)?;
    if here.last_sequence == 0
        && here.epoch != there.epoch
        && let Some(epoch) = &there.epoch
    {
        replica.bucket.set_history(&replica.link, epoch, 0).await?;
    } else if let Some(regression) = regression(origin, replica, &there, &here).await? {
        return Err(ReplicationError::Regression(regression));
    }
    status.on_regression(None);
    pump(origin, replica, here.last_sequence, None, |sequence| {
        status.applied(sequence);
    })
    .await?;
    Err(ReplicationError::NoOrigin)
}

/// What the replica says of itself. Where it has no stream, it gets one, empty.
async fn prepared(replica: &Linked) -> Result<Facts, ReplicationError> {
    loop {
        if let Some(facts) = replica.bucket.verified(&replica.link).await?? {
            return Ok(facts);
        }
        // Its history is that of its origin, once that is known.
        replica.bucket.create(&replica.link, "", 0).await?;
    }
}

/// Whether, and how, the origin is not a continuation of its replica.
async fn regression(
    origin: &Linked,
    replica: &Linked,
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
    let difference = difference(origin, replica, here.last_sequence).await?;
    Ok(difference.map(|sequence| Regression::OtherMessage { sequence }))
}

/// Asks, again and again, how far the origin is, and the replica. Says so where the replica has shrunk: while its origin
/// is not written, nothing else would tell.
async fn measure(origin: &Bucket, replica: &Bucket, status: &OriginStatus, shrunk: &Notify) {
    let mut interval = tokio::time::interval(MEASURE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let asked = std::time::Instant::now();
        // The origin first: what the replica gets meanwhile makes the lag smaller than it is said to be, not greater.
        let there = last_sequence(origin).await;
        let had = status.report().applied;
        if let Some(here) = last_sequence(replica).await {
            if here < had {
                shrunk.notify_waiters();
            }
            status.applied(here);
        }
        status.measured(there, asked);
    }
}

/// How far a bucket is, where its system answers; one that is not there yet is at its beginning.
async fn last_sequence(bucket: &Bucket) -> Option<u64> {
    let link = bucket.system().well().ok()?;
    let facts = bucket.facts(&link).await.ok()?;
    Some(facts.map_or(0, |facts| facts.last_sequence))
}
