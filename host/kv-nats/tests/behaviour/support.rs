//! Regions with a server each, the network between them, and hosts in them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use futures::StreamExt;
use starling_kv::{Result, Store};
use starling_kv_nats::{NatsStore, OpenError, Regions, Replicated, StoreConfig, SystemConfig};
use starling_test_servers::{NatsServer, Proxy};

/// The longest wait for anything. Never a measurement: it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to leave things alone before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// Regions, each with a server, and a network from each to each other.
pub(crate) struct World {
    servers: BTreeMap<&'static str, NatsServer>,
    /// From the first region's hosts to the second region's server.
    paths: BTreeMap<(&'static str, &'static str), Proxy>,
}

impl World {
    pub(crate) async fn of(regions: &[&'static str]) -> Self {
        let mut servers = BTreeMap::new();
        let mut paths = BTreeMap::new();
        for &region in regions {
            servers.insert(region, NatsServer::start().await);
        }
        for &from in regions {
            for (&to, server) in servers.iter().filter(|(to, _)| **to != from) {
                paths.insert((from, to), Proxy::start(server.address()).await);
            }
        }
        Self { servers, paths }
    }

    pub(crate) fn server(&self, region: &str) -> &NatsServer {
        &self.servers[region]
    }

    /// The network from a region's hosts to another region's server.
    pub(crate) fn path(&self, from: &'static str, to: &'static str) -> &Proxy {
        &self.paths[&(from, to)]
    }

    /// The network between a region and all others, both ways.
    pub(crate) fn around(&self, region: &str) -> impl Iterator<Item = &Proxy> {
        let paths = self.paths.iter();
        paths
            .filter(move |((from, to), _)| *from == region || *to == region)
            .map(|(_, path)| path)
    }

    pub(crate) fn isolate(&self, region: &str) {
        self.around(region).for_each(Proxy::cut);
    }

    pub(crate) fn heal(&self) {
        self.paths.values().for_each(Proxy::heal);
    }

    /// The systems as hosts of a region reach them.
    pub(crate) fn systems(&self, own: &'static str) -> BTreeMap<String, Option<SystemConfig>> {
        let systems = self.servers.iter().map(|(&region, server)| {
            let url = match region == own {
                true => server.url(),
                false => format!("nats://{}", self.paths[&(own, region)].address()),
            };
            (region.to_owned(), Some(system(&url)))
        });
        systems.collect()
    }

    /// A host of a region.
    pub(crate) async fn host(&self, region: &'static str) -> Host {
        self.host_with(region, |_| {}).await
    }

    pub(crate) async fn host_with(
        &self,
        region: &'static str,
        change: impl FnOnce(&mut StoreConfig),
    ) -> Host {
        let mut config = StoreConfig::new("default");
        change(&mut config);
        let opened = Host::open(region, &self.systems(region), config).await;
        opened.expect("the store opens")
    }

    /// Waits until every region holds of one region's bucket exactly what that region holds.
    pub(crate) async fn converged(&self, origin: &str) -> Dump {
        let regions: Vec<_> = self.servers.keys().copied().collect();
        self.converged_among(&regions, origin).await
    }

    /// Waits until these regions hold of one region's bucket exactly what that region holds.
    pub(crate) async fn converged_among(&self, regions: &[&str], origin: &str) -> Dump {
        let bucket = format!("default_{origin}");
        eventually_some("all regions hold the same", async || {
            let held = Dump::of(self.server(origin), &bucket).await?;
            for region in regions {
                let copy = Dump::of(self.server(region), &bucket).await;
                if copy.as_ref() != Some(&held) {
                    let copy = copy.map(|copy| (copy.last_sequence, copy.entries.len()));
                    let ends = (held.last_sequence, held.entries.len());
                    return still(format!("{region} has {copy:?}, {origin} {ends:?}"));
                }
            }
            Some(held)
        })
        .await
    }
}

pub(crate) fn system(url: &str) -> SystemConfig {
    SystemConfig {
        servers: vec![url.to_owned()],
        ..SystemConfig::default()
    }
}

/// One server, as the region `eu` alone.
pub(crate) fn alone(system: SystemConfig) -> BTreeMap<String, Option<SystemConfig>> {
    BTreeMap::from([("eu".to_owned(), Some(system))])
}

/// A host: what it has open.
pub(crate) struct Host {
    pub(crate) store: Replicated,
}

impl Host {
    pub(crate) async fn open(
        region: &str,
        systems: &BTreeMap<String, Option<SystemConfig>>,
        config: StoreConfig,
    ) -> Result<Self, OpenError> {
        let regions = Regions::connect(region, systems).await;
        let regions = regions.expect("the regions are well said");
        let store = Replicated::open(&regions, config).await?;
        Ok(Self { store })
    }

