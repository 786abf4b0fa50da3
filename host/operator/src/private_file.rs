//! Files with a secret in them, which nobody but their owner may read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use thiserror::Error;

/// More than any of these files has. What is longer is none of them.
const BYTES_MAX: u64 = 1024 * 1024;

/// Why a private file was not read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// Other users may read it, so that it is no secret.
    #[error("other users may read it (its mode is {0:04o})")]
    Exposed(u32),
    /// It cannot be read, or is no text.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The text of a file that is its owner's alone.
pub(crate) fn read(path: &Path) -> Result<String, ReadError> {
    let file = File::open(path)?;
    // Of the file that is open, not of what may have its name by now.
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ReadError::Exposed(mode));
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
