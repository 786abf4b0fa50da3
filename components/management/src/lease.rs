//! The lease of an upload: one at a time stores an artifact, so that none that is corrupt can spoil what another one
//! stored.
//!
//! An upload renews its lease before it writes, if it is not fresh, and stops if another one has it. Nobody takes one that
//! was renewed within [`LEASE_MS`], which leaves room for clocks that differ, and for a write that takes long.

use starling_supervision::{ComponentName, Digest};

use crate::artifacts::{self, Entry, Phase};
use crate::fleet::Access;
use crate::platform::Platform;
use crate::problem::Problem;

/// For how long an upload is taken to be going on that has not renewed its lease.
pub(crate) const LEASE_MS: u64 = 20_000;

/// How old a lease may be when something is written under it.
const RENEWED_MS: u64 = 5_000;

/// The right of one upload to write an artifact's pieces.
pub(crate) struct Lease {
    digest: Digest,
    upload: String,
    renewed_ms: u64,
}

impl Lease {
    /// Takes the lease for an upload that begins; `None` if the artifact is stored already.
    pub(crate) async fn take<P: Platform>(
        access: &Access<'_, P>,
        component: &ComponentName,
        digest: Digest,
    ) -> Result<Option<Self>, Problem> {
        let platform = access.platform();
        let renewed_ms = platform.now_ms();
        let upload = format!("{:032x}", u128::from_be_bytes(platform.random_bits()));
        let mut taken = false;
        let begun = access.change_artifacts(|present| {
            taken = present.begin(component, digest, &upload, renewed_ms)?;
            Ok(true)
        });
        begun.await?;
        Ok(taken.then_some(Self {
            digest,
            upload,
            renewed_ms,
        }))
    }

    /// Renews the lease, if it is not fresh.
    pub(crate) async fn renew<P: Platform>(
        &mut self,
        access: &Access<'_, P>,
    ) -> Result<(), Problem> {
        let now_ms = access.platform().now_ms();
        if now_ms.saturating_sub(self.renewed_ms) < RENEWED_MS {
            return Ok(());
        }
        self.change(access, |entry| entry.idle_since_ms = Some(now_ms))
            .await?;
        self.renewed_ms = now_ms;
        Ok(())
    }

    /// The artifact is stored, and its record is, too.
    pub(crate) async fn end<P: Platform>(self, access: &Access<'_, P>) -> Result<(), Problem> {
        self.change(access, |entry| entry.phase = Phase::Stored)
            .await
    }

    /// Takes out what an upload has written that came to nothing.
    pub(crate) async fn discard<P: Platform>(self, access: &Access<'_, P>) -> Result<(), Problem> {
        let now_ms = access.platform().now_ms();
        self.change(access, |entry| entry.leave(now_ms)).await?;
        artifacts::remove(access, &self.digest, None).await
    }

    /// Changes the entry of the upload, if it has still the lease.
    async fn change<P: Platform>(
        &self,
        access: &Access<'_, P>,
        make: impl Fn(&mut Entry),
    ) -> Result<(), Problem> {
        let changed = access.change_artifacts(|present| {
            make(present.storing(&self.digest, &self.upload)?);
            Ok(true)
        });
        changed.await.map(drop)
    }
}
