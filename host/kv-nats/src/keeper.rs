//! Sees to it that this region's own bucket holds all that it has acknowledged, before it is written.
//!
//! After every new connection the bucket is compared with its replicas in other regions, as far as those can be asked
//! now. If its end is missing, because its disk was lost or an older copy of it was put back, it is pulled back from
//! the replica that holds most; the bucket is neither written nor read until then. A region that cannot be asked is
//! compared later, as soon as it can be. What an operator has to decide is left alone, said, and not written.

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
use crate::comparison::difference;
use crate::pump::{Linked, PumpError, pump};
use crate::random;
use crate::system::{Link, System};

/// How long an existing bucket waits for other regions to be asked: they may be cut off, and it must go on alone.
/// A region that has been away for as long already is not waited for at all.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a region that finds no bucket of its own waits for all others, before it goes by those that answer.
const SEARCH_PATIENCE: Duration = Duration::from_secs(5);

/// How long a replica's messages may take to be compared.
const COMPARE_PATIENCE: Duration = Duration::from_secs(1);

/// How often a bucket has to be found to have lost what nobody has, before that is believed: a new leader of several
/// copies may need a moment to have all of it.
const LOOKS_LOST: u32 = 4;

/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a settled bucket is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Whether a bucket may be read and written.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The connection on which it was found in order; 0 for none.
    settled: AtomicU64,
    /// The connection on which it is as much in order as it can be without an operator; 0 for none.
    readable: AtomicU64,
    /// The last sequence that this host has seen acknowledged.
    acknowledged: AtomicU64,
    /// Why it is not in order, for whoever asks.
    trouble: Mutex<Option<String>>,
    changed: Notify,
}

impl Settled {
    /// The connection, if the bucket may be written over it.
    pub(crate) fn to_write(&self, system: &System) -> Result<Arc<Link>, Error> {
        self.over(&self.settled, system)
    }

    /// The connection, if the bucket may be read over it: not while an end that it has lost is being pulled back, or
    /// what was acknowledged would seem to be gone.
    pub(crate) fn to_read(&self, system: &System) -> Result<Arc<Link>, Error> {
        self.over(&self.readable, system)
    }

    fn over(&self, connection: &AtomicU64, system: &System) -> Result<Arc<Link>, Error> {
        let link = system.well()?;
        if connection.load(Ordering::Acquire) == link.number() {
            return Ok(link);
        }
        Err(Error::unavailable(self.trouble().unwrap_or_else(|| {
            "the region's bucket is being compared with its replicas".to_owned()
        })))
    }

    /// A write was acknowledged.
    pub(crate) fn acknowledged(&self, sequence: u64) {
        self.acknowledged.fetch_max(sequence, Ordering::Relaxed);
    }

    /// It was found in order over this connection.
    fn settle(&self, link: &Link) {
        self.set_trouble(None);
        self.readable.store(link.number(), Ordering::Release);
        self.settled.store(link.number(), Ordering::Release);
        self.changed.notify_waiters();
    }

    /// It has to be looked at anew.
    fn unsettle(&self) {
        self.settled.store(0, Ordering::Release);
        self.readable.store(0, Ordering::Release);
    }

