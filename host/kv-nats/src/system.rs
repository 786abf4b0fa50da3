//! The connection to one region's NATS system.
//!
//! It is made in the background and made again whenever it breaks. Each time it is a [`Link`] of its own, with a client
//! of its own: whatever was under way on a broken link fails at once and is never sent on the next one. A server that
//! comes back may have lost its disk or got an older copy of it; nothing that was meant for what it held before may
//! reach it before it has been looked at.
//!
//! A system that has not answered in time is under suspicion: requests fail at once, instead of each waiting its time,
//! until it has answered a small question.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use async_nats::connection::State as ClientState;
use async_nats::jetstream::{Context, ContextBuilder, stream::Stream};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use futures::FutureExt;
use starling_kv::Error;
use thiserror::Error as ThisError;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::config::SystemConfig;

/// How long a request to a server may take: less than the time after which hosts give up on a store.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How long a server may take to store a message.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a system under suspicion is asked whether it is well.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// The pause after the first attempt to connect that failed; it doubles with each.
const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(50);

/// The longest pause between attempts to connect.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// How often a connection is looked at whether it still is one.
const LOST_INTERVAL: Duration = Duration::from_secs(1);

/// Publications that may be under way at once.
const ACKS_PENDING_MAX: usize = 16_384;

/// Messages of a stream that may wait to be taken. Flow control bounds their bytes; this, which drops what is beyond it,
/// is more than those can be.
const DELIVERED_MAX: usize = 1 << 20;

/// Where nobody ever listens: what a client is given for when its connection has broken.
const NOWHERE: &str = "nats://127.0.0.1:0";

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
    /// An address is none.
    #[error("{address} is no address of a NATS server")]
    Address {
        /// What was said.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The servers answered and will not have this client, or its certificates cannot be used.
    #[error("NATS does not let this client in: {0}")]
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
    state: watch::Sender<State>,
    /// Who connects. It ends with the system, and the connection with it.
    connector: OnceLock<AbortHandle>,
    runtime: Handle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(connector) = self.connector.get() {
            connector.abort();
        }
    }
}

/// How things are with a system.
struct State {
    /// The connection, if there is one.
    link: Option<Arc<Link>>,
    /// Since when there has been one, or none.
    since: Instant,
    /// Why the servers did not let this client in, when they were last asked.
    refusal: Option<String>,
}

