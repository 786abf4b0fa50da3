//! The shapes of the JSON that the API shows.

use serde::Serialize;
use starling_supervision::{
    Capacity, ComponentName, ComponentReport, Desired, Digest, Figures, Fleet, Heartbeat, Life,
    Load, Readiness, Refusal, RolloutView, Step, Strategy, VersionReport, VersionState, observe,
};

use crate::time;

/// The fleet as one host sees it.
#[derive(Serialize)]
pub(crate) struct FleetJson<'a> {
    region: &'a str,
    host: &'a str,
    hosts: Vec<HostJson<'a>>,
}

#[derive(Serialize)]
struct HostJson<'a> {
    id: &'a str,
    region: &'a str,
    zone: &'a str,
    address: &'a str,
    management: &'a str,
    version: &'a str,
    life: &'static str,
    readiness: &'static str,
    reason: Option<&'a str>,
    beat_at: String,
    age_ms: u64,
    started_at: String,
    capacity: Capacity,
    load: Load,
    components: Vec<VersionJson<'a>>,
    drain: bool,
}

#[derive(Serialize)]
struct VersionJson<'a> {
    component: &'a str,
    digest: Digest,
    percent: u8,
    own: bool,
    state: &'static str,
    reason: Option<String>,
    in_flight: u32,
    #[serde(flatten)]
    figures: FiguresJson,
}

#[derive(Serialize)]
struct FiguresJson {
    requests: u64,
    errors: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl<'a> FleetJson<'a> {
    pub(crate) fn of(
        region: &'a str,
        host: &'a str,
        desired: &Desired,
        fleet: &'a Fleet,
        bounds_us: &[u64],
    ) -> Self {
        let hosts = fleet.hosts().map(|(heartbeat, life)| {
            let age_ms = fleet.now_ms().saturating_sub(heartbeat.beat_ms);
            let drain = desired.is_drained(&heartbeat.host);
            HostJson::of(heartbeat, life, age_ms, drain, bounds_us)
        });
        Self {
            region,
            host,
            hosts: hosts.collect(),
        }
    }
}

impl<'a> HostJson<'a> {
    fn of(
        heartbeat: &'a Heartbeat,
        life: Life,
        age_ms: u64,
        drain: bool,
        bounds_us: &[u64],
    ) -> Self {
        let (readiness, reason) = match &heartbeat.readiness {
            Readiness::Ready => ("ready", None),
            Readiness::Degraded { reason } => ("degraded", Some(reason.as_str())),
            Readiness::Draining => ("draining", None),
        };
        let components = heartbeat.components.iter().flat_map(|report| {
            let versions = report.versions.iter();
            versions.map(|version| VersionJson::of(report, version, bounds_us))
        });
        Self {
            id: heartbeat.host.as_str(),
            region: heartbeat.region.as_str(),
            zone: heartbeat.zone.as_str(),
            address: &heartbeat.address,
            management: &heartbeat.management,
            version: &heartbeat.software,
            life: life.as_str(),
            readiness,
            reason,
            beat_at: time::format(heartbeat.beat_ms),
            age_ms,
            started_at: time::format(heartbeat.started_ms),
            capacity: heartbeat.capacity,
            load: heartbeat.load,
            components: components.collect(),
            drain,
        }
    }
}

impl<'a> VersionJson<'a> {
    fn of(report: &'a ComponentReport, version: &VersionReport, bounds_us: &[u64]) -> Self {
        let reason = match &version.state {
            VersionState::Refused(refusal) => Some(format!("{}: {}", refusal.kind, refusal.detail)),
            VersionState::Staging | VersionState::Ready => None,
        };
        Self {
            component: report.component.as_str(),
            digest: version.digest,
            percent: version.percent,
            own: report.own == Some(version.digest),
            state: state(&version.state),
            reason,
            in_flight: version.in_flight,
            figures: FiguresJson::of(&version.figures, bounds_us),
        }
    }
}

impl FiguresJson {
    fn of(figures: &Figures, bounds_us: &[u64]) -> Self {
        Self {
            requests: figures.requests,
            errors: figures.errors,
            p50_ms: figures.percentile_ms(50, bounds_us),
            p99_ms: figures.percentile_ms(99, bounds_us),
        }
    }
}

fn state(state: &VersionState) -> &'static str {
    match state {
        VersionState::Staging => "staging",
        VersionState::Ready => "ready",
        VersionState::Refused(_) => "refused",
    }
}

