//! The rollouts of one component.
//!
//! # What ruled
//!
//! The versions that ruled lie one on another: each host's own at the bottom, and on it that of each rollout that was done,
//! in the order of the rollouts. The topmost rules. A version on itself counts once. A rollback takes the topmost away, so
//! that the next one goes one further back, and not forth to what the first one went away from. Two operators who roll
//! back at the same time, each without knowing of the other, take away one version: a rollback names the version that
//! it goes to, and that one is the topmost after it in any case.
//!
//! # Forgetting
//!
//! The rollouts below a [`Floor`] are forgotten, and of what they decided the floor keeps as much as is still needed:
//! which versions ruled. That is safe under the join, because a floor only rises, and is joined before the rollouts are:
//!
//! - of two floors the greater one holds, as a whole (a total order, so a semilattice);
//! - the rollouts are the union of both sides, without those below the joined floor. To leave out what lies below the
//!   greatest floor in sight gives the same whether it is done once at the end or at every join, so the laws hold;
//! - a rollout that some region still has comes back in no other: it is below the floor there too.
//!
//! A region that was cut off while more than [`ROLLOUTS_MAX`] rollouts of a component were created may know something of
//! one of them that the floor forgot, a revert for instance. It is too late then, everywhere alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_mailbox::Join;

use crate::{Digest, Rollout, RolloutId};

/// How many rollouts of a component are kept when a new one is created.
pub const ROLLOUTS_MAX: usize = 16;

/// How many of the versions that ruled below the floor are kept: one to be the base, and one to roll back to. What lies
/// below these cannot be gone back to.
const RULED_KEPT: usize = 2;

/// Below which rollout everything is forgotten, and what is remembered of it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Floor {
    /// The smallest rollout that is kept.
    pub rollout: RolloutId,
    /// The topmost of the versions that ruled below, in order, at most two; none: each host's own.
    pub ruled: Vec<Option<Digest>>,
}

/// The rollouts of one component, as far as they are not forgotten.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Stored")]
pub struct History {
    /// What is forgotten.
    pub floor: Option<Floor>,
    /// The rollouts, none of which is below the floor.
    pub rollouts: BTreeMap<RolloutId, Rollout>,
}

/// A [`History`] as it lies in a store, whoever wrote it.
#[derive(Deserialize)]
struct Stored {
    floor: Option<Floor>,
    rollouts: BTreeMap<RolloutId, Rollout>,
}

impl From<Stored> for History {
    fn from(Stored { floor, rollouts }: Stored) -> Self {
        let mut history = Self { floor, rollouts };
        history.forget();
        history
    }
}

impl Join for History {
    fn join(&mut self, other: Self) {
        self.floor = self.floor.take().max(other.floor);
        self.rollouts.join(other.rollouts);
        self.forget();
    }
}

impl History {
    /// Drops what is below the floor.
    fn forget(&mut self) {
        if let Some(floor) = &self.floor {
            self.rollouts = self.rollouts.split_off(&floor.rollout);
        }
    }

    /// The greatest rollout: the one that counts.
    pub(crate) fn current(&self) -> Option<(&RolloutId, &Rollout)> {
        self.rollouts.last_key_value()
    }

    /// The versions that ruled before the rollout `below` (none: by now), as far as they are not forgotten, the topmost
    /// last. A version that is none is each host's own.
    pub(crate) fn ruled(&self, below: Option<&RolloutId>) -> Vec<Option<Digest>> {
        let forgotten = self.floor.as_ref().map(|floor| floor.ruled.clone());
        let mut ruled = forgotten.unwrap_or_else(|| vec![None]);
        let rollouts = self.rollouts.iter();
        let before = rollouts.take_while(|(id, _)| below.is_none_or(|below| *id < below));
        for (_, rollout) in before.filter(|(_, rollout)| rollout.rules()) {
            if rollout.spec.rollback {
                ruled.pop();
            }
            if ruled.last() != Some(&rollout.spec.digest) {
                ruled.push(rollout.spec.digest);
            }
        }
        ruled
    }

    /// The floor above which [`ROLLOUTS_MAX`] rollouts are left, if there are more.
    pub(crate) fn floor_when_full(&self) -> Option<Floor> {
        let (lowest_kept, _) = self.rollouts.iter().nth_back(ROLLOUTS_MAX - 1)?;
        let (lowest, _) = self.rollouts.first_key_value()?;
        (lowest < lowest_kept).then(|| {
            let mut ruled = self.ruled(Some(lowest_kept));
            let first_kept = ruled.len().saturating_sub(RULED_KEPT);
            Floor {
                rollout: lowest_kept.clone(),
                ruled: ruled.split_off(first_kept),
            }
        })
    }
}
