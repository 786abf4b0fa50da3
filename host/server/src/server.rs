//! The listener and its event loops.
//!
//! One single-threaded event loop for each core: instances stay on the core they were made on, and a request never
//! crosses from one to another. All loops accept from the same socket, so an idle one takes the next connection.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{io, thread};

use rustls::ServerConfig;
use starling_engine::Versions;
use starling_telemetry::{Limit, LimitCounts};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::addresses::{Addresses, Admitted};
use crate::connection::{Service, Target, serve};
use crate::drain::Draining;
use crate::gate::{Gate, Gates};
use crate::headers::RouteHeaders;
use crate::limits::{Bounds, Limits};
use crate::listener::{is_of_one_connection, listener};
use crate::observe::RequestObserver;
use crate::readiness::ReadinessLatch;
use crate::routes::Routes;
use crate::siblings::{Relay, Siblings};
use crate::timer::{self, Timer};

/// How long a loop waits after the system could not give it another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the host does not listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error(
        "{0} is in use; stop the other program, or choose another address with --listen (port 0 takes any free one)"
    )]
    InUse(SocketAddr),
    /// The system refused otherwise.
    #[error("{address} cannot be listened on")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A listening server. Requests are answered once it runs.
#[derive(Debug)]
pub struct Server {
    listener: StdTcpListener,
    address: SocketAddr,
    timers: Vec<Timer>,
    front: Front,
}

