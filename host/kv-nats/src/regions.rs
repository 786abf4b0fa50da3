//! The regions of a deployment, and one store on all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::bucket::{Bucket, Difference};
use crate::cache::Cache;
use crate::config::{Acks, StoreConfig, SystemConfig};
use crate::follower::follow;
use crate::geo::Geo;
use crate::keeper::{Elsewhere, Keeper, Settled};
use crate::replicator::{prepare, replicate};
use crate::status::{OriginReport, OriginStatus};
use crate::store::{Access, Inner, NatsStore};
use crate::system::{System, SystemError};
use crate::tasks::Tasks;

/// How long opening a store waits for this region's system. A host starts without it, too, and serves once it is there.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// What is wrong with the regions of a configuration.
#[derive(Debug, Error)]
pub enum RegionsError {
    /// This host's own region has no system.
    #[error("the region {0}, which this host is in, has no NATS system; say [regions.{0}.nats]")]
    NoOwnSystem(String),
    /// A region's system cannot be used.
    #[error("the NATS system of region {region} cannot be used")]
    System {
        /// The region.
        region: String,
        /// Why.
        source: SystemError,
    },
}

/// A store that cannot be opened, whatever time passes.
#[derive(Debug, Error)]
pub enum OpenError {
    /// This region's system will not have this client, or will not do.
    #[error("the region's NATS system cannot be used")]
    System(#[from] SystemError),
    /// The stream of the region's bucket, or of a replica, is not as it has to be.
    #[error(transparent)]
    Difference(#[from] Difference),
    /// Geo acknowledgements need somebody who could give them.
    #[error("acks = \"geo\" needs a second region")]
    NoSecondRegion,
}

/// The regions of a deployment, as one host sees them.
#[derive(Debug)]
pub struct Regions {
    own: String,
    own_system: System,
    /// Other regions; without a system if they are retired.
    others: BTreeMap<String, Option<System>>,
}

impl Regions {
    /// Connects to the systems of all regions, in the background, on the runtime of the caller. A region without
    /// configuration is retired: what was replicated of it is read.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration. That a system does not answer is no error.
    pub async fn connect(
        own: &str,
        regions: &BTreeMap<String, Option<SystemConfig>>,
    ) -> Result<Self, RegionsError> {
        let mut others = BTreeMap::new();
        let mut own_system = None;
        for (region, config) in regions {
            let system = match config {
                None => None,
                Some(config) => Some(System::connect(config, own).await.map_err(|source| {
                    RegionsError::System {
                        region: region.clone(),
                        source,
                    }
                })?),
            };
            if region == own {
                own_system = system;
            } else {
                others.insert(region.clone(), system);
            }
        }
        Ok(Self {
            own: own.to_owned(),
            own_system: own_system.ok_or_else(|| RegionsError::NoOwnSystem(own.to_owned()))?,
            others,
        })
    }
}

/// One store on all regions: this region's own bucket, and replicas of the others'.
///
/// What goes on in the background, such as replication, ends once nobody has this or one of its buckets any more.
#[derive(Debug)]
pub struct Replicated {
    own: NatsStore,
    replicas: BTreeMap<String, NatsStore>,
    settled: Arc<Settled>,
    origins: Vec<Arc<OriginStatus>>,
    system: System,
}

/// What is known of a store on all regions.
#[derive(Clone, Debug)]
pub struct StoreReport {
    /// Whether this region's system answers.
    pub reachable: bool,
    /// What an operator has to look at before this region's bucket is written again.
    pub trouble: Option<String>,
    /// Each other region.
    pub origins: Vec<OriginReport>,
}

impl Replicated {
    /// Opens a store, and begins to replicate in the background. Waits a few seconds for this region's own system, and
    /// for no other.
    ///
    /// # Errors
    ///
    /// What does not pass by itself. That the system does not answer does: the store then is unavailable until it does.
    pub async fn open(regions: &Regions, config: StoreConfig) -> Result<Self, OpenError> {
        let system = &regions.own_system;
        let others = || regions.others.iter();
        let bucket_of = |system: &System, region: &str| {
            let name = format!("{}_{region}", config.bucket);
            Bucket::of(system, &name, config.replicas)
        };
        let tasks = Arc::new(Tasks::on(system.runtime()));
        let own = bucket_of(system, &regions.own);
        let mut elsewhere = Vec::new();
        for (region, other) in others() {
            if let Some(other) = other {
                elsewhere.push(Elsewhere {
                    region: region.clone(),
                    bucket: bucket_of(other, &regions.own),
                });
            }
        }
        let geo = match config.acks {
            Acks::Region => None,
            Acks::Geo if elsewhere.is_empty() => return Err(OpenError::NoSecondRegion),
            Acks::Geo => {
                let replicas = elsewhere.iter().map(|replica| replica.bucket.clone());
                Some(Geo::watch(replicas.collect(), &tasks))
            }
        };
        let settled = Arc::new(Settled::default());
        let keeper = Keeper {
            own: own.clone(),
            replicas: elsewhere,
            new_region: config.new_region,
            settled: settled.clone(),
        };
        tasks.spawn(keeper.keep());

        let mut replicas = BTreeMap::new();
        let mut origins = Vec::new();
        for (region, other) in others() {
            let replica = bucket_of(system, region);
            let status = Arc::new(OriginStatus::new(region, other.is_none()));
            let origin = other.as_ref().map(|other| bucket_of(other, region));
            tasks.spawn(keep_replica(replica.clone(), origin, status.clone()));
            origins.push(status);
            let replica = store(replica, Access::Replica, &config, &tasks);
            replicas.insert(region.clone(), replica);
        }

        // The first answer tells whether this can work at all.
        tokio::select! {
            () = settled.first_verdict() => {}
            () = system.refused() => {}
            () = tokio::time::sleep(OPEN_PATIENCE) => {}
        }
        system.verdict()?;
        match system.link() {
            Ok(link) => {
                let replicas = replicas.values().map(|store| &store.0.bucket);
                for bucket in replicas.chain([&own]) {
                    if let Ok(Err(difference)) = bucket.verified(&link).await {
                        return Err(difference.into());
                    }
                }
            }
            Err(_) => tracing::warn!("NATS does not answer; going on without it until it does"),
        }
        let access = Access::Own {
            settled: settled.clone(),
            geo,
        };
        Ok(Self {
            own: store(own, access, &config, &tasks),
            replicas,
            settled,
            origins,
            system: system.clone(),
        })
    }

    /// This region's own bucket.
    pub fn own(&self) -> NatsStore {
        self.own.clone()
    }

    /// The replicas of other regions' buckets, which are only read.
    pub fn replicas(&self) -> impl Iterator<Item = (&str, NatsStore)> {
        let replicas = self.replicas.iter();
        replicas.map(|(region, store)| (region.as_str(), store.clone()))
    }

    /// How things are now.
    pub fn report(&self) -> StoreReport {
        StoreReport {
            reachable: self.system.is_well(),
            trouble: self.settled.trouble(),
            origins: self.origins.iter().map(|status| status.report()).collect(),
        }
    }
}

fn store(bucket: Bucket, access: Access, config: &StoreConfig, tasks: &Arc<Tasks>) -> NatsStore {
    let cache = Arc::new(Cache::new(config.cache_bytes));
    tasks.spawn(follow(bucket.clone(), cache.clone()));
    NatsStore(Arc::new(Inner {
        bucket,
        cache,
        access,
        config: config.clone(),
        tasks: tasks.clone(),
    }))
}

/// Replicates; of a region that is retired, sees to it that there is something to read.
async fn keep_replica(replica: Bucket, origin: Option<Bucket>, status: Arc<OriginStatus>) {
    match origin {
        Some(origin) => replicate(origin, replica, status).await,
        None => prepare(replica).await,
    }
}
