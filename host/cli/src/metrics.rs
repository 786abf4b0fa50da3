//! What a host counts and measures, in the text format of OpenMetrics.
//!
//! Durations are counted as they pass, by [`Durations`]. Everything else is read at the moment it is asked for.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use starling_admission::Snapshot;
use starling_engine::Versions;
use starling_engine::management::host::{Rollout, RolloutState};
use starling_kv::layer::{Observer, Operation, Outcome};
use starling_server::{Answered, RequestObserver};
use starling_telemetry::metric::{self, Metric};
use starling_telemetry::{LATENCY_BOUNDS_S, Limit, LimitCounts, attribute};

use crate::admin::View;

type Labels = Vec<(String, String)>;

type Families<M> = Vec<(Metric, Family<Labels, M>)>;

/// How long requests and operations on stores have taken since the host began. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Durations {
    requests: Family<RequestLabels, Histogram, Buckets>,
    operations: Family<OperationLabels, Histogram, Buckets>,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            requests: Family::new_with_constructor(Buckets),
            operations: Family::new_with_constructor(Buckets),
        }
    }
}

#[derive(Clone, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(LATENCY_BOUNDS_S)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestLabels {
    method: &'static str,
    route: Option<Arc<str>>,
    status: u16,
    error: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OperationLabels {
    store: Arc<str>,
    operation: &'static str,
    error: Option<&'static str>,
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        present([
            (attribute::HTTP_REQUEST_METHOD, Some(self.method)),
            (attribute::HTTP_ROUTE, self.route.as_deref()),
            (
                attribute::HTTP_RESPONSE_STATUS_CODE,
                Some(&self.status.to_string()),
            ),
            (attribute::ERROR_TYPE, self.error),
        ])
        .encode(encoder)
    }
}

impl EncodeLabelSet for OperationLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        present([
            (attribute::STORE, Some(&*self.store)),
            (attribute::DB_OPERATION_NAME, Some(self.operation)),
            (attribute::ERROR_TYPE, self.error),
        ])
        .encode(encoder)
    }
}

/// Those attributes that have a value, as labels.
fn present<const N: usize>(attributes: [(&str, Option<&str>); N]) -> Labels {
    let present = attributes
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_owned())));
    prometheus_labels(present.collect())
}

impl RequestObserver for Durations {
    fn observe(&self, request: &Answered<'_>) {
        let labels = RequestLabels {
            method: method_name(request.method),
            route: request.route.cloned(),
            status: request.status.as_u16(),
            error: request.problem,
        };
        let histogram = self.requests.get_or_create(&labels);
        histogram.observe(request.elapsed.as_secs_f64());
    }
}

/// A method by its name, or `_OTHER`, as the semantic conventions have it: a stranger must not make labels.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

impl Durations {
    /// An observer of the store with this label.
    pub(crate) fn of_store(&self, label: &str) -> StoreDurations {
        StoreDurations {
            durations: self.clone(),
            label: label.into(),
        }
    }
}

/// Counts how long the operations on one store take.
#[derive(Debug)]
pub(crate) struct StoreDurations {
    durations: Durations,
    label: Arc<str>,
}

impl Observer for StoreDurations {
    fn observe(&self, operation: Operation, elapsed: Duration, outcome: Outcome<'_>) {
        let labels = OperationLabels {
            store: self.label.clone(),
            operation: operation.name(),
            error: match outcome {
                Outcome::Done => None,
                Outcome::Lost => Some("lost"),
                Outcome::Failed(error) => Some(error.name()),
                Outcome::Abandoned => Some("abandoned"),
            },
        };
        let histogram = self.durations.operations.get_or_create(&labels);
        histogram.observe(elapsed.as_secs_f64());
    }
}

