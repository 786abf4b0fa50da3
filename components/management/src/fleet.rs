//! The fleet as this host sees it, and the changes that are made of what is wanted of it.
//!
//! Every region writes its own store alone: who is a member there, how its hosts are, and what was entered or decided in
//! it. What rules is the join of all regions' ([`Desired`]). While a region cannot be read, what rules is not known: the
//! view says so ([`View::is_whole`]), and whoever draws conclusions from it has to ask. A region whose store does not
//! exist on this host is none of its fleet.
//!
//! Hosts of a region change a document by compare-and-swap. Who loses makes the change anew upon what the winner wrote,
//! a bounded number of times.

use std::future::Future;

use futures::future::{Either, join, join_all, select};
use starling_mailbox::{Join, Region};
use starling_supervision::{
    ArtifactRecord, DecodeError, Desired, Digest, Document, Fleet, Heartbeat, HostId, Members,
    Origin, decode, encode, keys,
};

use crate::artifacts::{self, Artifacts};
use crate::platform::{Identity, Platform, Store, StoreError, Swap, Swapped, Variable};
use crate::problem::Problem;

/// The label of the own region's store; another's has `@` and the region's name behind.
const STORE: &str = "fleet";

/// For how long the own store is waited for: the host ends a request after five seconds, and a step has to say how its
/// store is before that.
const STORE_PATIENCE_MS: u64 = 1_500;

/// For how long another region is waited for, which may be far away, or gone.
const REGION_PATIENCE_MS: u64 = 700;

/// How often a change is tried. A loss means that somebody else's change succeeded.
const SWAPS_MAX: usize = 32;

/// How many hosts of a region are read. More do not fit in a step.
const HOSTS_MAX: usize = 256;

/// The own region's store, and where it is.
pub(crate) struct Access<'p, P: Platform> {
    platform: &'p P,
    /// Who this host is.
    pub(crate) identity: Identity,
    /// The name of this host.
    pub(crate) host: HostId,
    /// The region whose store is written here.
    pub(crate) region: Region,
    others: Vec<Region>,
    own: P::Store,
}

/// What all regions hold, as far as they can be read.
pub(crate) struct View {
    /// What was entered or decided in all regions.
    pub(crate) desired: Desired,
    /// What hosts said last.
    pub(crate) heartbeats: Vec<Heartbeat>,
    /// The hosts of the own region.
    pub(crate) members: Members,
    /// Those of them that never said anything.
    pub(crate) silent: Vec<HostId>,
    /// The regions that have no store on this host.
    pub(crate) missing: Vec<Region>,
    /// Whether every other region that has a store here could be read.
    others_are_whole: bool,
    /// Why what the own region holds makes no sense, if it does not.
    damage: Option<Problem>,
}

impl View {
    /// The fleet at `now_ms`, milliseconds since the Unix epoch.
    pub(crate) fn fleet(&self, now_ms: u64) -> Fleet {
        Fleet::new(now_ms, self.heartbeats.iter().cloned())
    }

    /// Whether every region could be read, so that it is known what rules.
    pub(crate) fn is_whole(&self) -> bool {
        self.others_are_whole && self.damage.is_none()
    }
}

/// What one region holds.
#[derive(Default)]
struct Regional {
    members: Members,
    desired: Desired,
    heartbeats: Vec<Heartbeat>,
    /// Members without a heartbeat.
    silent: Vec<HostId>,
    /// Why one of the first two is not known, though the store answers.
    damage: Option<DecodeError>,
}

impl Regional {
    /// A document, or an empty one in place of one that makes no sense.
    fn understand<D: Default>(
        &mut self,
        document: Result<Option<D>, ReadError>,
    ) -> Result<D, ReadError> {
        match document {
            Ok(document) => Ok(document.unwrap_or_default()),
            Err(ReadError::Document(error)) => {
                self.damage = Some(error);
                Ok(D::default())
            }
            Err(error) => Err(error),
        }
    }
}

