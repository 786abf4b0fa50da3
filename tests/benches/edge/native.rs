//! The baseline: hyper, the same voicemail code and the same embedded store, compiled natively. One thread.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::Pid;
use starling_kv::{Store as _, StoreExt as _, Version};
use starling_kv_embedded::{Config, EmbeddedStore};
use tempfile::TempDir;
use tokio::net::TcpListener;
use voicemail::{Platform, Store, StoreError, Swap, Swapped, UploadError, Variable};

/// The argument that turns the benchmark's program into the baseline; a folder for its store follows it.
pub(crate) const ARGUMENT: &str = "--serve-native";

/// The running baseline.
pub(crate) struct Native {
    child: Child,
    address: SocketAddr,
    _state: TempDir,
}

impl Native {
    /// Starts it on the first core, with an empty store.
    pub(crate) fn start() -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let [program, rest @ ..] = crate::on_first_core();
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let store = EmbeddedStore::open(Config::new(state)).expect("the store opens");
        let world = World {
            store: Rc::new(store),
            random: Rc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
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

#[derive(Clone)]
struct World {
    store: Rc<EmbeddedStore>,
    random: Rc<Cell<u128>>,
}

impl Platform for World {
    type Store = NativeStore;

    async fn open(&self, label: &str) -> Result<NativeStore, StoreError> {
        match label {
            "default" => Ok(NativeStore(Rc::clone(&self.store))),
            _ => Err(StoreError::NoSuchStore),
        }
    }

    /// As the host under test has them: one region, open to anybody, without limits of rate.
    async fn variable(&self, name: &str) -> Variable {
        match name {
            "region" | "regions" => Variable::Set("local".to_owned()),
            "deposits_per_minute" | "deposits_per_minute_of_caller" => {
                Variable::Set("0".to_owned())
            }
            _ => Variable::Unset,
        }
    }

    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = since.unwrap_or_default().as_millis();
        u64::try_from(ms).expect("milliseconds fit")
    }

    fn random_bits(&self) -> [u8; 16] {
        // Ids need only differ here.
        self.random.set(self.random.get() + 1);
        self.random.get().to_be_bytes()
    }

    fn instance(&self) -> [u8; 16] {
        [1; 16]
    }

    async fn send(&self, _request: Request<Vec<u8>>) -> Result<StatusCode, String> {
        Err("the baseline calls nobody".to_owned())
    }

    async fn pause(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    fn log(&self, line: &str) {
        eprintln!("{line}");
    }
}

struct NativeStore(Rc<EmbeddedStore>);

fn failed(error: starling_kv::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Store for NativeStore {
    type Swap = Swapping;

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let entry = self.0.get(key).await.map_err(failed)?;
        Ok(entry.map(|entry| entry.value.into()))
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let value = Bytes::copy_from_slice(value);
        self.0.set(key, value).await.map(drop).map_err(failed)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key).await.map_err(failed)
    }

    async fn increment(&self, key: &str) -> Result<i64, StoreError> {
        self.0.increment(key, 1).await.map_err(failed)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Failed("the baseline lists nothing".to_owned()))
    }

    async fn begin_swap(&self, key: &str) -> Result<Swapping, StoreError> {
        let entry = self.0.get(key).await.map_err(failed)?;
        let (current, seen) = entry.map(|entry| (entry.value, entry.version)).unzip();
        Ok(Swapping {
            store: Rc::clone(&self.0),
            key: key.to_owned(),
            current,
            seen,
        })
    }
}

struct Swapping {
    store: Rc<EmbeddedStore>,
    key: String,
    current: Option<Bytes>,
    seen: Option<Version>,
}

impl Swap for Swapping {
    fn current(&self) -> Option<&[u8]> {
        self.current.as_deref()
    }

    async fn swap(mut self, value: Vec<u8>) -> Result<Swapped<Self>, StoreError> {
        let swap = self
            .store
            .compare_and_swap(&self.key, self.seen, value.into());
        match swap.await.map_err(failed)? {
            starling_kv::Swap::Swapped(_) => Ok(Swapped::Won),
            starling_kv::Swap::Lost(entry) => {
                let now = entry.map(|entry| (entry.value, entry.version));
                (self.current, self.seen) = now.unzip();
                Ok(Swapped::Lost(self))
            }
        }
    }
}
