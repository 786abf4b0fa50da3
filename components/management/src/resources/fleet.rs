//! `/v1/fleet` and `/v1/hosts/{host}/drain`.

use http::{Response, StatusCode};
use starling_supervision::HostId;

use crate::fleet::Access;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::response::{self, Body};
use crate::shapes::{DrainJson, FleetJson};

/// Shows every host, as it is seen from here.
pub(crate) async fn get<P: Platform>(access: &Access<'_, P>) -> Result<Response<Body>, Problem> {
    let view = access.sound_view().await?;
    let fleet = view.fleet(access.platform().now_ms());
    let (region, host) = (access.region.as_str(), access.host.as_str());
    let bounds_us = access.platform().latency_bounds_us();
    let shown = FleetJson::of(region, host, &view.desired, &fleet, &bounds_us);
    Ok(response::json(StatusCode::OK, &shown))
}

/// Has a host emptied, or filled again.
pub(crate) async fn drain<P: Platform>(
    access: &Access<'_, P>,
    host: String,
    drain: bool,
) -> Result<Response<Body>, Problem> {
    let mut view = access.sound_view().await?;
    let known = host.parse().ok().filter(|host: &HostId| {
        view.desired.drains.contains_key(host)
            || view
                .heartbeats
                .iter()
                .any(|heartbeat| heartbeat.host == *host)
    });
    let host = known.ok_or(Problem::HostNotFound { host })?;
    let origin = access.origin();
    let changed = access.change_desired(&mut view.desired, |desired| {
        if desired.is_drained(&host) == drain && desired.drains.contains_key(&host) {
            return Ok(((), Default::default()));
        }
        let change = desired.drain(&host, drain, &origin);
        let change = change.map_err(|skew| Problem::ClockSkew {
            detail: skew.to_string(),
        })?;
        Ok(((), change))
    });
    changed.await?;
    let what = if drain { "emptied" } else { "filled" };
    access
        .platform()
        .inform(&format!("an operator has host {host} {what}"));
    let shown = DrainJson {
        host: host.as_str(),
        drain,
    };
    Ok(response::json(StatusCode::OK, &shown))
}
