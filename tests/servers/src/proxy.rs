//! A network between a client and a server that a test can break, and mend again.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How many chunks may be under way in one direction of one connection. More than a delayed network holds in a test,
/// and an end to what a reader that does not read can make this process hold.
const CHUNKS_MAX: usize = 1024;

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// A TCP proxy on a free port of the loopback interface. Open at first, without delay.
///
/// It lives on the runtime that starts it. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    acceptor: JoinHandle<()>,
}

/// The state of the network.
#[derive(Clone, Copy, Debug)]
struct Network {
    link: Link,
    /// How often it was cut: a cut that is healed at once has closed connections all the same.
    cuts: u64,
    to_server: Duration,
    to_client: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// All passes.
    Open,
    /// Nothing passes, and nobody is told.
    Stalled,
    /// Connections are closed, new ones as soon as they are made.
    Cut,
}

impl Network {
    fn delay(&self, direction: Direction) -> Duration {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }
}

impl Proxy {
    /// Listens for clients of the server at `target`, which need not be up.
    ///
    /// # Panics
    ///
    /// Where no port is free.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("the system has a free port");
        let address = listener.local_addr().expect("it is bound");
        let (network, view) = watch::channel(Network {
            link: Link::Open,
            cuts: 0,
            to_server: Duration::ZERO,
            to_client: Duration::ZERO,
        });
        let acceptor = tokio::spawn(accept(listener, target, view));
        Self {
            address,
            network,
            acceptor,
        }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and each new one as soon as it is made, until [`heal`](Self::heal).
    pub fn cut(&self) {
        self.network.send_modify(|network| {
            network.link = Link::Cut;
            network.cuts += 1;
        });
    }

    /// Lets nothing pass and tells nobody: a partition. Connections stay, also those that are made meanwhile; what is
    /// sent, and that a side has closed, passes after [`heal`](Self::heal).
    pub fn stall(&self) {
        self.link(Link::Stalled);
    }

    /// Ends [`cut`](Self::cut) and [`stall`](Self::stall). Delays stay.
    pub fn heal(&self) {
        self.link(Link::Open);
    }

    /// Lets everything that goes this way arrive this much later, what is under way too. Order and throughput stay.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.network.send_modify(|network| match direction {
            Direction::ToServer => network.to_server = delay,
            Direction::ToClient => network.to_client = delay,
        });
    }

    fn link(&self, link: Link) {
        self.network.send_modify(|network| network.link = link);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Serves connections, each as a task that ends with this one.
async fn accept(listener: TcpListener, target: SocketAddr, network: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(serve(client, target, network.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes bytes until both sides have closed, one is broken, or the network is cut.
async fn serve(client: TcpStream, target: SocketAddr, mut network: watch::Receiver<Network>) {
    let cuts = network.borrow().cuts;
    let pass = {
        let mut network = network.clone();
        async move {
            open(&mut network).await;
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            // What is delayed here must not be delayed again by the system.
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let _ = tokio::try_join!(
                carry(Direction::ToServer, from_client, to_server, network.clone()),
                carry(Direction::ToClient, from_server, to_client, network),
            );
        }
    };
    tokio::select! {
        () = pass => {}
        _ = network.wait_for(|network| network.link == Link::Cut || network.cuts != cuts) => {}
    }
}

/// Bytes, and when they came; no bytes at the end.
type Chunk = (Instant, Vec<u8>);

/// Carries one direction to its end.
async fn carry(
    direction: Direction,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    network: watch::Receiver<Network>,
) -> std::io::Result<()> {
    let (queue, chunks) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(
        take(from, queue, network.clone()),
        deliver(direction, chunks, to, network)
    )?;
    Ok(())
}

/// Notes when bytes come, and queues them.
async fn take(
    mut from: OwnedReadHalf,
    queue: mpsc::Sender<Chunk>,
    mut network: watch::Receiver<Network>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        open(&mut network).await;
        let length = from.read(&mut buffer).await?;
        let chunk = (Instant::now(), buffer[..length].to_vec());
        if queue.send(chunk).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

/// Writes each chunk when its delay is over and the network is open.
async fn deliver(
    direction: Direction,
    mut chunks: mpsc::Receiver<Chunk>,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) -> std::io::Result<()> {
    while let Some((came, bytes)) = chunks.recv().await {
        due(direction, came, &mut network).await;
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&bytes).await?;
    }
    Ok(())
}

/// Waits until what came at `came` may be delivered, by the delay and the link as they are then.
async fn due(direction: Direction, came: Instant, network: &mut watch::Receiver<Network>) {
    loop {
        open(network).await;
        let delay = network.borrow_and_update().delay(direction);
        tokio::select! {
            () = sleep_until(came + delay) => return,
            changed = network.changed() => if changed.is_err() {
                pending::<()>().await;
            }
        }
    }
}

/// Waits until all passes. For ever where the proxy is gone, which ends this task too.
async fn open(network: &mut watch::Receiver<Network>) {
    let is_open = |network: &Network| network.link == Link::Open;
    let gone = network.wait_for(is_open).await.is_err();
    if gone {
        pending::<()>().await;
    }
}