impl System {
    /// Begins to connect, on the runtime of the caller, and goes on until it works.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration. That nobody answers is none.
    #[expect(
        clippy::unused_async,
        reason = "a runtime has to be there, and this says so"
    )]
    pub async fn connect(config: &SystemConfig, name: &str) -> Result<Self, SystemError> {
        let options = options(config)?.name(format!("starling {name}"));
        let servers = servers(config)?;
        let (state, _) = watch::channel(State {
            link: None,
            since: Instant::now(),
            refusal: None,
        });
        let system = Self(Arc::new(Inner {
            state,
            connector: OnceLock::new(),
            runtime: Handle::current(),
        }));
        let connector = tokio::spawn(keep_connected(Arc::downgrade(&system.0), options, servers));
        let _ = system.0.connector.set(connector.abort_handle());
        Ok(system)
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// The connection as it is now, if there is one.
    fn current(&self) -> Option<Arc<Link>> {
        let state = self.0.state.borrow();
        state.link.clone().filter(|link| !link.is_lost())
    }

    /// The connection.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where there is none.
    pub(crate) fn link(&self) -> Result<Arc<Link>, Error> {
        self.current()
            .ok_or_else(|| Error::unavailable("there is no connection to NATS"))
    }

    /// The connection, where a request on it may expect an answer.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where it could only wait.
    pub(crate) fn well(&self) -> Result<Arc<Link>, Error> {
        let link = self.link()?;
        if link.is_suspect() {
            return Err(Error::unavailable("NATS does not answer"));
        }
        Ok(link)
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.current().is_some()
    }

    /// Whether there is a connection, and requests are answered.
    pub fn is_well(&self) -> bool {
        self.well().is_ok()
    }

    /// Waits for a connection.
    pub(crate) async fn connected(&self) -> Arc<Link> {
        let mut state = self.0.state.subscribe();
        loop {
            if let Some(link) = self.current() {
                return link;
            }
            // The sender is in `self`.
            let _ = state.changed().await;
        }
    }

    /// Waits for a connection, until there has been none for this long.
    pub(crate) async fn connected_within(&self, patience: Duration) -> Option<Arc<Link>> {
        let down = {
            let state = self.0.state.borrow();
            match &state.link {
                Some(link) if !link.is_lost() => return Some(link.clone()),
                // It has just been lost.
                Some(_) => Duration::ZERO,
                None => state.since.elapsed(),
            }
        };
        let rest = patience.saturating_sub(down);
        tokio::time::timeout(rest, self.connected()).await.ok()
    }

    /// Waits until the connection may have changed, at most this long.
    pub(crate) async fn changed(&self, patience: Duration) {
        let mut state = self.0.state.subscribe();
        let _ = tokio::time::timeout(patience, state.changed()).await;
    }

    /// Waits until the servers have said that they will not have this client.
    pub(crate) async fn refused(&self) {
        let mut state = self.0.state.subscribe();
        let _ = state.wait_for(|state| state.refusal.is_some()).await;
    }

    /// Whether the servers will do, once there is a connection.
    pub(crate) fn verdict(&self) -> Result<(), SystemError> {
        let link = {
            let state = self.0.state.borrow();
            if let Some(said) = &state.refusal {
                return Err(SystemError::Refused(said.clone()));
            }
            state.link.clone()
        };
        let Some(link) = link else { return Ok(()) };
        let info = link.client.server_info();
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
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

/// One connection, from when it was made until it breaks.
pub(crate) struct Link {
    /// Which of the system's connections it is, from 1.
    number: u64,
    client: Client,
    jetstream: Context,
    condition: Arc<watch::Sender<Condition>>,
    system: Weak<Inner>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// Requests are answered.
    Well,
    /// The last request was not answered in time.
    Suspect,
    /// It is broken.
    Lost,
}

impl Link {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn jetstream(&self) -> &Context {
        &self.jetstream
    }

    /// A handle to a stream, there or not.
    pub(crate) fn stream(&self, name: &str) -> Stream<()> {
        let stream = self.jetstream.get_stream_no_info(name).now_or_never();
        stream
            .and_then(Result::ok)
            .expect("a handle to a stream of a valid name asks nobody")
    }

    pub(crate) fn is_lost(&self) -> bool {
        *self.condition.borrow() == Condition::Lost
    }

    fn is_suspect(&self) -> bool {
        *self.condition.borrow() == Condition::Suspect
    }

    /// Waits until it is broken.
    pub(crate) async fn lost(&self) {
        let mut condition = self.condition.subscribe();
        // The sender is in `self`.
        let _ = condition
            .wait_for(|condition| *condition == Condition::Lost)
            .await;
    }

    /// Waits for an answer, at most this long, and no longer than the link holds; draws its conclusions if there is
    /// none.
    pub(crate) async fn within<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            () = self.lost() => Err(Error::unavailable("the connection to NATS broke")),
            () = tokio::time::sleep(patience) => {
                self.suspect();
                Err(Error::Timeout)
            }
        }
    }

    /// A request was not answered in time: no other is to wait, until one is answered.
    pub(crate) fn suspect(&self) {
        let turned = self.turn(Condition::Well, Condition::Suspect);
        let Some(system) = self.system.upgrade().filter(|_| turned) else {
            return;
        };
        tracing::warn!("NATS does not answer in time");
        let (jetstream, condition) = (self.jetstream.clone(), self.condition.clone());
        let weak = self.system.clone();
        system.runtime.spawn(async move {
            while *condition.borrow() == Condition::Suspect {
                let asked = jetstream.query_account();
                if let Ok(Ok(_)) = tokio::time::timeout(READ_TIMEOUT, asked).await {
                    if turn(&condition, Condition::Suspect, Condition::Well) {
                        tracing::info!("NATS answers again");
                    }
                    break;
                }
                tokio::time::sleep(PROBE_INTERVAL).await;
            }
            if let Some(system) = weak.upgrade() {
                system.state.send_modify(|_| {});
            }
        });
    }

    fn turn(&self, from: Condition, to: Condition) -> bool {
        turn(&self.condition, from, to)
    }
}

/// Changes the condition, if it is the one that is expected. What is lost stays lost.
fn turn(condition: &watch::Sender<Condition>, from: Condition, to: Condition) -> bool {
    condition.send_if_modified(|current| {
        let turned = *current == from;
        if turned {
            *current = to;
        }
        turned
    })
}

/// Connects again and again, for as long as there is a system.
async fn keep_connected(system: Weak<Inner>, options: ConnectOptions, configured: Vec<ServerAddr>) {
    let mut servers = configured.clone();
    let mut delay = RECONNECT_DELAY_MIN;
    for number in 1.. {
        let made = loop {
            match connect(&system, &options, &servers, number).await {
                Ok(made) => break made,
                Err(error) => {
                    let Some(system) = system.upgrade() else {
                        return;
                    };
                    system.not_connected(&error);
                }
            }
            tokio::time::sleep(delay).await;
            delay = (2 * delay).min(RECONNECT_DELAY_MAX);
            // Those that were discovered may be gone; those that were configured are asked in any case.
            servers.clone_from(&configured);
        };
        delay = RECONNECT_DELAY_MIN;
        let (link, discovered) = made;
        servers.extend(discovered);
        let link = Arc::new(link);
        let Some(held) = system.upgrade() else { return };
        held.connected(link.clone());
        drop(held);
        until_lost(&link).await;
        let Some(held) = system.upgrade() else { return };
        held.disconnected();
    }
}

