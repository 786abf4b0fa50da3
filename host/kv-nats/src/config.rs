//! What an operator says about NATS: where a region's system is and how to be let in, and how a store lives on it.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// One region's NATS system: one server or one cluster, which knows nothing of other regions.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemConfig {
    /// Addresses of its servers: `nats://host:port`, or `tls://host:port`. One is enough to find the others of a
    /// cluster. Without user and password: those are said below.
    pub servers: Vec<String>,
    /// The user, where the system knows its clients by password.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<String>,
    /// A file with the user's password, in place of the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A file with the seed of an nkey, where the system knows its clients by key.
    #[serde(default)]
    pub nkey_seed_file: Option<PathBuf>,
    /// A credentials file (a user's JWT and seed), where accounts are decentralised.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// Whether a connection without TLS is refused.
    #[serde(default)]
    pub tls: bool,
    /// Certificates of authorities (PEM) that the servers' certificates are checked with, besides the system's own.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// This client's certificate (PEM), where the servers ask for one.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// The key (PEM) of `cert_file`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// Without secrets.
impl fmt::Debug for SystemConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemConfig")
            .field("servers", &self.servers)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// How one store lives on the systems of its regions.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The name of the store; its bucket in region `eu` is `<bucket>_eu`. Letters, digits, `-` and `_`.
    pub bucket: String,
    /// Copies of each message within the region's system: 1, 3 or 5.
    pub replicas: usize,
    /// What an acknowledgement means.
    pub acks: Acks,
    /// Bytes of values that are kept in memory, for each region's bucket.
    pub cache_bytes: usize,
    /// Whether the servers run with `sync_interval: always`, which no client can ask them: an acknowledgement then
    /// means the disk. The operator's word, and what [`Capabilities::durable`](starling_kv::Capabilities) repeats.
    pub sync_always: bool,
    /// Whether this region is set up for the first time, and may begin with an empty bucket although no other
    /// region can be asked whether it holds a copy of one.
    pub new_region: bool,
}

impl StoreConfig {
    /// The defaults, for a store of this name.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            replicas: 1,
            acks: Acks::Region,
            cache_bytes: 64 << 20,
            sync_always: false,
            new_region: false,
        }
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// Once the region's own system has stored it.
    #[default]
    Region,
    /// Once a second region holds it too.
    Geo,
}
