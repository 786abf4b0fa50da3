//! The management of this host: the component that does it, the listener for operators, and what operators on this machine
//! find in the state directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use starling_access::{Grant as AccessGrant, Keys, Scope, issue};
use starling_engine::management::host::HostIdentity;
use starling_engine::{AllowedHosts, Engine, Grant, Share, Versions};
use starling_fleet::{Fleet, Parts, TrustedKeys};
use starling_server::{Draining, Limits, ReadinessLatch, Route, Routes, Server, Siblings, Timer};
use starling_supervision::ARTIFACT_BYTES_MAX;
use starling_telemetry::LimitCounts;

use crate::listing::reachable;
use crate::runtime_config::{RuntimeConfig, SignatureConfig, TlsConfig};
use crate::session_key;
use crate::state_dir::StateDir;
use crate::stores::{FLEET, Stores};

/// Where it is written down how an operator on this machine reaches the host, in its state directory.
const FILE: &str = "management";

/// The name that the component goes by in logs and metrics.
const NAME: &str = "management";

/// What operators are served. Everything else of the component is for the host alone.
const ROUTE: &str = "/v1/...";

/// What the host calls, again and again.
const SUPERVISE: &str = "/supervise";

/// Connections of operators at once.
const CONNECTIONS_MAX: usize = 64;

/// How long the token in the state directory is valid.
const TOKEN_TTL: Duration = Duration::from_secs(2 * 3_600);

/// What is written down in place of a token where nobody is asked for one.
const NO_TOKEN: &str = "none-needed";

/// How often another takes its place.
const TOKEN_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// What the management of a host is made of.
pub(crate) struct Setup<'a> {
    /// The component.
    pub(crate) file: &'a Path,
    pub(crate) config: &'a RuntimeConfig,
    pub(crate) state_dir: &'a StateDir,
    pub(crate) stores: &'a Stores,
    pub(crate) engine: Arc<Engine>,
    /// The application's components, and what each may use.
    pub(crate) components: Vec<(Versions, Grant)>,
    /// The application's routes, as pattern and component.
    pub(crate) routes: Vec<(String, String)>,
    /// The application's variables, of which it gets those about regions and keys.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// Nobody is asked for a token.
    pub(crate) insecure_open: bool,
    /// Where the front door listens.
    pub(crate) front: SocketAddr,
    pub(crate) event_loops: NonZeroUsize,
    pub(crate) readiness: ReadinessLatch,
    pub(crate) siblings: Siblings,
    pub(crate) reached: Arc<LimitCounts>,
}

/// A host's management, about to run.
pub(crate) struct Management {
    /// The host as it is managed.
    pub(crate) fleet: Fleet,
    /// The component that does it.
    pub(crate) versions: Versions,
    server: Server,
    door: Door,
}

/// How an operator on this machine gets in.
struct Door {
    url: String,
    keys: Option<Keys>,
    certificate: Option<String>,
}

/// What is written down of it.
#[derive(Serialize)]
struct Described<'a> {
    url: &'a str,
    token: &'a str,
    ca: Option<&'a str>,
}

