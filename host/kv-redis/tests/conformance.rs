//! The Redis store keeps the contract, and keeps it when it is opened again and when the server is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use starling_kv::Store;
use starling_kv::conformance::{Provider, Reopen};
use starling_kv_redis::{Config, RedisStore};
use starling_test_servers::RedisServer;

/// One server for all tests that run at one time, which ends with the last of them.
async fn shared() -> Arc<RedisServer> {
    static SERVER: Mutex<Weak<RedisServer>> = Mutex::new(Weak::new());
    static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    let _starting = STARTING.lock().await;
    let current = || SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let running = current().upgrade();
    if let Some(server) = running {
        return server;
    }
    let server = Arc::new(RedisServer::start().await);
    *current() = Arc::downgrade(&server);
    server
}

/// Stores in one server, each in a namespace of its own.
struct Namespaces {
    server: Arc<RedisServer>,
    last: Mutex<String>,
}

impl Namespaces {
    async fn new() -> Self {
        Self {
            server: shared().await,
            last: Mutex::default(),
        }
    }

    fn open(&self) -> Arc<dyn Store> {
        open(&self.server, &self.last.lock().unwrap())
    }
}

fn open(server: &RedisServer, namespace: &str) -> Arc<dyn Store> {
    let mut config = Config::new(server.address().to_string());
    config.namespace = namespace.to_owned();
    Arc::new(RedisStore::open(&config).expect("the store opens"))
}

#[async_trait]
impl Provider for Namespaces {
    async fn empty(&self) -> Arc<dyn Store> {
        static COUNT: AtomicU64 = AtomicU64::new(0);

        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap() = format!("test-{number}");
        self.open()
    }
}

#[async_trait]
impl Reopen for Namespaces {
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.open()
    }
}

starling_kv::conformance_tests!(Namespaces::new().await);
starling_kv::reopen_tests!(Namespaces::new().await);

/// A server of its own, which is killed and started again whenever the store is opened again.
struct Restarts {
    server: RedisServer,
}

#[async_trait]
impl Provider for Restarts {
    async fn empty(&self) -> Arc<dyn Store> {
        open(&self.server, "restarts")
    }
}

#[async_trait]
impl Reopen for Restarts {
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.server.restart().await;
        open(&self.server, "restarts")
    }
}

mod restarts {
    //! The same cases, with the server killed in between.

    use super::{RedisServer, Restarts};

    async fn server() -> Restarts {
        Restarts {
            server: RedisServer::start().await,
        }
    }

    starling_kv::reopen_tests!(server().await);
}