/// How the reading of another region went.
enum Other {
    Read(Regional),
    Unreadable,
    /// It has no store on this host.
    Missing(Region),
}

impl<'p, P: Platform> Access<'p, P> {
    /// Opens the own region's store.
    pub(crate) async fn open(platform: &'p P) -> Result<Self, Problem> {
        let identity = platform.identity();
        let named = (identity.id.parse(), identity.region.parse());
        let (Ok(host), Ok(region)) = named else {
            platform.warn("the host's name or its region's is not one");
            return Err(Problem::Misconfigured);
        };
        let others = others(platform, &region).await?;
        let opened = patiently(platform, STORE_PATIENCE_MS, platform.open(STORE)).await;
        let own = opened.map_err(|error: StoreError| {
            platform.warn(&format!("open the store: {error}"));
            Problem::StoreUnavailable
        })?;
        Ok(Self {
            platform,
            identity,
            host,
            region,
            others,
            own,
        })
    }

    /// The world around.
    pub(crate) fn platform(&self) -> &'p P {
        self.platform
    }

    /// Where and when a change is made.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            region: self.region.clone(),
            now_ms: self.platform.now_ms(),
        }
    }

    /// What all regions hold now, as far as they can be read.
    ///
    /// # Errors
    ///
    /// [`Problem::StoreUnavailable`] if the own store does not answer, and nothing else: documents that make no sense
    /// are for the view to tell.
    pub(crate) async fn view(&self) -> Result<View, Problem> {
        let own = patiently(
            self.platform,
            STORE_PATIENCE_MS,
            self.regional(&self.own, Some(&self.host)),
        );
        let others = join_all(self.others.iter().map(|region| self.other(region)));
        let (own, others) = join(own, others).await;
        let own = own.map_err(|error| self.failed("read the store", error))?;
        let damage = own.damage.map(|error| self.failed("read the store", error));
        let mut view = View {
            desired: own.desired,
            heartbeats: own.heartbeats,
            members: own.members,
            silent: own.silent,
            missing: Vec::new(),
            others_are_whole: true,
            damage,
        };
        for other in others {
            match other {
                Other::Read(other) => {
                    view.desired.join(other.desired);
                    view.heartbeats.extend(other.heartbeats);
                }
                Other::Unreadable => view.others_are_whole = false,
                Other::Missing(region) => view.missing.push(region),
            }
        }
        Ok(view)
    }

    /// [`Access::view`], for whoever answers an operator.
    ///
    /// # Errors
    ///
    /// Also if what the own region holds makes no sense.
    pub(crate) async fn sound_view(&self) -> Result<View, Problem> {
        let mut view = self.view().await?;
        view.damage.take().map_or(Ok(view), Err)
    }

    /// What another region holds.
    async fn other(&self, region: &Region) -> Other {
        let regional = async |store| {
            let mut regional = self.regional(&store, None).await?;
            match regional.damage.take() {
                Some(error) => Err(ReadError::Document(error)),
                None => Ok(regional),
            }
        };
        match self.of_other(region, regional).await {
            Ok(regional) => Other::Read(regional),
            Err(ReadError::Store(StoreError::NoSuchStore)) => Other::Missing(region.clone()),
            Err(error) => {
                let line = format!("region {region} cannot be read: {error}");
                self.platform.warn(&line);
                Other::Unreadable
            }
        }
    }

    /// What `read` makes of another region's store, which is not waited for for long.
    async fn of_other<T>(
        &self,
        region: &Region,
        read: impl AsyncFnOnce(P::Store) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let read = async { read(self.platform.open(&format!("{STORE}@{region}")).await?).await };
        patiently(self.platform, REGION_PATIENCE_MS, read).await
    }

    /// What a region's store holds; `host` is read of, too, whether or not it is a member.
    async fn regional(
        &self,
        store: &P::Store,
        host: Option<&HostId>,
    ) -> Result<Regional, ReadError> {
        let (members, desired) = join(
            read::<Members>(store, keys::MEMBERS),
            read::<Desired>(store, keys::DESIRED),
        )
        .await;
        let mut regional = Regional::default();
        regional.members = regional.understand(members)?;
        regional.desired = regional.understand(desired)?;
        let members = &regional.members.hosts;
        let others = members.iter().filter(|other| Some(*other) != host);
        let hosts: Vec<_> = host.into_iter().chain(others).take(HOSTS_MAX).collect();
        let heartbeats = hosts
            .iter()
            .map(async |host| read::<Heartbeat>(store, &keys::host(host)).await);
        let heartbeats = join_all(heartbeats).await.into_iter();
        let (mut known, mut silent) = (Vec::new(), Vec::new());
        for (host, heartbeat) in hosts.into_iter().zip(heartbeats) {
            match heartbeat {
                Ok(Some(heartbeat)) => known.push(heartbeat),
                Ok(None) => silent.push(host.clone()),
                // Of one host alone: it is as if it had not been heard of.
                Err(ReadError::Document(error)) => self.platform.warn(&error.to_string()),
                Err(error) => return Err(error),
            }
        }
        (regional.heartbeats, regional.silent) = (known, silent);
        Ok(regional)
    }

    /// What the own region's list of artifacts has.
    pub(crate) async fn own_artifacts(&self) -> Result<Artifacts, Problem> {
        let list = read::<Artifacts>(&self.own, artifacts::KEY);
        let list = patiently(self.platform, STORE_PATIENCE_MS, list).await;
        let list = list.map_err(|error| self.failed("read the list of artifacts", error))?;
        Ok(list.unwrap_or_default())
    }

    /// What those of all others have, as far as they can be read.
    pub(crate) async fn other_artifacts(&self) -> Vec<Artifacts> {
        let lists = self.others.iter().map(async |region| {
            let list = async |store| read::<Artifacts>(&store, artifacts::KEY).await;
            self.of_other(region, list).await
        });
        let lists = join_all(lists).await.into_iter();
        lists.filter_map(|list| list.ok().flatten()).collect()
    }

    /// The record of an artifact, of the first region that has one; the own one is asked first.
    pub(crate) async fn artifact(
        &self,
        digest: &Digest,
    ) -> Result<Option<ArtifactRecord>, Problem> {
        let own = self.own_artifact(digest).await?;
        if own.is_some() {
            return Ok(own);
        }
        let key = keys::artifact(digest);
        for region in &self.others {
            let record = self.of_other(region, async |store| read(&store, &key).await);
            if let Ok(Some(record)) = record.await {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The record of an artifact in the own store.
    pub(crate) async fn own_artifact(
        &self,
        digest: &Digest,
    ) -> Result<Option<ArtifactRecord>, Problem> {
        let key = keys::artifact(digest);
        let record = patiently(self.platform, STORE_PATIENCE_MS, read(&self.own, &key)).await;
        record.map_err(|error| self.failed(&format!("read {key}"), error))
    }

    /// Writes a value of the own store, whatever was there.
    pub(crate) async fn write(&self, key: &str, value: &[u8]) -> Result<(), Problem> {
        let written = patiently(self.platform, STORE_PATIENCE_MS, self.own.set(key, value)).await;
        written.map_err(|error| self.failed(&format!("write {key}"), error))
    }

    /// Removes a value of the own store, if there is one.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), Problem> {
        let removed = patiently(self.platform, STORE_PATIENCE_MS, self.own.delete(key)).await;
        removed.map_err(|error| self.failed(&format!("remove {key}"), error))
    }

    /// Changes a document of the own region by compare-and-swap, and returns what is there then. `make` is shown what is
    /// there, and answers whether it changed anything.
    ///
    /// # Errors
    ///
    /// Whatever `make` refuses with, or why the outcome is not certain. In the latter case the change may have happened.
    async fn change<D: Document + Default>(
        &self,
        key: &str,
        mut make: impl FnMut(&mut D) -> Result<bool, Problem>,
    ) -> Result<D, Problem> {
        let what = format!("change {key}");
        let failed = |error: StoreError| self.failed(&what, error);
        let mut swap = self.own.begin_swap(key).await.map_err(failed)?;
        for _ in 0..SWAPS_MAX {
            let present = swap.current().map(decode).transpose();
            let present = present.map_err(|error| self.failed(&what, error))?;
            let mut document: D = present.unwrap_or_default();
            if !make(&mut document)? {
                return Ok(document);
            }
            match swap.swap(encode(&document)).await.map_err(failed)? {
                Swapped::Won => return Ok(document),
                Swapped::Lost(fresh) => swap = fresh,
            }
        }
        self.platform
            .warn(&format!("{what}: lost {SWAPS_MAX} races"));
        Err(Problem::Contention)
    }

    /// Changes what is wanted: `make` decides in view of what all regions want, and answers with what it adds to that.
    /// Afterwards `desired` has it, and whatever else was found in the own region's document.
    pub(crate) async fn change_desired<T>(
        &self,
        desired: &mut Desired,
        mut make: impl FnMut(&Desired) -> Result<(T, Desired), Problem>,
    ) -> Result<T, Problem> {
        let mut answer = None;
        let all = &*desired;
        let own = self.change(keys::DESIRED, |own: &mut Desired| {
            let (made, change) = make(&all.clone().joined(own.clone()))?;
            answer = Some(made);
            let before = own.clone();
            own.join(change);
            Ok(*own != before)
        });
        let own = own.await?;
        desired.join(own);
        // `change` has called `make` or failed.
        answer.ok_or(Problem::Contention)
    }

    /// Changes who is a member here; `make` answers whether it changed anything.
    pub(crate) async fn change_members(
        &self,
        mut make: impl FnMut(&mut Members) -> bool,
    ) -> Result<(), Problem> {
        let changed = self.change(keys::MEMBERS, |members| Ok(make(members)));
        changed.await.map(drop)
    }

    /// Changes the list of the artifacts here; `make` answers whether it changed anything.
    pub(crate) async fn change_artifacts(
        &self,
        make: impl FnMut(&mut Artifacts) -> Result<bool, Problem>,
    ) -> Result<Artifacts, Problem> {
        self.change(artifacts::KEY, make).await
    }

    /// Tells the operator what failed, and the client that something did.
    fn failed(&self, what: &str, error: impl Into<ReadError>) -> Problem {
        let error = error.into();
        self.platform.warn(&format!("{what}: {error}"));
        match &error {
            ReadError::Store(_) => Problem::StoreUnavailable,
            ReadError::Document(error) => error.into(),
        }
    }
}

/// Why a document is not to be had.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Document(#[from] DecodeError),
}

