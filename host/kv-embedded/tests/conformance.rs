//! The embedded store keeps the contract, and keeps it across restarts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use starling_kv::{
    Entry, Store,
    conformance::{Provider, Reopen},
};
use starling_kv_embedded::{Config, EmbeddedStore};
use tempfile::TempDir;

/// Stores in a directory that goes with it.
struct Directory {
    root: TempDir,
    count: AtomicU64,
}

impl Directory {
    fn new() -> Self {
        Self {
            root: TempDir::new().expect("a directory"),
            count: AtomicU64::new(0),
        }
    }

    fn open(&self, number: u64) -> Arc<dyn Store> {
        let config = Config::new(self.root.path().join(number.to_string()));
        Arc::new(EmbeddedStore::open(config).expect("the store opens"))
    }
}

#[async_trait]
impl Provider for Directory {
    async fn empty(&self) -> Arc<dyn Store> {
        self.open(self.count.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[async_trait]
impl Reopen for Directory {
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        assert_eq!(
            Arc::strong_count(&store),
            1,
            "somebody still holds the store"
        );
        drop(store);
        self.open(self.count.load(Ordering::Relaxed))
    }
}

starling_kv::conformance_tests!(Directory::new());
starling_kv::reopen_tests!(Directory::new());

/// The suite's batches are small. These are large enough for tables to be written out while others
/// are on their way, which is when fjall's own snapshots show a batch half applied.
#[test]
fn large_batches_are_seen_whole_and_never_go_back() {
    starling_kv::conformance::run(async {
        let provider = Directory::new();
        let store = provider.empty().await;
        let keys: Vec<String> = (0..6).map(|n| format!("audio/{n}")).collect();
        let writer = {
            let (store, keys) = (Arc::clone(&store), keys.clone());
            tokio::spawn(async move {
                for round in 0..40_u8 {
                    let value = Bytes::from(vec![round; 200_000]);
                    let entries = keys
                        .iter()
                        .map(|key| (key.clone(), value.clone()))
                        .collect();
                    store.set_many(entries).await?;
                }
                Ok(())
            })
        };
        while !writer.is_finished() {
            let one = store.get(&keys[5]).await?;
            let many = store.get_many(&keys).await?;
            let rounds: Vec<_> = many
                .iter()
                .map(|entry| entry.as_ref().map(|entry| entry.value[0]))
                .collect();
            assert!(rounds.iter().all(|round| *round == rounds[0]), "{rounds:?}");
            let version = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.version);
            assert!(
                version(&one) <= version(&many[5]),
                "a later read saw an older value"
            );
            tokio::task::yield_now().await;
        }
        writer.await.expect("the writer does not panic")
    });
}
