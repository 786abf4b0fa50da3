//! Key-value providers by the `type` that a configuration gives: the one place that knows them all.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use starling_kv::layer::{Limit, Timeout, Timeouts};
use starling_kv::{Limits, Memory, Store};
use starling_kv_embedded::{EmbeddedStore, OpenError};
use thiserror::Error;

use crate::state_dir::StateDir;

/// A store that has not answered by then is down as far as a waiting client is concerned.
const TIMEOUTS: Timeouts = Timeouts {
    read: Duration::from_secs(2),
    write: Duration::from_secs(4),
};

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
    /// In this process, for tests.
    Memory {},
}

/// A store that did not open.
#[derive(Debug, Error)]
#[error("the key-value store `{label}` does not open")]
pub(crate) struct StoreError {
    label: String,
    source: OpenError,
}

/// Opens the store of each label, once.
///
/// # Errors
/// The first store that does not open.
pub(crate) fn open<'a>(
    labels: impl IntoIterator<Item = &'a str>,
    configured: &std::collections::BTreeMap<String, StoreConfig>,
    state_dir: &StateDir,
) -> Result<HashMap<String, Arc<dyn Store>>, StoreError> {
    let mut stores = HashMap::new();
    for label in labels {
        if !stores.contains_key(label) {
            let store =
                open_one(label, configured.get(label), state_dir).map_err(|source| StoreError {
                    label: label.to_owned(),
                    source,
                })?;
            stores.insert(label.to_owned(), store);
        }
    }
    Ok(stores)
}

fn open_one(
    label: &str,
    config: Option<&StoreConfig>,
    state_dir: &StateDir,
) -> Result<Arc<dyn Store>, OpenError> {
    let embedded = StoreConfig::Embedded {
        path: None,
        cache_bytes: None,
        free_bytes_min: None,
    };
    match config.unwrap_or(&embedded) {
        StoreConfig::Memory {} => Ok(layered(Memory::default())),
        StoreConfig::Embedded {
            path,
            cache_bytes,
            free_bytes_min,
        } => {
            let path = path.clone().unwrap_or_else(|| state_dir.store(label));
            let mut config = starling_kv_embedded::Config::new(path);
            config.cache_bytes = cache_bytes.unwrap_or(config.cache_bytes);
            config.free_bytes_min = free_bytes_min.unwrap_or(config.free_bytes_min);
            Ok(layered(EmbeddedStore::open(config)?))
        }
    }
}

/// What holds for every provider alike.
fn layered(store: impl Store) -> Arc<dyn Store> {
    Arc::new(Limit::new(Timeout::new(store, TIMEOUTS), Limits::DEFAULT))
}
