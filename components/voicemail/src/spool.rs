//! The spool: deposits that the region's store could not take, kept by this host alone until it can.
//!
//! It is a store like the others, under the label `spool`, which the host keeps on its own disk; where none is
//! granted (stock Spin), there is no spool. What lies in it is in
//! [`SpoolKey`](starling_mailbox::SpoolKey).
//!
//! - An entry is acknowledged once its audio, then the entry itself, are stored here.
//! - It is removed once the region's store has acknowledged its message, and not before. A host that dies in
//!   between delivers it again, which changes nothing, for it is delivered under one id.
//! - Entries are delivered in their order, by the host's timer; it calls one instance of a host at a time.
//!   Should two deliver at once, nothing happens twice.
//! - Once the region's store fails, nothing is tried until the next call.
//! - What is refused for good is kept aside with the reason, for an operator to see to.
//! - The spool is bounded, but for what requests that are at it at the same moment put in.

use futures::future::join_all;
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, DecodeError, Digest, Refusal, SPOOL_ORDER, SpoolContents, SpoolEntry,
    SpoolKey, SpoolState, Spooled,
};

use crate::deposit;
use crate::limits;
use crate::platform::{Platform, Store, StoreError};
use crate::problem::Problem;
use crate::slots::{Slots, unavailable};

/// The label of the store.
const LABEL: &str = "spool";

/// How old audio without an entry is before it is removed. The request that wrote it ended long before, also
/// if the clock was set meanwhile.
const UNFINISHED_MS: u64 = 60 * 60 * 1000;

/// How long an entry waits for a mailbox that is not known here: where there are other regions, it may have been made
/// in one that has not been heard of since.
const UNKNOWN_MAILBOX_MS: u64 = 10 * 60 * 1000;

/// How many pieces of such audio one step removes.
const SWEPT_MAX: usize = 100;

/// The spool of this host.
pub(crate) struct Spool<'p, P: Platform> {
    platform: &'p P,
    store: P::Store,
}

/// What a step of the timer has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Replayed {
    /// How many entries have become messages.
    pub(crate) delivered: usize,
    /// How many have been set aside.
    pub(crate) set_aside: usize,
}

/// Why nothing more is delivered for now.
enum Halt {
    /// The region's store, or what else is going to pass.
    Region(Problem),
    /// The spool itself.
    Spool,
}

impl<'p, P: Platform> Spool<'p, P> {
    /// The spool; `None` if there is none.
    pub(crate) async fn open(platform: &'p P) -> Result<Option<Self>, Problem> {
        match platform.open(LABEL).await {
            Ok(store) => Ok(Some(Self { platform, store })),
            Err(StoreError::NoSuchStore) => Ok(None),
            Err(error) => Err(unavailable(platform, "open the spool", &error)),
        }
    }

    /// What there is.
    pub(crate) async fn contents(&self) -> Result<SpoolContents, Problem> {
        let keys = self.store.keys().await;
        keys.map(SpoolContents::of)
            .map_err(|error| self.failed("list its keys", &error))
    }

    /// Takes an entry with its audio.
    ///
    /// # Errors
    ///
    /// [`Problem::StoreUnavailable`] if the spool is full or fails. In the latter case the entry may be in it
    /// nevertheless.
    pub(crate) async fn keep(&self, spooled: &Spooled, audio: &[u8]) -> Result<(), Problem> {
        let max = limits::spool(self.platform).await?;
        let fill = self.contents().await?.fill(None);
        let bytes = audio.len() as u64;
        if fill.messages >= max.messages || fill.bytes.saturating_add(bytes) > max.bytes {
            self.platform.log("spool: it is full");
            return Err(Problem::StoreUnavailable);
        }
        let order = self.store.increment(SPOOL_ORDER).await;
        let order = order.map_err(|error| self.failed("number an entry", &error))?;
        let order = u64::try_from(order).map_err(|_| Problem::StoredDataDamaged)?;
        let begun_ms = self.platform.now_ms();
        let pieces = audio.chunks(AUDIO_CHUNK_BYTES.get() as usize).zip(0..);
        let (keys, writes): (Vec<_>, Vec<_>) = pieces
            .map(|(piece, n)| {
                let key = SpoolKey::Chunk { order, begun_ms, n };
                let write = async move { self.store.set(&key.to_string(), piece).await };
                (key, write)
            })
            .unzip();
        // Every one to its end, so that none comes after the removal.
        let written: Result<Vec<()>, _> = join_all(writes).await.into_iter().collect();
        if let Err(error) = written {
            let problem = self.failed("keep audio", &error);
            self.remove_chunks(keys).await;
            return Err(problem);
        }
        let key = SpoolKey::Waiting { order, bytes };
        self.set(key, &spooled.encode()).await
    }

