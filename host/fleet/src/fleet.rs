//! What the management component asks of its host, done.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{io, thread};

use starling_engine::management::{artifacts, host, instances, traffic};
use starling_engine::{Component, Engine, Grant, Management, Versions};
use starling_kv::Store;
use starling_server::{Readiness, ReadinessLatch, Sibling, Siblings};
use starling_supervision::Digest;
use starling_telemetry::attribute;

use crate::artifacts::read;
use crate::managed::Managed;
use crate::refusal::{of_load, of_signature, refusal};
use crate::signatures::TrustedKeys;

/// What a [`Fleet`] is made of.
pub struct Parts {
    /// Who this host is.
    pub identity: host::HostIdentity,
    /// Its routes, as pattern and component.
    pub routes: Vec<(String, String)>,
    /// The application's components: whose requests are shared how, and what each version may use.
    pub components: Vec<(Versions, Grant)>,
    /// What makes versions ready to run.
    pub engine: Arc<Engine>,
    /// The fleet's stores that artifacts are read from, this region's first.
    pub stores: Vec<Arc<dyn Store>>,
    /// Whose artifacts are run.
    pub trusted_keys: TrustedKeys,
    /// What `/ready` says.
    pub readiness: ReadinessLatch,
    /// Who takes what this host cannot serve.
    pub siblings: Siblings,
}

/// One host, as its management component manages it. Clones are one.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    identity: host::HostIdentity,
    routes: Vec<(String, String)>,
    components: Mutex<BTreeMap<String, Managed>>,
    rollouts: Mutex<Vec<host::Rollout>>,
    readiness: ReadinessLatch,
    siblings: Siblings,
    to_stage: Sender<ToStage>,
}

/// A version to be made ready.
struct ToStage {
    component: String,
    digest: Digest,
    grant: Grant,
}

/// What the thread that makes versions ready needs for it.
struct Stager {
    engine: Arc<Engine>,
    stores: Vec<Arc<dyn Store>>,
    trusted_keys: TrustedKeys,
}

impl Fleet {
    /// Starts the thread that makes versions ready.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let (to_stage, staging) = channel();
        let components = parts.components.into_iter();
        let shared = Arc::new(Shared {
            identity: parts.identity,
            routes: parts.routes,
            components: Mutex::new(
                components
                    .map(|(versions, grant)| {
                        (versions.name().to_owned(), Managed::new(versions, grant))
                    })
                    .collect(),
            ),
            rollouts: Mutex::default(),
            readiness: parts.readiness,
            siblings: parts.siblings,
            to_stage,
        });
        let stager = Stager {
            engine: parts.engine,
            stores: parts.stores,
            trusted_keys: parts.trusted_keys,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let host = Arc::downgrade(&shared);
        thread::Builder::new()
            .name("stager".to_owned())
            .spawn(move || stager.run(&runtime, &staging, &host))?;
        Ok(Self(shared))
    }

    /// How the rollouts stand, as the management component said last.
    pub fn rollouts(&self) -> Vec<host::Rollout> {
        self.0
            .rollouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn components(&self) -> MutexGuard<'_, BTreeMap<String, Managed>> {
        self.0.components()
    }
}

impl Shared {
    fn components(&self) -> MutexGuard<'_, BTreeMap<String, Managed>> {
        self.components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet")
            .field("identity", &self.0.identity)
            .finish_non_exhaustive()
    }
}

impl Management for Fleet {
    fn identity(&self) -> host::HostIdentity {
        self.0.identity.clone()
    }

    fn routes(&self) -> Vec<host::Route> {
        let routes = self.0.routes.iter();
        routes
            .map(|(pattern, component)| host::Route {
                pattern: pattern.clone(),
                component: component.clone(),
            })
            .collect()
    }

    fn set_readiness(&self, readiness: host::Readiness) {
        self.0.readiness.set(match readiness {
            host::Readiness::Ready => Readiness::Ready,
            host::Readiness::Degraded(reason) => Readiness::Degraded(reason),
            host::Readiness::Draining => Readiness::Draining,
        });
    }

