//! What a host tells those who run it: metrics for Prometheus, and the state of regions and spool as JSON.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::{Deserialize, Serialize};
use starling_kv::Store;
use starling_mailbox::{SpoolContents, SpoolState};
use starling_server::{Page, Pages};
use starling_telemetry::attribute;
use starling_telemetry::metric::{self, Metric};

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

impl Pages for HostPages {
    async fn page(&self, path: &str) -> Option<Page> {
        match path {
            METRICS => Some(Page {
                content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body: exposition(&self.view().await),
            }),
            REGIONS => Some(Page {
                content_type: "application/json",
                body: serde_json::to_string(&self.view().await).ok()?,
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

type Labels = Vec<(String, String)>;

type Families<M> = Vec<(Metric, Family<Labels, M>)>;

/// The view as metrics.
fn exposition(view: &View) -> String {
    let mut metrics = Metrics::default();
    for store in &view.stores {
        let of_store = || vec![(attribute::STORE, store.label.clone())];
        metrics.gauge(metric::STORE_REACHABLE, of_store(), store.reachable.into());
        metrics.gauge(
            metric::STORE_TROUBLE,
            of_store(),
            store.trouble.is_some().into(),
        );
        for origin in &store.origins {
            let labels = || {
                let mut labels = of_store();
                labels.push((attribute::ORIGIN, origin.region.clone()));
                labels
            };
            metrics.gauge(
                metric::REPLICATION_REACHABLE,
                labels(),
                origin.reachable.into(),
            );
            metrics.gauge(metric::REPLICATION_APPLIED, labels(), origin.applied as f64);
            metrics.gauge(metric::REPLICATION_PENDING, labels(), origin.pending as f64);
            metrics.gauge(
                metric::REPLICATION_LAG,
                labels(),
                origin.lag_ms as f64 / 1e3,
            );
            metrics.counter(metric::REPLICATION_CONFLICTS, labels(), origin.conflicts);
            metrics.counter(
                metric::REPLICATION_REGRESSIONS,
                labels(),
                origin.regressions,
            );
        }
    }
    for spool in &view.spool {
        let labels = || vec![(attribute::STATE, spool.state.clone())];
        metrics.gauge(metric::SPOOL_MESSAGES, labels(), spool.messages as f64);
        metrics.gauge(metric::SPOOL_BYTES, labels(), spool.bytes as f64);
    }
    metrics.encode()
}

/// Metrics of one moment, each with all its labels.
#[derive(Default)]
struct Metrics {
    gauges: Families<Gauge<f64, AtomicU64>>,
    counters: Families<Counter>,
}

impl Metrics {
    fn gauge(&mut self, metric: Metric, labels: Vec<(&str, String)>, value: f64) {
        let family = family(&mut self.gauges, metric);
        family.get_or_create(&prometheus_labels(labels)).set(value);
    }

    fn counter(&mut self, metric: Metric, labels: Vec<(&str, String)>, value: u64) {
        let family = family(&mut self.counters, metric);
        family
            .get_or_create(&prometheus_labels(labels))
            .inc_by(value);
    }

    fn encode(self) -> String {
        let mut registry = Registry::default();
        for (metric, family) in self.gauges {
            match metric.unit {
                "s" => registry.register_with_unit(
                    prometheus_name(metric.name),
                    metric.description,
                    Unit::Seconds,
                    family,
                ),
                "By" => registry.register_with_unit(
                    prometheus_name(metric.name),
                    metric.description,
                    Unit::Bytes,
                    family,
                ),
                _ => registry.register(prometheus_name(metric.name), metric.description, family),
            }
        }
        for (metric, family) in self.counters {
            registry.register(prometheus_name(metric.name), metric.description, family);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

fn family<F: Default>(families: &mut Vec<(Metric, F)>, metric: Metric) -> &F {
    let place = families
        .iter()
        .position(|(other, _)| other.name == metric.name)
        .unwrap_or_else(|| {
            families.push((metric, F::default()));
            families.len() - 1
        });
    &families[place].1
}

fn prometheus_name(name: &str) -> String {
    name.replace('.', "_")
}

fn prometheus_labels(labels: Vec<(&str, String)>) -> Labels {
    labels
        .into_iter()
        .map(|(name, value)| (prometheus_name(name), value))
        .collect()
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

    fn view() -> View {
        View {
            region: Some("eu".to_owned()),
            stores: vec![StoreView {
                label: "default".to_owned(),
                reachable: true,
                trouble: None,
                origins: vec![OriginView {
                    region: "us".to_owned(),
                    retired: false,
                    reachable: false,
                    applied: 7,
                    pending: 3,
                    lag_ms: 1_500,
                    conflicts: 2,
                    regressions: 0,
                    regression: None,
                }],
            }],
            spool: vec![SpoolView {
                state: "waiting".to_owned(),
                messages: 2,
                bytes: 900,
            }],
        }
    }

    #[test]
    fn metrics_are_exposed_with_units_and_labels() {
        let text = exposition(&view());
        let labels = r#"starling_store_label="default",starling_replication_origin="us""#;
        for line in [
            format!("starling_replication_lag_seconds{{{labels}}} 1.5"),
            format!("starling_replication_pending{{{labels}}} 3.0"),
            format!("starling_replication_reachable{{{labels}}} 0.0"),
            format!("starling_replication_conflicts_total{{{labels}}} 2"),
            r#"starling_spool_usage_bytes{starling_spool_state="waiting"} 900.0"#.to_owned(),
            "# EOF".to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }

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
