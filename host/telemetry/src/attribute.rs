//! Names of attributes, as constants: a name is written once, and means the same in every event.
//!
//! Source: OpenTelemetry semantic conventions 1.37, HTTP and error attributes; for traces, "Trace Context in non-OTLP
//! Log Formats".

/// The request's method.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// The status of the response.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The route that matched, as the manifest writes it. Never the path, which names a mailbox.
pub const HTTP_ROUTE: &str = "http.route";
/// What kind of error ended the operation; one of few values.
pub const ERROR_TYPE: &str = "error.type";
/// The component that handled the request.
pub const COMPONENT: &str = "starling.component.name";
/// The trace that a request belongs to, also in the `instance` of the problem details that its client got.
pub const TRACE_ID: &str = "trace_id";
/// One request of a trace, as this host named it to the component.
pub const SPAN_ID: &str = "span_id";
/// The label of a key-value store.
pub const STORE: &str = "starling.store.label";
/// The key that sets a limit.
pub const LIMIT: &str = "starling.limit.key";
/// The region whose store a replica is of.
pub const ORIGIN: &str = "starling.replication.origin";
/// What has become of a deposit in the spool.
pub const STATE: &str = "starling.spool.state";
/// The digest of a component's version.
pub const VERSION: &str = "starling.component.version";
/// What was done to a store.
pub const DB_OPERATION_NAME: &str = "db.operation.name";
/// A rollout's id.
pub const ROLLOUT: &str = "starling.rollout.id";
/// Where a rollout stands.
pub const ROLLOUT_STATE: &str = "starling.rollout.state";
/// How much a request matters: `low`, `normal` or `high`.
pub const PRIORITY: &str = "starling.admission.priority";
/// What requests wait for: `loop` or `store`.
pub const RESOURCE: &str = "starling.admission.resource";