/// A document of a store, if there is one.
async fn read<D: Document>(store: &impl Store, key: &str) -> Result<Option<D>, ReadError> {
    let bytes = store.get(key).await?;
    Ok(bytes.map(|bytes| decode(&bytes)).transpose()?)
}

/// The other regions of the deployment, each once: the variable `regions`, comma-separated, in which the own one may be
/// or not.
async fn others(platform: &impl Platform, own: &Region) -> Result<Vec<Region>, Problem> {
    let names = match platform.variable("regions").await {
        Variable::Set(names) => names,
        Variable::Unset => String::new(),
        Variable::Unreadable(why) => {
            platform.warn(&format!("variable regions: {why}"));
            return Err(Problem::Misconfigured);
        }
    };
    let mut others = Vec::new();
    for name in names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let region: Region = name.parse().map_err(|error| {
            platform.warn(&format!("variable regions: {name:?}: {error}"));
            Problem::Misconfigured
        })?;
        if region != *own && !others.contains(&region) {
            others.push(region);
        }
    }
    Ok(others)
}

/// Waits for a store, but not for ever.
async fn patiently<T, E: From<StoreError>>(
    platform: &impl Platform,
    ms: u64,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let operation = std::pin::pin!(operation);
    let timeout = std::pin::pin!(platform.pause(ms));
    match select(operation, timeout).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Err(StoreError::Silent.into()),
    }
}
