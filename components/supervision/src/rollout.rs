//! One rollout: what was asked for, and how far it is.

use serde::{Deserialize, Serialize};
use starling_mailbox::{Join, Region};

use crate::plan::{self, Place};
use crate::{Digest, End, EndKind, Fleet, Heartbeat, Step, Strategy};

/// The share of the canary step unless another is asked for, in per cent.
pub const CANARY_PERCENT_DEFAULT: u8 = 5;

/// How long a step is watched unless another time is asked for.
pub const STEP_MS_DEFAULT: u64 = 60_000;

/// The shortest time that a step may be watched.
pub const STEP_MS_MIN: u64 = 1_000;

/// The longest time that a step may be watched: a day.
pub const STEP_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// What an operator asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// The version that is to serve; none: that of each host's own manifest.
    pub digest: Option<Digest>,
    /// How it comes into the fleet.
    pub strategy: Strategy,
    /// Whether each step but the last waits for an operator's approval.
    pub gate: bool,
    /// The share of the canary step, in per cent.
    pub canary_percent: u8,
    /// How long a step is watched.
    pub step_ms: u64,
    /// Whether it brings back what ruled before: see [`Spec::rollback`]. Strategy and gate do not matter then.
    pub rollback: bool,
}

/// Why nothing can be rolled out as asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidDraft {
    /// `canary_percent` is out of its bounds.
    #[error("the canary step takes 1 to 100 per cent, not {0}")]
    CanaryPercent(u8),
    /// `step_ms` is out of its bounds.
    #[error("a step takes {STEP_MS_MIN} to {STEP_MS_MAX} ms, not {0}")]
    StepMs(u64),
}

/// What was asked for, with the steps that it takes in the fleet as it was then. Never changes.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Spec {
    /// The version that is to serve; none: that of each host's own manifest.
    pub digest: Option<Digest>,
    /// How it comes into the fleet.
    pub strategy: Strategy,
    /// Whether each step but the last waits for an operator's approval.
    pub gate: bool,
    /// The share of the canary step, in per cent.
    pub canary_percent: u8,
    /// How long a step is watched.
    pub step_ms: u64,
    /// The steps, in order; at least one.
    pub steps: Vec<Step>,
    /// Whether it brings back what ruled before. A rollback rules from the moment it is entered, goes to all hosts at once
    /// ([`Strategy::All`]), lasts until every host that is alive has it, and is compared with nothing: what it takes the
    /// place of is no measure. Not written by releases that know of none.
    #[serde(default)]
    pub rollback: bool,
}

impl Spec {
    /// The spec of a rollout that is created in `region`, for the hosts that are there now: those that are out follow
    /// with the last step.
    ///
    /// # Errors
    ///
    /// [`InvalidDraft`] if a number is out of its bounds.
    pub fn plan(draft: Draft, region: &Region, fleet: &Fleet) -> Result<Self, InvalidDraft> {
        let Draft {
            digest,
            strategy,
            gate,
            canary_percent,
            step_ms,
            rollback,
        } = draft;
        let (strategy, gate) = if rollback {
            (Strategy::All, false)
        } else {
            (strategy, gate)
        };
        if !(1..=100).contains(&canary_percent) {
            return Err(InvalidDraft::CanaryPercent(canary_percent));
        }
        if !(STEP_MS_MIN..=STEP_MS_MAX).contains(&step_ms) {
            return Err(InvalidDraft::StepMs(step_ms));
        }
        let places = fleet.not_out().map(Heartbeat::place);
        Ok(Self {
            digest,
            strategy,
            gate,
            canary_percent,
            step_ms,
            steps: plan::steps(strategy, canary_percent, region, places),
            rollback,
        })
    }
}

/// The step that a rollout is in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Progress {
    /// Which step, from 0.
    pub step: u32,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// The later step holds, since when it was first entered.
impl Join for Progress {
    fn join(&mut self, other: Self) {
        if (other.step, self.since_ms) > (self.step, other.since_ms) {
            *self = other;
        }
    }
}

