//! The baseline: hyper, the same voicemail code and the same embedded store, compiled natively. One event loop on each of
//! the cores that it is given, as the host has them.

mod platform;

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::Pid;
use socket2::{Domain, Socket, Type};
use starling_kv_embedded::{Config, EmbeddedStore};
use tempfile::TempDir;
use tokio::net::TcpListener;
use voicemail::UploadError;

use self::platform::World;
use crate::machine::{self, Cores};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The argument that turns the benchmark's program into the baseline; a folder for its store follows it.
pub(crate) const ARGUMENT: &str = "--serve-native";

/// The running baseline.
pub(crate) struct Native {
    child: Child,
    address: SocketAddr,
    _state: TempDir,
}

impl Native {
    /// Starts it on these cores, with an empty store.
    pub(crate) fn start(cores: Cores) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let [program, rest @ ..] = cores.wrapper();
        let mut child = Command::new(program)
            .args(rest)
            .arg(std::env::current_exe().expect("this program has a path"))
            .args([ARGUMENT.as_ref(), state.path()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the baseline starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the baseline tells its address");
        let address = line.trim().parse().expect("an address");
        Self {
            child,
            address,
            _state: state,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Memory of it that is in use, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let id = self.child.id().cast_signed();
        starling_tests::host::resident_bytes(Pid::from_raw(id).expect("a process id is not 0"))
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the baseline, until it is killed.
pub(crate) fn serve(state: &str) {
    machine::raise_open_files();
    let store = Arc::new(EmbeddedStore::open(Config::new(state)).expect("the store opens"));
    let first = listen(SocketAddr::from(([127, 0, 0, 1], 0)));
    let address = first.local_addr().expect("an address");
    // The others before the address is told, so that all of them get their share of the connections.
    let others = (1..machine::cores()).map(|_| listen(address));
    let others: Vec<_> = others.collect();
    println!("{address}");
    for (number, listener) in others.into_iter().enumerate() {
        let world = store.clone();
        std::thread::spawn(move || event_loop(listener, &World::new(world, number + 1)));
    }
    event_loop(first, &World::new(store, 0));
}

/// A listener that shares its address with those of the other event loops.
fn listen(address: SocketAddr) -> std::net::TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("a socket option");
    socket.set_nonblocking(true).expect("a socket option");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(BACKLOG).expect("it listens");
    socket.into()
}

/// Accepts and serves connections on this thread.
fn event_loop(listener: std::net::TcpListener, world: &World) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a TCP option");
            let world = world.clone();
            let answer = service_fn(move |request| {
                let world = world.clone();
                async move { Ok::<_, Infallible>(answer(&world, request).await) }
            });
            tokio::task::spawn_local(
                http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
            );
        }
    });
}

type Answer = Response<Either<Full<Bytes>, voicemail::Body>>;

async fn answer(world: &World, request: Request<Incoming>) -> Answer {
    if request.uri().path() == "/hello" {
        let mut response = Response::new(Either::Left(Full::from("Hello from the edge\n")));
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert("content-type", plain);
        return response;
    }
    let request = request.map(|body| body.map_err(|_| UploadError::Broken));
    voicemail::respond(world, request).await.map(Either::Right)
}