/// What the versions of a component do.
pub(crate) fn of_versions(metrics: &mut Metrics, versions: &Versions) {
    for share in versions.shares().iter() {
        let figures = share.component.figures();
        let counted = figures.snapshot();
        let labels = || {
            vec![
                (attribute::COMPONENT, versions.name().to_owned()),
                (attribute::VERSION, share.component.digest().to_owned()),
            ]
        };
        let mut gauge = |metric, value: f64| metrics.gauge(metric, labels(), value);
        gauge(metric::COMPONENT_INSTANCES, figures.instances().into());
        gauge(
            metric::COMPONENT_ACTIVE_REQUESTS,
            figures.in_flight().into(),
        );
        gauge(metric::COMPONENT_SHARE, f64::from(share.percent) / 100.0);
        metrics.counter(metric::COMPONENT_REQUESTS, labels(), counted.requests);
        metrics.counter(metric::COMPONENT_ERRORS, labels(), counted.errors);
    }
}

/// What the gates of the event loops do, all together.
pub(crate) fn of_gates(metrics: &mut Metrics, gates: &[Snapshot]) {
    for (rank, priority) in ["low", "normal", "high"].into_iter().enumerate() {
        let labels = || vec![(attribute::PRIORITY, priority.to_owned())];
        let sum =
            |counts: fn(&Snapshot) -> &[u64; 3]| gates.iter().map(|gate| counts(gate)[rank]).sum();
        metrics.counter(
            metric::ADMISSION_ADMITTED,
            labels(),
            sum(|gate| &gate.admitted),
        );
        metrics.counter(
            metric::ADMISSION_REFUSED,
            labels(),
            sum(|gate| &gate.refused),
        );
    }
    for (index, resource) in ["loop", "store"].into_iter().enumerate() {
        let labels = || vec![(attribute::RESOURCE, resource.to_owned())];
        let pools = || gates.iter().map(|gate| &gate.pools[index]);
        let limit = pools().map(|pool| pool.limit).sum();
        let in_flight = pools().map(|pool| f64::from(pool.in_flight)).sum();
        metrics.gauge(metric::ADMISSION_LIMIT, labels(), limit);
        metrics.gauge(metric::ADMISSION_IN_FLIGHT, labels(), in_flight);
    }
}

/// How often limits were reached. One that never was is there too, so that a rise from nothing shows.
pub(crate) fn of_limits(metrics: &mut Metrics, reached: &LimitCounts) {
    for limit in Limit::ALL {
        let labels = vec![(attribute::LIMIT, limit.key().to_owned())];
        metrics.counter(metric::LIMIT_REACHED, labels, reached.get(*limit));
    }
}

/// How the rollouts stand.
pub(crate) fn of_rollouts(metrics: &mut Metrics, rollouts: &[Rollout]) {
    for rollout in rollouts {
        let state = match rollout.state {
            RolloutState::Canary => "canary",
            RolloutState::Ramping => "ramping",
            RolloutState::Waiting => "waiting",
            RolloutState::Done => "done",
            RolloutState::Reverted => "reverted",
            RolloutState::Aborted => "aborted",
            RolloutState::Superseded => "superseded",
        };
        let labels = || {
            vec![
                (attribute::COMPONENT, rollout.component.clone()),
                (attribute::ROLLOUT, rollout.id.clone()),
                (attribute::ROLLOUT_STATE, state.to_owned()),
            ]
        };
        metrics.gauge(metric::ROLLOUT_STEP, labels(), rollout.step.into());
        metrics.gauge(metric::ROLLOUT_STEPS, labels(), rollout.steps.into());
    }
}

/// How the regions stand to each other, and what waits in the spool.
pub(crate) fn of_regions(metrics: &mut Metrics, view: &View) {
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
}

/// Metrics of one moment, each with all its labels.
#[derive(Default)]
pub(crate) struct Metrics {
    gauges: Families<Gauge<f64, AtomicU64>>,
    counters: Families<Counter>,
}

impl Metrics {
    pub(crate) fn gauge(&mut self, metric: Metric, labels: Vec<(&str, String)>, value: f64) {
        let family = family(&mut self.gauges, metric);
        family.get_or_create(&prometheus_labels(labels)).set(value);
    }