    /// It was found, over this connection, to be an operator's business.
    fn trouble_on(&self, link: &Link, trouble: String) {
        self.set_trouble(Some(trouble));
        self.readable.store(link.number(), Ordering::Release);
        self.changed.notify_waiters();
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
            if self.settled.load(Ordering::Acquire) > 0 || self.trouble().is_some() {
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
    Create(Option<History>),
    /// It is empty, and belongs to the history that replicas have.
    Adopt(History),
    /// Its end is to be pulled back from this replica.
    PullBack(usize),
    /// Its history is known to reach further, and nobody who answers has the rest.
    Incomplete {
        /// Up to where.
        reaches: u64,
    },
    /// There is no bucket, and nobody who could say whether there was one.
    Ask,
    /// A replica has another history, which is not empty; an operator has to decide.
    Diverged(usize),
    /// This host has seen more acknowledged than anybody has: all have been asked.
    Lost {
        /// What is left.
        last: u64,
    },
}

/// A history, and how far it is known to reach.
#[derive(Debug, PartialEq, Eq)]
struct History {
    epoch: String,
    reaches: u64,
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
    let history = fullest.and_then(|(_, facts)| {
        Some(History {
            epoch: facts.epoch.clone()?,
            reaches: facts.last_sequence,
        })
    });
    let Some(local) = local else {
        return match history {
            Some(history) => Decision::Create(Some(history)),
            None if replicas.is_empty() || new_region || replicas.iter().any(Option::is_some) => {
                Decision::Create(None)
            }
            None => Decision::Ask,
        };
    };
    match history {
        Some(history)
            if local.last_sequence == 0 && local.epoch.as_ref() != Some(&history.epoch) =>
        {
            return Decision::Adopt(history);
        }
        _ => {}
    }
    if let Some((index, _)) = held.clone().find(|(_, facts)| facts.epoch != local.epoch) {
        return Decision::Diverged(index);
    }
    let last = local.last_sequence;
    match fullest {
        Some((index, facts)) if facts.last_sequence > last => Decision::PullBack(index),
        _ if local.reaches.max(acknowledged) <= last => Decision::Settled,
        _ if local.reaches <= last && replicas.iter().all(Option::is_some) => {
            Decision::Lost { last }
        }
        _ => Decision::Incomplete {
            reaches: local.reaches.max(acknowledged),
        },
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
    #[error("NATS does not have what it had acknowledged")]
    Lost,
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

/// What a replica says of itself: `None` of the facts where there is none.
struct Answer {
    replica: Linked,
    facts: Option<Facts>,
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
        let mut looks_lost = 0;
        loop {
            let own = Linked {
                link: self.own.system().connected().await,
                bucket: self.own.clone(),
            };
            let looked = match self.settle(&own, &mut looks_lost).await {
                Ok(unasked) => {
                    looks_lost = 0;
                    self.settled.settle(&own.link);
                    let watched = self.watch(&own, unasked).await;
                    self.settled.unsettle();
                    watched
                }
                Err(error) => Err(error),
            };
            let Err(error) = looked else { continue };
            if matches!(error, SettleError::Again) {
                continue;
            }
            tracing::debug!(
                bucket = self.own.name(),
                error = &error as &dyn std::error::Error,
                "not settled"
            );
            if let Some(trouble) = operators(&error) {
                self.settled.trouble_on(&own.link, trouble);
            }
            let _ = tokio::time::timeout(PAUSE, own.link.lost()).await;
        }
    }

    /// One look, and what follows from it. Answers which replicas could not be compared.
    async fn settle(&self, own: &Linked, looks_lost: &mut u32) -> Result<Vec<usize>, SettleError> {
        let known = own.bucket.verified(&own.link).await??;
        let patience = match known {
            Some(_) => ASK_PATIENCE,
            None if self.new_region => ASK_PATIENCE,
            None => SEARCH_PATIENCE,
        };
        let answers = self.ask(patience).await;
        // After the replicas: what they have, the bucket had before. Others may be writing it.
        let acknowledged = self.settled.acknowledged.load(Ordering::Relaxed);
        let local = own.bucket.verified(&own.link).await??;
        let facts: Vec<_> = answers
            .iter()
            .map(|answer| answer.as_ref().map(|answer| answer.facts.clone()))
            .collect();
        match decide(local.as_ref(), &facts, self.new_region, acknowledged) {
            Decision::Settled => self.compare(own, &answers).await,
            Decision::Create(history) => {
                let History { epoch, reaches } = match history {
                    Some(history) => history,
                    None => History {
                        epoch: random::epoch()?,
                        reaches: 0,
                    },
                };
                own.bucket.create(&own.link, &epoch, reaches).await?;
                Err(SettleError::Again)
            }
            Decision::Adopt(History { epoch, reaches }) => {
                own.bucket.set_history(&own.link, &epoch, reaches).await?;
                Err(SettleError::Again)
            }
            Decision::PullBack(index) => match (&local, &answers[index]) {
                (Some(local), Some(answer)) => {
                    self.pull_back(own, local, index, answer).await?;
                    Err(SettleError::Again)
                }
                _ => Err(SettleError::Again),
            },
            Decision::Incomplete { reaches } => Err(SettleError::Operator(format!(
                "the bucket ends at {}, and its history reaches {reaches}: the end has to be pulled back from a \
                 region that does not answer now",
                local.map_or(0, |facts| facts.last_sequence),
            ))),
            Decision::Ask => Err(SettleError::Operator(
                "there is no bucket here, and no other region can be asked whether there was one; if this region \
                 is new, say new_region = true"
                    .to_owned(),
            )),
            Decision::Diverged(index) => Err(diverged(&self.replicas[index])),
            Decision::Lost { last } => {
                *looks_lost += 1;
                if *looks_lost < LOOKS_LOST {
                    return Err(SettleError::Lost);
                }
                tracing::error!(
                    bucket = self.own.name(),
                    acknowledged,
                    last,
                    "NATS has lost writes that it had acknowledged, and no region has them"
                );
                self.settled.acknowledged.store(last, Ordering::Relaxed);
                Err(SettleError::Again)
            }
        }
    }

    /// Gets the end of the bucket back from a replica.
    async fn pull_back(
        &self,
        own: &Linked,
        local: &Facts,
        index: usize,
        answer: &Answer,
    ) -> Result<(), SettleError> {
        let replica = &self.replicas[index];
        let has = local.last_sequence;
        let wants = answer.facts.as_ref().map_or(0, |facts| facts.last_sequence);
        if difference(&answer.replica, own, has).await?.is_some() {
            return Err(diverged(replica));
        }
        tracing::error!(
            bucket = self.own.name(),
            region = replica.region,
            has,
            wants,
            "the bucket has lost its end; pulling it back from a replica"
        );
        // If this breaks off, whoever goes on has to know how far to go, also if nobody can be asked then.
        if local.reaches < wants {
            let epoch = local.epoch.as_deref().unwrap_or_default();
            own.bucket.set_history(&own.link, epoch, wants).await?;
        }
        pump(&answer.replica, own, has, Some(wants), |_| {}).await?;
        tracing::info!(bucket = self.own.name(), "pulled back");
        Ok(())
    }

    /// Asks each replica, within this time; `None` for one that does not answer. One whose system has been away for
    /// as long already is not waited for.
    async fn ask(&self, patience: Duration) -> Vec<Option<Answer>> {
        let asked = self.replicas.iter().map(|replica| async {
            let answer = async {
                let system = replica.bucket.system();
                let link = system.connected_within(patience).await?;
                if patience <= ASK_PATIENCE {
                    system.well().ok()?;
                }
                answer(replica, link).await
            };
            tokio::time::timeout(patience, answer).await.ok().flatten()
        });
        join_all(asked).await
    }

    /// Whether the bucket continues what each replica holds; which replicas do not say.
    async fn compare(
        &self,
        own: &Linked,
        answers: &[Option<Answer>],
    ) -> Result<Vec<usize>, SettleError> {
        let compared = answers.iter().map(|answer| async {
            match answer {
                Some(answer) => continues(own, answer).await,
                None => None,
            }
        });
        let compared = join_all(compared).await;
        if let Some(index) = compared.iter().position(|&held| held == Some(false)) {
            return Err(diverged(&self.replicas[index]));
        }
        let unasked = compared.iter().enumerate();
        let unasked = unasked.filter(|(_, compared)| compared.is_none());
        Ok(unasked.map(|(index, _)| index).collect())
    }

    /// Returns when the bucket is to be looked at anew: the connection is lost, there is less than was acknowledged, or
    /// a replica that could not be asked at first has more. An error is what that replica has otherwise.
    async fn watch(&self, own: &Linked, mut unasked: Vec<usize>) -> Result<(), SettleError> {
        loop {
            let interval = match unasked.is_empty() {
                true => WATCH_INTERVAL,
                false => PAUSE,
            };
            if tokio::time::timeout(interval, own.link.lost())
                .await
                .is_ok()
            {
                return Ok(());
            }
            let mut asked = Vec::new();
            for &index in &unasked {
                if let Ok(link) = self.replicas[index].bucket.system().well()
                    && let Some(answer) = answer(&self.replicas[index], link).await
                {
                    asked.push((index, answer));
                }
            }
            let acknowledged = self.settled.acknowledged.load(Ordering::Relaxed);
            // Without an answer nobody can write either.
            let Ok(local) = own.bucket.facts(&own.link).await else {
                continue;
            };
            let facts: Vec<_> = asked
                .iter()
                .map(|(_, answer)| Some(answer.facts.clone()))
                .collect();
            match decide(local.as_ref(), &facts, false, acknowledged) {
                Decision::Settled => {}
                _ => return Ok(()),
            }
            for (index, answer) in asked {
                match continues(own, &answer).await {
                    Some(true) => unasked.retain(|&other| other != index),
                    Some(false) => return Err(diverged(&self.replicas[index])),
                    None => {}
                }
            }
        }
    }
}

async fn answer(replica: &Elsewhere, link: Arc<Link>) -> Option<Answer> {
    let facts = replica.bucket.facts(&link).await.ok()?;
    let bucket = replica.bucket.clone();
    Some(Answer {
        replica: Linked { bucket, link },
        facts,
    })
}

/// Whether the bucket continues what a replica holds, which ends no later; `None` where it cannot be found out now.
async fn continues(own: &Linked, answer: &Answer) -> Option<bool> {
    let end = answer.facts.as_ref().map_or(0, |facts| facts.last_sequence);
    let compared = difference(own, &answer.replica, end);
    match tokio::time::timeout(COMPARE_PATIENCE, compared).await {
        Ok(Ok(difference)) => Some(difference.is_none()),
        // A region that cannot be asked after all is as good as one that did not answer.
        Ok(Err(_)) | Err(_) => None,
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
            reaches: 0,
        }
    }

    fn history(epoch: &str, reaches: u64) -> History {
        History {
            epoch: epoch.to_owned(),
            reaches,
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
        check(None, &replicas, Decision::Create(Some(history("a", 9))));
        check(
            Some(facts("b", 0)),
            &replicas,
            Decision::Adopt(history("a", 9)),
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
        let decided = |replicas: &[Option<Option<Facts>>]| decide(Some(&local), replicas, false, 6);
        assert_eq!(decided(&[Some(None)]), Decision::Lost { last: 5 });
        assert_eq!(decided(&[]), Decision::Lost { last: 5 });
        let replicas = [Some(Some(facts("a", 6)))];
        assert_eq!(decided(&replicas), Decision::PullBack(0));
        // Somebody who cannot be asked may have it.
        assert_eq!(
            decided(&[Some(None), None]),
            Decision::Incomplete { reaches: 6 }
        );
    }

    #[test]
    fn bucket_that_is_half_pulled_back_is_not_written_alone() {
        let local = Facts {
            reaches: 9,
            ..facts("a", 5)
        };
        check(
            Some(local.clone()),
            &[None],
            Decision::Incomplete { reaches: 9 },
        );
        let replicas = [Some(Some(facts("a", 7))), None];
        check(Some(local), &replicas, Decision::PullBack(0));
        let whole = Facts {
            reaches: 9,
            ..facts("a", 9)
        };
        check(Some(whole), &[None], Decision::Settled);
    }
}
