//! The failures of a store: one enum, each variant something that a caller can act on.
//!
//! The text of an error covers its own level only; the cause is reached through
//! [`source`](std::error::Error::source). What a provider's engine said never becomes the text of
//! a variant, so that it cannot leak into an answer to a client.

use std::fmt;

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause below an [`Error`], whatever its type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on a store failed.
///
/// A *refusal* ([`InvalidKey`](Self::InvalidKey), [`TooLarge`](Self::TooLarge),
/// [`AccessDenied`](Self::AccessDenied), [`Full`](Self::Full), [`Closed`](Self::Closed)) had no
/// effect. After any other error of a write the outcome is **unknown**: the write may be there
/// now, may appear later, or may never have happened. Compare-and-swap, or a write that can be
/// repeated, is the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key or prefix is not valid. The request must change.
    #[error("invalid key: {reason}")]
    InvalidKey {
        /// What is wrong with it, fit to follow "invalid key:".
        reason: &'static str,
    },

    /// A key, a value or a batch is over its limit. The request must change.
    #[error("{what} too large: {size}, at most {max}")]
    TooLarge {
        /// What was measured, which also tells the unit.
        what: Measure,
        /// What the request asked for.
        size: usize,
        /// What is allowed.
        max: usize,
    },

    /// This store, or this view of it, does not allow the operation: a replica is read-only.
    #[error("access denied")]
    AccessDenied,

    /// No space is left. The write was refused and nothing of it is kept.
    #[error("no space left in the store")]
    Full,

    /// The store cannot serve now: the server is away, the disk failed. Later it may.
    #[error("the store is unavailable")]
    Unavailable(#[source] BoxError),

    /// No answer came in time.
    #[error("the store did not answer in time")]
    Timeout,

    /// Stored bytes are damaged. Other keys may still be served.
    #[error("stored data is corrupt: {detail}")]
    Corrupt {
        /// What was found, for the operator.
        detail: String,
    },

    /// Others changed the key at every attempt of a bounded number.
    #[error("contended: lost {attempts} attempts")]
    Contended {
        /// How many attempts were made.
        attempts: u32,
    },

    /// The store was closed; this host is going away.
    #[error("the store is closed")]
    Closed,

    /// Anything else.
    #[error("the store failed")]
    Other(#[source] BoxError),
}

impl Error {
    /// An [`Unavailable`](Self::Unavailable) with this cause.
    pub fn unavailable(cause: impl Into<BoxError>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// An [`Other`](Self::Other) with this cause.
    pub fn other(cause: impl Into<BoxError>) -> Self {
        Self::Other(cause.into())
    }

    /// Whether the same request may succeed on this store a little later.
    ///
    /// This says nothing of whether repeating it is safe: after an error that leaves the outcome
    /// unknown only a write that can be repeated should be.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Timeout | Self::Contended { .. }
        )
    }

    /// A stable name in kebab-case, for metrics and logs. New variants bring new names.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidKey { .. } => "invalid-key",
            Self::TooLarge { .. } => "too-large",
            Self::AccessDenied => "access-denied",
            Self::Full => "full",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout => "timeout",
            Self::Corrupt { .. } => "corrupt",
            Self::Contended { .. } => "contended",
            Self::Closed => "closed",
            Self::Other(_) => "other",
        }
    }
}

/// What [`Error::TooLarge`] measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// The length of a key, in bytes.
    KeyBytes,
    /// The length of a value, in bytes.
    ValueBytes,
    /// The number of entries in a batch.
    BatchEntries,
    /// The keys and values of a batch together, in bytes.
    BatchBytes,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyBytes => "key (bytes)",
            Self::ValueBytes => "value (bytes)",
            Self::BatchEntries => "batch (entries)",
            Self::BatchBytes => "batch (bytes)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn text_covers_its_own_level_and_leaves_the_cause_to_source() {
        let error = Error::unavailable("connection refused by 10.0.0.7");
        assert_eq!(error.to_string(), "the store is unavailable");
        assert_eq!(
            error.source().expect("has a cause").to_string(),
            "connection refused by 10.0.0.7"
        );
    }

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        assert!(Error::Timeout.is_retryable());
        assert!(Error::Contended { attempts: 3 }.is_retryable());
        assert!(Error::unavailable("away").is_retryable());
        assert!(!Error::Full.is_retryable());
        assert!(!Error::Closed.is_retryable());
        assert!(!Error::AccessDenied.is_retryable());
    }

    #[test]
    fn too_large_tells_what_and_how_much() {
        let error = Error::TooLarge {
            what: Measure::ValueBytes,
            size: 1_000_001,
            max: 1_000_000,
        };
        assert_eq!(
            error.to_string(),
            "value (bytes) too large: 1000001, at most 1000000"
        );
    }
}
