//! The host's own configuration, `edge.toml`: limits, the regions of the deployment, and where each store lives.
//!
//! Two steps: [`RuntimeConfig`] is what the file says; the `limits` functions turn it into what that means.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use starling_kv_nats::SystemConfig;
use starling_mailbox::Region;
use starling_server::Sibling;
use starling_supervision::{BEAT_MS, Zone};
use thiserror::Error;

use crate::stores::StoreConfig;

/// What an `edge.toml` says. A key that is not here is an error that names it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    /// Bounds on requests, instances and connections. What is left out has its default.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// How much is taken under overload.
    #[serde(default)]
    pub(crate) admission: AdmissionConfig,
    /// Where stores live, by label. A label that is not here is embedded in the state directory.
    #[serde(default)]
    pub(crate) key_value_store: BTreeMap<String, StoreConfig>,
    /// The region that this host is in. It is the application variable `region`, too.
    pub(crate) region: Option<Region>,
    /// All regions of the deployment, this one included. Their names are the application variable `regions`, too.
    #[serde(default)]
    pub(crate) regions: BTreeMap<Region, RegionConfig>,
    /// What fails together within the region, this host with it.
    pub(crate) zone: Option<Zone>,
    /// Where other hosts reach this one's front door, if not at the address that it listens on.
    pub(crate) advertise: Option<String>,
    /// How operators reach this host.
    #[serde(default)]
    pub(crate) management: ManagementConfig,
    /// Whose components are run.
    #[serde(default)]
    pub(crate) signatures: SignatureConfig,
}

/// Requests that an event loop takes at once however long they take: a few clients who each wait for their answer are no
/// overload, on a slow machine either.
const FEW_REQUESTS: u32 = 16;

/// The `[admission]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdmissionConfig {
    /// The mean time that requests may wait for each other before some are refused.
    delay_ms_max: NonZero<u32>,
    /// Requests that one event loop takes at once, at most and at first.
    requests_max: NonZero<u32>,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            delay_ms_max: const { NonZero::new(8).expect("not zero") },
            requests_max: const { NonZero::new(1_024).expect("not zero") },
        }
    }
}

impl AdmissionConfig {
    pub(crate) fn admission(&self) -> starling_admission::Config {
        starling_admission::Config {
            limit_initial: self.requests_max.get(),
            limit_min: self.requests_max.get().min(FEW_REQUESTS),
            limit_max: self.requests_max.get(),
            delay_tolerated: Duration::from_millis(self.delay_ms_max.get().into()),
            ..starling_admission::Config::default()
        }
    }
}

/// The `[management]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ManagementConfig {
    /// Where operators are listened to.
    pub(crate) listen: SocketAddr,
    /// The time from one supervision step to the next.
    pub(crate) interval_ms: u64,
    /// The certificate to show operators. Without one, HTTP is spoken in the clear.
    pub(crate) tls: Option<TlsConfig>,
}

impl Default for ManagementConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            interval_ms: 1_000,
            tls: None,
        }
    }
}

/// The `[management.tls]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// PEM: the certificate, and those between it and its root.
    pub(crate) cert_file: PathBuf,
    /// PEM: its private key.
    pub(crate) key_file: PathBuf,
}

/// The `[signatures]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SignatureConfig {
    /// PEM files of public keys. What one of them has signed is run.
    pub(crate) keys: Vec<PathBuf>,
    /// Whether a component that is not signed is run too.
    pub(crate) allow_unsigned: bool,
}

/// What is said of one region.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionConfig {
    /// Its NATS system. Without one the region is retired: what was replicated of it is still read.
    pub(crate) nats: Option<SystemConfig>,
}

/// The `[limits]` table. Each key is the limit of the same name in the engine or the server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    isolation: Option<Isolation>,
    instance_concurrency_max: Option<NonZero<usize>>,
    instances_max: Option<NonZero<u32>>,
    instance_requests_max: Option<NonZero<usize>>,
    instance_idle_ms: Option<u64>,
    instance_memory_kept_max: Option<usize>,
    memory_bytes_max: Option<usize>,
    table_entries_max: Option<usize>,
    handles_max: Option<usize>,
    store_operations_max: Option<u64>,
    store_bytes_max: Option<u64>,
    outbound_requests_max: Option<usize>,
    request_timeout_ms: Option<u64>,
    upload_timeout_ms: Option<u64>,
    response_timeout_ms: Option<u64>,
    cpu_burst_ms_max: Option<u64>,
    queue_timeout_ms: Option<u64>,
    connections_max: Option<NonZero<usize>>,
    connections_per_address_max: Option<usize>,
    idle_timeout_ms: Option<u64>,
    write_timeout_ms: Option<u64>,
    header_bytes_max: Option<usize>,
    header_timeout_ms: Option<u64>,
    request_body_bytes_max: Option<u64>,
    upload_bytes_per_second_min: Option<u64>,
    upload_grace_ms: Option<u64>,
    http2_streams_max: Option<NonZero<u32>>,
    http2_resets_max: Option<u32>,
    http2_flood_bytes_max: Option<u64>,
    drain_notice_ms: Option<u64>,
    drain_timeout_ms: Option<u64>,
}

