//! Comfort for callers, built on the contract alone, so that it is right for every provider.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Error, Result, Store, Swap};

/// How often [`StoreExt::increment`] tries before it gives up as [`Error::Contended`].
///
/// Each attempt that loses means that somebody else won, so the store as a whole makes progress;
/// the bound keeps one caller's latency finite.
const ATTEMPTS_MAX: u32 = 64;

/// Operations that every [`Store`] has by virtue of its contract.
#[async_trait]
pub trait StoreExt: Store {
    /// Adds `delta` to the counter at `key` and returns the sum.
    ///
    /// A counter is an `i64` in 8 bytes, little-endian; a missing key counts as 0. No increment is
    /// lost, whoever else increments.
    ///
    /// # Errors
    ///
    /// [`Error::Contended`] after a bounded number of lost attempts, then nothing was added.
    /// [`Error::Other`] around a [`CounterError`] when the value is no counter or would overflow.
    /// Otherwise what the store answers.
    async fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        let mut current = self.get(key).await?;
        for _ in 0..ATTEMPTS_MAX {
            let count = current
                .as_ref()
                .map_or(Ok(0), |entry| counter(&entry.value))?;
            let sum = count.checked_add(delta).ok_or(CounterError::Overflow)?;
            let expected = current.map(|entry| entry.version);
            let value = Bytes::copy_from_slice(&sum.to_le_bytes());
            match self.compare_and_swap(key, expected, value).await? {
                Swap::Swapped(_) => return Ok(sum),
                Swap::Lost(now) => current = now,
            }
        }
        Err(Error::Contended {
            attempts: ATTEMPTS_MAX,
        })
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// Why a value cannot be counted up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// The value is not 8 bytes long.
    #[error("the value is no counter: {size} bytes, not 8")]
    Size {
        /// The length of the value in bytes.
        size: usize,
    },
    /// The sum does not fit into an `i64`.
    #[error("the counter would overflow")]
    Overflow,
}

impl From<CounterError> for Error {
    fn from(error: CounterError) -> Self {
        Self::other(error)
    }
}

fn counter(value: &[u8]) -> Result<i64, CounterError> {
    let bytes = value
        .try_into()
        .map_err(|_| CounterError::Size { size: value.len() })?;
    Ok(i64::from_le_bytes(bytes))
}
