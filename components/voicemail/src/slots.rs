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

use bytes::Bytes;
use futures::future::join_all;
use starling_mailbox::{
    ChangeError, DecodeError, DepositError, Mailbox, MailboxId, Message, MessageId, Origin, Rates,
    Record, Region, SLOT_BYTES_MAX, Slot, decode, encode, keys,
};

use crate::directory;
use crate::notify;
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

/// What a request wants to change in the record of its region.
#[derive(Default)]
pub(crate) struct Change {
    /// What is new in the slot.
    pub(crate) delta: Slot,
    /// What has been counted of deposits.
    pub(crate) rates: Option<Rates>,
    /// Whether the subscriber is to be told.
    pub(crate) tells: bool,
    /// Whether the record is to be tidied up, also without anything new.
    pub(crate) tidies: bool,
}

impl Change {
    /// A change of messages, of which the subscriber is to be told, if it is one.
    pub(crate) fn of_messages(delta: Slot) -> Self {
        Self {
            tells: !delta.is_empty(),
            delta,
            ..Self::default()
        }
    }
}

impl From<Slot> for Change {
    fn from(delta: Slot) -> Self {
        Self {
            delta,
            ..Self::default()
        }
    }
}

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

    /// The label of the store of any region.
    pub(crate) fn label_of(&self, region: &Region) -> String {
        self.regions.store_label(region)
    }

    /// The store of any region, to read from.
    pub(crate) async fn store_of(&self, region: &Region) -> Result<P::Store, Problem> {
        let opened = self.platform.open(&self.regions.store_label(region)).await;
        opened.map_err(|error| unavailable(self.platform, &format!("open region {region}"), &error))
    }

    /// Where and when a change is made.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            region: self.regions.own.clone(),
            now_ms: self.platform.now_ms(),
            alone: self.regions.others.is_empty(),
        }
    }

    /// The mailbox as far as it is in sight, and only if it exists.
    pub(crate) async fn mailbox(&self, id: &MailboxId) -> Result<Mailbox, Problem> {
        let mailbox = self.in_sight(id).await?;
        exists(id, &mailbox)?;
        Ok(mailbox)
    }

    /// The mailbox as far as it is in sight, which need not exist.
    pub(crate) async fn in_sight(&self, id: &MailboxId) -> Result<Mailbox, Problem> {
        Ok(self.read(id).await?.0)
    }

    /// The same, and the own region's record of it.
    pub(crate) async fn read(&self, id: &MailboxId) -> Result<(Mailbox, Record), Problem> {
        let key = keys::slot(id);
        let own = self.own_value(&key).await?.map(Bytes::from);
        let own = self.decode_own(&key, own)?;
        let mut others = self.others(id).await;
        let mailbox = self.joined(&key, &own, &mut others)?;
        Ok((mailbox, own))
    }

    /// What was read of a mailbox, once it is decoded.
    pub(crate) fn decoded_of<T>(
        &self,
        id: &MailboxId,
        value: Result<T, DecodeError>,
    ) -> Result<T, Problem> {
        value.map_err(|error| self.undecodable(&keys::slot(id), &error))
    }

    /// A message of a mailbox.
    pub(crate) fn message(
        &self,
        id: &MailboxId,
        mailbox: &Mailbox,
        message: MessageId,
    ) -> Result<Message, Problem> {
        let found = self.decoded_of(id, mailbox.message(message))?;
        found.ok_or_else(|| Problem::MessageNotFound {
            message: message.to_string(),
        })
    }

    /// Why a mailbox did not take a message.
    pub(crate) fn deposit_refused(&self, id: &MailboxId, error: &DepositError) -> Problem {
        match error {
            DepositError::NoSuchMailbox => Problem::MailboxNotFound {
                mailbox: id.to_string(),
            },
            DepositError::IdReused => Problem::IdempotencyKeyReused,
            DepositError::TooLong { .. } => Problem::DepositRefused {
                detail: error.to_string(),
            },
            DepositError::TooManyMessages(_) | DepositError::TooManyBytes { .. } => {
                Problem::MailboxFull {
                    detail: error.to_string(),
                }
            }
            DepositError::Decode(error) => self.undecodable(&keys::slot(id), error),
        }
    }

    /// Why a mailbox did not take a change of this message.
    pub(crate) fn change_refused(
        &self,
        id: &MailboxId,
        message: MessageId,
        error: ChangeError,
    ) -> Problem {
        match error {
            ChangeError::NoSuchMessage => Problem::MessageNotFound {
                message: message.to_string(),
            },
            ChangeError::ClockSkew(skew) => skew.into(),
            ChangeError::Decode(error) => self.undecodable(&keys::slot(id), &error),
        }
    }

    /// Makes the change that `make` finds to be new, and returns the mailbox with it.
    ///
    /// `make` is shown the mailbox, which need not exist, and the own record within it, once for each
    /// try. If it returns nothing new, nothing is written.
    ///
    /// # Errors
    ///
    /// Whatever `make` refuses with, or why the outcome is not certain. In the latter case the
    /// change may have happened nevertheless.
    pub(crate) async fn change<C: Into<Change>>(
        &self,
        id: &MailboxId,
        mut make: impl FnMut(&Mailbox, &Record) -> Result<C, Problem>,
    ) -> Result<Mailbox, Problem> {
        let key = keys::slot(id);
        let failed = |error| unavailable(self.platform, &format!("change {key}"), &error);
        let mut others = self.others(id).await;
        let mut swap = self.own.begin_swap(&key).await.map_err(failed)?;
        let mut creation_settled = swap.current().is_some();
        let mut entered = creation_settled;
        let mut noted_as_owed = false;
        for _ in 0..SWAPS_MAX {
            let mut own = self.decode_own(&key, swap.current().cloned())?;
            let mailbox = self.joined(&key, &own, &mut others)?;
            let now_ms = mailbox.now_ms();
            let change = make(&mailbox, &own)?.into();
            let tidies = change.tidies && own.is_sweepable(&others, now_ms);
            if change.delta.is_empty() && !tidies {
                return Ok(mailbox);
            }
            let creates = change.delta.profile.created.is_some();
            if !entered || creates {
                directory::enter(self, id).await?;
                entered = true;
            }
            if !creation_settled {
                creation_settled = true;
                if !self.is_creator(id).await.map_err(failed)? {
                    swap = self.own.begin_swap(&key).await.map_err(failed)?;
                    continue;
                }
            }
            if change.tells && !mailbox.profile().webhooks().is_empty() {
                if !noted_as_owed {
                    // A store that has just failed is not asked again: there is no time to wait twice.
                    if let Err(Problem::StoreUnavailable) = notify::note(self, id).await {
                        return Err(Problem::StoreUnavailable);
                    }
                    noted_as_owed = true;
                }
                own.chores.changes += 1;
            }
            if let Some(rates) = change.rates {
                own.chores.rates = rates;
            }
            let changed = self.decoded(&key, mailbox.with(change.delta.clone()))?;
            self.decoded(&key, own.change(change.delta, &others, now_ms))?;
            match swap.swap(encoded(&own)?).await.map_err(failed)? {
                Swapped::Won => {
                    if creates {
                        // Whoever cleans up after a deletion may just have taken it out.
                        directory::enter(self, id).await?;
                    }
                    return Ok(changed);
                }
                Swapped::Lost(fresh) => swap = fresh,
            }
        }
        self.platform
            .log(&format!("change {key}: lost {SWAPS_MAX} races"));
        Err(Problem::Contention)
    }

    /// Changes the own record's chores, if there is a record; `make` answers whether it did. Nothing
    /// that shows changes, and the record does not grow by it.
    pub(crate) async fn change_chores(
        &self,
        id: &MailboxId,
        mut make: impl FnMut(&mut Record) -> bool,
    ) -> Result<(), Problem> {
        let key = keys::slot(id);
        let changed = self.change_value(&key, |bytes| {
            let Some(bytes) = bytes else {
                return Ok(None);
            };
            let mut own = decode(Bytes::copy_from_slice(bytes))?;
            Ok(make(&mut own).then(|| encode(&own)))
        });
        changed.await
    }

    /// Changes a value of the own store by compare-and-swap. `make` is shown what is there
    /// and answers with what is to be there, or `None` to leave it.
    pub(crate) async fn change_value(
        &self,
        key: &str,
        mut make: impl FnMut(Option<&[u8]>) -> Result<Option<Vec<u8>>, DecodeError>,
    ) -> Result<(), Problem> {
        let failed = |error| unavailable(self.platform, &format!("change {key}"), &error);
        let mut swap = self.own.begin_swap(key).await.map_err(failed)?;
        for _ in 0..SWAPS_MAX {
            let current = swap.current().map(|bytes| &bytes[..]);
            let value = make(current).map_err(|error| self.undecodable(key, &error))?;
            let Some(value) = value else {
                return Ok(());
            };
            match swap.swap(value).await.map_err(failed)? {
                Swapped::Won => return Ok(()),
                Swapped::Lost(fresh) => swap = fresh,
            }
        }
        self.platform
            .log(&format!("change {key}: lost {SWAPS_MAX} races"));
        Err(Problem::Contention)
    }

    /// Any other value of the own store.
    pub(crate) async fn own_value(&self, key: &str) -> Result<Option<Vec<u8>>, Problem> {
        let value = self.own.get(key).await;
        value.map_err(|error| unavailable(self.platform, &format!("read {key}"), &error))
    }

    /// What was read under a key, once it is decoded.
    pub(crate) fn decoded<T>(
        &self,
        key: &str,
        value: Result<T, DecodeError>,
    ) -> Result<T, Problem> {
        value.map_err(|error| self.undecodable(key, &error))
    }

    /// A value of every region's store that can be read, the own one first; one that cannot be read
    /// counts as absent there.
    pub(crate) async fn values<T>(
        &self,
        key: &str,
        read: impl Fn(Option<&[u8]>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, Problem> {
        let own = self.own_value(key).await?;
        let own = self.decoded(key, read(own.as_deref()))?;
        let mut values = vec![own];
        for region in &self.regions.others {
            let bytes = self.value_of(region, key).await;
            values.extend(bytes.and_then(|bytes| read(bytes.as_deref()).ok()));
        }
        Ok(values)
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

    /// The records of all other regions. One that cannot be read counts as absent, for a region
    /// must not stop because another one did; what it holds is seen again when it is back.
    async fn others(&self, id: &MailboxId) -> Vec<Record> {
        let read = self
            .regions
            .others
            .iter()
            .map(|region| self.other(region, id));
        join_all(read).await.into_iter().flatten().collect()
    }

    async fn other(&self, region: &Region, id: &MailboxId) -> Option<Record> {
        let key = keys::slot(id);
        let bytes = self.value_of(region, &key).await??;
        match decode(bytes) {
            Ok(record) => Some(record),
            Err(error) => {
                self.count_as_absent(region, &key, &error);
                None
            }
        }
    }

    /// A value of another region's store; `None` if it cannot be read.
    async fn value_of(&self, region: &Region, key: &str) -> Option<Option<Vec<u8>>> {
        let read = async {
            let store = self
                .platform
                .open(&self.regions.store_label(region))
                .await?;
            store.get(key).await
        };
        match read.await {
            Ok(value) => Some(value),
            Err(error) => {
                self.count_as_absent(region, key, &error);
                None
            }
        }
    }

    fn count_as_absent(&self, region: &Region, key: &str, error: &dyn std::error::Error) {
        let mut reported = self.reported.borrow_mut();
        if !reported.contains(region) {
            reported.push(region.clone());
            self.platform.log(&format!(
                "region {region} counts as absent: read {key}: {error}"
            ));
        }
    }

    /// The mailbox that the own record and those of the others make. One of another region that is
    /// damaged in a message that both know counts as absent, too, and is taken out.
    fn joined(
        &self,
        key: &str,
        own: &Record,
        others: &mut Vec<Record>,
    ) -> Result<Mailbox, Problem> {
        let now_ms = self.platform.now_ms();
        if let Ok(mailbox) = own.mailbox(others, now_ms) {
            return Ok(mailbox);
        }
        others.retain(|other| {
            let damage = other.slot().err();
            if let Some(error) = &damage {
                self.platform.log(&format!(
                    "the record of another region counts as absent: read {key}: {error}"
                ));
            }
            damage.is_none()
        });
        self.decoded(key, own.mailbox(others, now_ms))
    }

    /// The own record, unlike another's, must not count as absent: the next write would replace it.
    fn decode_own(&self, key: &str, bytes: Option<Bytes>) -> Result<Record, Problem> {
        let Some(bytes) = bytes else {
            return Ok(Record::default());
        };
        decode(bytes).map_err(|error| self.undecodable(key, &error))
    }

    fn undecodable(&self, key: &str, error: &DecodeError) -> Problem {
        self.platform.log(&format!("read {key}: {error}"));
        match error {
            DecodeError::NewerVersion(_) => Problem::NewerRelease,
            DecodeError::Malformed(_) => Problem::StoredDataDamaged,
        }
    }
}

/// Whether a request may go on with this mailbox.
pub(crate) fn exists(id: &MailboxId, mailbox: &Mailbox) -> Result<(), Problem> {
    if mailbox.exists() {
        Ok(())
    } else {
        Err(Problem::MailboxNotFound {
            mailbox: id.to_string(),
        })
    }
}

fn encoded(record: &Record) -> Result<Vec<u8>, Problem> {
    let bytes = encode(record);
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
