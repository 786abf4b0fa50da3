//! Names of metrics, as constants, with what they count.
//!
//! They follow the naming of the OpenTelemetry semantic conventions; the exposition for Prometheus writes `.` as `_` and
//! adds units and `_total` by its own rules.

/// A metric: its name, unit and meaning.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The unit, by UCUM; empty where there is none.
    pub unit: &'static str,
    /// What it is, in a sentence without full stop.
    pub description: &'static str,
}

const fn metric(name: &'static str, unit: &'static str, description: &'static str) -> Metric {
    Metric {
        name,
        unit,
        description,
    }
}

/// How far a replica is behind, in sequences.
pub const REPLICATION_PENDING: Metric = metric(
    "starling.replication.pending",
    "",
    "Sequences of the origin that its replica here lacks, as far as is known",
);
/// How far a replica is behind, in time.
pub const REPLICATION_LAG: Metric = metric(
    "starling.replication.lag",
    "s",
    "For how long the replica may have lacked something of its origin",
);
/// Where a replica is.
pub const REPLICATION_APPLIED: Metric = metric(
    "starling.replication.applied",
    "",
    "The last sequence of the origin that its replica here holds",
);
/// Whether an origin answers.
pub const REPLICATION_REACHABLE: Metric = metric(
    "starling.replication.reachable",
    "",
    "1 if the system of the origin's region answers this host, else 0",
);
/// How often replicators met.
pub const REPLICATION_CONFLICTS: Metric = metric(
    "starling.replication.conflicts",
    "",
    "How often this host's replicator was overtaken by another host's",
);
/// How often an origin went back.
pub const REPLICATION_REGRESSIONS: Metric = metric(
    "starling.replication.regressions",
    "",
    "How often the origin was found not to continue its replica here",
);
/// Whether the region's own store answers.
pub const STORE_REACHABLE: Metric = metric(
    "starling.store.reachable",
    "",
    "1 if the system of this host's own region answers it, else 0",
);
/// Whether an operator has to look at the region's own store.
pub const STORE_TROUBLE: Metric = metric(
    "starling.store.trouble",
    "",
    "1 if the region's own bucket is not written until an operator has looked at it, else 0",
);
/// What waits in the spool.
pub const SPOOL_MESSAGES: Metric = metric(
    "starling.spool.messages",
    "",
    "Deposits in this host's spool, by state: waiting, or undeliverable",
);
/// How many bytes wait in the spool.
pub const SPOOL_BYTES: Metric = metric(
    "starling.spool.usage",
    "By",
    "Bytes of audio in this host's spool, by state: waiting, or undeliverable",
);
/// How long requests took.
pub const HTTP_REQUEST_DURATION: Metric = metric(
    "http.server.request.duration",
    "s",
    "The time from the head of a request to the head of its response, by route and status",
);
/// How long operations on stores took.
pub const DB_OPERATION_DURATION: Metric = metric(
    "db.client.operation.duration",
    "s",
    "The time that an operation on a key-value store took",
);
/// Instances of a component's version.
pub const COMPONENT_INSTANCES: Metric = metric(
    "starling.component.instances",
    "",
    "Instances of a version of a component, busy or not",
);
/// Requests under way in a component's version.
pub const COMPONENT_ACTIVE_REQUESTS: Metric = metric(
    "starling.component.active_requests",
    "",
    "Requests under way in a version of a component, to the last byte of their response",
);
/// Requests of a component's version.
pub const COMPONENT_REQUESTS: Metric = metric(
    "starling.component.requests",
    "",
    "Requests that a version of a component has answered, or failed",
);
/// Failures of a component's version.
pub const COMPONENT_ERRORS: Metric = metric(
    "starling.component.errors",
    "",
    "Requests that a version of a component has failed: without a response, or with 500, 502, 503 or 504",
);
/// The traffic of a component's version.
pub const COMPONENT_SHARE: Metric = metric(
    "starling.component.traffic.share",
    "",
    "The share of a component's requests that go to a version of it, from 0 to 1",
);
/// Whether the host may be given traffic.
pub const HOST_READY: Metric = metric(
    "starling.host.ready",
    "",
    "1 if the host is ready for traffic, else 0",
);
/// Where a rollout is.
pub const ROLLOUT_STEP: Metric = metric(
    "starling.rollout.step",
    "",
    "The step that a rollout is in, counted from 0",
);
/// How long a rollout is.
pub const ROLLOUT_STEPS: Metric =
    metric("starling.rollout.steps", "", "The steps that a rollout has");
/// How often limits were reached.
pub const LIMIT_REACHED: Metric = metric(
    "starling.limit.reached",
    "",
    "How often a limit of this host was reached, by the key that sets it",
);
/// What was taken.
pub const ADMISSION_ADMITTED: Metric = metric(
    "starling.admission.admitted",
    "",
    "Requests that the host took, by what they matter",
);
/// What was refused.
pub const ADMISSION_REFUSED: Metric = metric(
    "starling.admission.refused",
    "",
    "Requests that the host refused at once because it could not serve them in time, by what they matter",
);
/// How much is taken at once.
pub const ADMISSION_LIMIT: Metric = metric(
    "starling.admission.limit",
    "",
    "The requests that the host takes at once, over its event loops, by what they wait for",
);
/// How much is under way.
pub const ADMISSION_IN_FLIGHT: Metric = metric(
    "starling.admission.in_flight",
    "",
    "The requests that the host has taken and not answered, by what they wait for",
);