    /// The entry under this key, as it is stored; `None` if it is gone.
    pub(crate) async fn get(&self, key: SpoolKey) -> Result<Option<Vec<u8>>, Problem> {
        let bytes = self.store.get(&key.to_string()).await;
        bytes.map_err(|error| self.failed("read an entry", &error))
    }

    /// Writes an entry.
    pub(crate) async fn set(&self, key: SpoolKey, bytes: &[u8]) -> Result<(), Problem> {
        let written = self.store.set(&key.to_string(), bytes).await;
        written.map_err(|error| self.failed("write an entry", &error))
    }

    /// Removes the entry under this key, but for its audio.
    pub(crate) async fn delete(&self, key: SpoolKey) -> Result<(), Problem> {
        let deleted = self.store.delete(&key.to_string()).await;
        deleted.map_err(|error| self.failed("remove an entry", &error))
    }

    /// Removes an entry: at first what makes it one, so that it is gone as a whole; and last of that what has
    /// it delivered again, which is harmless.
    pub(crate) async fn remove(&self, entry: &SpoolEntry) -> Result<(), Problem> {
        for key in [entry.undeliverable, entry.waiting].into_iter().flatten() {
            self.delete(key).await?;
        }
        self.remove_chunks(entry.chunks.values().copied()).await;
        Ok(())
    }

    /// Removes audio, as far as that is possible: what is left over is removed when it is old.
    async fn remove_chunks(&self, keys: impl IntoIterator<Item = SpoolKey>) {
        let removals = keys.into_iter().map(|key| self.delete(key));
        // The log says what failed.
        let _ = join_all(removals).await;
    }

