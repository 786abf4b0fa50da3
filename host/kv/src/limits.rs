//! The bounds that hold for every provider alike, so that an application moves between them.

use crate::{Error, Measure, Result};

/// What a store takes at most. Sizes are in bytes.
///
/// The defaults are what the narrowest provider can hold: a NATS message has a `max_payload` of
/// 1 MiB (1,048,576 bytes) that the value shares with subject and headers, so a value stays at a
/// round million and a key at 512.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest key.
    pub key_bytes_max: usize,
    /// The longest value.
    pub value_bytes_max: usize,
    /// The most entries in one batch, read or written.
    pub batch_entries_max: usize,
    /// The most bytes of keys and values in one batch of writes: what a host must hold in memory,
    /// and a provider commit at once.
    pub batch_bytes_max: usize,
    /// The most keys in one page of a listing. A greater wish is met with this many.
    pub page_keys_max: usize,
}

impl Limits {
    /// The limits that every provider must meet.
    pub const DEFAULT: Self = Self {
        key_bytes_max: 512,
        value_bytes_max: 1_000_000,
        batch_entries_max: 1_000,
        batch_bytes_max: 16_000_000,
        page_keys_max: 1_000,
    };

    /// Checks a key: not empty, not too long, no control characters.
    ///
    /// Control characters are what text protocols and terminals trip over, and no name needs one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`], or [`Error::TooLarge`] with [`Measure::KeyBytes`].
    pub fn check_key(&self, key: &str) -> Result<()> {
        if key.is_empty() {
            return Err(Error::InvalidKey {
                reason: "it is empty",
            });
        }
        self.check_prefix(key)
    }

    /// Checks the prefix of a listing: like a key, but it may be empty.
    ///
    /// # Errors
    ///
    /// As [`check_key`](Self::check_key).
    pub fn check_prefix(&self, prefix: &str) -> Result<()> {
        within(Measure::KeyBytes, prefix.len(), self.key_bytes_max)?;
        if prefix.chars().any(char::is_control) {
            return Err(Error::InvalidKey {
                reason: "it holds a control character",
            });
        }
        Ok(())
    }

    /// Checks the length of a value.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] with [`Measure::ValueBytes`].
    pub fn check_value(&self, value: &[u8]) -> Result<()> {
        within(Measure::ValueBytes, value.len(), self.value_bytes_max)
    }

    /// Checks a batch of keys that are read or deleted.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] with [`Measure::BatchEntries`], or what is wrong with a key.
    pub fn check_keys(&self, keys: &[String]) -> Result<()> {
        within(Measure::BatchEntries, keys.len(), self.batch_entries_max)?;
        keys.iter().try_for_each(|key| self.check_key(key))
    }

    /// Checks a batch of entries that are written.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], or what is wrong with a key.
    pub fn check_entries<V: AsRef<[u8]>>(&self, entries: &[(String, V)]) -> Result<()> {
        within(Measure::BatchEntries, entries.len(), self.batch_entries_max)?;
        let mut bytes = 0;
        for (key, value) in entries {
            self.check_key(key)?;
            self.check_value(value.as_ref())?;
            bytes += key.len() + value.as_ref().len();
        }
        within(Measure::BatchBytes, bytes, self.batch_bytes_max)
    }

    /// Brings the wished length of a page into `1..=page_keys_max`.
    #[must_use]
    pub fn page_keys(&self, wished: usize) -> usize {
        wished.clamp(1, self.page_keys_max.max(1))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

fn within(what: Measure, size: usize, max: usize) -> Result<()> {
    if size > max {
        return Err(Error::TooLarge { what, size, max });
    }
    Ok(())
}
