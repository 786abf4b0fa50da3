//! The folder in which a host keeps what must outlive it. One host has it at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use starling_supervision::HostId;
use thiserror::Error;

/// A state directory that this process holds.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Locked for as long as it is open; the system unlocks it also when the process is killed.
    _lock: File,
}

/// Why the directory cannot be held.
#[derive(Debug, Error)]
pub(crate) enum StateDirError {
    /// Another host has it.
    #[error(
        "the state directory {} is in use by another host{}; stop that one, or give this one its own with --state-dir",
        path.display(),
        holder
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// ` (process …)`, or empty.
        holder: String,
    },
    /// It cannot be made or written.
    #[error("the state directory {} cannot be used; choose one that this user may write with --state-dir", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateDir {
    /// Makes the folder if it is missing, for this user alone, and holds it.
    pub(crate) fn hold(path: &Path) -> Result<Self, StateDirError> {
        let failed = |source| StateDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => String::new(),
                    id => format!(" (process {id})"),
                };
                return Err(StateDirError::InUse {
                    path: path.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a small text down for other commands, whole or not at all.
    pub(crate) fn write_down(&self, name: &str, text: &str) -> Result<(), StateDirError> {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|source| StateDirError::Io { path, source })
    }

    /// Where a file of this name is, or would be.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a text that nobody but this user may read, whole or not at all.
    pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StateDirError> {
        let new = path.with_extension("new");
        let write = || {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(|source| StateDirError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// The name of the host in its fleet: made at its first start, of the region and of chance, and kept.
    pub(crate) fn host_id(&self, region: &str) -> Result<HostId, StateDirError> {
        let path = self.file("host-id");
        let failed = |source| StateDirError::Io {
            path: path.clone(),
            source,
        };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut chance = [0; 4];
                getrandom::fill(&mut chance).map_err(|error| failed(error.into()))?;
                let id = format!("{region}-{:08x}", u32::from_ne_bytes(chance));
                Self::write_private(&path, &id)?;
                id
            }
            read => read.map_err(failed)?,
        };
        let invalid = |error| failed(io::Error::new(io::ErrorKind::InvalidData, error));
        text.trim().parse().map_err(invalid)
    }

    /// Where compiled components are kept.
    pub(crate) fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// Where the embedded store with this label is kept, unless the configuration says otherwise.
    pub(crate) fn store(&self, label: &str) -> PathBuf {
        self.path.join("stores").join(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_holds_a_folder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let held = StateDir::hold(&path).unwrap();
        let error = StateDir::hold(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(held);
        StateDir::hold(&path).unwrap();
    }

    #[test]
    fn a_host_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let held = StateDir::hold(&folder.path().join("state")).unwrap();
        let id = held.host_id("eu").unwrap();
        assert!(id.as_str().starts_with("eu-"), "{id}");
        // Wherever it is moved to.
        assert_eq!(held.host_id("us").unwrap(), id);
        fs::write(held.file("host-id"), "").unwrap();
        let error = held.host_id("eu").unwrap_err().to_string();
        assert!(error.contains("host-id"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDir::hold(&file.join("state")).unwrap_err().to_string();
        assert!(
            error.contains("file/state") && error.contains("--state-dir"),
            "{error}"
        );
    }
}