/// A rollout of a component.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rollout {
    /// What was asked for.
    pub spec: Spec,
    /// How far it is.
    pub progress: Progress,
    /// The greatest step that an operator has approved of, if any.
    pub approved: Option<u32>,
    /// How it ended, if it did.
    pub ended: Option<End>,
}

/// Field by field. Two specs under one id should not exist; should they, the greater one holds.
impl Join for Rollout {
    fn join(&mut self, other: Self) {
        if other.spec > self.spec {
            self.spec = other.spec;
        }
        self.progress.join(other.progress);
        self.approved = self.approved.max(other.approved);
        self.ended.join(other.ended);
    }
}

/// Where a rollout stands, for operators.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RolloutState {
    /// A small share of requests goes to the new version, on some hosts.
    Canary,
    /// Zone by zone takes the new version.
    Ramping,
    /// The next step waits for an operator's approval.
    Waiting,
    /// The new version serves everywhere.
    Done,
    /// A regression or a refusal has brought the old version back.
    Reverted,
    /// An operator has brought the old version back.
    Aborted,
    /// A later rollout of the same component took its place.
    Superseded,
}

impl RolloutState {
    /// The name that operators know it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Ramping => "ramping",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Reverted => "reverted",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }
}

impl Rollout {
    /// A rollout that begins at `now_ms`, milliseconds since the Unix epoch.
    pub(crate) fn new(spec: Spec, now_ms: u64) -> Self {
        Self {
            spec,
            progress: Progress {
                step: 0,
                since_ms: now_ms,
            },
            approved: None,
            ended: None,
        }
    }

    /// Whether its version rules, or did until a later one was done: it is done; or it is a rollback that was not taken
    /// back, even if a later rollout took its place before all hosts had it.
    pub(crate) fn rules(&self) -> bool {
        match &self.ended {
            Some(end) => end.kind == EndKind::Done,
            None => self.spec.rollback,
        }
    }

    /// The index of the last step.
    pub(crate) fn last_step(&self) -> u32 {
        u32::try_from(self.spec.steps.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Whether it is in its last step.
    pub(crate) fn is_in_last_step(&self) -> bool {
        self.progress.step >= self.last_step()
    }

    /// Whether it is in its canary step.
    pub(crate) fn is_in_canary_step(&self) -> bool {
        self.spec.strategy == Strategy::Canary && self.progress.step == 0
    }

    /// Whether an operator must approve of the current step before the next one begins.
    pub(crate) fn is_gated(&self) -> bool {
        let approved = self.approved.is_some_and(|step| step >= self.progress.step);
        self.spec.gate && !approved && !self.is_in_last_step()
    }

    /// For how long it has been in its step.
    pub(crate) fn waited_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.progress.since_ms)
    }

    /// How many times a step's own time that is.
    pub(crate) fn steps_in(&self, duration_ms: u64) -> u64 {
        duration_ms / self.spec.step_ms.max(1)
    }

    /// The part of the requests at a place that goes to the new version, in per cent.
    pub(crate) fn percent_at(&self, place: &Place) -> u8 {
        let step = usize::try_from(self.progress.step).unwrap_or(usize::MAX);
        plan::percent_at(&self.spec.steps, step, place)
    }

    /// Where it stands, for operators. `current`: whether it is the component's greatest rollout.
    pub(crate) fn state(&self, current: bool, now_ms: u64) -> RolloutState {
        match self.ended.as_ref().map(|end| end.kind) {
            Some(EndKind::Done) => RolloutState::Done,
            Some(EndKind::Aborted) => RolloutState::Aborted,
            Some(EndKind::Reverted) => RolloutState::Reverted,
            None if !current => RolloutState::Superseded,
            None if self.is_gated() && self.steps_in(self.waited_ms(now_ms)) > 0 => {
                RolloutState::Waiting
            }
            None if self.is_in_canary_step() => RolloutState::Canary,
            None => RolloutState::Ramping,
        }
    }
}
