//! The fleet: its hosts, how they are, and what each of them serves.

use serde::Deserialize;

use super::ArtifactState;
use crate::Digest;

/// All hosts of all regions, as the host that was asked knows them.
#[derive(Clone, Debug, Deserialize)]
pub struct Fleet {
    /// The region of the host that was asked.
    pub region: String,
    /// The id of the host that was asked.
    pub host: String,
    /// All hosts.
    pub hosts: Vec<Host>,
}

/// A host.
#[derive(Clone, Debug, Deserialize)]
pub struct Host {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub region: String,
    /// The part of the region.
    pub zone: String,
    /// Where it serves, as a URL.
    pub address: String,
    /// Where its management is, as a URL.
    #[serde(default)]
    pub management: Option<String>,
    /// Its release.
    pub version: String,
    /// Whether it is heard of.
    pub life: Life,
    /// Whether it wants traffic.
    pub readiness: Readiness,
    /// Why not, if not.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was last heard of (RFC 3339).
    pub beat_at: String,
    /// How long ago that was when the answer was made, in milliseconds.
    pub age_ms: u64,
    /// When it was started (RFC 3339).
    pub started_at: String,
    /// How much it can do.
    pub capacity: Capacity,
    /// How much it does.
    pub load: Load,
    /// The versions of components that it has.
    pub components: Vec<Component>,
    /// Whether an operator drains it.
    pub drain: bool,
}

/// How much a host can do.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Capacity {
    /// Instances at a time.
    pub instances_max: u64,
    /// Threads that serve.
    pub event_loops: u64,
}

/// How much a host does.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Load {
    /// Requests that it works on.
    pub in_flight: u64,
    /// Requests a second, lately.
    pub requests_per_second: f64,
    /// The share of them that failed by the host's fault, from 0 to 1.
    pub error_ratio: f64,
}

/// A version of a component on a host.
#[derive(Clone, Debug, Deserialize)]
pub struct Component {
    /// The component's name.
    pub component: String,
    /// Which version.
    pub digest: Digest,
    /// Its share of the component's requests on that host.
    pub percent: u8,
    /// Whether it is the version of the host's own manifest.
    pub own: bool,
    /// How far the host is with it.
    pub state: ArtifactState,
    /// Why it is refused, if it is.
    #[serde(default)]
    pub reason: Option<String>,
    /// Requests that it works on.
    pub in_flight: u64,
    /// Requests lately.
    pub requests: u64,
    /// Those of them that failed by the host's fault.
    pub errors: u64,
    /// What half of the requests took at most, in milliseconds. None, if there were none.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// What 99 of 100 requests took at most, in milliseconds.
    #[serde(default)]
    pub p99_ms: Option<f64>,
}

/// Whether a host is heard of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// Lately.
    Alive,
    /// Not lately.
    Suspected,
    /// Not for long.
    Out,
    /// What later releases say.
    #[serde(untagged)]
    Other(String),
}

/// Whether a host wants traffic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is not well.
    Degraded,
    /// It is to be left alone.
    Draining,
    /// What later releases say.
    #[serde(untagged)]
    Other(String),
}

/// Whether an operator drains a host.
#[derive(Clone, Debug, Deserialize)]
pub struct Drain {
    /// The host's id.
    pub host: String,
    /// Whether it is drained.
    pub drain: bool,
}

impl Life {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Alive => "alive",
            Self::Suspected => "suspected",
            Self::Out => "out",
            Self::Other(word) => word,
        }
    }
}

impl Readiness {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Other(word) => word,
        }
    }
}
