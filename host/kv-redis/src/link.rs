//! Keeps one connection to the server, on a thread of its own.
//!
//! A thread, so that the connection belongs to none of the host's event loops, and none of them delays the others'
//! answers by what it computes.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use starling_kv::{BoxError, Error, Result};
use tokio::sync::watch;

use crate::connect::{Connector, Driver, PROBE, SILENCE};
use crate::failure::OpenError;
use crate::inspect::Server;

/// The shortest and the longest time between two attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection, or the lack of one. Dropping it ends both the connection and the thread.
pub(crate) struct Link {
    state: watch::Receiver<State>,
    durable: bool,
    /// What the thread waits for beside the connection's end.
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
    /// Makes the first connection, and starts the thread that keeps it. Blocks until the connection is made or refused.
    pub(crate) fn open(connector: Connector) -> Result<Self, OpenError> {
        let (opened, first) = mpsc::sync_channel(1);
        let (open, closed) = watch::channel(());
        thread::Builder::new()
            .name("kv-redis".to_owned())
            .spawn(move || run(&connector, &opened, closed))
            .map_err(OpenError::Thread)?;
        let no_answer = || OpenError::Thread(io::Error::other("the thread ended at once"));
        let (state, durable) = first.recv().map_err(|_| no_answer())??;
        Ok(Self {
            state,
            durable,
            _open: open,
        })
    }

    /// The connection.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], at once, where there is none.
    pub(crate) fn connection(&self) -> Result<MultiplexedConnection> {
        match &*self.state.borrow() {
            State::Up(connection) => Ok(connection.clone()),
            State::Down(outage) => Err(Error::unavailable(SharedOutage(Arc::clone(outage)))),
        }
    }

    /// Whether an acknowledgement meant the disk when the link was opened.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }
}

/// What the first attempt to connect came to.
type First = Result<(watch::Receiver<State>, bool), OpenError>;

fn run(connector: &Connector, opened: &mpsc::SyncSender<First>, mut closed: watch::Receiver<()>) {
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
            () = keep(connector, opened) => {}
            // The sender was dropped: nobody asks any more.
            _ = closed.changed() => {}
        }
    });
}

/// Connects for the first time, and again whenever the connection has ended.
async fn keep(connector: &Connector, opened: &mpsc::SyncSender<First>) {
    let (mut connection, mut driver, durable) = match attempt(connector).await {
        Ok(made) => made,
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    let (state, view) = watch::channel(State::Up(connection.clone()));
    let _ = opened.send(Ok((view, durable)));
    let address = connector.address();
    loop {
        let ended = tokio::select! {
            () = driver => io::ErrorKind::ConnectionAborted,
            () = silence(&mut connection) => io::ErrorKind::TimedOut,
        };
        // The driver is gone, and with it the connection of all who still wait for an answer.
        let ended = io::Error::from(ended);
        tracing::warn!(address, error = %ended, "the connection to the key-value server has ended");
        state.send_replace(down(address, ended.into()));
        let mut pause = PAUSE_MIN;
        let (made, next, still_durable) = loop {
            match attempt(connector).await {
                Ok(made) => break made,
                Err(error) => {
                    tracing::debug!(
                        address,
                        error = &error as &dyn std::error::Error,
                        "no connection"
                    );
                    state.send_replace(down(address, error.into()));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        };
        tracing::info!(address, "connected to the key-value server again");
        if durable && !still_durable {
            tracing::error!(
                address,
                "the key-value server does not sync each write to its disk any more"
            );
        }
        connection = made;
        state.send_replace(State::Up(connection.clone()));
        driver = next;
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

/// Connects to a server that will do. Answers also whether it is durable.
async fn attempt(
    connector: &Connector,
) -> Result<(MultiplexedConnection, Driver, bool), OpenError> {
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
        None => Ok((connection, driver, server.durable)),
    }
}
