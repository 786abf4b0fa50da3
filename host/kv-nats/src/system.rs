//! The connection to one region's NATS system.
//!
//! It is made in the background and made again whenever it breaks. A system that has not answered in time is under
//! suspicion: requests fail at once, instead of each waiting its time, until it has answered a small question.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::{Client, ConnectOptions, Event};
use starling_kv::Error;
use thiserror::Error as ThisError;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::config::SystemConfig;

/// How long a request to a server may take: less than the time after which hosts give up on a store.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long a server may take to store a message.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a system under suspicion is asked whether it is well.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// The longest pause between attempts to connect.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Publications that may be under way at once.
const ACKS_PENDING_MAX: usize = 16_384;

/// The oldest server that will do: stream metadata came with it.
const VERSION_MIN: (u32, u32) = (2, 10);

/// What is wrong with the configuration of a system.
#[derive(Debug, ThisError)]
pub enum SystemError {
    /// There is no address.
    #[error("no servers are named; say servers = [\"nats://host:4222\"]")]
    NoServers,
    /// User and password stand in an address, where they would not be used.
    #[error("the address of a server holds credentials; say user and password_file instead")]
    CredentialsInAddress,
    /// More than one way of being let in.
    #[error("say one of user, nkey_seed_file and credentials_file")]
    ManyCredentials,
    /// A user without a password, or a password without a user.
    #[error("a user needs a password or a password_file, and a password needs a user")]
    HalfPassword,
    /// A client certificate without key, or the other way about.
    #[error("cert_file and key_file go together")]
    HalfCertificate,
    /// A file cannot be used.
    #[error("{what} {} cannot be read", path.display())]
    Unreadable {
        /// Which setting names it.
        what: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The client refuses the addresses or the certificates.
    #[error("the connection cannot be set up")]
    Client(#[source] async_nats::ConnectError),
    /// The servers answered, and will not have this client.
    #[error("NATS refuses this client: {0}")]
    Refused(String),
    /// The server is too old.
    #[error("the NATS server is {0}; 2.10 or newer is needed")]
    TooOld(String),
    /// The server runs without JetStream.
    #[error("the NATS server runs without JetStream")]
    NoJetStream,
}

/// A connection to one region's NATS system. Cheap to clone.
#[derive(Clone)]
pub struct System(Arc<Inner>);

struct Inner {
    client: OnceLock<(Client, Context)>,
    /// How often the connection was made.
    connections: AtomicU64,
    /// Said with every change of the connection.
    changed: Notify,
    /// Whether the last request was not answered in time.
    suspect: AtomicBool,
    /// What the servers said when they did not let this client in.
    refusal: std::sync::Mutex<Option<String>>,
    runtime: Handle,
}

impl System {
    /// Begins to connect, on `runtime`, and goes on until it works.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration. That nobody answers is none.
    pub async fn connect(config: &SystemConfig, name: &str) -> Result<Self, SystemError> {
        let options = options(config)?;
        if config.servers.is_empty() {
            return Err(SystemError::NoServers);
        }
        if config.servers.iter().any(|server| server.contains('@')) {
            return Err(SystemError::CredentialsInAddress);
        }
        let system = Self(Arc::new(Inner {
            client: OnceLock::new(),
            connections: AtomicU64::new(0),
            changed: Notify::new(),
            suspect: AtomicBool::new(false),
            refusal: std::sync::Mutex::default(),
            runtime: Handle::current(),
        }));
        let weak = Arc::downgrade(&system.0);
        let client = options
            .name(format!("starling {name}"))
            .event_callback(move |event| {
                let inner = weak.upgrade();
                async move {
                    if let Some(inner) = inner {
                        inner.on_event(&event);
                    }
                }
            })
            .connect(config.servers.clone())
            .await
            .map_err(SystemError::Client)?;
        let context = async_nats::jetstream::ContextBuilder::new()
            .timeout(WRITE_TIMEOUT)
            .ack_timeout(WRITE_TIMEOUT)
            .max_ack_inflight(ACKS_PENDING_MAX)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let _ = system.0.client.set((client, context));
        Ok(system)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.both().0
    }

    pub(crate) fn jetstream(&self) -> &Context {
        &self.both().1
    }

    fn both(&self) -> &(Client, Context) {
        self.0
            .client
            .get()
            .expect("it is set before anybody has a system")
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.client().connection_state() == State::Connected
    }

    /// Whether there is a connection, and requests are answered.
    pub fn is_well(&self) -> bool {
        self.is_connected() && !self.0.suspect.load(Ordering::Relaxed)
    }

    /// How often the connection was made: whoever has seen a lesser number has to look anew at what the servers hold.
    pub(crate) fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Acquire)
    }

