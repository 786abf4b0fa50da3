//! What the API needs of the world around it, and nothing else.
//!
//! Guests are single-threaded: none of these futures needs to be sent anywhere.
#![expect(
    async_fn_in_trait,
    reason = "guests are single-threaded, no caller asks for futures that are Send"
)]

use bytes::Bytes;

/// The world around a request.
pub trait Platform {
    /// An open store.
    type Store: Store + 'static;

    /// Opens the store of this label: `default` is the own region's, `default@<region>` another's, and
    /// `spool` this host's own, where there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no such store, or none that may be opened.
    async fn open(&self, label: &str) -> Result<Self::Store, StoreError>;

    /// The value of an application variable.
    async fn variable(&self, name: &str) -> Variable;

    /// Whether the host sends values of the stores that an answer names in fields `starling-send`, in place of a
    /// body: `<label> <key> <bytes of the value> <first byte to send> <bytes to send>` for each, in their order.
    fn sends_values(&self) -> bool {
        false
    }

    /// The wall clock, in milliseconds since the Unix epoch, UTC.
    fn now_ms(&self) -> u64;

    /// 128 random bits, fit for an id that must not be guessed.
    fn random_bits(&self) -> [u8; 16];

    /// Random bits that are this instance's own for as long as it lives.
    fn instance(&self) -> [u8; 16];

    /// Waits for so many milliseconds.
    async fn pause(&self, ms: u64);

    /// Sends a request to another server, waits a bounded time, and returns the status of the answer,
    /// whose body nobody reads.
    ///
    /// # Errors
    ///
    /// In words for the operator's log, why there was no answer: among other things, because the
    /// component may not reach that server.
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::StatusCode, String>;

    /// Tells the operator, on one line.
    fn log(&self, line: &str);
}

/// An application variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Variable {
    /// It is set.
    Set(String),
    /// The manifest does not give it to this component.
    Unset,
    /// It cannot be read now, for the reason given.
    Unreadable(String),
}

/// A key-value store. A write that returned `Ok` is as durable as the store promises.
pub trait Store {
    /// A compare-and-swap in progress.
    type Swap: Swap;

    /// The value of a key; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot tell.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether there is a value under a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot tell.
    async fn exists(&self, key: &str) -> Result<bool, StoreError>;

    /// Writes a value, whatever was there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is not known to be stored.
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Removes a value, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is not known to be gone.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Adds one to the counter under this key, which starts at 0, and returns what it is then. The
    /// key must be used for nothing else.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the outcome is not known.
    async fn increment(&self, key: &str) -> Result<i64, StoreError>;

    /// All keys that were there before and after, in whatever order.
    ///
    /// This reads the whole store, which is for the spool alone: its size is bounded.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot tell.
    async fn keys(&self) -> Result<Vec<String>, StoreError>;

    /// Reads a value in order to replace it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot tell what is there.
    async fn begin_swap(&self, key: &str) -> Result<Self::Swap, StoreError>;
}

/// A compare-and-swap in progress: what was read, and the chance to replace exactly that.
pub trait Swap: Sized {
    /// What was read; `None` if there was no value.
    fn current(&self) -> Option<&Bytes>;

    /// Replaces the value if it is still the one that was read.
    ///
    /// Some stores (stock Spin's) do not guard a value that was missing: see `slots.rs`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the outcome is not known.
    async fn swap(self, value: Vec<u8>) -> Result<Swapped<Self>, StoreError>;
}

/// How a [`Swap`] ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Swapped<S> {
    /// The value was replaced.
    Won,
    /// Somebody else was faster. Here is another chance, with what they wrote.
    Lost(S),
}

/// A store could not do what it was asked for. The text is for the operator's log, never for a
/// client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The label names no store that this component may open.
    #[error("there is no such store, or it may not be opened")]
    NoSuchStore,
    /// Anything else, in the store's own words.
    #[error("{0}")]
    Failed(String),
}

/// The body of a request could not be read to its end.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UploadError {
    /// The host found it larger than its own limit.
    #[error("the body is larger than the host's limit")]
    TooLarge,
    /// The connection broke, or the framing did.
    #[error("the body broke off")]
    Broken,
}