    pub(crate) fn own(&self) -> NatsStore {
        self.store.own()
    }

    pub(crate) fn replica(&self, origin: &str) -> NatsStore {
        let mut replicas = self.store.replicas();
        let found = replicas.find(|(region, _)| *region == origin);
        found.expect("it is a region").1
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.store.report().trouble
    }

    /// What is known of another region's bucket.
    pub(crate) fn origin(&self, region: &str) -> starling_kv_nats::OriginReport {
        let origins = self.store.report().origins.into_iter();
        let mut origins = origins.filter(|report| report.origin == region);
        origins.next().expect("it is a region")
    }
}

/// What a bucket's stream holds besides fillers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dump {
    pub(crate) last_sequence: u64,
    /// By subject: sequence, what was done, and the value.
    pub(crate) entries: BTreeMap<String, (u64, String, Bytes)>,
}

impl Dump {
    /// `None` where there is no such stream, or no answer.
    pub(crate) async fn of(server: &NatsServer, bucket: &str) -> Option<Self> {
        let jetstream = jetstream::new(raw(server).await?);
        let stream = jetstream.get_stream(format!("KV_{bucket}")).await.ok()?;
        let state = stream.cached_info().state.clone();
        let mut entries = BTreeMap::new();
        if state.messages > 0 {
            let config = pull::Config {
                ack_policy: AckPolicy::None,
                ..pull::Config::default()
            };
            let consumer = stream.create_consumer(config).await.ok()?;
            let count = usize::try_from(state.messages).expect("it is small");
            let mut messages = consumer.fetch().max_messages(count).messages().await.ok()?;
            while let Some(Ok(message)) = messages.next().await {
                let subject = message.subject.to_string();
                let key = subject.strip_prefix(&format!("$KV.{bucket}."))?.to_owned();
                let sequence = message.info().ok()?.stream_sequence;
                let headers = message.headers.as_ref();
                let operation = headers.and_then(|headers| headers.get("KV-Operation"));
                let operation = operation.map_or_else(|| "PUT".to_owned(), ToString::to_string);
                if key != "_gap" {
                    entries.insert(key, (sequence, operation, message.payload.clone()));
                }
            }
        }
        Some(Self {
            last_sequence: state.last_sequence,
            entries,
        })
    }
}

/// A client of NATS alone.
pub(crate) async fn raw(server: &NatsServer) -> Option<async_nats::Client> {
    async_nats::connect(server.url()).await.ok()
}

/// The configuration that a bucket's stream has to have.
pub(crate) fn stream_config(bucket: &str) -> stream::Config {
    stream::Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        discard: stream::DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        num_replicas: 1,
        ..stream::Config::default()
    }
}

/// Says, for a test that fails, why a look has found nothing.
fn still(why: String) -> Option<Dump> {
    LAST.with(|last| *last.borrow_mut() = why);
    None
}

thread_local! {
    /// Why the last look has found nothing.
    static LAST: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Waits until a look finds something.
pub(crate) async fn eventually_some<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looks = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    match tokio::time::timeout(PATIENCE, looks).await {
        Ok(found) => found,
        Err(_) => panic!(
            "never: {what} ({})",
            LAST.with(|last| last.borrow().clone())
        ),
    }
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, look: impl AsyncFn() -> bool) {
    eventually_some(what, async || look().await.then_some(())).await;
}

/// Ends a test that hangs in a single operation.
pub(crate) async fn soon<T>(what: &str, operation: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, operation).await {
        Ok(done) => done,
        Err(_) => panic!("never: {what}"),
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Writes a key with its own name as the value, again until it is acknowledged.
pub(crate) async fn write(store: &NatsStore, key: &str) {
    let written = async {
        while store.set(key, bytes(key)).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("a key is written", written).await;
}

/// Writes `prefix/0` to `prefix/<count - 1>`.
pub(crate) async fn write_all(store: &NatsStore, prefix: &str, count: usize) {
    let entries = (0..count).map(|n| (format!("{prefix}/{n}"), bytes(prefix)));
    let entries: Vec<_> = entries.collect();
    let written = async {
        while store.set_many(entries.clone()).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("all are written", written).await;
}

/// What a key holds, as text.
pub(crate) async fn read(store: &NatsStore, key: &str) -> Result<Option<String>> {
    let entry = store.get(key).await?;
    Ok(entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
}

/// All keys of a listing in pages of this size, in byte order, each once.
pub(crate) async fn keys(store: &NatsStore, prefix: &str, limit: usize) -> Result<Vec<String>> {
    let mut keys = std::collections::BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.list(prefix, after.as_deref(), limit).await?;
        assert!(page.keys.len() <= limit, "{} keys", page.keys.len());
        keys.extend(page.keys);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(keys.into_iter().collect()),
        }
    }
}
