//! The listener and its event loops.
//!
//! One single-threaded event loop for each core: instances stay on the core they were made on, and a request never
//! crosses from one to another. All loops accept from the same socket, so an idle one takes the next connection.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use rustls::ServerConfig;
use starling_engine::Versions;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::connection::{Service, Target, protocol, serve};
use crate::drain::Draining;
use crate::headers::RouteHeaders;
use crate::limits::Limits;
use crate::observe::RequestObserver;
use crate::readiness::ReadinessLatch;
use crate::routes::Routes;
use crate::siblings::{Relay, Siblings};
use crate::timer::{self, Timer};

/// Connections that the kernel completes before the host has accepted them.
const BACKLOG: i32 = 1024;

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
    event_loops: NonZeroUsize,
    readiness: ReadinessLatch,
    siblings: Siblings,
    observer: Option<Arc<dyn RequestObserver>>,
    tls: Option<TlsAcceptor>,
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
                limits,
                event_loops,
                readiness: ReadinessLatch::ready(),
                siblings: Siblings::default(),
                observer: None,
                tls: None,
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

    /// Speaks TLS, and nothing else, as this says. The application protocols in it are to be `h2` and `http/1.1`.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<ServerConfig>) -> Self {
        self.front.tls = Some(TlsAcceptor::from(tls));
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
                        let service = front.service(draining);
                        runtime.block_on(local.run_until(accept(listener, service, connections)))
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
            headers: RouteHeaders::new(&route.pattern),
        });
        Service {
            routes,
            relay: Relay::new(self.siblings),
            limits: self.limits,
            draining,
            readiness: self.readiness,
            observer: self.observer,
            tls: self.tls,
        }
    }
}

fn listener(address: SocketAddr) -> io::Result<StdTcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // Connections of an earlier host that are still closing do not stop the next one.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an error of accepting concerns a connection that is gone already, and not the socket.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}

/// One event loop: accepts and serves until the host goes. Answers how many connections were cut off.
async fn accept(
    listener: StdTcpListener,
    service: Service,
    connections: usize,
) -> io::Result<usize> {
    let listener = TcpListener::from_std(listener)?;
    let protocol = Rc::new(protocol(&service.limits));
    let service = Rc::new(service);
    let free = Arc::new(Semaphore::new(connections));
    let mut draining = service.draining.clone();
    let mut open = JoinSet::new();
    let start = |open: &mut JoinSet<()>,
                 permit: Option<OwnedSemaphorePermit>,
                 (stream, client): (TcpStream, SocketAddr)| {
        let served = serve(stream, client, protocol.clone(), service.clone());
        open.spawn_local(async move {
            served.await;
            drop(permit);
        });
    };
    loop {
        let next = async {
            let permit = free
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = draining.wait_noticed() => break,
            Some(_) = open.join_next() => {}
            (permit, accepted) = next => match accepted {
                Ok(connection) => {
                    start(&mut open, Some(permit), connection);
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
                start(&mut open, None, (TcpStream::from_std(stream)?, client));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => break,
        }
    }
    drop(listener);
    let ended = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(service.limits.drain_timeout, ended).await;
    Ok(open.len())
}
