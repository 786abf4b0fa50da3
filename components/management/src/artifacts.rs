//! Which artifacts lie in a region's store, since no operation lists a store; and how they come and go there.
//!
//! The list is changed by compare-and-swap. An artifact is entered before its first piece is written, and leaves the list
//! after its last piece is gone, so whatever dies in between leaves nothing that nobody knows of.
//!
//! ```text
//!            upload begins          it is whole, and its record is written
//! (nothing) ───────────────▶ storing ────────────────────────────▶ stored
//!                              │ it is not                           │ refused, or idle for too long
//!                              ▼                                     ▼
//! (nothing) ◀────────────── leaving ◀─────────────────────────────────
//!            bytes are gone    │ bytes are gone, of one that was refused
//!                              ▼
//!                           withdrawn ──▶ (nothing), or stored anew
//! ```
//!
//! One upload at a time stores an artifact, so that none that is corrupt can spoil what another one stored: it holds a
//! lease, which it renews before it writes. While an artifact leaves, nobody begins to store it or to refer to it. One
//! that was refused keeps its entry for a while, and the hosts remember for as long why it was.
//!
//! The record is written before the artifact counts as stored, so one that does has a record.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use starling_supervision::{
    ARTIFACT_BYTES_MAX, ARTIFACT_CHUNK_BYTES, ComponentName, Desired, Digest, Document, keys,
};

use crate::fleet::{Access, View};
use crate::lease;
use crate::platform::Platform;
use crate::problem::Problem;

/// Where the list lies.
pub(crate) const KEY: &str = "artifacts";

/// For how long an artifact is kept that no rollout refers to.
pub(crate) const IDLE_MS_MAX: u64 = 60 * 60 * 1000;

/// How many artifacts a region holds, those included that are leaving.
pub(crate) const ARTIFACTS_MAX: usize = 64;

/// How many artifacts one step removes.
const REMOVED_A_STEP: usize = 2;

/// How many pieces are removed at once.
const REMOVED_AT_ONCE: u32 = 16;

/// How many pieces the largest artifact has.
const CHUNKS_MAX: u32 = (ARTIFACT_BYTES_MAX / ARTIFACT_CHUNK_BYTES as u64) as u32 + 1;

/// The artifacts in a region's store.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Artifacts {
    /// By their digests.
    pub(crate) entries: BTreeMap<Digest, Entry>,
}

/// An artifact in a region's store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// The component that it was stored for.
    pub(crate) component: ComponentName,
    /// Since when no rollout refers to it, in milliseconds since the Unix epoch; none while one does. While an upload
    /// stores it, when that renewed its lease; and when it was marked, if it was on the spot, of one that leaves.
    pub(crate) idle_since_ms: Option<u64>,
    /// What becomes of it.
    pub(crate) phase: Phase,
    /// When it was uploaded last, whether or not it was stored already, in milliseconds since the Unix epoch; 0 if that was
    /// before hosts wrote it down.
    #[serde(default)]
    pub(crate) uploaded_ms: u64,
    /// Which upload stores it, or did.
    pub(crate) upload: String,
}

/// What becomes of an artifact.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Its pieces are being written.
    Storing,
    /// It is whole.
    Stored,
    /// Its bytes are being removed.
    Leaving,
    /// It was refused, and its bytes are gone.
    Withdrawn,
}

impl Document for Artifacts {
    const NAME: &'static str = "list of artifacts";
}

impl Entry {
    /// Whether the upload that stores it goes on, as far as anybody can tell; or its removal.
    fn is_leased(&self, now_ms: u64) -> bool {
        let renewed_ms = self.idle_since_ms.unwrap_or(0);
        now_ms.saturating_sub(renewed_ms) < lease::LEASE_MS
    }

    /// Marks it, for whoever is about to remove it.
    pub(crate) fn leave(&mut self, now_ms: u64) {
        self.phase = Phase::Leaving;
        self.idle_since_ms = Some(now_ms);
    }
}

impl Artifacts {
    /// Enters an artifact that this upload is about to store; `false` if it is stored already.
    pub(crate) fn begin(
        &mut self,
        component: &ComponentName,
        digest: Digest,
        upload: &str,
        now_ms: u64,
    ) -> Result<bool, Problem> {
        let is_full = self.entries.len() >= ARTIFACTS_MAX;
        match self.entries.get_mut(&digest) {
            None if is_full => return Err(Problem::ArtifactsFull),
            None => {}
            Some(entry) => match entry.phase {
                Phase::Leaving => return Err(Problem::ArtifactBusy),
                Phase::Storing if entry.is_leased(now_ms) => return Err(Problem::ArtifactBusy),
                Phase::Storing | Phase::Withdrawn => {}
                Phase::Stored => {
                    // Somebody means to use it.
                    entry.idle_since_ms = entry.idle_since_ms.map(|_| now_ms);
                    entry.uploaded_ms = now_ms;
                    return Ok(false);
                }
            },
        }
        let entry = Entry {
            component: component.clone(),
            idle_since_ms: Some(now_ms),
            phase: Phase::Storing,
            uploaded_ms: now_ms,
            upload: upload.to_owned(),
        };
        self.entries.insert(digest, entry);
        Ok(true)
    }

    /// The entry of an upload that is going on.
    pub(crate) fn storing(&mut self, digest: &Digest, upload: &str) -> Result<&mut Entry, Problem> {
        let entry = self.entries.get_mut(digest);
        let entry = entry.filter(|it| it.phase == Phase::Storing && it.upload == upload);
        entry.ok_or(Problem::ArtifactBusy)
    }