    fn set_siblings(&self, siblings: Vec<host::Sibling>) {
        let known = siblings.into_iter().filter_map(|sibling| {
            let routes = sibling.routes.iter().map(String::as_str);
            Sibling::new(&sibling.id, &sibling.address, routes)
                .inspect_err(
                    |error| tracing::warn!(sibling = sibling.id, %error, "a sibling is left out"),
                )
                .ok()
        });
        self.0.siblings.set(&self.0.identity.id, known.collect());
    }

    fn report_rollouts(&self, rollouts: Vec<host::Rollout>) {
        *self
            .0
            .rollouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = rollouts;
    }

    fn versions(&self, window: Duration) -> Vec<instances::Version> {
        let now = Instant::now();
        self.components()
            .values_mut()
            .flat_map(|managed| managed.list(now, window))
            .collect()
    }

    fn stage(&self, component: &str, digest: &str) -> artifacts::State {
        use artifacts::RefusalKind::{DigestMismatch, UnknownComponent};

        let mut components = self.components();
        let Some(managed) = components.get_mut(component) else {
            let detail = format!("this host's application has no component `{component}`");
            return artifacts::State::Refused(refusal(UnknownComponent, detail));
        };
        let Ok(parsed) = digest.parse() else {
            let detail = format!("`{digest}` is not a digest");
            return artifacts::State::Refused(refusal(DigestMismatch, detail));
        };
        let (state, due) = managed.stage(digest);
        if due {
            let to_stage = ToStage {
                component: component.to_owned(),
                digest: parsed,
                grant: managed.grant.clone(),
            };
            // Its thread lives as long as this does.
            let _ = self.0.to_stage.send(to_stage);
        }
        state
    }

    fn forget(&self, component: &str, digest: &str) {
        if let Some(managed) = self.components().get_mut(component) {
            managed.forget(digest);
        }
    }

    fn shift(&self, component: &str, shares: &[traffic::Share]) -> Result<(), String> {
        match self.components().get(component) {
            Some(managed) => managed.shift(shares)?,
            None => return Err(format!("there is no component `{component}` here")),
        }
        for share in shares {
            tracing::info!(
                { attribute::COMPONENT } = component,
                { attribute::VERSION } = share.digest,
                percent = share.percent,
                "requests are shared anew"
            );
        }
        Ok(())
    }
}

impl Stager {
    /// Makes versions ready, one after another, for as long as the host is there.
    fn run(
        &self,
        runtime: &tokio::runtime::Runtime,
        staging: &Receiver<ToStage>,
        host: &Weak<Shared>,
    ) {
        for to_stage in staging {
            let stage = AssertUnwindSafe(|| runtime.block_on(self.stage(&to_stage)));
            // What a stranger made must not end the thread that all deploys need.
            let outcome = catch_unwind(stage).unwrap_or_else(|_| {
                let detail = "the compiler failed on it";
                Err(refusal(artifacts::RefusalKind::InvalidComponent, detail))
            });
            match &outcome {
                Ok(_) => tracing::info!(
                    { attribute::COMPONENT } = to_stage.component,
                    { attribute::VERSION } = %to_stage.digest,
                    "a version is ready"
                ),
                Err(refusal) => tracing::warn!(
                    { attribute::COMPONENT } = to_stage.component,
                    { attribute::VERSION } = %to_stage.digest,
                    kind = ?refusal.kind,
                    detail = refusal.detail,
                    "a version is refused"
                ),
            }
            let Some(host) = host.upgrade() else { return };
            if let Some(managed) = host.components().get_mut(&to_stage.component) {
                managed.staged(&to_stage.digest.to_string(), outcome);
            }
        }
    }

    async fn stage(&self, to_stage: &ToStage) -> Result<Component, artifacts::Refusal> {
        let (bytes, signature) = read(&self.stores, &to_stage.digest).await?;
        self.trusted_keys
            .check(&bytes, signature.as_deref())
            .map_err(of_signature)?;
        self.engine
            .load(&to_stage.component, &bytes, to_stage.grant.clone())
            .map_err(|error| of_load(&error))
    }
}
