//! The documents of the management API, as far as this crate reads them.
//!
//! Hosts of mixed releases share a fleet: fields that are not known here are left alone, and words that are not known are
//! kept as they are. A [`Document`] also has the whole text.

mod document;
mod fleet;
mod rollout;

use serde::Deserialize;

use crate::Digest;

pub use document::Document;
pub use fleet::{Capacity, Component, Drain, Fleet, Host, Life, Load, Readiness};
pub use rollout::{
    Figures, InvalidStrategy, Observed, Plan, Rollout, RolloutState, Rollouts, Step, Strategy,
};

/// How far a host is with a version of a component.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactState {
    /// It is checked and compiled.
    Staging,
    /// It can serve.
    Ready,
    /// It never will.
    Refused,
    /// What later releases say.
    #[serde(untagged)]
    Other(String),
}

/// A version of a component on the host that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ArtifactStatus {
    /// The component's name.
    pub component: String,
    /// Which version.
    pub digest: Digest,
    /// How far it is.
    pub state: ArtifactState,
    /// Why it is refused, if it is.
    #[serde(default)]
    pub refusal: Option<Refusal>,
}

/// Why a version is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// A stable word: `unsigned`, `import-not-allowed` and so on.
    pub kind: String,
    /// What it is in this case.
    #[serde(default)]
    pub detail: String,
}

impl ArtifactState {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Staging => "staging",
            Self::Ready => "ready",
            Self::Refused => "refused",
            Self::Other(word) => word,
        }
    }
}
