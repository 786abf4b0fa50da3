//! Key-value providers by the `type` that a configuration gives: the one place that knows them all.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use starling_kv::layer::{Limit, Observe, ReadOnly, Timeout, Timeouts};
use starling_kv::{BoxError, Limits, Memory, Store};
use starling_kv_embedded::EmbeddedStore;
use starling_kv_nats::{Acks, Regions, Replicated, StoreReport};
use starling_kv_redis::RedisStore;
use thiserror::Error;
use tokio::runtime::Runtime;

use crate::metrics::Durations;
use crate::runtime_config::RuntimeConfig;
use crate::state_dir::StateDir;

/// A store that has not answered by then is down as far as a waiting client is concerned.
const TIMEOUTS: Timeouts = Timeouts {
    read: Duration::from_secs(2),
    write: Duration::from_secs(4),
};

/// What the names of buckets in NATS begin with, unless said.
const BUCKET: &str = "voicemail";

/// The label of the store that the hosts of a fleet know each other by.
pub(crate) const FLEET: &str = "fleet";

/// Where one store lives.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum StoreConfig {
    /// On this machine's disk.
    Embedded {
        /// The folder; in the state directory unless said.
        path: Option<PathBuf>,
        /// Memory for blocks and values that are read often.
        cache_bytes: Option<u64>,
        /// Space that writes leave free on the disk.
        free_bytes_min: Option<u64>,
    },
    /// On the NATS systems of the regions, with replicas of all.
    Nats {
        /// What the name of each region's bucket begins with; `voicemail` unless said.
        bucket: Option<String>,
        /// Copies within a region's system.
        replicas: Option<usize>,
        /// What an acknowledgement means: `region` or `geo`.
        #[serde(default)]
        acks: Acks,
        /// Memory for values, for each region's bucket.
        cache_bytes: Option<usize>,
        /// Whether the servers run with `sync_interval: always`.
        #[serde(default)]
        sync_always: bool,
        /// Whether this region may begin with nothing although no other can be asked.
        #[serde(default)]
        new_region: bool,
    },
    /// On a Redis or Valkey server.
    Redis(starling_kv_redis::Config),
    /// In this process, for tests.
    Memory {},
}

impl StoreConfig {
    /// Where the fleet's state lives if that is not said: beside what this says, where all hosts of the region find it.
    /// `None` is the state directory.
    fn for_fleet(&self) -> Option<Self> {
        let mut config = self.clone();
        match &mut config {
            Self::Embedded { .. } => return None,
            Self::Nats { bucket, acks, .. } => {
                let of_voicemail = bucket.as_deref().unwrap_or(BUCKET);
                *bucket = Some(format!("{of_voicemail}-fleet"));
                *acks = Acks::default();
            }
            Self::Redis(config) => config.namespace.push_str("-fleet"),
            Self::Memory {} => {}
        }
        Some(config)
    }
}

/// A store that did not open.
#[derive(Debug, Error)]
#[error("the key-value store `{label}` does not open")]
pub(crate) struct StoreError {
    label: String,
    source: BoxError,
}

/// A store that needs regions, where none are said.
#[derive(Debug, Error)]
#[error("a store of type \"nats\" needs region = \"…\" and [regions.….nats]")]
struct NoRegions;

/// The stores of a host, by label, and what runs behind them.
pub(crate) struct Stores {
    /// Where it is counted how long their operations take.
    durations: Durations,
    by_label: HashMap<String, Arc<dyn Store>>,
    replicated: Vec<(String, Replicated)>,
    /// Where connections to servers live, apart from the event loops. Kept for as long as the stores are.
    runtime: Option<Runtime>,
}

