//! Reading a mailbox as the join of its regions' slots, and changing the own region's slot without
//! losing a race.
//!
//! Hosts of a region change a slot by compare-and-swap. Who loses reads what the winner wrote,
//! makes the change anew upon that, and tries again: a lost race repeats work, it never loses any.
//! The number of tries is bounded, and a request that loses them all is refused with the advice to
//! come back.
//!
//! # Creating a slot
//!
//! The compare-and-swap of some stores (stock Spin's) guards only values that exist: of two writers
//! that both found nothing, the second overwrites the first. So who finds no slot first counts
//! itself in under a key of its own, and only the first one counted creates the slot. The others
//! wait for it, a bounded time in case the first one died before it wrote; after that they go
//! ahead. On a store whose compare-and-swap is exact, that is safe; on one whose is not, two that
//! go ahead at the same moment, after a creator died, may still overwrite each other. A deposit
//! cannot be among them within one region: it needs a mailbox, hence a slot.

use std::cell::RefCell;

use futures::future::join_all;
use starling_mailbox::{
    DecodeError, Join, Mailbox, MailboxId, Region, SLOT_BYTES_MAX, Slot, decode, encode, keys,
};

use crate::platform::{Platform, Store, StoreError, Swap, Swapped};
use crate::problem::Problem;
use crate::regions::Regions;

/// How often a change is tried. A loss means that somebody else's change succeeded, so this is also
/// the number of changes of one mailbox that may overtake another.
const SWAPS_MAX: usize = 128;

/// How long and how often to wait for the creator of a slot: half a second in all, for a write of
/// milliseconds.
const CREATION_WAIT_MS: u64 = 10;
const CREATION_WAITS_MAX: usize = 50;

/// The slots of a request's mailboxes, in all regions.
pub(crate) struct Slots<'p, P: Platform> {
    platform: &'p P,
    regions: Regions,
    own: P::Store,
    /// The regions whose absence the operator has been told, which is once for each request.
    reported: RefCell<Vec<Region>>,
}

impl<'p, P: Platform> Slots<'p, P> {
    /// Opens the own region's store.
    pub(crate) async fn open(platform: &'p P) -> Result<Self, Problem> {
        let regions = Regions::read(platform).await?;
        let opened = platform.open(&regions.store_label(&regions.own)).await;
        let own = opened.map_err(|error| unavailable(platform, "open the own store", &error))?;
        Ok(Self {
            platform,
            regions,
            own,
            reported: RefCell::default(),
        })
    }

