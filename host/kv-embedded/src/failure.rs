//! What an error of the tree means to a caller of the store.

use std::{io, sync::Arc};

use fjall::LsmError;
use starling_kv::Error;

use crate::engine::ReadError;

/// The kinds of failure that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No space, no quota, or a file grown to the process's limit.
    Full,
    /// A checksum or a form that does not fit, or a file that ends early or is gone.
    Corrupt,
    /// The disk or the system failed, or fjall takes no writes since it did.
    Failed,
}

/// The kind of an error of the tree.
pub(crate) fn kind(error: &fjall::Error) -> Kind {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => io_kind(error),
        fjall::Error::Poisoned | fjall::Error::Locked => Kind::Failed,
        _ => Kind::Corrupt,
    }
}

fn io_kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Kind::Full
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::NotFound => {
            Kind::Corrupt
        }
        _ => Kind::Failed,
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let corrupt = match &error {
            ReadError::Tree(cause) => kind(cause) == Kind::Corrupt,
            ReadError::Value | ReadError::Key | ReadError::Numbers => true,
        };
        if corrupt {
            let detail = match &error {
                ReadError::Tree(cause) => cause.to_string(),
                other => other.to_string(),
            };
            Self::Corrupt { detail }
        } else {
            Self::unavailable(error)
        }
    }
}

/// One failure that several writers are told of.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the last commit failed")]
pub(crate) struct CommitError(#[source] Arc<fjall::Error>);

impl CommitError {
    pub(crate) fn new(cause: fjall::Error) -> Self {
        Self(Arc::new(cause))
    }

    pub(crate) fn is_full(&self) -> bool {
        kind(&self.0) == Kind::Full
    }
}