/// How far requests are kept apart, in the words of the file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Isolation {
    Request,
    Instance,
    Shared,
}

impl From<Isolation> for starling_engine::Isolation {
    fn from(said: Isolation) -> Self {
        match said {
            Isolation::Request => Self::Request,
            Isolation::Instance => Self::Instance,
            Isolation::Shared => Self::Shared,
        }
    }
}

/// Why a configuration is not taken.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the runtime configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, or with keys or values that are none.
    #[error("{} is not a runtime configuration", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// Regions, and none of them this host's.
    #[error("{} names regions, and not the one that this host is in; say region = \"…\"", path.display())]
    NoOwnRegion {
        /// The file.
        path: PathBuf,
    },
    /// Not where a front door can be.
    #[error("{} says advertise = \"{advertise}\", and that is no address such as http://192.0.2.1:3000", path.display())]
    Advertise {
        /// The file.
        path: PathBuf,
        /// What it says.
        advertise: String,
    },
    /// Too seldom: other hosts would take this one for gone.
    #[error("{} says management.interval_ms = {interval_ms}; it can be 100 to 2000", path.display())]
    Interval {
        /// The file.
        path: PathBuf,
        /// What it says.
        interval_ms: u64,
    },
    /// This host's region is not among the regions.
    #[error("{} says region = \"{region}\" and has no [regions.{region}]", path.display())]
    UnknownRegion {
        /// The file.
        path: PathBuf,
        /// The region.
        region: String,
    },
}

impl RuntimeConfig {
    /// Reads the file at `path`, or takes the defaults if there is none to read.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let config: Self = toml::from_str(&text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        config.check_regions(path)?;
        config.check_management(path)?;
        Ok(config)
    }

    fn check_management(&self, path: &Path) -> Result<(), ConfigError> {
        if let Some(advertise) = &self.advertise {
            Sibling::new("", advertise, []).map_err(|_| ConfigError::Advertise {
                path: path.to_owned(),
                advertise: advertise.clone(),
            })?;
        }
        let interval_ms = self.management.interval_ms;
        if !(100..=2 * BEAT_MS).contains(&interval_ms) {
            return Err(ConfigError::Interval {
                path: path.to_owned(),
                interval_ms,
            });
        }
        Ok(())
    }

    fn check_regions(&self, path: &Path) -> Result<(), ConfigError> {
        match &self.region {
            None if self.regions.is_empty() => Ok(()),
            None => Err(ConfigError::NoOwnRegion {
                path: path.to_owned(),
            }),
            Some(region) if self.regions.is_empty() || self.regions.contains_key(region) => Ok(()),
            Some(region) => Err(ConfigError::UnknownRegion {
                path: path.to_owned(),
                region: region.as_str().to_owned(),
            }),
        }
    }

    /// What the file says of an application variable; `None` where it says nothing.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let region = self.region.as_ref()?.as_str();
        match name {
            "region" => Some(region.to_owned()),
            "regions" if self.regions.is_empty() => Some(region.to_owned()),
            "regions" => {
                let names: Vec<_> = self.regions.keys().map(Region::as_str).collect();
                Some(names.join(","))
            }
            _ => None,
        }
    }
}

impl Limits {
    /// What this says of instances.
    pub(crate) fn engine(&self) -> starling_engine::Limits {
        let default = starling_engine::Limits::default();
        starling_engine::Limits {
            isolation: self.isolation.map_or(default.isolation, Into::into),
            instances_max: self
                .instances_max
                .map_or(default.instances_max, NonZero::get),
            instance_concurrency_max: self
                .instance_concurrency_max
                .map_or(default.instance_concurrency_max, NonZero::get),
            instance_requests_max: self
                .instance_requests_max
                .map_or(default.instance_requests_max, NonZero::get),
            instance_idle: millis(self.instance_idle_ms, default.instance_idle),
            instance_memory_kept_max: self
                .instance_memory_kept_max
                .unwrap_or(default.instance_memory_kept_max),
            memory_bytes_max: self.memory_bytes_max.unwrap_or(default.memory_bytes_max),
            table_entries_max: self.table_entries_max.unwrap_or(default.table_entries_max),
            handles_max: self.handles_max.unwrap_or(default.handles_max),
            store_operations_max: self
                .store_operations_max
                .unwrap_or(default.store_operations_max),
            store_bytes_max: self.store_bytes_max.unwrap_or(default.store_bytes_max),
            outbound_requests_max: self
                .outbound_requests_max
                .unwrap_or(default.outbound_requests_max),
            request_timeout: millis(self.request_timeout_ms, default.request_timeout),
            upload_timeout: millis(self.upload_timeout_ms, default.upload_timeout),
            response_timeout: millis(self.response_timeout_ms, default.response_timeout),
            cpu_burst_max: millis(self.cpu_burst_ms_max, default.cpu_burst_max),
            queue_timeout: millis(self.queue_timeout_ms, default.queue_timeout),
        }
    }