/// What each event loop makes its own [`Service`] of.
#[derive(Clone)]
struct Front {
    routes: Routes<Versions>,
    limits: Limits,
    reached: Arc<LimitCounts>,
    addresses: Arc<Addresses>,
    event_loops: NonZeroUsize,
    readiness: ReadinessLatch,
    siblings: Siblings,
    observer: Option<Arc<dyn RequestObserver>>,
    tls: Option<TlsAcceptor>,
    /// How much is taken of what comes; without it, all.
    admission: Option<(starling_admission::Config, Gates)>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front")
            .field("routes", &self.routes)
            .field("event_loops", &self.event_loops)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address`, with `event_loops` event loops that serve `routes`.
    ///
    /// # Errors
    /// When the system does not give the address.
    pub fn listen(
        address: SocketAddr,
        routes: Routes<Versions>,
        limits: Limits,
        event_loops: NonZeroUsize,
    ) -> Result<Self, ListenError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address),
            _ => ListenError::Io { address, source },
        };
        let listener = listener(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            timers: Vec::new(),
            front: Front {
                routes,
                addresses: Addresses::new(limits.connections_per_address_max),
                limits,
                reached: Arc::default(),
                event_loops,
                readiness: ReadinessLatch::ready(),
                siblings: Siblings::default(),
                observer: None,
                tls: None,
                admission: None,
            },
        })
    }

    /// Answers at `/ready`, where no route has that path, what this says.
    #[must_use]
    pub fn with_readiness(mut self, readiness: ReadinessLatch) -> Self {
        self.front.readiness = readiness;
        self
    }

    /// Passes what this host cannot serve to one of these.
    #[must_use]
    pub fn with_siblings(mut self, siblings: Siblings) -> Self {
        self.front.siblings = siblings;
        self
    }

    /// Tells this one of each request.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn RequestObserver>) -> Self {
        self.front.observer = Some(observer);
        self
    }

    /// Counts there how often a limit is reached.
    #[must_use]
    pub fn with_limit_counts(mut self, reached: Arc<LimitCounts>) -> Self {
        self.front.reached = reached;
        self
    }

    /// Speaks TLS, and nothing else, as this says. The application protocols in it are to be `h2` and `http/1.1`.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<ServerConfig>) -> Self {
        self.front.tls = Some(TlsAcceptor::from(tls));
        self
    }

    /// Refuses at once what could not be served in time, as this says; `gates` shows what is going on.
    #[must_use]
    pub fn with_admission(mut self, config: starling_admission::Config, gates: Gates) -> Self {
        self.front.admission = Some((config, gates));
        self
    }

    /// Lets these timers run for as long as the server serves.
    #[must_use]
    pub fn with_timers(mut self, timers: Vec<Timer>) -> Self {
        self.timers = timers;
        self
    }

    /// The address listened on, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `draining` says to go and everything in flight has ended, or its time is up. Answers how many
    /// connections were cut off.
    ///
    /// # Errors
    /// When an event loop cannot be started.
    pub fn run(self, draining: &Draining) -> io::Result<usize> {
        let loops = self.front.event_loops.get();
        let connections = (self.front.limits.connections_max / loops).max(1);
        let threads = (0..loops)
            .map(|index| {
                let listener = self.listener.try_clone()?;
                let (front, draining) = (self.front.clone(), draining.clone());
                thread::Builder::new()
                    .name(format!("edge-{index}"))
                    .spawn(move || {
                        let runtime = runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()?;
                        let local = tokio::task::LocalSet::new();
                        let addresses = front.addresses.clone();
                        let service = front.service(draining);
                        let accepted = accept(listener, service, addresses, connections);
                        runtime.block_on(local.run_until(accepted))
                    })
            })
            .collect::<io::Result<Vec<thread::JoinHandle<io::Result<usize>>>>>()?;
        drop(self.listener);
        // Apart from the event loops: what a component does on time delays nobody's request.
        let timers = timer::start(self.timers, draining, self.front.limits.drain_timeout)?;
        let mut cut_off = 0;
        for thread in threads {
            cut_off += thread
                .join()
                .map_err(|_| io::Error::other("an event loop panicked"))??;
        }
        if let Some(timers) = timers {
            timers
                .join()
                .map_err(|_| io::Error::other("the timers' thread panicked"))?;
        }
        Ok(cut_off)
    }
}

impl Front {
    /// The service of one event loop, made on it.
    fn service(self, draining: Draining) -> Service {
        let loops = u32::try_from(self.event_loops.get()).unwrap_or(u32::MAX);
        // Routes to one component share its instances.
        let mut instances = HashMap::new();
        let routes = self.routes.map(|route| Target {
            instances: instances
                .entry(route.component.clone())
                .or_insert_with(|| Rc::new(route.target.balanced(loops)))
                .clone(),
            headers: route
                .spin_headers
                .then(|| RouteHeaders::new(&route.pattern)),
        });
        Service {
            routes,
            relay: Relay::new(self.siblings),
            bounds: Arc::new(Bounds {
                limits: self.limits,
                reached: self.reached,
                ..Bounds::default()
            }),
            draining,
            readiness: self.readiness,
            observer: self.observer,
            tls: self.tls,
            gate: self
                .admission
                .map(|(config, gates)| Gate::new(config, &gates)),
        }
    }
}

/// A place for one more connection. While there is none, those that are idle have less time.
async fn place(free: &Arc<Semaphore>, bounds: &Bounds) -> OwnedSemaphorePermit {
    let permit = match free.clone().try_acquire_owned() {
        Ok(permit) => permit,
        Err(_) => {
            if !bounds.crowded.swap(true, Relaxed) {
                bounds.reached.count(Limit::Connections);
            }
            let freed = free.clone().acquire_owned().await;
            freed.expect("the semaphore is never closed")
        }
    };
    bounds.crowded.store(false, Relaxed);
    permit
}

/// One event loop: accepts and serves until the host goes. Answers how many connections were cut off.
async fn accept(
    listener: StdTcpListener,
    service: Service,
    addresses: Arc<Addresses>,
    connections: usize,
) -> io::Result<usize> {
    let listener = TcpListener::from_std(listener)?;
    let service = Rc::new(service);
    let bounds = &service.bounds;
    let free = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let mut draining = service.draining.clone();
    let mut open = JoinSet::new();
    let start = |open: &mut JoinSet<()>,
                 place: (Option<OwnedSemaphorePermit>, Admitted),
                 (stream, client): (TcpStream, SocketAddr)| {
        let served = serve(stream, client, service.clone());
        open.spawn_local(async move {
            served.await;
            drop(place);
        });
    };
    let admit = |client: SocketAddr| {
        let admitted = addresses.admit(client.ip());
        if admitted.is_none() {
            bounds.reached.count(Limit::ConnectionsPerAddress);
            tracing::debug!(%client, "a connection was closed: its address has too many");
        }
        admitted
    };
    loop {
        let next = async {
            let permit = place(&free, bounds).await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = draining.wait_noticed() => break,
            Some(_) = open.join_next() => {}
            (permit, accepted) = next => match accepted {
                Ok(connection) => {
                    if let Some(admitted) = admit(connection.1) {
                        start(&mut open, (Some(permit), admitted), connection);
                    }
                    // What has come runs first; meanwhile another loop may take the next connection.
                    tokio::task::yield_now().await;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // A connection that the kernel has completed counts as made: closing the socket would reset it.
    // Asked of the plain socket: the event loop's answers what it knows, and gives each task a budget.
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, client)) => {
                stream.set_nonblocking(true)?;
                if let Some(admitted) = admit(client) {
                    start(
                        &mut open,
                        (None, admitted),
                        (TcpStream::from_std(stream)?, client),
                    );
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => break,
        }
    }
    drop(listener);
    let ended = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(bounds.limits.drain_timeout, ended).await;
    Ok(open.len())
}
