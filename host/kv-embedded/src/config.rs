//! What an operator may say about an embedded store.

use std::path::PathBuf;

use serde::Deserialize;
use starling_kv::Limits;

use crate::queue;

const MIB: u64 = 1024 * 1024;

/// The configuration of an [`EmbeddedStore`](crate::EmbeddedStore).
///
/// As read from a configuration file, only `path` must be given and an unknown key is an error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory of the store. It is created where it is missing, its parents too.
    pub path: PathBuf,

    /// How many bytes of blocks and values are cached in memory. Default 8 MiB: the page cache of
    /// the operating system does most of it, and an idle host stays small.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: u64,

    /// How many bytes of writes may wait for the disk. Beyond them, writers wait for room. Default
    /// 32 MiB; at least what one batch at the limits needs.
    #[serde(default = "queue_bytes_max")]
    pub queue_bytes_max: usize,

    /// Writes are refused as full when the file system has fewer bytes left than this. Default
    /// 128 MiB: a journal and the tables that must be written out before it can be dropped.
    #[serde(default = "free_bytes_min")]
    pub free_bytes_min: u64,
}

impl Config {
    /// The defaults, for a store at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: cache_bytes(),
            queue_bytes_max: queue_bytes_max(),
            free_bytes_min: free_bytes_min(),
        }
    }

    /// The smallest [`queue_bytes_max`](Self::queue_bytes_max): one batch at the limits must fit,
    /// or it could never be written.
    pub(crate) fn queue_bytes_min() -> usize {
        let limits = Limits::DEFAULT;
        limits.batch_bytes_max + limits.batch_entries_max * queue::ENTRY_BYTES
    }
}

fn cache_bytes() -> u64 {
    8 * MIB
}

fn queue_bytes_max() -> usize {
    32 * MIB as usize
}

fn free_bytes_min() -> u64 {
    128 * MIB
}
