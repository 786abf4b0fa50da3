//! Sees to it that this region's own bucket holds all that it has acknowledged, before it is written.
//!
//! After every new connection the bucket is compared with its replicas in other regions, as far as those can be asked
//! now. If its end is missing, because its disk was lost or an older copy of it was put back, it is pulled back from
//! the replica that holds most; the bucket is not written until then. What an operator has to decide is left alone,
//! said, and also not written.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use starling_kv::Error;
use thiserror::Error as ThisError;
use tokio::sync::Notify;

use crate::bucket::{Bucket, Difference, Facts};
use crate::pump::{PumpError, pump};
use crate::random;
use crate::replicator::differs_at;
use crate::system::System;

/// How long an existing bucket waits for other regions to be asked: they may be cut off, and it must go on alone.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a region that finds no bucket of its own waits for all others, before it asks those that answer.
const SEARCH_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a settled bucket is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Whether a bucket may be written.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The connection on which it was found in order, counted; 0 before.
    connection: AtomicU64,
    /// The last sequence that this host has seen acknowledged.
    acknowledged: AtomicU64,
    /// Why it is not in order, for whoever asks.
    trouble: Mutex<Option<String>>,
    changed: Notify,
}

impl Settled {
    /// Whether the bucket may be written now.
    pub(crate) fn check(&self, system: &System) -> Result<(), Error> {
        system.check()?;
        if self.connection.load(Ordering::Acquire) == system.connections() {
            return Ok(());
        }
        Err(Error::unavailable(self.trouble().unwrap_or_else(|| {
            "the region's bucket is being compared with its replicas".to_owned()
        })))
    }

    /// A write was acknowledged.
    pub(crate) fn acknowledged(&self, sequence: u64) {
        self.acknowledged.fetch_max(sequence, Ordering::Relaxed);
    }

    /// What an operator has to look at, if there is anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        let mut current = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != trouble {
            match &trouble {
                Some(trouble) => tracing::error!(trouble, "the region's bucket is not written"),
                None => tracing::info!("the region's bucket is in order again"),
            }
        }
        *current = trouble;
    }

    /// Waits until the bucket may be written, or there is trouble.
    pub(crate) async fn first_verdict(&self) {
        loop {
            let changed = self.changed.notified();
            if self.connection.load(Ordering::Acquire) > 0 || self.trouble().is_some() {
                return;
            }
            changed.await;
        }
    }
}

/// What is to be done with a bucket before it is written.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Nothing: it holds all that is known of it.
    Settled,
    /// It is to be made, with a new history or with the one that replicas have.
    Create(Option<String>),
    /// It is empty, and belongs to the history that replicas have.
    Adopt(String),
    /// Its end is to be pulled back from this replica.
    PullBack(usize),
    /// There is no bucket, and nobody who could say whether there was one.
    Ask,
    /// A replica has another history, which is not empty; an operator has to decide.
    Diverged(usize),
    /// This host has seen more acknowledged than anybody who can be asked still has.
    Lost { last: u64 },
}

/// Decides by what the bucket and its replicas say; `None` for a replica that cannot be asked, `Some(None)` where
/// there is none.
fn decide(
    local: Option<&Facts>,
    replicas: &[Option<Option<Facts>>],
    new_region: bool,
    acknowledged: u64,
) -> Decision {
    let held = replicas
        .iter()
        .enumerate()
        .filter_map(|(index, answer)| Some((index, answer.as_ref()?.as_ref()?)))
        .filter(|(_, facts)| facts.last_sequence > 0);
    let fullest = held.clone().max_by_key(|(_, facts)| facts.last_sequence);
    let Some(local) = local else {
        return match fullest {
            Some((_, facts)) => Decision::Create(facts.epoch.clone()),
            None if replicas.is_empty() || new_region || replicas.iter().any(Option::is_some) => {
                Decision::Create(None)
            }
            None => Decision::Ask,
        };
    };
    if let Some((_, facts)) = &fullest
        && local.last_sequence == 0
        && local.epoch != facts.epoch
        && let Some(epoch) = &facts.epoch
    {
        return Decision::Adopt(epoch.clone());
    }
    if let Some((index, _)) = held.clone().find(|(_, facts)| facts.epoch != local.epoch) {
        return Decision::Diverged(index);
    }
    match fullest {
        Some((index, facts)) if facts.last_sequence > local.last_sequence => {
            Decision::PullBack(index)
        }
        _ if acknowledged > local.last_sequence => Decision::Lost {
            last: local.last_sequence,
        },
        _ => Decision::Settled,
    }
}

