//! A step of the supervision, which the host's timer asks for about once a second: `POST /supervise`, on the component
//! itself, where no listener leads to. Each step begins with what is stored, and keeps nothing in memory.
//!
//! ```text
//! read all regions ─▶ stage, shift ─▶ readiness, siblings ─▶ heartbeat ─▶ enter, move rollouts ─▶ chores
//!                                                              ▲
//!                                               probes ────────┘
//! ```
//!
//! What comes later fails alone: a step that cannot do it has said how the host is, and the next one tries again.
//!
//! - While the region's own store does not answer, the host takes no part in what the region knows: it says that it had
//!   better get no traffic, until the store is back.
//! - While another region cannot be read, or what the own one holds makes no sense, it is not known what rules. Traffic
//!   and rollouts stay as they are.

use std::collections::BTreeSet;

use futures::future::{Either, select};
use http::{Response, StatusCode};
use serde::Serialize;
use starling_supervision::{
    ComponentName, Figures, Fleet, Heartbeat, HostId, Life, PROBE_RECENT_MS, Place, Readiness,
    Transition, VersionState, Zone, advance, encode, keys, probe_targets, readiness, siblings,
};

use crate::access;
use crate::artifacts;
use crate::fleet::{Access, View};
use crate::heartbeat::{heartbeat, load};
use crate::platform::{Platform, RolloutReport, Sibling};
use crate::probe;
use crate::problem::Problem;
use crate::response::{self, Body};
use crate::steer::{Steered, forget, is_behind, steer};

/// How long probes may keep the heartbeat waiting; after that it is written without them first.
const PROBES_PATIENCE_MS: u64 = 300;

/// For how long a host that does not beat belongs to its region.
const MEMBER_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// How many hosts one step takes out of its region.
const DISMISSED_A_STEP: usize = 16;

/// What a step has done, for whoever looks.
#[derive(Debug, Default, Serialize)]
struct Report {
    hosts: usize,
    shifted: usize,
    probed: usize,
    moved: usize,
    artifacts_removed: usize,
    members_removed: usize,
}

/// Does a step.
pub(crate) async fn post<P: Platform>(platform: &P) -> Result<Response<Body>, Problem> {
    let done = step(platform).await;
    if let Err(Problem::StoreUnavailable) = &done {
        platform.set_readiness(&Readiness::Degraded {
            reason: "the region's store does not answer".into(),
        });
    }
    Ok(response::json(StatusCode::OK, &done?))
}

async fn step<P: Platform>(platform: &P) -> Result<Report, Problem> {
    let access = &Access::open(platform).await?;
    let mut view = access.view().await?;
    let place = place(access)?;
    let fleet = view.fleet(platform.now_ms());
    let last = fleet.host(&access.host);
    let mut report = Report::default();
    tell_missing(access, &view, last);

    let mut steered = Steered::default();
    if view.is_whole() {
        steered = steer(access, &view, &place);
        report_rollouts(access, &view);
    }
    report.shifted = steered.shifted;
    let recent = platform.versions(PROBE_RECENT_MS);
    let mut inside = Figures::default();
    recent
        .iter()
        .for_each(|version| inside.add(&version.recent));
    let readiness = readiness(&access.host, &view.desired, &fleet, &inside);
    let readiness = with_versions(readiness, steered.behind);
    let readiness = with_unknown(readiness, access, &view, last);
    platform.set_readiness(&readiness);

    let load = load(&recent, &inside);
    let probes = last.map_or_else(Vec::new, |last| last.probes.clone());
    let mut heartbeat = heartbeat(access, &view, place, readiness, load, probes);
    platform.set_siblings(&near(&heartbeat, &fleet));
    report.probed = beat(access, &mut heartbeat, &fleet, last).await?;
    view.heartbeats.retain(|other| other.host != heartbeat.host);
    view.heartbeats.push(heartbeat);
    report.hosts = view.heartbeats.len();

    tolerate(enter(access, &view).await)?;
    if view.is_whole() {
        report.moved = move_rollouts(access, &mut view).await?;
    }
    do_chores(access, &view, &mut report).await;
    Ok(report)
}