impl Setup<'_> {
    /// Listens, loads the component, and gives it the host.
    pub(crate) fn start(self) -> Result<Management> {
        let config = &self.config.management;
        let versions = Versions::none(NAME);
        let route = Route {
            pattern: ROUTE.parse()?,
            component: NAME.to_owned(),
            spin_headers: false,
            priorities: Arc::default(),
            target: versions.clone(),
        };
        let limits = Limits {
            connections_max: CONNECTIONS_MAX,
            body_bytes_max: ARTIFACT_BYTES_MAX,
            ..self.config.limits.server()
        };
        let mut server = Server::listen(
            config.listen,
            Routes::new(vec![route])?,
            limits,
            NonZeroUsize::MIN,
        )
        .context("operators cannot be listened to; management.listen says where")?
        .with_limit_counts(self.reached.clone());
        let mut certificate = None;
        if let Some(tls) = &config.tls {
            server = server.with_tls(Arc::new(tls_config(tls)?));
            certificate = Some(fs::read_to_string(&tls.cert_file)?);
        }
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{}", reachable(server.address()));
        let key = self.session_key()?;
        let door = Door {
            keys: match key.as_str() {
                "" => None,
                key => Some(Keys::new(key, None)?),
            },
            url: url.clone(),
            certificate,
        };
        let grant = self.grant(key)?;
        if self.front.ip().is_unspecified() && self.config.advertise.is_none() {
            tracing::warn!(
                "other hosts do not know where to reach this one: say advertise = \"http://…\" if there are any"
            );
        }
        let region = self.region();
        let fleet = Fleet::start(Parts {
            identity: HostIdentity {
                id: self.state_dir.host_id(&region)?.as_str().to_owned(),
                zone: self
                    .config
                    .zone
                    .as_ref()
                    .map_or("default", |zone| zone.as_str())
                    .to_owned(),
                region,
                address: self
                    .config
                    .advertise
                    .clone()
                    .unwrap_or_else(|| format!("http://{}", reachable(self.front))),
                management: url,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_ms: u64::try_from(since_epoch()?.as_millis())?,
                instances_max: self.config.limits.engine().instances_max,
                event_loops: u32::try_from(self.event_loops.get())?,
            },
            routes: self.routes,
            components: self.components,
            engine: self.engine.clone(),
            stores: fleet_stores(self.stores),
            trusted_keys: trusted_keys(&self.config.signatures)?,
            readiness: self.readiness,
            siblings: self.siblings,
        })?;
        let bytes = fs::read(self.file).with_context(|| {
            format!(
                "there is no management component at {}; build the application first",
                self.file.display()
            )
        })?;
        let component = self
            .engine
            .load(
                NAME,
                &bytes,
                Grant {
                    management: Some(Arc::new(fleet.clone())),
                    ..grant
                },
            )
            .with_context(|| {
                format!(
                    "the management component cannot be run from {}",
                    self.file.display()
                )
            })?;
        versions.shift(vec![Share {
            component,
            percent: 100,
        }])?;
        let interval = Duration::from_millis(config.interval_ms);
        let timer = Timer::new(versions.clone(), SUPERVISE, interval)
            .context("management.interval_ms")?
            .steady();
        Ok(Management {
            server: server.with_timers(vec![timer]),
            versions,
            fleet,
            door,
        })
    }

    /// What tokens are signed with: as the application has it, or else the host's own. Empty if nobody is asked for one.
    fn session_key(&self) -> Result<String> {
        match self.variables.get(session_key::VARIABLE) {
            Some(key) if !key.is_empty() => Ok(key.clone()),
            _ if self.insecure_open => Ok(String::new()),
            _ => Ok(session_key::read_or_make(self.state_dir.path())?),
        }
    }

    fn region(&self) -> String {
        let said = self.config.variable("region");
        said.or_else(|| self.variables.get("region").cloned())
            .unwrap_or_else(|| "local".to_owned())
    }

    fn grant(&self, session_key: String) -> Result<Grant> {
        let region = self.region();
        let mut variables = BTreeMap::from([
            ("regions".to_owned(), region.clone()),
            ("region".to_owned(), region),
            (session_key::VARIABLE.to_owned(), session_key),
        ]);
        for name in ["regions", "session_key_previous"] {
            let said = self.config.variable(name);
            if let Some(value) = said.or_else(|| self.variables.get(name).cloned()) {
                variables.insert(name.to_owned(), value);
            }
        }
        let mut allowed_hosts = AllowedHosts::default();
        // The front doors of the fleet's hosts, which come and go.
        allowed_hosts.allow("http://*:*")?;
        Ok(Grant {
            variables,
            stores: self.stores.with_replicas(FLEET),
            allowed_hosts,
            ..Grant::default()
        })
    }
}

impl Management {
    /// Serves operators, and supervises, on threads of its own, until the host goes.
    pub(crate) fn run(self, state_dir: &StateDir, draining: &Draining) -> Result<()> {
        let (path, door) = (state_dir.file(FILE), self.door);
        door.write_down(&path)?;
        thread::Builder::new()
            .name("operator-token".to_owned())
            .spawn(move || {
                loop {
                    thread::sleep(TOKEN_INTERVAL);
                    if let Err(error) = door.write_down(&path) {
                        tracing::warn!(%error, "the operator's token could not be renewed");
                    }
                }
            })?;
        let (server, draining) = (self.server, draining.clone());
        thread::Builder::new()
            .name("operators".to_owned())
            .spawn(move || {
                if let Err(error) = server.run(&draining) {
                    tracing::error!(%error, "operators are not served any more");
                }
            })?;
        Ok(())
    }
}

impl Door {
    fn write_down(&self, path: &Path) -> Result<()> {
        let grant = AccessGrant {
            scope: Scope::Operator,
            mailbox: None,
        };
        let now = since_epoch()?.as_secs();
        let token = match &self.keys {
            Some(keys) => issue(keys, &grant, now, TOKEN_TTL.as_secs()),
            None => NO_TOKEN.to_owned(),
        };
        let described = serde_json::to_string(&Described {
            url: &self.url,
            token: &token,
            ca: self.certificate.as_deref(),
        })?;
        Ok(StateDir::write_private(path, &described)?)
    }
}

fn fleet_stores(stores: &Stores) -> Vec<Arc<dyn starling_kv::Store>> {
    let mut by_label: Vec<_> = stores.with_replicas(FLEET).into_iter().collect();
    // The region's own label is the shortest.
    by_label.sort_by_key(|(label, _)| (label.len() > FLEET.len(), label.clone()));
    by_label.into_iter().map(|(_, store)| store).collect()
}

fn trusted_keys(config: &SignatureConfig) -> Result<TrustedKeys> {
    let mut trusted = TrustedKeys::new(config.allow_unsigned);
    for file in &config.keys {
        let of_key = || format!("signatures.keys has {}", file.display());
        let pem = fs::read_to_string(file).with_context(of_key)?;
        trusted.trust(&pem).with_context(of_key)?;
    }
    Ok(trusted)
}

fn tls_config(config: &TlsConfig) -> Result<ServerConfig> {
    let of_file = |file: &Path| format!("management.tls has {}", file.display());
    let certificates = CertificateDer::pem_file_iter(&config.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| of_file(&config.cert_file))?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .with_context(|| of_file(&config.key_file))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .context("management.tls: the certificate and the key do not go together")?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn since_epoch() -> Result<Duration> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock of this machine is before 1970")
}
