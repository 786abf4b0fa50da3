//! Where a store lies: its files, its lock, the space around it, and its name in every error.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use starling_kv::BoxError;

use crate::{
    failure::{self, Kind},
    open::OpenError,
};

/// The unit in which the system counts the blocks of a file (POSIX `st_blocks`).
const BLOCK_BYTES: u64 = 512;

/// Where the parts of a store lie.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
    pub(crate) data: PathBuf,
}

impl Paths {
    pub(crate) fn lock(&self) -> Result<File, OpenError> {
        let path = self.root.join("lock");
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| self.failed(error))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
                path: self.root.clone(),
            }),
            Err(TryLockError::Error(error)) => Err(self.failed(error)),
        }
    }

    pub(crate) fn corrupt(&self, detail: String) -> OpenError {
        OpenError::Corrupt {
            path: self.root.clone(),
            detail,
            source: None,
        }
    }

    pub(crate) fn lost(&self, last: u64, acknowledged: u64) -> OpenError {
        self.corrupt(format!(
            "writes up to number {acknowledged} were acknowledged, and it ends with number {last}"
        ))
    }

    pub(crate) fn failed(&self, error: io::Error) -> OpenError {
        self.io(error.kind(), error.into())
    }

    pub(crate) fn tree_failed(&self, error: fjall::Error) -> OpenError {
        let path = self.root.clone();
        let detail = "its tree cannot be read".to_owned();
        match (failure::kind(&error), &error) {
            (Kind::Corrupt, _) => OpenError::Corrupt {
                path,
                detail,
                source: Some(error.into()),
            },
            (Kind::Full, _) => OpenError::NoSpace {
                path,
                source: error.into(),
            },
            (_, fjall::Error::Io(cause)) => self.io(cause.kind(), error.into()),
            (_, fjall::Error::Storage(fjall::LsmError::Io(cause))) => {
                self.io(cause.kind(), error.into())
            }
            _ => OpenError::Io {
                path,
                source: error.into(),
            },
        }
    }

    fn io(&self, kind: io::ErrorKind, source: BoxError) -> OpenError {
        let path = self.root.clone();
        match kind {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                OpenError::ReadOnly { path, source }
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => OpenError::NoSpace { path, source },
            _ => OpenError::Io { path, source },
        }
    }

    /// Where a journal is kept whose end was cut off before it was known to be of no use.
    pub(crate) fn torn(&self) -> PathBuf {
        self.root.join("torn.jnl")
    }

    /// Removes what [`torn`](Self::torn) keeps, now that nothing is missing.
    pub(crate) fn forget_torn(&self) -> io::Result<()> {
        match fs::remove_file(self.torn()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// How many bytes the file system has left for us.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// How many bytes the files below a directory take on disk: space that is set aside but not yet
/// written does not count.
pub(crate) fn disk_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Files come and go under the walk.
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path())?,
            Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}
