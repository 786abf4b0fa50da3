//! What other regions hold of this region's bucket, for acknowledgements that wait for a second region.

use std::sync::Arc;
use std::time::Duration;

use starling_kv::Error;
use tokio::sync::watch;

use crate::bucket::Bucket;
use crate::system::Link;
use crate::tail::{Payload, Tail, TailError, Tailed};
use crate::tasks::Tasks;

/// How long a write waits for a second region: less than the time after which hosts give up on a store.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait before a replica is looked at again.
const PAUSE: Duration = Duration::from_millis(250);

/// The greatest sequence of this region's bucket that any other region holds.
#[derive(Debug)]
pub(crate) struct Geo(watch::Receiver<u64>);

impl Geo {
    /// Looks at these replicas of one bucket, in other regions' systems, for as long as the tasks last.
    pub(crate) fn watch(replicas: Vec<Bucket>, tasks: &Tasks) -> Self {
        let (held, receiver) = watch::channel(0);
        for replica in replicas {
            tasks.spawn(look_on(replica, held.clone()));
        }
        Self(receiver)
    }

    /// Waits until a second region holds this sequence.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] after a bounded time. The write is in this region all the same, and may be in others.
    pub(crate) async fn wait(&self, sequence: u64) -> Result<(), Error> {
        let mut held = self.0.clone();
        let reached = held.wait_for(|held| *held >= sequence);
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(Error::Timeout),
        }
    }
}

async fn look_on(replica: Bucket, held: watch::Sender<u64>) {
    loop {
        let link = replica.system().connected().await;
        if let Err(error) = look(&replica, &link, &held).await {
            tracing::debug!(
                bucket = replica.name(),
                error = &error as &dyn std::error::Error,
                "a replica is out of sight"
            );
        }
        replica.system().changed(PAUSE).await;
    }
}

async fn look(
    replica: &Bucket,
    link: &Arc<Link>,
    held: &watch::Sender<u64>,
) -> Result<(), TailError> {
    let raise = |sequence: u64| {
        held.send_if_modified(|held| {
            let higher = sequence > *held;
            *held = sequence.max(*held);
            higher
        });
    };
    let facts = replica
        .facts(link)
        .await
        .map_err(|error| TailError::NotOpened(error.into()))?
        .ok_or(TailError::Missing)?;
    let mut tail = Tail::open(replica, link, facts.last_sequence + 1, Payload::HeadersOnly).await?;
    raise(facts.last_sequence);
    loop {
        if let Tailed::Message(delivery) = tail.next().await? {
            raise(delivery.sequence);
        }
    }
}
