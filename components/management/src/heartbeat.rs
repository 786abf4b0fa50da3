//! What a host says of itself.

use std::collections::{BTreeMap, BTreeSet};

use starling_supervision::{
    Capacity, ComponentName, ComponentReport, Figures, Heartbeat, Load, PROBE_RECENT_MS, Place,
    Probe, Readiness, Route, VersionReport, window_ms,
};

use crate::components::components;
use crate::fleet::{Access, View};
use crate::platform::{Platform, Version};

/// What a host does, by what was seen of its versions in the last [`PROBE_RECENT_MS`].
pub(crate) fn load(recent: &[Version], inside: &Figures) -> Load {
    Load {
        in_flight: recent
            .iter()
            .map(|version| u64::from(version.in_flight))
            .sum(),
        requests_per_second: inside.requests as f64 * 1000.0 / PROBE_RECENT_MS as f64,
        error_ratio: inside.error_ratio(),
    }
}

/// What this host says now; its probes, those of the last time.
pub(crate) fn heartbeat<P: Platform>(
    access: &Access<'_, P>,
    view: &View,
    place: Place,
    readiness: Readiness,
    load: Load,
    probes: Vec<Probe>,
) -> Heartbeat {
    let (platform, identity) = (access.platform(), &access.identity);
    let routes = platform.routes().into_iter().filter_map(|route| {
        Some(Route {
            component: route.component.parse().ok()?,
            pattern: route.pattern,
        })
    });
    Heartbeat {
        host: access.host.clone(),
        region: place.region,
        zone: place.zone,
        address: identity.address.clone(),
        management: identity.management.clone(),
        beat_ms: platform.now_ms(),
        started_ms: identity.started_ms,
        software: identity.version.clone(),
        capacity: Capacity {
            instances_max: identity.instances_max,
            event_loops: identity.event_loops,
        },
        load,
        readiness,
        routes: routes.collect(),
        components: reports(access, view),
        probes,
    }
}

/// The host's components, each with figures of the window that its rollout is judged by.
fn reports<P: Platform>(access: &Access<'_, P>, view: &View) -> Vec<ComponentReport> {
    let platform = access.platform();
    let now_ms = platform.now_ms();
    let names = components(platform, 0).into_keys();
    let mut windows: BTreeMap<u64, BTreeSet<ComponentName>> = BTreeMap::new();
    for component in names {
        let window_ms = window_ms(&view.desired, &component, now_ms);
        windows.entry(window_ms).or_default().insert(component);
    }
    let mut reports = Vec::new();
    for (window_ms, wanted) in windows {
        for (component, (own, versions)) in components(platform, window_ms) {
            if !wanted.contains(&component) {
                continue;
            }
            let versions = versions.into_iter().map(|version| VersionReport {
                digest: version.digest,
                percent: version.percent,
                in_flight: version.in_flight,
                state: version.state,
                figures: version.recent,
            });
            reports.push(ComponentReport {
                component,
                own,
                versions: versions.collect(),
            });
        }
    }
    reports
}
