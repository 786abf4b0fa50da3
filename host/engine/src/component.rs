//! A component that is ready to run, and what it may use of the host.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use starling_kv::Store;
use starling_telemetry::LimitCounts;
use tokio::sync::Semaphore;
use wasmtime::component::{InstancePre, Linker, ResourceTable};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{WasiHttpCtx, p2, p3};

use crate::error::LoadError;
use crate::figures::Figures;
use crate::guard::Guard;
use crate::hosts::management::Management;
use crate::limits::{Isolation, Limits};
use crate::outbound::{AllowedHosts, OutboundPolicy};
use crate::output::{Output, Stream};
use crate::state::State;

/// Instances of one component that the pool has room for besides [`Limits::instances_max`].
pub(crate) const INSTANCES_APART: u32 = 1;

/// The environment variables by which a component learns what the host does for it.
const CONTENT_DIGEST: &str = "STARLING_CONTENT_DIGEST";
const SEND_VALUES: &str = "STARLING_SEND_VALUES";

/// All that a component may use of its host. What is not here, it does not get.
#[derive(Clone, Default)]
pub struct Grant {
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its configuration variables, with their values.
    pub variables: BTreeMap<String, String>,
    /// The key-value stores it may open, by label.
    pub stores: HashMap<String, Arc<dyn Store>>,
    /// The hosts it may reach.
    pub allowed_hosts: AllowedHosts,
    /// The host itself, for the one component that manages it.
    pub management: Option<Arc<dyn Management>>,
    /// Whether it is told the digest of what a client sends, by the host, for whom hashing is cheap: in a trailer
    /// `content-digest` (RFC 9530) of every request with a body, in place of any that the client sent. That it may
    /// believe that, an environment variable tells it: `STARLING_CONTENT_DIGEST`, which is `trailer`.
    pub content_digest: bool,
    /// Whether it may leave it to the host to send values of the stores that it was granted: a response whose head has
    /// fields `starling-send` has no body of its own. `STARLING_SEND_VALUES=header` in its environment tells it so.
    pub send_values: bool,
}

/// Names alone: values may be secrets.
impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("environment", &self.environment.keys())
            .field("variables", &self.variables.keys())
            .field("stores", &self.stores.keys())
            .finish_non_exhaustive()
    }
}

/// A component, compiled and linked.
#[derive(Clone)]
pub struct Component(pub(crate) Arc<Linked>);

/// The parts of a [`Component`] that its instances share.
pub(crate) struct Linked {
    name: Arc<str>,
    digest: Arc<str>,
    figures: Arc<Figures>,
    proxy: ProxyPre<State>,
    grant: Arc<Grant>,
    environment: Vec<(String, String)>,
    allowed_hosts: Arc<AllowedHosts>,
    /// Places for requests to other servers.
    outbound: Arc<Semaphore>,
    pub(crate) reached: Arc<LimitCounts>,
    pub(crate) limits: Limits,
}

impl Component {
    pub(crate) fn link(
        name: &str,
        digest: &str,
        compiled: &wasmtime::component::Component,
        linker: &Linker<State>,
        grant: Grant,
        limits: Limits,
        reached: Arc<LimitCounts>,
    ) -> Result<Self, LoadError> {
        let linked = linker.instantiate_pre(compiled).map_err(missing_import)?;
        let proxy = proxy(linked)?;
        Ok(Self(Arc::new(Linked {
            name: name.into(),
            digest: digest.into(),
            figures: Arc::default(),
            proxy,
            environment: environment(&grant),
            allowed_hosts: Arc::new(grant.allowed_hosts.clone()),
            outbound: Arc::new(Semaphore::new(
                limits.outbound_requests_max.min(Semaphore::MAX_PERMITS),
            )),
            grant: Arc::new(grant),
            reached,
            limits,
        })))
    }

    /// The name that it was loaded under.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What names this version: `sha256:` and the digest of the component's bytes in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// What is counted of it on this host.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.0.figures
    }

    /// Instances that may be busy at once, over all event loops.
    pub(crate) fn busy_max(&self) -> u32 {
        self.0.limits.instances_max
    }

    /// Whether its requests share instances.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.limits.isolation == Isolation::Shared && matches!(self.0.proxy, ProxyPre::P3(_))
    }

    /// Whether both are one loaded component.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Linked {
    /// What it was granted.
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(crate) fn proxy(&self) -> &ProxyPre<State> {
        &self.proxy
    }

    /// Fresh state for one instance.
    pub(crate) fn state(&self, guard: Arc<Guard>) -> State {
        let output = |stream| Output {
            component: self.name.clone(),
            stream,
        };
        let wasi = WasiCtx::builder()
            .envs(&self.environment)
            .stdout(output(Stream::Stdout))
            .stderr(output(Stream::Stderr))
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.handles_max);
        State {
            wasi,
            http: WasiHttpCtx::new(),
            outbound: OutboundPolicy {
                allowed: self.allowed_hosts.clone(),
                places: self.outbound.clone(),
                reached: self.reached.clone(),
            },
            table,
            grant: self.grant.clone(),
            guard,
        }
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

fn environment(grant: &Grant) -> Vec<(String, String)> {
    let mut environment = grant.environment.clone();
    for (name, value, is_so) in [
        (CONTENT_DIGEST, "trailer", grant.content_digest),
        (SEND_VALUES, "header", grant.send_values),
    ] {
        // What the host vouches for, nobody else may say.
        environment.remove(name);
        if is_so {
            environment.insert(name.into(), value.into());
        }
    }
    environment.into_iter().collect()
}

/// Prefers the current interface; components of older SDKs export the one before it.
fn proxy(linked: InstancePre<State>) -> Result<ProxyPre<State>, LoadError> {
    match p3::bindings::ServicePre::new(linked.clone()) {
        Ok(service) => Ok(ProxyPre::P3(service)),
        Err(error) => match p2::bindings::ProxyPre::new(linked) {
            Ok(proxy) => Ok(ProxyPre::P2(proxy)),
            Err(_) => Err(LoadError::NoHandler(error)),
        },
    }
}

/// Picks the import's name out of the linker's words, in which it is the first thing quoted.
fn missing_import(source: wasmtime::Error) -> LoadError {
    let text = format!("{source:#}");
    let import = text.split('`').nth(1).unwrap_or(&text).to_owned();
    LoadError::MissingImport { import, source }
}