#[derive(Debug, ThisError)]
enum SettleError {
    #[error("a bucket is out of reach")]
    Store(#[from] Error),
    #[error(transparent)]
    Difference(#[from] Difference),
    #[error("the bucket cannot be pulled back from a replica")]
    Pump(#[from] PumpError),
    #[error("no name for a new history")]
    Random(#[from] getrandom::Error),
    #[error("{0}")]
    Operator(String),
    #[error("another look is needed")]
    Again,
}

/// A replica of this region's bucket, in another region.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    pub(crate) region: String,
    pub(crate) bucket: Bucket,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.region)
    }
}

/// Keeps one bucket.
pub(crate) struct Keeper {
    pub(crate) own: Bucket,
    pub(crate) replicas: Vec<Elsewhere>,
    pub(crate) new_region: bool,
    pub(crate) settled: Arc<Settled>,
}

impl Keeper {
    /// Keeps the bucket for ever.
    pub(crate) async fn keep(self) {
        loop {
            self.own.system().connected().await;
            let connection = self.own.system().connections();
            match self.settle().await {
                Ok(()) => {
                    self.settled.set_trouble(None);
                    self.settled.connection.store(connection, Ordering::Release);
                    self.settled.changed.notify_waiters();
                    self.watch(connection).await;
                    self.settled.connection.store(0, Ordering::Release);
                }
                Err(SettleError::Again) => {}
                Err(error) => {
                    if let Some(trouble) = operators(&error) {
                        self.settled.set_trouble(Some(trouble));
                        self.settled.changed.notify_waiters();
                    }
                    tracing::debug!(
                        bucket = self.own.name(),
                        error = &error as &dyn std::error::Error,
                        "not settled"
                    );
                    self.own.system().changed(PAUSE).await;
                }
            }
        }
    }

    /// One look, and what follows from it.
    async fn settle(&self) -> Result<(), SettleError> {
        let local = self.own.verified().await??;
        let patience = match local {
            Some(_) => ASK_PATIENCE,
            None if self.new_region => ASK_PATIENCE,
            None => SEARCH_PATIENCE,
        };
        let answers = self.ask(patience).await;
        let acknowledged = self.settled.acknowledged.load(Ordering::Relaxed);
        match decide(local.as_ref(), &answers, self.new_region, acknowledged) {
            Decision::Settled => self.compare(local.as_ref(), &answers).await,
            Decision::Create(epoch) => {
                let epoch = epoch.map_or_else(random::epoch, Ok)?;
                self.own.create(&epoch).await?;
                Err(SettleError::Again)
            }
            Decision::Adopt(epoch) => {
                self.own.set_epoch(&epoch).await?;
                Err(SettleError::Again)
            }
            Decision::PullBack(index) => {
                let from = &self.replicas[index];
                let (has, wants) = match (&local, &answers[index]) {
                    (Some(local), Some(Some(facts))) => (local.last_sequence, facts.last_sequence),
                    _ => return Err(SettleError::Again),
                };
                if has > 0 && differs_at(&self.own, &from.bucket, has).await? {
                    return Err(diverged(from));
                }
                tracing::error!(
                    bucket = self.own.name(),
                    region = from.region,
                    has,
                    wants,
                    "the bucket has lost its end; pulling it back from a replica"
                );
                pump(&from.bucket, &self.own, has, Some(wants), |_| {}).await?;
                tracing::info!(bucket = self.own.name(), "pulled back");
                Err(SettleError::Again)
            }
            Decision::Ask => Err(SettleError::Operator(
                "there is no bucket here, and no other region can be asked whether there was one; if this region \
                 is new, say new_region = true"
                    .to_owned(),
            )),
            Decision::Diverged(index) => Err(diverged(&self.replicas[index])),
            Decision::Lost { last } => {
                tracing::error!(
                    bucket = self.own.name(),
                    acknowledged,
                    last,
                    "NATS has lost writes that it had acknowledged, and no region that answers has them"
                );
                self.settled.acknowledged.store(last, Ordering::Relaxed);
                Err(SettleError::Again)
            }
        }
    }

    /// Asks each replica, within this time; `None` for one that does not answer.
    async fn ask(&self, patience: Duration) -> Vec<Option<Option<Facts>>> {
        let asked = self.replicas.iter().map(|replica| async {
            let answer = async {
                replica.bucket.system().connected().await;
                replica.bucket.facts().await.ok()
            };
            tokio::time::timeout(patience, answer).await.ok().flatten()
        });
        join_all(asked).await
    }