impl Stores {
    /// Opens the store of each label, once.
    ///
    /// # Errors
    /// The first store that does not open.
    pub(crate) fn open<'a>(
        labels: impl IntoIterator<Item = &'a str>,
        config: &RuntimeConfig,
        state_dir: &StateDir,
        durations: &Durations,
    ) -> Result<Self, StoreError> {
        let mut stores = Self {
            durations: durations.clone(),
            by_label: HashMap::new(),
            replicated: Vec::new(),
            runtime: None,
        };
        let mut regions = None;
        for label in labels {
            if !stores.by_label.contains_key(label) {
                stores
                    .open_one(label, config, state_dir, &mut regions)
                    .map_err(|source| StoreError {
                        label: label.to_owned(),
                        source,
                    })?;
            }
        }
        Ok(stores)
    }

    fn open_one(
        &mut self,
        label: &str,
        config: &RuntimeConfig,
        state_dir: &StateDir,
        regions: &mut Option<Regions>,
    ) -> Result<(), BoxError> {
        let embedded = StoreConfig::Embedded {
            path: None,
            cache_bytes: None,
            free_bytes_min: None,
        };
        let configured = config.key_value_store.get(label).cloned();
        let configured = configured.or_else(|| match label {
            FLEET => config.key_value_store.get("default")?.for_fleet(),
            _ => None,
        });
        let store = match &configured.unwrap_or(embedded) {
            StoreConfig::Memory {} => self.layered(label, Memory::default()),
            StoreConfig::Embedded {
                path,
                cache_bytes,
                free_bytes_min,
            } => {
                let path = path.clone().unwrap_or_else(|| state_dir.store(label));
                let mut config = starling_kv_embedded::Config::new(path);
                config.cache_bytes = cache_bytes.unwrap_or(config.cache_bytes);
                config.free_bytes_min = free_bytes_min.unwrap_or(config.free_bytes_min);
                self.layered(label, EmbeddedStore::open(config)?)
            }
            StoreConfig::Redis(config) => self.layered(label, RedisStore::open(config)?),
            StoreConfig::Nats {
                bucket,
                replicas,
                acks,
                cache_bytes,
                sync_always,
                new_region,
            } => {
                let bucket = bucket.as_deref().unwrap_or(BUCKET);
                let mut store = starling_kv_nats::StoreConfig::new(bucket);
                store.replicas = replicas.unwrap_or(store.replicas);
                store.acks = *acks;
                store.cache_bytes = cache_bytes.unwrap_or(store.cache_bytes);
                store.sync_always = *sync_always;
                store.new_region = *new_region;
                let replicated = self.open_replicated(config, store, regions)?;
                for (region, replica) in replicated.replicas() {
                    let label = format!("{label}@{region}");
                    let replica = self.layered(&label, ReadOnly::new(replica));
                    self.by_label.insert(label, replica);
                }
                let own = self.layered(label, replicated.own());
                if !own.capabilities().durable {
                    tracing::warn!(
                        label,
                        "an acknowledged write may be in the servers' memory alone: let them run with \
                         sync_interval: always, and say sync_always = true"
                    );
                }
                self.replicated.push((label.to_owned(), replicated));
                own
            }
        };
        self.by_label.insert(label.to_owned(), store);
        Ok(())
    }

    fn open_replicated(
        &mut self,
        config: &RuntimeConfig,
        store: starling_kv_nats::StoreConfig,
        regions: &mut Option<Regions>,
    ) -> Result<Replicated, BoxError> {
        let region = config.region.as_ref().ok_or(NoRegions)?.as_str();
        let runtime = match &self.runtime {
            Some(runtime) => runtime,
            None => self.runtime.insert(
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .thread_name("stores")
                    .enable_all()
                    .build()?,
            ),
        };
        runtime.block_on(async {
            let regions = if let Some(regions) = regions {
                regions
            } else {
                let systems: BTreeMap<_, _> = config
                    .regions
                    .iter()
                    .map(|(name, region)| (name.as_str().to_owned(), region.nats.clone()))
                    .collect();
                regions.insert(Regions::connect(region, &systems).await?)
            };
            Ok(Replicated::open(regions, store).await?)
        })
    }

    /// What holds for every provider alike.
    fn layered(&self, label: &str, store: impl Store) -> Arc<dyn Store> {
        let bounded = Limit::new(Timeout::new(store, TIMEOUTS), Limits::DEFAULT);
        Arc::new(Observe::new(bounded, self.durations.of_store(label)))
    }

    /// The store with this label.
    pub(crate) fn get(&self, label: &str) -> Option<Arc<dyn Store>> {
        self.by_label.get(label).cloned()
    }

    /// The store with this label, and the replicas that go with it, by label.
    pub(crate) fn with_replicas(&self, label: &str) -> HashMap<String, Arc<dyn Store>> {
        let belongs = |other: &str| match other.split_once('@') {
            Some((of, _)) => of == label,
            None => other == label,
        };
        let stores = self.by_label.iter();
        stores
            .filter(|(other, _)| belongs(other))
            .map(|(label, store)| (label.clone(), store.clone()))
            .collect()
    }

    /// What is known of each store that has replicas, by label.
    pub(crate) fn reports(&self) -> Vec<(String, StoreReport)> {
        let replicated = self.replicated.iter();
        replicated
            .map(|(label, store)| (label.clone(), store.report()))
            .collect()
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
