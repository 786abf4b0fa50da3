//! Rollouts: how a version comes to serve a component's requests, step by step.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Digest;

/// What a rollout is to be like. What is none is left to the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In which steps.
    pub strategy: Strategy,
    /// Whether each step waits for an approval.
    pub gate: bool,
    /// The share of requests in the canary step, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_percent: Option<u8>,
    /// How long each step takes at least, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_ms: Option<u64>,
}

/// In which steps a version comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A small share in one zone first, then zone by zone.
    #[default]
    Canary,
    /// Zone by zone.
    Rolling,
    /// Everywhere at once.
    All,
}

/// Not a [`Strategy`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a strategy; they are canary, rolling and all")]
pub struct InvalidStrategy(String);

/// Rollouts, the newest first.
#[derive(Clone, Debug, Deserialize)]
pub struct Rollouts {
    /// Them.
    pub rollouts: Vec<Rollout>,
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rollout {
    /// Its id.
    pub id: String,
    /// Which component.
    pub component: String,
    /// The version that comes. None: each host's own, which a rollback may bring back.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// The version that it takes the place of. None: each host's own.
    #[serde(default)]
    pub base: Option<Digest>,
    /// In which steps: `canary`, `rolling` or `all`.
    pub strategy: String,
    /// Whether each step waits for an approval.
    pub gate: bool,
    /// The share of requests in the canary step, in per cent.
    pub canary_percent: u8,
    /// How long each step takes at least, in milliseconds.
    pub step_ms: u64,
    /// How it stands.
    pub state: RolloutState,
    /// Why it stands so, if there is more to say.
    #[serde(default)]
    pub reason: Option<String>,
    /// The index of the step that it is at.
    pub step: usize,
    /// All steps.
    pub steps: Vec<Step>,
    /// When it was entered (RFC 3339).
    pub created_at: String,
    /// In which region.
    pub created_in: String,
    /// When its step began (RFC 3339).
    pub step_since: String,
    /// The index of the last step that is approved.
    #[serde(default)]
    pub approved: Option<usize>,
    /// How both versions do.
    #[serde(default)]
    pub observed: Option<Observed>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// The region that it is about. None: all.
    #[serde(default)]
    pub region: Option<String>,
    /// The zone. None: all.
    #[serde(default)]
    pub zone: Option<String>,
    /// The share of requests that the new version gets there.
    pub percent: u8,
}

/// How both versions do, over all hosts and lately.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Observed {
    /// The version that comes.
    pub new: Figures,
    /// The one that goes.
    pub old: Figures,
}

/// How a version does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Figures {
    /// Requests.
    pub requests: u64,
    /// Those that failed by the host's fault.
    pub errors: u64,
    /// What half of the requests took at most, in milliseconds. None, if there were none.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// What 99 of 100 requests took at most, in milliseconds.
    #[serde(default)]
    pub p99_ms: Option<f64>,
}

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// A small share of the requests gets the new version.
    Canary,
    /// Zone after zone gets it.
    Ramping,
    /// It waits for an approval.
    Waiting,
    /// The new version rules.
    Done,
    /// It did worse, and the old version is back.
    Reverted,
    /// An operator ended it, and the old version is back.
    Aborted,
    /// A later rollout took its place.
    Superseded,
    /// What later releases say.
    #[serde(untagged)]
    Other(String),
}

impl RolloutState {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Canary => "canary",
            Self::Ramping => "ramping",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Reverted => "reverted",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
            Self::Other(word) => word,
        }
    }

    /// Whether it stays so.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match self {
            Self::Done | Self::Reverted | Self::Aborted | Self::Superseded => true,
            Self::Canary | Self::Ramping | Self::Waiting | Self::Other(_) => false,
        }
    }
}

impl Strategy {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Rolling => "rolling",
            Self::All => "all",
        }
    }
}

impl FromStr for Strategy {
    type Err = InvalidStrategy;

    fn from_str(text: &str) -> Result<Self, InvalidStrategy> {
        [Self::Canary, Self::Rolling, Self::All]
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
            .ok_or_else(|| InvalidStrategy(text.to_owned()))
    }
}