    /// The world around the request.
    pub(crate) fn platform(&self) -> &'p P {
        self.platform
    }

    /// The region whose slots are written here.
    pub(crate) fn region(&self) -> &Region {
        &self.regions.own
    }

    /// The store of the own region.
    pub(crate) fn own_store(&self) -> &P::Store {
        &self.own
    }

    /// The store of any region, to read from.
    pub(crate) async fn into_store_of(self, region: &Region) -> Result<P::Store, Problem> {
        if *region == self.regions.own {
            return Ok(self.own);
        }
        let opened = self.platform.open(&self.regions.store_label(region)).await;
        opened.map_err(|error| unavailable(self.platform, &format!("open region {region}"), &error))
    }

    /// The mailbox as far as it is in sight, and only if it exists.
    pub(crate) async fn mailbox(&self, id: &MailboxId) -> Result<Mailbox, Problem> {
        let key = keys::slot(id);
        let own = self.own.get(&key).await;
        let own =
            own.map_err(|error| unavailable(self.platform, &format!("read {key}"), &error))?;
        let own = self.decode_own(&key, own.as_deref())?;
        let mailbox = Mailbox::of(self.others(id).await.into_iter().chain([own]));
        if mailbox.exists() {
            Ok(mailbox)
        } else {
            Err(Problem::MailboxNotFound {
                mailbox: id.to_string(),
            })
        }
    }

    /// Joins to the own slot what `make` finds to be new, and returns the mailbox with it.
    ///
    /// `make` is shown the mailbox, which need not exist, and the own slot within it, once for each
    /// try. If it returns an empty slot, nothing is written.
    ///
    /// # Errors
    ///
    /// Whatever `make` refuses with, or why the outcome is not certain. In the latter case the
    /// change may have happened nevertheless.
    pub(crate) async fn change(
        &self,
        id: &MailboxId,
        mut make: impl FnMut(&Mailbox, &Slot) -> Result<Slot, Problem>,
    ) -> Result<Mailbox, Problem> {
        let key = keys::slot(id);
        let failed = |error| unavailable(self.platform, &format!("change {key}"), &error);
        let others = self.others(id).await;
        let mut swap = self.own.begin_swap(&key).await.map_err(failed)?;
        let mut creation_settled = swap.current().is_some();
        for _ in 0..SWAPS_MAX {
            let own = self.decode_own(&key, swap.current())?;
            let mailbox = Mailbox::of(others.iter().cloned().chain([own.clone()]));
            let delta = make(&mailbox, &own)?;
            if delta.is_empty() {
                return Ok(mailbox);
            }
            if !creation_settled {
                creation_settled = true;
                if !self.is_creator(id).await.map_err(failed)? {
                    swap = self.own.begin_swap(&key).await.map_err(failed)?;
                    continue;
                }
            }
            let own = own.joined(delta);
            match swap.swap(encoded(&own)?).await.map_err(failed)? {
                Swapped::Won => return Ok(Mailbox::of(others.into_iter().chain([own]))),
                Swapped::Lost(fresh) => swap = fresh,
            }
        }
        self.platform
            .log(&format!("change {key}: lost {SWAPS_MAX} races"));
        Err(Problem::Contention)
    }

    /// Whether this request is the one to create the slot. If not, waits until it is there, or
    /// ought to be.
    async fn is_creator(&self, id: &MailboxId) -> Result<bool, StoreError> {
        if self.own.increment(&keys::slot_creation(id)).await? == 1 {
            return Ok(true);
        }
        let key = keys::slot(id);
        for _ in 0..CREATION_WAITS_MAX {
            if self.own.get(&key).await?.is_some() {
                return Ok(false);
            }
            self.platform.pause(CREATION_WAIT_MS).await;
        }
        self.platform.log(&format!(
            "create {key}: going ahead, whoever was first is gone"
        ));
        Ok(false)
    }

    /// The slots of all other regions. One that cannot be read counts as absent, for a region must
    /// not stop because another one did; what it holds is seen again when it is back.
    async fn others(&self, id: &MailboxId) -> Vec<Slot> {
        let read = self
            .regions
            .others
            .iter()
            .map(|region| self.other(region, id));
        join_all(read).await.into_iter().flatten().collect()
    }

    async fn other(&self, region: &Region, id: &MailboxId) -> Option<Slot> {
        let key = keys::slot(id);
        let read = async {
            let store = self
                .platform
                .open(&self.regions.store_label(region))
                .await?;
            store.get(&key).await
        };
        let outcome = match read.await {
            Ok(None) => return None,
            Ok(Some(bytes)) => decode(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let error = match outcome {
            Ok(slot) => return Some(slot),
            Err(error) => error,
        };
        let mut reported = self.reported.borrow_mut();
        if !reported.contains(region) {
            reported.push(region.clone());
            self.platform.log(&format!(
                "region {region} counts as absent: read {key}: {error}"
            ));
        }
        None
    }

    /// The own slot, unlike another's, must not count as absent: the next write would replace it.
    fn decode_own(&self, key: &str, bytes: Option<&[u8]>) -> Result<Slot, Problem> {
        let Some(bytes) = bytes else {
            return Ok(Slot::default());
        };
        decode(bytes).map_err(|error| {
            self.platform.log(&format!("read {key}: {error}"));
            match error {
                DecodeError::NewerVersion(_) => Problem::NewerRelease,
                DecodeError::Malformed(_) => Problem::StoredDataDamaged,
            }
        })
    }
}

fn encoded(slot: &Slot) -> Result<Vec<u8>, Problem> {
    let bytes = encode(slot);
    if bytes.len() > SLOT_BYTES_MAX {
        let detail = "the mailbox holds as many messages and marks as can be stored".into();
        return Err(Problem::MailboxFull { detail });
    }
    Ok(bytes)
}

/// Tells the operator what failed, and the client that something did.
pub(crate) fn unavailable(platform: &impl Platform, what: &str, error: &StoreError) -> Problem {
    platform.log(&format!("{what}: {error}"));
    Problem::StoreUnavailable
}
