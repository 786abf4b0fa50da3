//! What a host tells those who run it: metrics for Prometheus, and the state of regions and spool as JSON.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use starling_engine::Versions;
use starling_fleet::Fleet;
use starling_kv::Store;
use starling_mailbox::{SpoolContents, SpoolState};
use starling_server::{Draining, Gates, LIVE, Page, Pages, READY, Readiness, ReadinessLatch};
use starling_telemetry::{LimitCounts, metric};

use crate::metrics::{self, Durations, Metrics};
use crate::stores::Stores;

/// Where the address of a host's admin listener is written down, in its state directory.
pub(crate) const ADDRESS_FILE: &str = "admin";

/// The path of the metrics.
const METRICS: &str = "/metrics";

/// The path of the regions.
pub(crate) const REGIONS: &str = "/regions";

/// The label of the store in which deposits wait; its keys tell its fill.
const SPOOL: &str = "spool";

/// The pages of a host.
pub(crate) struct HostPages {
    pub(crate) region: Option<String>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) durations: Durations,
    pub(crate) reached: Arc<LimitCounts>,
    pub(crate) gates: Gates,
    /// Every component that runs here.
    pub(crate) versions: Vec<Versions>,
    pub(crate) readiness: ReadinessLatch,
    pub(crate) draining: Draining,
    /// The host as it is managed, if it is.
    pub(crate) fleet: Option<Fleet>,
}

/// The state of the regions, as one host sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct View {
    /// The host's own region.
    pub(crate) region: Option<String>,
    /// Stores that have replicas.
    pub(crate) stores: Vec<StoreView>,
    /// Deposits that wait on this host.
    pub(crate) spool: Vec<SpoolView>,
}

/// One store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoreView {
    /// Its label.
    pub(crate) label: String,
    /// Whether the region's own system answers.
    pub(crate) reachable: bool,
    /// Why the region's own bucket is not written, if an operator has to look at it.
    pub(crate) trouble: Option<String>,
    /// Each other region.
    pub(crate) origins: Vec<OriginView>,
}

/// One other region, and the replica of its bucket here.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OriginView {
    pub(crate) region: String,
    pub(crate) retired: bool,
    pub(crate) reachable: bool,
    pub(crate) applied: u64,
    pub(crate) pending: u64,
    pub(crate) lag_ms: u64,
    pub(crate) conflicts: u64,
    pub(crate) regressions: u64,
    /// In which way the origin does not continue its replica, if it does not.
    pub(crate) regression: Option<String>,
}

/// Deposits in one state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpoolView {
    /// `waiting` or `undeliverable`.
    pub(crate) state: String,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl HostPages {
    async fn view(&self) -> View {
        let stores = self
            .stores
            .reports()
            .into_iter()
            .map(|(label, report)| StoreView {
                label,
                reachable: report.reachable,
                trouble: report.trouble,
                origins: report.origins.into_iter().map(origin_view).collect(),
            });
        let spool = match self.stores.get(SPOOL) {
            Some(store) => spool_views(&*store).await.unwrap_or_default(),
            None => Vec::new(),
        };
        View {
            region: self.region.clone(),
            stores: stores.collect(),
            spool,
        }
    }
}

impl HostPages {
    fn readiness(&self) -> Readiness {
        if self.draining.noticed() {
            return Readiness::Draining;
        }
        self.readiness.get()
    }

    async fn exposition(&self) -> String {
        let mut metrics = Metrics::default();
        let ready = self.readiness() == Readiness::Ready;
        metrics.gauge(metric::HOST_READY, Vec::new(), ready.into());
        for versions in &self.versions {
            metrics::of_versions(&mut metrics, versions);
        }
        if let Some(fleet) = &self.fleet {
            metrics::of_rollouts(&mut metrics, &fleet.rollouts());
        }
        metrics::of_gates(&mut metrics, &self.gates.snapshots());
        metrics::of_limits(&mut metrics, &self.reached);
        metrics::of_regions(&mut metrics, &self.view().await);
        metrics.encode(&self.durations)
    }
}

impl Pages for HostPages {
    async fn page(&self, path: &str) -> Option<Page> {
        match path {
            METRICS => Some(Page {
                status: StatusCode::OK,
                content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body: self.exposition().await,
            }),
            REGIONS => Some(Page {
                status: StatusCode::OK,
                content_type: "application/json",
                body: serde_json::to_string(&self.view().await).ok()?,
            }),
            LIVE => Some(Page::text(StatusCode::OK, "live")),
            READY => Some(match self.readiness() {
                Readiness::Ready => Page::text(StatusCode::OK, "ready"),
                Readiness::Starting => Page::text(StatusCode::SERVICE_UNAVAILABLE, "starting"),
                Readiness::Draining => Page::text(StatusCode::SERVICE_UNAVAILABLE, "draining"),
                Readiness::Degraded(reason) => Page::text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &format!("degraded: {reason}"),
                ),
            }),
            _ => None,
        }
    }
}

fn origin_view(report: starling_kv_nats::OriginReport) -> OriginView {
    OriginView {
        region: report.origin,
        retired: report.retired,
        reachable: report.reachable,
        applied: report.applied,
        pending: report.lag_sequences,
        lag_ms: u64::try_from(report.lag.as_millis()).unwrap_or(u64::MAX),
        conflicts: report.conflicts,
        regressions: report.regressions,
        regression: report.regression.map(|regression| regression.to_string()),
    }
}

/// Counts the messages in a spool by the keys of its entries; audio is not looked at. `None` if the store cannot tell.
async fn spool_views(store: &dyn Store) -> Option<Vec<SpoolView>> {
    let mut keys = Vec::new();
    for prefix in ["waiting/", "undeliverable/"] {
        let mut after = None;
        loop {
            let page = store
                .list(prefix, after.as_deref(), usize::MAX)
                .await
                .ok()?;
            keys.extend(page.keys);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let contents = SpoolContents::of(keys);
    let states = [
        ("waiting", SpoolState::Waiting),
        ("undeliverable", SpoolState::Undeliverable),
    ];
    let view = |(name, state): (&str, SpoolState)| {
        let fill = contents.fill(Some(state));
        SpoolView {
            state: name.to_owned(),
            messages: fill.messages,
            bytes: fill.bytes,
        }
    };
    Some(states.map(view).into())
}

/// Reads where the host with this state directory has its admin listener.
pub(crate) fn read_address(state_dir: &std::path::Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(state_dir.join(ADDRESS_FILE)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use starling_kv::Memory;

    use super::*;

    #[test]
    fn a_spool_is_counted_by_its_keys() {
        let store = Memory::new();
        let counted = async {
            for key in [
                format!("waiting/{:020}/400", 1),
                format!("waiting/{:020}/500", 2),
                format!("undeliverable/{:020}/9", 3),
                format!("chunk/{:020}/1/0", 1),
            ] {
                store.set(&key, Bytes::new()).await.unwrap();
            }
            let views = spool_views(&store).await.unwrap();
            views
                .iter()
                .map(|view| (view.messages, view.bytes))
                .collect::<Vec<_>>()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(counted), [(2, 900), (1, 9)]);
    }
}