    /// Waits for a connection.
    pub(crate) async fn connected(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.is_connected() {
                return;
            }
            // The client tells of a connection before it counts as connected.
            let _ = tokio::time::timeout(PROBE_INTERVAL, changed).await;
        }
    }

    /// Waits until the connection may have changed, at most this long.
    pub(crate) async fn changed(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.0.changed.notified()).await;
    }

    /// Whether the servers will do, once there is a connection.
    pub(crate) fn verdict(&self) -> Result<(), SystemError> {
        let refusal = self
            .0
            .refusal
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(said) = refusal.as_ref() {
            return Err(SystemError::Refused(said.clone()));
        }
        if !self.is_connected() {
            return Ok(());
        }
        let info = self.client().server_info();
        let mut numbers = info
            .version
            .split('.')
            .map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < VERSION_MIN {
            return Err(SystemError::TooOld(info.version));
        }
        if !info.jetstream {
            return Err(SystemError::NoJetStream);
        }
        Ok(())
    }

    /// Fails at once where a request could only wait.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.is_connected() {
            return Err(Error::unavailable("there is no connection to NATS"));
        }
        if self.0.suspect.load(Ordering::Relaxed) {
            return Err(Error::unavailable("NATS does not answer"));
        }
        Ok(())
    }

    /// Waits for an answer, at most this long; draws its conclusions if there is none.
    pub(crate) async fn within<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.suspect();
                Err(Error::Timeout)
            }
        }
    }

    /// A request was not answered in time: no other is to wait, until one is answered.
    pub(crate) fn suspect(&self) {
        if self.0.suspect.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!("NATS does not answer in time");
        let system = self.clone();
        self.0.runtime.spawn(async move {
            loop {
                let asked = system.jetstream().query_account();
                if let Ok(Ok(_)) = tokio::time::timeout(READ_TIMEOUT, asked).await {
                    break;
                }
                tokio::time::sleep(PROBE_INTERVAL).await;
            }
            tracing::info!("NATS answers again");
            system.0.suspect.store(false, Ordering::Relaxed);
            system.0.changed.notify_waiters();
        });
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field(
                "connected",
                &self.0.client.get().map(|_| self.is_connected()),
            )
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn on_event(&self, event: &Event) {
        let mut refusal = self
            .refusal
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Connected => {
                *refusal = None;
                self.connections.fetch_add(1, Ordering::AcqRel);
                tracing::info!("connected to NATS");
            }
            Event::Disconnected => tracing::warn!("the connection to NATS is lost"),
            Event::ServerError(error) => {
                let said = error.to_string();
                let lower = said.to_ascii_lowercase();
                if lower.contains("authorization") || lower.contains("authentication") {
                    *refusal = Some(said.clone());
                }
                tracing::warn!(error = said, "NATS complains");
            }
            other => tracing::debug!(event = %other, "NATS"),
        }
        drop(refusal);
        self.changed.notify_waiters();
    }
}

fn options(config: &SystemConfig) -> Result<ConnectOptions, SystemError> {
    let read = |what, path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|source| SystemError::Unreadable {
            what,
            path: path.to_owned(),
            source,
        })
    };
    let ways = [
        config.user.is_some() || config.password.is_some() || config.password_file.is_some(),
        config.nkey_seed_file.is_some(),
        config.credentials_file.is_some(),
    ];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(SystemError::ManyCredentials);
    }
    let mut options = ConnectOptions::new()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let shift = u32::try_from(attempts.min(5)).unwrap_or(5);
            (Duration::from_millis(50) * 2_u32.pow(shift)).min(RECONNECT_DELAY_MAX)
        })
        .connection_timeout(READ_TIMEOUT)
        .ping_interval(Duration::from_secs(2))
        .request_timeout(Some(WRITE_TIMEOUT))
        .require_tls(config.tls);
    let password = match (&config.password, &config.password_file) {
        (Some(password), None) => Some(password.clone()),
        (None, Some(file)) => Some(read("password_file", file)?.trim_end().to_owned()),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(SystemError::HalfPassword),
    };
    match (&config.user, password) {
        (Some(user), Some(password)) => options = options.user_and_password(user.clone(), password),
        (None, None) => {}
        _ => return Err(SystemError::HalfPassword),
    }
    if let Some(file) = &config.nkey_seed_file {
        options = options.nkey(read("nkey_seed_file", file)?.trim().to_owned());
    }
    if let Some(file) = &config.credentials_file {
        let text = read("credentials_file", file)?;
        options = options
            .credentials(&text)
            .map_err(|source| SystemError::Unreadable {
                what: "credentials_file",
                path: file.clone(),
                source,
            })?;
    }
    if let Some(file) = &config.ca_file {
        read("ca_file", file)?;
        options = options.add_root_certificates(file.clone());
    }
    match (&config.cert_file, &config.key_file) {
        (Some(cert), Some(key)) => {
            read("cert_file", cert)?;
            read("key_file", key)?;
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        (None, None) => {}
        _ => return Err(SystemError::HalfCertificate),
    }
    Ok(options)
}