/// Waits until a link is broken. Events say so; they are few, and none is lost, but nothing else would ever notice.
async fn until_lost(link: &Link) {
    while tokio::time::timeout(LOST_INTERVAL, link.lost())
        .await
        .is_err()
    {
        if link.client.connection_state() != ClientState::Connected {
            link.condition.send_replace(Condition::Lost);
        }
    }
}

/// Makes a connection that is never made again: once it breaks, its client finds nobody, and ends. Tells of servers
/// besides those that are known.
async fn connect(
    system: &Weak<Inner>,
    options: &ConnectOptions,
    servers: &[ServerAddr],
    number: u64,
) -> Result<(Link, Vec<ServerAddr>), ConnectError> {
    let condition = Arc::new(watch::channel(Condition::Well).0);
    let noted = condition.clone();
    let client = options
        .clone()
        .max_reconnects(servers.len())
        .event_callback(move |event| {
            on_event(&event, &noted);
            std::future::ready(())
        })
        .connect(servers)
        .await?;
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
        ConnectError::with_source(ConnectErrorKind::Io, error)
    };
    let pool = client.server_pool().await;
    let pool = pool.map_err(|error| broken(error.into()))?;
    // Nobody else has the client yet.
    let nowhere: ServerAddr = NOWHERE.parse()?;
    let set = client.set_server_pool(nowhere).await;
    set.map_err(|error| broken(error.into()))?;
    let discovered = pool
        .into_iter()
        .filter(|server| server.is_discovered)
        .map(|server| server.addr)
        .filter(|server| !servers.contains(server))
        .collect();
    let jetstream = ContextBuilder::new()
        .timeout(WRITE_TIMEOUT)
        .ack_timeout(WRITE_TIMEOUT)
        .max_ack_inflight(ACKS_PENDING_MAX)
        .backpressure_on_inflight(true)
        .build(client.clone());
    let link = Link {
        number,
        client,
        jetstream,
        condition,
        system: system.clone(),
    };
    Ok((link, discovered))
}

fn on_event(event: &Event, condition: &watch::Sender<Condition>) {
    match event {
        Event::Disconnected | Event::Closed => {
            condition.send_replace(Condition::Lost);
        }
        Event::ServerError(error) => tracing::warn!(%error, "NATS complains"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}

impl Inner {
    fn connected(&self, link: Arc<Link>) {
        tracing::info!("connected to NATS");
        self.state.send_modify(|state| {
            state.link = Some(link);
            state.since = Instant::now();
            state.refusal = None;
        });
    }

    fn disconnected(&self) {
        tracing::warn!("the connection to NATS is lost");
        self.state.send_modify(|state| {
            state.link = None;
            state.since = Instant::now();
        });
    }

    fn not_connected(&self, error: &ConnectError) {
        let refusal = refusal(error);
        self.state.send_if_modified(|state| {
            let news = state.refusal != refusal;
            match &refusal {
                Some(said) if news => tracing::error!(said, "NATS does not let this client in"),
                _ => tracing::debug!(error = error as &dyn std::error::Error, "not connected"),
            }
            state.refusal = refusal;
            news
        });
    }
}

/// What of an attempt to connect that failed is for an operator, and does not pass by itself.
fn refusal(error: &ConnectError) -> Option<String> {
    let said =
        std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::Authentication
        | ConnectErrorKind::Tls => Some(said),
        ConnectErrorKind::Io => {
            let lower = said.to_ascii_lowercase();
            let refused = lower.contains("authorization") || lower.contains("authentication");
            refused.then_some(said)
        }
        _ => None,
    }
}

fn servers(config: &SystemConfig) -> Result<Vec<ServerAddr>, SystemError> {
    if config.servers.is_empty() {
        return Err(SystemError::NoServers);
    }
    let parsed = config.servers.iter().map(|server| {
        if server.contains('@') {
            return Err(SystemError::CredentialsInAddress);
        }
        server.parse().map_err(|source| SystemError::Address {
            address: server.clone(),
            source,
        })
    });
    parsed.collect()
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
        .reconnect_delay_callback(|_| Duration::ZERO)
        .connection_timeout(READ_TIMEOUT)
        .subscription_capacity(DELIVERED_MAX)
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