/// An artifact, as it is on the host that answers.
#[derive(Serialize)]
pub(crate) struct ArtifactJson<'a> {
    component: &'a str,
    digest: Digest,
    size_bytes: Option<u64>,
    state: &'static str,
    refusal: Option<RefusalJson<'a>>,
}

impl<'a> ArtifactJson<'a> {
    /// `size_bytes` is not known of one whose bytes are gone.
    pub(crate) fn of(
        component: &'a ComponentName,
        digest: Digest,
        size_bytes: Option<u64>,
        version: &'a VersionState,
    ) -> Self {
        Self {
            component: component.as_str(),
            digest,
            size_bytes,
            state: state(version),
            refusal: match version {
                VersionState::Refused(refusal) => Some(refusal.into()),
                VersionState::Staging | VersionState::Ready => None,
            },
        }
    }
}

/// Why an artifact is refused.
#[derive(Serialize)]
pub(crate) struct RefusalJson<'a> {
    kind: &'a str,
    detail: &'a str,
}

impl<'a> From<&'a Refusal> for RefusalJson<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self {
            kind: &refusal.kind,
            detail: &refusal.detail,
        }
    }
}

/// Rollouts, the newest first.
#[derive(Serialize)]
pub(crate) struct RolloutsJson<'a> {
    pub(crate) rollouts: Vec<RolloutJson<'a>>,
}

/// A rollout, and what was seen of it.
#[derive(Serialize)]
pub(crate) struct RolloutJson<'a> {
    id: String,
    component: &'a str,
    digest: Option<Digest>,
    base: Option<Digest>,
    strategy: Strategy,
    gate: bool,
    canary_percent: u8,
    step_ms: u64,
    state: &'static str,
    reason: Option<&'a str>,
    step: u32,
    steps: &'a [Step],
    created_at: String,
    created_in: &'a str,
    step_since: String,
    approved: Option<u32>,
    observed: ObservedJson,
}

#[derive(Serialize)]
struct ObservedJson {
    new: FiguresJson,
    old: FiguresJson,
}

impl<'a> RolloutJson<'a> {
    pub(crate) fn of(view: &RolloutView<'a>, fleet: &Fleet, bounds_us: &[u64]) -> Self {
        let (spec, progress) = (&view.rollout.spec, &view.rollout.progress);
        let observed = observe(view, fleet);
        let end = view.rollout.ended.as_ref();
        Self {
            id: view.id.to_string(),
            component: view.component.as_str(),
            digest: spec.digest,
            base: view.base,
            strategy: spec.strategy,
            gate: spec.gate,
            canary_percent: spec.canary_percent,
            step_ms: spec.step_ms,
            state: view.state(fleet.now_ms()).as_str(),
            reason: end.and_then(|end| end.reason.as_deref()),
            step: progress.step,
            steps: &spec.steps,
            created_at: time::format(view.id.created_ms),
            created_in: view.id.created_in.as_str(),
            step_since: time::format(progress.since_ms),
            approved: view.rollout.approved,
            observed: ObservedJson {
                new: FiguresJson::of(&observed.new, bounds_us),
                old: FiguresJson::of(&observed.old, bounds_us),
            },
        }
    }
}

/// Whether a host is to be emptied.
#[derive(Serialize)]
pub(crate) struct DrainJson<'a> {
    pub(crate) host: &'a str,
    pub(crate) drain: bool,
}