    /// Keeps an artifact, if it lies here, for a rollout that is about to refer to it. Whether that changed anything.
    pub(crate) fn keep(&mut self, digest: &Digest) -> Result<bool, Problem> {
        match self.entries.get_mut(digest) {
            Some(entry) if matches!(entry.phase, Phase::Leaving | Phase::Storing) => {
                Err(Problem::ArtifactBusy)
            }
            Some(entry) => Ok(entry.idle_since_ms.take().is_some()),
            None => Ok(false),
        }
    }

    /// Whether an artifact was uploaded lately, and no rollout of it was begun since.
    pub(crate) fn is_new(&self, digest: &Digest, desired: &Desired, now_ms: u64) -> bool {
        self.entries.get(digest).is_some_and(|entry| {
            let mut rollouts = desired.rollouts();
            let is_idle = !rollouts.any(|it| {
                it.rollout.spec.digest == Some(*digest) && it.id.created_ms >= entry.uploaded_ms
            });
            is_idle && now_ms.saturating_sub(entry.uploaded_ms) <= IDLE_MS_MAX
        })
    }

    /// Notes which artifacts nobody refers to since now, and marks those that leave. Whether anything changed.
    fn review(&mut self, referred: &BTreeSet<Digest>, now_ms: u64) -> bool {
        let before = self.clone();
        for (digest, entry) in &mut self.entries {
            if entry.phase == Phase::Leaving {
                continue;
            }
            if referred.contains(digest) {
                entry.idle_since_ms = None;
                continue;
            }
            let since_ms = *entry.idle_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) > IDLE_MS_MAX {
                entry.phase = Phase::Leaving;
            }
        }
        *self != before
    }
}

/// The versions that the rollouts in sight refer to, or what is remembered of forgotten ones.
pub(crate) fn referred(desired: &Desired) -> BTreeSet<Digest> {
    let rollouts = desired.rollouts();
    let new = rollouts.flat_map(|it| [it.rollout.spec.digest, it.base]);
    let histories = desired.components.values();
    let floors = histories.filter_map(|history| history.floor.as_ref());
    let ruled = floors.flat_map(|floor| floor.ruled.iter().copied());
    new.chain(ruled).flatten().collect()
}

/// Removes a few of the artifacts that have been idle for too long. How many.
pub(crate) async fn collect<P: Platform>(
    access: &Access<'_, P>,
    view: &View,
    mut artifacts: Artifacts,
) -> Result<usize, Problem> {
    let now_ms = access.platform().now_ms();
    let referred = referred(&view.desired);
    // What another region wants is not known while it cannot be read.
    if view.is_whole() && artifacts.review(&referred, now_ms) {
        let reviewed = access.change_artifacts(|present| Ok(present.review(&referred, now_ms)));
        artifacts = reviewed.await?;
    }
    let entries = artifacts.entries.into_iter();
    let leaving = entries.filter(|(_, entry)| {
        // Whoever has just marked it removes it, or has died meanwhile.
        entry.phase == Phase::Leaving && !entry.is_leased(now_ms)
    });
    let mut removed = 0;
    for (digest, _) in leaving.take(REMOVED_A_STEP) {
        remove(access, &digest, None).await?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes the bytes of an artifact that was refused, unless a rollout refers to it, or may: that one is told of the refusal by
/// the hosts, and its artifact stays as long as it does.
pub(crate) async fn withdraw<P: Platform>(
    access: &Access<'_, P>,
    view: &View,
    digest: &Digest,
) -> Result<(), Problem> {
    if !view.is_whole() || referred(&view.desired).contains(digest) {
        return Ok(());
    }
    let now_ms = access.platform().now_ms();
    let mut leaves = None;
    let marked = access.change_artifacts(|present| {
        let entry = present.entries.get_mut(digest);
        let entry = entry.filter(|entry| entry.phase == Phase::Stored);
        leaves = entry.map(|entry| {
            let withdrawn = Entry {
                phase: Phase::Withdrawn,
                ..entry.clone()
            };
            entry.leave(now_ms);
            withdrawn
        });
        Ok(leaves.is_some())
    });
    marked.await?;
    match leaves {
        Some(withdrawn) => remove(access, digest, Some(withdrawn)).await,
        None => Ok(()),
    }
}

/// Removes the record of an artifact that leaves, so that nobody begins to read, then its pieces, and then its entry,
/// or puts another in its place.
pub(crate) async fn remove<P: Platform>(
    access: &Access<'_, P>,
    digest: &Digest,
    instead: Option<Entry>,
) -> Result<(), Problem> {
    let record = access.own_artifact(digest).await?;
    // Without a record nobody knows how many pieces there are.
    let chunks = record.map_or(CHUNKS_MAX, |record| record.chunks.min(CHUNKS_MAX));
    access.remove(&keys::artifact(digest)).await?;
    for first in (0..chunks).step_by(REMOVED_AT_ONCE as usize) {
        let some = first..chunks.min(first + REMOVED_AT_ONCE);
        let removed = some.map(async |n| access.remove(&keys::artifact_chunk(digest, n)).await);
        try_join_all(removed).await?;
    }
    let left = access.change_artifacts(|present| {
        let entry = present.entries.get(digest);
        let leaves = entry.is_some_and(|entry| entry.phase == Phase::Leaving);
        if leaves {
            present.entries.remove(digest);
            let instead = instead.clone().map(|entry| (*digest, entry));
            present.entries.extend(instead);
        }
        Ok(leaves)
    });
    left.await.map(drop)
}