    /// The audio of an entry; `None` if it is not what was put in.
    async fn audio(
        &self,
        entry: &SpoolEntry,
        spooled: &Spooled,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let mut audio = Vec::with_capacity(usize::try_from(entry.bytes()).unwrap_or_default());
        for key in entry.chunks.values() {
            match self.get(*key).await? {
                Some(piece) => audio.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
        Ok((Digest::of(&audio) == spooled.header.audio.digest).then_some(audio))
    }

    /// Removes audio without an entry, once it is old.
    async fn sweep(&self, contents: &SpoolContents) {
        let now_ms = self.platform.now_ms();
        let old = contents.entries.values().filter(|entry| {
            let begun_ms = entry.begun_ms().unwrap_or_default();
            entry.state() == SpoolState::Unfinished
                && begun_ms.saturating_add(UNFINISHED_MS) <= now_ms
        });
        let chunks = old.flat_map(|entry| entry.chunks.values().copied());
        self.remove_chunks(chunks.take(SWEPT_MAX)).await;
    }

    /// Delivers what waits. `until_ms` is when it begins with no further entry.
    async fn replay(&self, until_ms: u64, replayed: &mut Replayed) -> Result<(), Halt> {
        let contents = self.contents().await.map_err(|_| Halt::Spool)?;
        self.sweep(&contents).await;
        let mut slots = None;
        for (order, entry) in &contents.entries {
            let Some(waiting) = entry.waiting else {
                continue;
            };
            if self.platform.now_ms() >= until_ms {
                break;
            }
            if slots.is_none() {
                slots = Some(Slots::open(self.platform).await.map_err(Halt::Region)?);
            }
            if let Some(slots) = &slots {
                self.one(slots, *order, waiting, entry, replayed).await?;
            }
        }
        Ok(())
    }

    /// Delivers an entry, or sets it aside.
    async fn one(
        &self,
        slots: &Slots<'_, P>,
        order: u64,
        waiting: SpoolKey,
        entry: &SpoolEntry,
        replayed: &mut Replayed,
    ) -> Result<(), Halt> {
        let spool = |_: Problem| Halt::Spool;
        let Some(stored) = self.get(waiting).await.map_err(spool)? else {
            return Ok(());
        };
        let mut spooled = match Spooled::decode(&stored) {
            Ok(spooled) => Some(spooled),
            Err(error) => {
                self.platform
                    .log(&format!("spool: read entry {order}: {error}"));
                if let DecodeError::NewerVersion(_) = error {
                    // It waits for that release to come back, and keeps nobody else waiting.
                    return Ok(());
                }
                None
            }
        };
        let mut refusal = Problem::StoredDataDamaged;
        if let Some(spooled) = &spooled
            && let Some(audio) = self.audio(entry, spooled).await.map_err(spool)?
        {
            match deposit::deliver(slots, spooled, audio).await {
                Ok(()) => {
                    replayed.delivered += 1;
                    return self.remove(entry).await.map_err(spool);
                }
                Err(problem) if passes(&problem) => return Err(Halt::Region(problem)),
                // It keeps nobody else waiting.
                Err(Problem::MailboxNotFound { .. }) if self.may_be_heard_of(slots, entry) => {
                    return Ok(());
                }
                Err(problem) => refusal = problem,
            }
        }
        // Another one may have delivered it meanwhile, and removed the audio under our hands.
        if self.get(waiting).await.map_err(spool)?.is_none() {
            return Ok(());
        }
        if let Some(spooled) = &mut spooled {
            spooled.refusal = Some(Refusal {
                problem: refusal.name().into(),
                detail: refusal.detail(),
                at_ms: self.platform.now_ms(),
            });
        }
        // What cannot be read stays as it is.
        let stored = spooled.map_or(stored, |spooled| spooled.encode());
        let bytes = entry.bytes();
        let aside = SpoolKey::Undeliverable { order, bytes };
        self.set(aside, &stored).await.map_err(spool)?;
        self.delete(waiting).await.map_err(spool)?;
        replayed.set_aside += 1;
        self.platform.log(&format!(
            "spool: entry {order} is undeliverable, and set aside: {}",
            refusal.name()
        ));
        Ok(())
    }

    /// Whether the mailbox of an entry, which is not known here, may have been made elsewhere.
    fn may_be_heard_of(&self, slots: &Slots<'_, P>, entry: &SpoolEntry) -> bool {
        let origin = slots.origin();
        let begun_ms = entry.begun_ms().unwrap_or_default();
        !origin.alone && origin.now_ms < begun_ms.saturating_add(UNKNOWN_MAILBOX_MS)
    }

    fn failed(&self, what: &str, error: &StoreError) -> Problem {
        unavailable(self.platform, &format!("spool: {what}"), error)
    }
}

/// Delivers what waits, in its order, and begins with nothing at or after `until_ms`.
///
/// # Errors
///
/// [`Problem::StoreUnavailable`] if the region's store has failed. What else stops it, the log says, and is no
/// reason to leave out the region's chores.
pub(crate) async fn replay<P: Platform>(platform: &P, until_ms: u64) -> Result<Replayed, Problem> {
    let mut replayed = Replayed::default();
    if let Ok(Some(spool)) = Spool::open(platform).await {
        let ended = spool.replay(until_ms, &mut replayed).await;
        if let Err(Halt::Region(Problem::StoreUnavailable)) = ended {
            return Err(Problem::StoreUnavailable);
        }
    }
    Ok(replayed)
}

/// Whether a delivery that is refused like this is worth another attempt by itself.
fn passes(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::StoreUnavailable
            | Problem::Contention
            | Problem::NewerRelease
            | Problem::ClockSkew { .. }
            | Problem::Misconfigured
    )
}