    /// Whether each replica that answers holds what the bucket holds at the replica's end.
    async fn compare(
        &self,
        local: Option<&Facts>,
        answers: &[Option<Option<Facts>>],
    ) -> Result<(), SettleError> {
        let last = local.map_or(0, |facts| facts.last_sequence);
        for (replica, answer) in self.replicas.iter().zip(answers) {
            let Some(Some(facts)) = answer else { continue };
            let at = facts.last_sequence.min(last);
            let compared = differs_at(&self.own, &replica.bucket, at);
            // A region that cannot be asked after all is as good as one that did not answer.
            if at > 0
                && matches!(
                    tokio::time::timeout(ASK_PATIENCE, compared).await,
                    Ok(Ok(true))
                )
            {
                return Err(diverged(replica));
            }
        }
        Ok(())
    }

    /// Returns when the bucket is to be looked at anew: another connection, or less than was acknowledged.
    async fn watch(&self, connection: u64) {
        let system = self.own.system();
        loop {
            system.changed(WATCH_INTERVAL).await;
            if system.connections() != connection {
                return;
            }
            let acknowledged = self.settled.acknowledged.load(Ordering::Relaxed);
            match self.own.facts().await {
                Ok(Some(facts)) if facts.last_sequence >= acknowledged => {}
                Ok(_) => return,
                // Nobody can write either.
                Err(_) => {}
            }
        }
    }
}

fn diverged(replica: &Elsewhere) -> SettleError {
    SettleError::Operator(format!(
        "region {replica} holds a replica of another history of this bucket; \
         see \"A region that went back\" in docs/regions.md"
    ))
}

/// What of an error is for an operator, and does not pass by itself.
fn operators(error: &SettleError) -> Option<String> {
    match error {
        SettleError::Difference(_) | SettleError::Operator(_) => Some(error.to_string()),
        SettleError::Store(Error::Full) => Some("NATS has no space left".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(epoch: &str, last_sequence: u64) -> Facts {
        Facts {
            epoch: Some(epoch.to_owned()),
            last_sequence,
        }
    }

    fn check(local: Option<Facts>, replicas: &[Option<Option<Facts>>], expected: Decision) {
        assert_eq!(decide(local.as_ref(), replicas, false, 0), expected);
    }

    #[test]
    fn a_bucket_that_is_ahead_of_its_replicas_is_in_order() {
        let replicas = [Some(Some(facts("a", 7))), None, Some(None)];
        check(Some(facts("a", 9)), &replicas, Decision::Settled);
        check(Some(facts("a", 7)), &replicas, Decision::Settled);
        check(Some(facts("a", 9)), &[None, None], Decision::Settled);
        check(Some(facts("a", 0)), &[], Decision::Settled);
    }

    #[test]
    fn an_end_that_is_missing_is_pulled_back_from_the_fullest() {
        let replicas = [Some(Some(facts("a", 7))), Some(Some(facts("a", 9)))];
        check(Some(facts("a", 5)), &replicas, Decision::PullBack(1));
        check(Some(facts("a", 8)), &replicas, Decision::PullBack(1));
        check(Some(facts("a", 0)), &replicas, Decision::PullBack(1));
    }

    #[test]
    fn a_bucket_that_is_gone_continues_its_history() {
        let replicas = [None, Some(Some(facts("a", 9)))];
        check(None, &replicas, Decision::Create(Some("a".to_owned())));
        check(
            Some(facts("b", 0)),
            &replicas,
            Decision::Adopt("a".to_owned()),
        );
    }

    #[test]
    fn a_new_region_begins_once_another_says_that_it_is_new() {
        check(None, &[Some(None), None], Decision::Create(None));
        check(None, &[Some(Some(facts("", 0)))], Decision::Create(None));
        check(None, &[], Decision::Create(None));
        check(None, &[None, None], Decision::Ask);
        assert_eq!(decide(None, &[None], true, 0), Decision::Create(None));
    }

    #[test]
    fn two_histories_are_an_operators_business() {
        let replicas = [Some(Some(facts("a", 9)))];
        check(Some(facts("b", 3)), &replicas, Decision::Diverged(0));
        check(Some(facts("b", 30)), &replicas, Decision::Diverged(0));
    }

    #[test]
    fn what_was_acknowledged_and_nobody_has_is_said_to_be_lost() {
        let local = facts("a", 5);
        let lost = Decision::Lost { last: 5 };
        assert_eq!(decide(Some(&local), &[None], false, 6), lost);
        let replicas = [Some(Some(facts("a", 6)))];
        assert_eq!(
            decide(Some(&local), &replicas, false, 6),
            Decision::PullBack(0)
        );
    }
}
