//! What the management needs of the world around it, and nothing else: stores, time, other servers, and the host
//! that it runs on, as `wit/management.wit` describes it.
//!
//! Guests are single-threaded: none of these futures needs to be sent anywhere.
#![expect(
    async_fn_in_trait,
    reason = "guests are single-threaded, no caller asks for futures that are Send"
)]

use starling_supervision::{
    ComponentName, Digest, Figures, Readiness, RolloutState, Share, VersionState,
};

/// The world around a request.
pub trait Platform {
    /// An open store.
    type Store: Store;

    /// Opens the store of this label: `fleet` is the own region's, `fleet@<region>` another's, to read.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no such store, or none that may be opened.
    async fn open(&self, label: &str) -> Result<Self::Store, StoreError>;

    /// The value of an application variable.
    async fn variable(&self, name: &str) -> Variable;

    /// The wall clock, in milliseconds since the Unix epoch, UTC.
    fn now_ms(&self) -> u64;

    /// 128 random bits.
    fn random_bits(&self) -> [u8; 16];

    /// Waits for so many milliseconds.
    async fn pause(&self, ms: u64);

    /// Sends a request to another server and returns the status of the answer and up to `body_bytes_max` bytes of
    /// its body. Whoever does not want to wait stops waiting.
    ///
    /// # Errors
    ///
    /// In words for an operator, why there was no whole answer.
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        body_bytes_max: usize,
    ) -> Result<(http::StatusCode, Vec<u8>), String>;

    /// Tells the operator, on one line, what goes as it should.
    fn inform(&self, line: &str);

    /// Tells the operator, on one line, what is wrong.
    fn warn(&self, line: &str);

    /// Who the host is.
    fn identity(&self) -> Identity;

    /// The routes of the host's front door.
    fn routes(&self) -> Vec<Route>;

    /// Says whether the host may take traffic.
    fn set_readiness(&self, readiness: &Readiness);

    /// Says which other hosts there are, nearest first.
    fn set_siblings(&self, siblings: &[Sibling]);

    /// Says how the rollouts stand, for the host's metrics.
    fn report_rollouts(&self, rollouts: &[RolloutReport]);

    /// Every version of every component on this host, with what was seen of it in so many milliseconds.
    fn versions(&self, window_ms: u64) -> Vec<Version>;

    /// The upper bounds of the latencies' counts but the last, in microseconds, rising.
    fn latency_bounds_us(&self) -> Vec<u64>;

    /// Starts to get a version ready, or says how far it is.
    fn stage(&self, component: &ComponentName, digest: Digest) -> VersionState;

    /// Drops a version that is not wanted any more.
    fn forget(&self, component: &ComponentName, digest: Digest);

    /// Sends a component's requests to these versions; to none, and nothing is served, if there are none.
    ///
    /// # Errors
    ///
    /// In words for an operator, why nothing has changed.
    fn shift(&self, component: &ComponentName, shares: &[Share]) -> Result<(), String>;
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

    /// Reads a value in order to replace it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot tell what is there.
    async fn begin_swap(&self, key: &str) -> Result<Self::Swap, StoreError>;
}

/// A compare-and-swap in progress: what was read, and the chance to replace exactly that, also where it was nothing.
pub trait Swap: Sized {
    /// What was read; `None` if there was no value.
    fn current(&self) -> Option<&[u8]>;

    /// Replaces the value if it is still the one that was read.
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

/// A store could not do what it was asked for. The text is for the operator's log, never for a client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The label names no store that this component may open.
    #[error("there is no such store, or it may not be opened")]
    NoSuchStore,
    /// It did not answer for so long that nobody waits any more.
    #[error("it does not answer")]
    Silent,
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

/// Who a host is, and what it has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its name in the fleet.
    pub id: String,
    /// The region whose store it uses.
    pub region: String,
    /// The zone of that region it stands in.
    pub zone: String,
    /// Where its front door is reached, a URL without a path.
    pub address: String,
    /// Where its operator API is reached, a URL without a path.
    pub management: String,
    /// Its release.
    pub version: String,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How many instances it runs at once at most.
    pub instances_max: u32,
    /// How many event loops serve requests.
    pub event_loops: u32,
}

/// A route of the front door.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The pattern of paths.
    pub pattern: String,
    /// The component that serves it.
    pub component: String,
}

/// Another host, for the requests that this one cannot serve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sibling {
    /// Its name in the fleet.
    pub id: String,
    /// Where its front door is reached.
    pub address: String,
    /// The patterns of its routes.
    pub routes: Vec<String>,
}

/// A rollout, as the host counts it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RolloutReport {
    /// Its id.
    pub id: String,
    /// The component that it is about.
    pub component: String,
    /// Where it stands.
    pub state: RolloutState,
    /// The step that it is in, from 0.
    pub step: u32,
    /// How many steps it has.
    pub steps: u32,
}

/// A version of a component on the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version {
    /// The component's id in the manifest.
    pub component: ComponentName,
    /// Which version.
    pub digest: Digest,
    /// Its part of the component's requests, in per cent.
    pub percent: u8,
    /// Whether it is the one that the host's manifest names.
    pub own: bool,
    /// Its requests that have not ended.
    pub in_flight: u32,
    /// Whether it can serve.
    pub state: VersionState,
    /// What was seen of it lately.
    pub recent: Figures,
}
