//! What a host says of itself about once a second.

use serde::{Deserialize, Serialize};
use starling_mailbox::Region;

use crate::{ComponentName, Digest, Figures, HostId, Place, Zone};

/// How a host is, in its own words. Written by that host's management alone.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Heartbeat {
    /// Which host.
    pub host: HostId,
    /// The region whose store it uses.
    pub region: Region,
    /// The zone of that region it stands in.
    pub zone: Zone,
    /// Where its front door is reached, a URL without a path.
    pub address: String,
    /// Where its operator API is reached, a URL without a path.
    pub management: String,
    /// When this was written, in milliseconds since the Unix epoch.
    pub beat_ms: u64,
    /// When the host started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The host's release.
    pub software: String,
    /// What it has.
    pub capacity: Capacity,
    /// What it does.
    pub load: Load,
    /// Whether it may take traffic.
    pub readiness: Readiness,
    /// The routes of its front door.
    pub routes: Vec<Route>,
    /// Its components.
    pub components: Vec<ComponentReport>,
    /// How the other hosts looked from here.
    pub probes: Vec<Probe>,
}

impl Heartbeat {
    /// Where the host stands.
    pub fn place(&self) -> Place {
        Place {
            region: self.region.clone(),
            zone: self.zone.clone(),
        }
    }

    /// What it says of a component, if the host has it.
    pub fn component(&self, component: &ComponentName) -> Option<&ComponentReport> {
        self.components.iter().find(|it| it.component == *component)
    }

    /// How another host looked from here, if it was probed.
    pub fn probe(&self, host: &HostId) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.host == *host)
    }
}

/// What a host has.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Capacity {
    /// How many instances of components it runs at once at most.
    pub instances_max: u32,
    /// How many event loops serve requests.
    pub event_loops: u32,
}

/// What a host does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Load {
    /// Requests that have not ended.
    pub in_flight: u64,
    /// Requests that ended lately, in a second.
    pub requests_per_second: f64,
    /// The part of them that its components failed, from 0 to 1.
    pub error_ratio: f64,
}

/// Whether a host may take traffic: what it answers on `/ready`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Readiness {
    /// It may.
    Ready,
    /// It had better not.
    Degraded {
        /// Why, in words for an operator.
        reason: String,
    },
    /// It is to be emptied: an operator wants it so.
    Draining,
}

/// A route of a host's front door.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Route {
    /// The pattern of paths, as the manifest has it.
    pub pattern: String,
    /// The component that serves it.
    pub component: ComponentName,
}

/// A component of a host.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ComponentReport {
    /// Which component.
    pub component: ComponentName,
    /// The version that the host's manifest names, if it names one.
    pub own: Option<Digest>,
    /// The versions that are on the host.
    pub versions: Vec<VersionReport>,
}

impl ComponentReport {
    /// What is said of a version, if it is on the host.
    pub fn version(&self, digest: Digest) -> Option<&VersionReport> {
        self.versions.iter().find(|it| it.digest == digest)
    }
}

/// A version of a component on a host.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VersionReport {
    /// Which version.
    pub digest: Digest,
    /// The part of the component's requests that goes to it, in per cent.
    pub percent: u8,
    /// Its requests that have not ended.
    pub in_flight: u32,
    /// Whether it can serve.
    pub state: VersionState,
    /// What was seen of it in the last [`WINDOW_MS`](crate::WINDOW_MS).
    pub figures: Figures,
}

/// Whether a version can serve on a host.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum VersionState {
    /// It is being read, checked or compiled.
    Staging,
    /// It can.
    Ready,
    /// It cannot.
    Refused(Refusal),
}

/// Why a version cannot serve.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// The kind of reason: a stable name that the host's interface has, such as `missing-import`.
    pub kind: String,
    /// In words, for an operator.
    pub detail: String,
}

impl Refusal {
    /// Whether the host tries again by itself: the region's store does not have all of the artifact yet, or could not be
    /// read.
    pub fn is_passing(&self) -> bool {
        matches!(self.kind.as_str(), "incomplete" | "store")
    }
}

/// How another host looked from here: what came of the last requests to its front door.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Probe {
    /// The host that was probed.
    pub host: HostId,
    /// When it was probed last, in milliseconds since the Unix epoch.
    pub last_ms: u64,
    /// How many of the last probes failed, one after the other; 0 if the last one did not.
    pub failures_in_a_row: u32,
    /// How long the last probe took.
    pub latency_ms: u64,
    /// Why the last probe failed, if it did, in words for an operator.
    pub error: Option<String>,
}