    /// What this says of connections.
    pub(crate) fn server(&self) -> starling_server::Limits {
        let default = starling_server::Limits::default();
        starling_server::Limits {
            connections_max: self
                .connections_max
                .map_or(default.connections_max, NonZero::get),
            connections_per_address_max: self
                .connections_per_address_max
                .unwrap_or(default.connections_per_address_max),
            idle_timeout: millis(self.idle_timeout_ms, default.idle_timeout),
            write_timeout: millis(self.write_timeout_ms, default.write_timeout),
            header_bytes_max: self.header_bytes_max.unwrap_or(default.header_bytes_max),
            header_timeout: millis(self.header_timeout_ms, default.header_timeout),
            body_bytes_max: self
                .request_body_bytes_max
                .unwrap_or(default.body_bytes_max),
            upload_bytes_per_second_min: self
                .upload_bytes_per_second_min
                .unwrap_or(default.upload_bytes_per_second_min),
            upload_grace: millis(self.upload_grace_ms, default.upload_grace),
            http2_streams_max: self
                .http2_streams_max
                .map_or(default.http2_streams_max, NonZero::get),
            http2_resets_max: self.http2_resets_max.unwrap_or(default.http2_resets_max),
            http2_flood_bytes_max: self
                .http2_flood_bytes_max
                .unwrap_or(default.http2_flood_bytes_max),
            drain_notice: millis(self.drain_notice_ms, default.drain_notice),
            drain_timeout: millis(self.drain_timeout_ms, default.drain_timeout),
        }
    }
}

fn millis(said: Option<u64>, default: Duration) -> Duration {
    said.map_or(default, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use starling_telemetry::Limit;

    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let config: RuntimeConfig = toml::from_str("[limits]\nrequest_timeout_ms = 250\n").unwrap();
        let limits = config.limits.engine();
        assert_eq!(limits.request_timeout, Duration::from_millis(250));
        assert_eq!(
            limits.memory_bytes_max,
            starling_engine::Limits::default().memory_bytes_max
        );
        assert_eq!(config.limits.server(), starling_server::Limits::default());
    }

    #[test]
    fn unknown_keys_are_named() {
        for text in [
            "[limits]\nrequest_timeout = 1\n",
            "[limit]\n",
            "[key_value_store.a]\ntype = \"embedded\"\npaht = \"x\"\n",
        ] {
            let error = toml::from_str::<RuntimeConfig>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn the_example_in_the_repository_says_the_defaults() {
        let example: RuntimeConfig = toml::from_str(include_str!("../../../edge.toml")).unwrap();
        assert_eq!(example.limits.engine(), starling_engine::Limits::default());
        assert_eq!(example.limits.server(), starling_server::Limits::default());
    }

    #[test]
    fn each_limit_that_is_counted_has_its_key_here_in_the_example_and_in_the_manual() {
        let example = include_str!("../../../edge.toml");
        let manual = include_str!("../../../docs/operating.md");
        for key in Limit::ALL.iter().map(|limit| limit.key()) {
            toml::from_str::<RuntimeConfig>(&format!("[limits]\n{key} = 1\n")).unwrap();
            assert!(example.contains(&format!("\n{key} = ")), "{key}");
            assert!(manual.contains(&format!("\n| `{key}` |")), "{key}");
        }
    }

    fn read(text: &str) -> Result<RuntimeConfig, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        RuntimeConfig::read(Some(file.path())).map_err(|error| {
            let source = std::error::Error::source(&error);
            format!(
                "{error}: {}",
                source.map(ToString::to_string).unwrap_or_default()
            )
        })
    }

    #[test]
    fn regions_are_said_once_and_become_variables() {
        let config = read(
            "region = \"eu\"\n[regions.us.nats]\nservers = [\"nats://us:4222\"]\n\
             [regions.eu.nats]\nservers = [\"nats://eu:4222\"]\n[regions.old]\n",
        )
        .unwrap();
        assert_eq!(config.variable("region").as_deref(), Some("eu"));
        assert_eq!(config.variable("regions").as_deref(), Some("eu,old,us"));
        assert_eq!(config.variable("session_key"), None);
        let alone = read("region = \"eu\"\n").unwrap();
        assert_eq!(alone.variable("regions").as_deref(), Some("eu"));
        assert_eq!(read("").unwrap().variable("region"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, said) in [
            ("[regions.us]\n", "say region ="),
            ("region = \"eu\"\n[regions.us]\n", "no [regions.eu]"),
            ("region = \"EU\"\n", "region"),
            ("region = \"a.b\"\n", "region"),
            (
                "region = \"eu\"\n[regions.eu.nats]\nserver = 1\n",
                "unknown field",
            ),
            ("advertise = \"https://host\"\n", "http://192.0.2.1:3000"),
            ("[management]\ninterval_ms = 5000\n", "100 to 2000"),
            ("zone = \"Room 1\"\n", "zone"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
