//! The conformance suite against a real server: one server, and a bucket of its own for each case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use starling_kv::conformance::{Provider, Reopen};
use starling_kv::layer::Limit;
use starling_kv::{Limits, Store};
use starling_kv_nats::{Regions, Replicated, StoreConfig, SystemConfig};
use starling_test_servers::NatsServer;

/// A server for one case: cases run beside each other, each on a runtime of its own.
struct Nats {
    server: tokio::sync::OnceCell<NatsServer>,
    buckets: AtomicU64,
    cache_bytes: usize,
}

impl Nats {
    fn with_cache(cache_bytes: usize) -> Self {
        Self {
            server: tokio::sync::OnceCell::new(),
            buckets: AtomicU64::new(0),
            cache_bytes,
        }
    }

    async fn open(&self, bucket: u64) -> Arc<dyn Store> {
        let server = self.server.get_or_init(NatsServer::start).await;
        let system = SystemConfig {
            servers: vec![server.url()],
            ..SystemConfig::default()
        };
        let regions = BTreeMap::from([("eu".to_owned(), Some(system))]);
        let regions = Regions::connect("eu", &regions)
            .await
            .expect("the regions are well said");
        let mut config = StoreConfig::new(format!("case-{bucket}"));
        config.cache_bytes = self.cache_bytes;
        let store = Replicated::open(&regions, config)
            .await
            .expect("the store opens");
        Arc::new(Limit::new(store.own(), Limits::DEFAULT))
    }
}

#[async_trait]
impl Provider for Nats {
    async fn empty(&self) -> Arc<dyn Store> {
        let bucket = self.buckets.fetch_add(1, Ordering::Relaxed) + 1;
        self.open(bucket).await
    }
}

#[async_trait]
impl Reopen for Nats {
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.open(self.buckets.load(Ordering::Relaxed)).await
    }
}

mod cached {
    starling_kv::conformance_tests!(super::Nats::with_cache(1 << 20));
    starling_kv::reopen_tests!(super::Nats::with_cache(1 << 20));
}

mod uncached {
    starling_kv::conformance_tests!(super::Nats::with_cache(0));
}