    pub(crate) fn counter(&mut self, metric: Metric, labels: Vec<(&str, String)>, value: u64) {
        let family = family(&mut self.counters, metric);
        family
            .get_or_create(&prometheus_labels(labels))
            .inc_by(value);
    }

    /// All of it as text, with the durations.
    pub(crate) fn encode(self, durations: &Durations) -> String {
        let mut registry = Registry::default();
        register_durations(
            &mut registry,
            metric::HTTP_REQUEST_DURATION,
            &durations.requests,
        );
        register_durations(
            &mut registry,
            metric::DB_OPERATION_DURATION,
            &durations.operations,
        );
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

fn register_durations<L>(
    registry: &mut Registry,
    metric: Metric,
    family: &Family<L, Histogram, Buckets>,
) where
    L: EncodeLabelSet + Clone + std::fmt::Debug + Eq + std::hash::Hash + Send + Sync + 'static,
{
    registry.register_with_unit(
        prometheus_name(metric.name),
        metric.description,
        Unit::Seconds,
        family.clone(),
    );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{OriginView, SpoolView, StoreView};
    use starling_admission::{Admission, Arrival, Kind, Priority, Resource};

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
        let mut metrics = Metrics::default();
        of_regions(&mut metrics, &view());
        let reached = LimitCounts::default();
        reached.count(Limit::Handles);
        of_limits(&mut metrics, &reached);
        let gate = Admission::default();
        let kind = Kind {
            resource: Resource::Store,
            index: 0,
        };
        let _taken = gate.admit(
            Priority::High,
            kind,
            Arrival::Fresh,
            std::time::Instant::now(),
        );
        of_gates(&mut metrics, &[gate.snapshot(), gate.snapshot()]);
        let durations = Durations::default();
        durations.observe(&Answered {
            method: &Method::GET,
            route: Some(&"/v1/...".into()),
            status: http::StatusCode::OK,
            problem: None,
            elapsed: Duration::from_millis(2),
        });
        let slow = Duration::from_secs(11);
        let outcome = Outcome::Failed(&starling_kv::Error::Timeout);
        durations
            .of_store("default")
            .observe(Operation::Get, slow, outcome);
        let text = metrics.encode(&durations);
        let request =
            r#"http_request_method="GET",http_route="/v1/...",http_response_status_code="200""#;
        let operation =
            r#"starling_store_label="default",db_operation_name="get",error_type="timeout""#;
        let labels = r#"starling_store_label="default",starling_replication_origin="us""#;
        for line in [
            format!("starling_replication_lag_seconds{{{labels}}} 1.5"),
            format!("starling_replication_pending{{{labels}}} 3.0"),
            format!("starling_replication_reachable{{{labels}}} 0.0"),
            format!("starling_replication_conflicts_total{{{labels}}} 2"),
            r#"starling_limit_reached_total{starling_limit_key="handles_max"} 1"#.to_owned(),
            r#"starling_admission_admitted_total{starling_admission_priority="high"} 2"#.to_owned(),
            r#"starling_admission_refused_total{starling_admission_priority="low"} 0"#.to_owned(),
            r#"starling_admission_in_flight{starling_admission_resource="store"} 2.0"#.to_owned(),
            r#"starling_admission_limit{starling_admission_resource="loop"} 128.0"#.to_owned(),
            r#"starling_limit_reached_total{starling_limit_key="idle_timeout_ms"} 0"#.to_owned(),
            r#"starling_spool_usage_bytes{starling_spool_state="waiting"} 900.0"#.to_owned(),
            format!("http_server_request_duration_seconds_bucket{{le=\"0.001\",{request}}} 0"),
            format!("http_server_request_duration_seconds_bucket{{le=\"0.0025\",{request}}} 1"),
            format!("db_client_operation_duration_seconds_bucket{{le=\"10.0\",{operation}}} 0"),
            format!("db_client_operation_duration_seconds_count{{{operation}}} 1"),
            "# EOF".to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
