//! What a process takes of its machine: memory, descriptors, threads, disk.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::Pid;

use crate::host::resident_bytes;

/// The unit in which the system counts the blocks of a file (POSIX `st_blocks`).
const BLOCK_BYTES: u64 = 512;

/// What a process takes, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Memory that is in use, in bytes.
    pub resident_bytes: u64,
    /// Open file descriptors, sockets among them.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl Usage {
    /// What this process takes now.
    ///
    /// # Panics
    ///
    /// Where the system does not tell.
    #[must_use]
    pub fn of(process: Pid) -> Self {
        let entries = |of: &str| {
            std::fs::read_dir(format!("/proc/{}/{of}", process.as_raw_nonzero()))
                .expect("the system tells about its processes")
                .count()
        };
        Self {
            resident_bytes: resident_bytes(process),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }
}

/// How many bytes the files below a folder take on disk. Files may come and go meanwhile.
#[must_use]
pub fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
            Err(_) => 0,
        })
        .sum()
}

/// Bytes as people compare them.
#[must_use]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