/// What the store refuses for other reasons than that it is away, is left to the next step. It was logged.
fn tolerate(done: Result<(), Problem>) -> Result<(), Problem> {
    match done {
        Err(Problem::StoreUnavailable) => Err(Problem::StoreUnavailable),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn place<P: Platform>(access: &Access<'_, P>) -> Result<Place, Problem> {
    let zone = access.identity.zone.parse::<Zone>().map_err(|error| {
        access.platform().warn(&format!("the host's zone: {error}"));
        Problem::Misconfigured
    })?;
    Ok(Place {
        region: access.region.clone(),
        zone,
    })
}

/// Tells which regions are left out, once: in the first step after the host started.
fn tell_missing<P: Platform>(access: &Access<'_, P>, view: &View, last: Option<&Heartbeat>) {
    if last.is_some_and(|last| last.started_ms == access.identity.started_ms) {
        return;
    }
    for region in &view.missing {
        access.platform().warn(&format!(
            "region {region} is left out: no store of its is configured here"
        ));
    }
}

// === Whether the host may take traffic ===

/// A host that serves another version than the one that rules had better not get any, however well it does otherwise.
fn with_versions(readiness: Readiness, behind: Option<String>) -> Readiness {
    match (readiness, behind) {
        (Readiness::Ready | Readiness::Degraded { .. }, Some(reason)) => {
            Readiness::Degraded { reason }
        }
        (readiness, _) => readiness,
    }
}

/// While not everything is known, what the host said last holds of what only that could tell: that it is to be emptied,
/// unless an operator says otherwise where it can be read; and that it serves another version than the one that rules.
fn with_unknown<P: Platform>(
    readiness: Readiness,
    access: &Access<'_, P>,
    view: &View,
    last: Option<&Heartbeat>,
) -> Readiness {
    let Some(said) = last.map(|last| &last.readiness) else {
        return readiness;
    };
    let is_told = view.desired.drains.contains_key(&access.host);
    let holds = match said {
        Readiness::Draining => !is_told,
        Readiness::Degraded { .. } => readiness != Readiness::Draining && is_behind(said),
        Readiness::Ready => false,
    };
    if holds && !view.is_whole() {
        said.clone()
    } else {
        readiness
    }
}

// === What the host is told ===

fn report_rollouts<P: Platform>(access: &Access<'_, P>, view: &View) {
    let now_ms = access.platform().now_ms();
    let rollouts = view.desired.rollouts().map(|it| RolloutReport {
        id: it.id.to_string(),
        component: it.component.to_string(),
        state: it.state(now_ms),
        step: it.rollout.progress.step,
        steps: u32::try_from(it.rollout.spec.steps.len()).unwrap_or(u32::MAX),
    });
    access
        .platform()
        .report_rollouts(&rollouts.collect::<Vec<_>>());
}

fn near(heartbeat: &Heartbeat, fleet: &Fleet) -> Vec<Sibling> {
    let siblings = siblings(heartbeat, fleet).into_iter();
    let near = siblings.map(|sibling| {
        let routes = sibling.routes.iter();
        let served = routes.filter(|route| serves(sibling, &route.component));
        Sibling {
            id: sibling.host.to_string(),
            address: sibling.address.clone(),
            routes: served.map(|route| route.pattern.clone()).collect(),
        }
    });
    near.filter(|sibling| !sibling.routes.is_empty()).collect()
}

/// Whether a host has a version of a component that takes requests.
fn serves(host: &Heartbeat, component: &ComponentName) -> bool {
    let report = host.component(component);
    let mut versions = report.into_iter().flat_map(|report| &report.versions);
    versions.any(|version| version.percent > 0 && version.state == VersionState::Ready)
}

// === What the host says of itself ===

/// Probes others and writes the heartbeat: once if they answer at once, else twice, for a beat must not wait for a host
/// that hangs. How many were probed.
async fn beat<P: Platform>(
    access: &Access<'_, P>,
    heartbeat: &mut Heartbeat,
    fleet: &Fleet,
    last: Option<&Heartbeat>,
) -> Result<usize, Problem> {
    let platform = access.platform();
    let key = keys::host(&access.host);
    let (probed, probes) = {
        // What is wrong with the keys, the log says; who is asked without them, answers all the same.
        let tokens = access::keys(platform).await.unwrap_or(None);
        let targets = probe_targets(heartbeat, fleet);
        let probing = probe::all(platform, &access.host, tokens.as_ref(), &targets, last);
        let probing = std::pin::pin!(probing);
        let patience = std::pin::pin!(platform.pause(PROBES_PATIENCE_MS));
        match select(probing, patience).await {
            Either::Left((probes, _)) => (targets.len(), probes),
            Either::Right(((), probing)) => {
                access.write(&key, &encode(heartbeat)).await?;
                (targets.len(), probing.await)
            }
        }
    };
    heartbeat.probes = probes;
    heartbeat.beat_ms = platform.now_ms();
    access.write(&key, &encode(heartbeat)).await?;
    Ok(probed)
}

// === What the region decides ===

/// Makes the host a member of its region, if it is none. It has beaten before, so that no member is silent.
async fn enter<P: Platform>(access: &Access<'_, P>, view: &View) -> Result<(), Problem> {
    if view.members.hosts.contains(&access.host) {
        return Ok(());
    }
    let entered = access.change_members(|members| members.hosts.insert(access.host.clone()));
    entered.await
}

/// Moves the rollouts that are to move. How many.
async fn move_rollouts<P: Platform>(
    access: &Access<'_, P>,
    view: &mut View,
) -> Result<usize, Problem> {
    let platform = access.platform();
    let origin = access.origin();
    let fleet = view.fleet(origin.now_ms);
    let mut moved = 0;
    for (id, transition) in advance(&view.desired, &fleet) {
        let mut is_first = false;
        let changed = access.change_desired(&mut view.desired, |desired| {
            // Another host of the region may have been faster, or an operator.
            let change = desired.apply(&id, transition.clone(), &origin);
            is_first = change.is_ok();
            Ok(((), change.unwrap_or_default()))
        });
        let changed = changed.await;
        if changed.is_ok() && is_first {
            let line = format!("rollout {id} {transition}");
            match transition {
                Transition::Step(_) | Transition::Done => platform.inform(&line),
                Transition::Revert { .. } => platform.warn(&line),
            }
            moved += 1;
        }
        tolerate(changed)?;
    }
    Ok(moved)
}

// === Chores ===

/// Does what can wait. Whatever fails of it was logged, and is tried again.
async fn do_chores<P: Platform>(access: &Access<'_, P>, view: &View, report: &mut Report) {
    let is_caretaker = caretaker(access, view).is_some_and(|host| host == access.host);
    if is_caretaker {
        report.members_removed = dismiss(access, view).await.unwrap_or_default();
    }
    let Ok(artifacts) = access.own_artifacts().await else {
        return;
    };
    if view.is_whole() {
        let mut lists = access.other_artifacts().await;
        lists.push(artifacts.clone());
        forget(access, view, &lists);
    }
    if is_caretaker {
        let removed = artifacts::collect(access, view, artifacts).await;
        report.artifacts_removed = removed.unwrap_or_default();
    }
}

/// The host of this region that removes what is left behind, as it is seen from here: one does, so that nothing is
/// removed over and over.
fn caretaker<P: Platform>(access: &Access<'_, P>, view: &View) -> Option<HostId> {
    let fleet = view.fleet(access.platform().now_ms());
    let mut hosts = fleet.hosts();
    let first = hosts.find(|(host, life)| host.region == access.region && *life == Life::Alive);
    first.map(|(host, _)| host.host.clone())
}

/// Takes those out of the region's list of members that have not beaten for a day, or never. How many.
async fn dismiss<P: Platform>(access: &Access<'_, P>, view: &View) -> Result<usize, Problem> {
    let now_ms = access.platform().now_ms();
    let is_gone = |heartbeat: &&Heartbeat| {
        heartbeat.region == access.region
            && now_ms.saturating_sub(heartbeat.beat_ms) > MEMBER_MS_MAX
    };
    let gone = view.heartbeats.iter().filter(is_gone);
    let gone = gone.map(|heartbeat| &heartbeat.host).chain(&view.silent);
    let gone = gone.filter(|host| view.members.hosts.contains(host));
    let gone: BTreeSet<_> = gone.take(DISMISSED_A_STEP).collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let dismissed = access.change_members(|members| {
        let before = members.hosts.len();
        members.hosts.retain(|host| !gone.contains(host));
        members.hosts.len() != before
    });
    dismissed.await?;
    for host in &gone {
        access.remove(&keys::host(host)).await?;
    }
    Ok(gone.len())
}
