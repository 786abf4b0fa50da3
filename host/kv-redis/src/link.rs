//! Keeps a few connections to the server, on a thread of their own.
//!
//! A thread, so that the connections belong to none of the host's event loops, and none of them delays the others'
//! answers by what it computes. A few, because the server reads little from each connection before it syncs its log:
//! writers on several of them share a sync.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use starling_kv::{BoxError, Error, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connect::{Connector, Driver, PROBE, SILENCE};
use crate::failure::OpenError;
use crate::inspect::Server;

/// How many connections are kept.
const CONNECTIONS: usize = 8;

/// The shortest and the longest time between two attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The connections that there are. Dropping it ends them and the thread.
pub(crate) struct Link {
    states: Vec<watch::Receiver<State>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    durable: bool,
    /// What the thread waits for beside the connections' ends.
    _open: watch::Sender<()>,
}

#[derive(Clone)]
enum State {
    Up(MultiplexedConnection),
    Down(Arc<Outage>),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("there is no connection to the server at {address}")]
struct Outage {
    address: String,
    source: BoxError,
}

/// An outage that several callers are told of.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SharedOutage(Arc<Outage>);

impl Link {
    /// Makes the first connection, and starts the thread that makes and keeps the others. Blocks until the first is made
    /// or refused.
    pub(crate) fn open(connector: Connector) -> Result<Self, OpenError> {
        let (opened, first) = mpsc::sync_channel(1);
        let (open, closed) = watch::channel(());
        thread::Builder::new()
            .name("kv-redis".to_owned())
            .spawn(move || run(connector, &opened, closed))
            .map_err(OpenError::Thread)?;
        let no_answer = || OpenError::Thread(io::Error::other("the thread ended at once"));
        let (states, durable) = first.recv().map_err(|_| no_answer())??;
        Ok(Self {
            states,
            turn: AtomicUsize::new(0),
            durable,
            _open: open,
        })
    }

    /// One of the connections, in turn.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], at once, where there is none.
    pub(crate) fn connection(&self) -> Result<MultiplexedConnection> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut outage = None;
        for number in 0..CONNECTIONS {
            match &*self.states[turn.wrapping_add(number) % CONNECTIONS].borrow() {
                State::Up(connection) => return Ok(connection.clone()),
                State::Down(down) => outage = Some(Arc::clone(down)),
            }
        }
        Err(outage.map_or(Error::Closed, |outage| {
            Error::unavailable(SharedOutage(outage))
        }))
    }

    /// Whether an acknowledgement meant the disk when the link was opened.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }
}

/// What the first attempt to connect came to.
type First = Result<(Vec<watch::Receiver<State>>, bool), OpenError>;

fn run(connector: Connector, opened: &mpsc::SyncSender<First>, mut closed: watch::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = opened.send(Err(OpenError::Thread(error)));
            return;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = keep_all(Arc::new(connector), opened) => {}
            // The sender was dropped: nobody asks any more.
            _ = closed.changed() => {}
        }
    });
}

/// Connects for the first time, then keeps all connections.
async fn keep_all(connector: Arc<Connector>, opened: &mpsc::SyncSender<First>) {
    let made = match attempt(&connector).await {
        Ok(made) => made,
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    let durable = made.durable;
    let mut made = Some(made);
    let mut keepers = JoinSet::new();
    let states = (0..CONNECTIONS).map(|number| {
        let not_yet = io::Error::from(io::ErrorKind::NotConnected);
        let (state, view) = watch::channel(down(connector.address(), not_yet.into()));
        let first = made.take();
        if let Some(made) = &first {
            state.send_replace(State::Up(made.connection.clone()));
        }
        let keeper = Keeper {
            connector: Arc::clone(&connector),
            state,
            is_spokesman: number == 0,
            durable,
        };
        keepers.spawn(keeper.keep(first));
        view
    });
    let _ = opened.send(Ok((states.collect(), durable)));
    while keepers.join_next().await.is_some() {}
}

/// A connection that was made.
struct Made {
    connection: MultiplexedConnection,
    driver: Driver,
    durable: bool,
}

/// Keeps one connection.
struct Keeper {
    connector: Arc<Connector>,
    state: watch::Sender<State>,
    /// One of them logs for all: what ends one connection ends the others.
    is_spokesman: bool,
    /// What the store has promised.
    durable: bool,
}

impl Keeper {
    /// Connects whenever there is no connection.
    async fn keep(self, first: Option<Made>) {
        let address = self.connector.address();
        let mut made = match first {
            Some(made) => made,
            None => self.connect().await,
        };
        loop {
            self.state.send_replace(State::Up(made.connection.clone()));
            let ended = tokio::select! {
                () = made.driver => io::ErrorKind::ConnectionAborted,
                () = silence(&mut made.connection) => io::ErrorKind::TimedOut,
            };
            // The driver is gone, and with it the hope of all who still wait for an answer.
            let ended = io::Error::from(ended);
            if self.is_spokesman {
                tracing::warn!(address, error = %ended, "the connection to the key-value server has ended");
            }
            self.state.send_replace(down(address, ended.into()));
            made = self.connect().await;
            if self.is_spokesman {
                tracing::info!(address, "connected to the key-value server again");
            }
            if self.is_spokesman && self.durable && !made.durable {
                tracing::error!(
                    address,
                    "the key-value server does not sync each write to its disk any more"
                );
            }
        }
    }

    /// Tries until there is a connection.
    async fn connect(&self) -> Made {
        let mut pause = PAUSE_MIN;
        loop {
            match attempt(&self.connector).await {
                Ok(made) => return made,
                Err(error) => {
                    let address = self.connector.address();
                    self.state.send_replace(down(address, error.into()));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }
}

/// Waits until a probe has no answer: the server hangs, or the network between passes nothing. Any answer will do.
async fn silence(connection: &mut MultiplexedConnection) {
    loop {
        tokio::time::sleep(PROBE).await;
        let ping = redis::cmd("PING");
        let answer = ping.query_async::<redis::Value>(connection);
        if tokio::time::timeout(SILENCE, answer).await.is_err() {
            return;
        }
    }
}

fn down(address: &str, source: BoxError) -> State {
    State::Down(Arc::new(Outage {
        address: address.to_owned(),
        source,
    }))
}

/// Connects to a server that will do.
async fn attempt(connector: &Connector) -> Result<Made, OpenError> {
    let address = || connector.address().to_owned();
    let refused = |source: BoxError| OpenError::Connect {
        address: address(),
        source,
    };
    let (mut connection, mut driver) = connector.connect().await.map_err(refused)?;
    let inspected = tokio::select! {
        inspected = Server::inspect(&mut connection) => inspected,
        () = &mut driver => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
    };
    let server = inspected.map_err(|error| refused(error.into()))?;
    match server.unfit {
        Some(reason) => Err(OpenError::Unfit {
            address: address(),
            reason,
        }),
        None => Ok(Made {
            connection,
            driver,
            durable: server.durable,
        }),
    }
}
