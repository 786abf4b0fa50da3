//! What the voicemail code needs of the outside world, natively: the embedded store, the clock, and as many settings as the
//! host under test has.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode};
use starling_kv::{Store as _, StoreExt as _, Version};
use starling_kv_embedded::EmbeddedStore;
use voicemail::{Platform, Store, StoreError, Swap, Swapped, Variable};

/// The world of one event loop.
#[derive(Clone)]
pub(super) struct World {
    store: Arc<EmbeddedStore>,
    random: Rc<Cell<u128>>,
}

impl World {
    /// That of the event loop of this number.
    pub(super) fn new(store: Arc<EmbeddedStore>, event_loop: usize) -> Self {
        // Ids need only differ here.
        let random = u128::try_from(event_loop).expect("a small number") << 64;
        Self {
            store,
            random: Rc::new(Cell::new(random)),
        }
    }
}

impl Platform for World {
    type Store = NativeStore;

    async fn open(&self, label: &str) -> Result<NativeStore, StoreError> {
        match label {
            "default" => Ok(NativeStore(Arc::clone(&self.store))),
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

pub(super) struct NativeStore(Arc<EmbeddedStore>);

fn failed(error: starling_kv::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Store for NativeStore {
    type Swap = Swapping;

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let entry = self.0.get(key).await.map_err(failed)?;
        Ok(entry.map(|entry| entry.value.into()))
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.0.exists(key).await.map_err(failed)
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
            store: Arc::clone(&self.0),
            key: key.to_owned(),
            current,
            seen,
        })
    }
}

pub(super) struct Swapping {
    store: Arc<EmbeddedStore>,
    key: String,
    current: Option<Bytes>,
    seen: Option<Version>,
}

impl Swap for Swapping {
    fn current(&self) -> Option<&Bytes> {
        self.current.as_ref()
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
