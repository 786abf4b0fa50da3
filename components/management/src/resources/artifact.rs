//! `/v1/components/{component}/artifacts/{digest}`: a version of a component, stored in this region and staged on the
//! host that answers.
//!
//! The body is stored while it arrives, piece by piece, so a few pieces of it are in memory at a time. Its record comes
//! last: what is visible is whole, and has the digest of its path.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use sha2::{Digest as _, Sha256};
use starling_supervision::{
    ARTIFACT_BYTES_MAX, ARTIFACT_CHUNK_BYTES, ArtifactRecord, ComponentName, Digest, Refusal,
    VersionState, encode, keys,
};

use crate::artifacts;
use crate::components::components;
use crate::fleet::Access;
use crate::lease::Lease;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::response::{self, Body};
use crate::shapes::ArtifactJson;
use crate::upload::{self, Upload};

/// The media type of a component.
const WASM: &str = "application/wasm";

/// The header with the signature over the body's bytes.
const SIGNATURE: &str = "starling-signature";

/// How long an Ed25519 signature is (RFC 8032, section 5.1.6).
const SIGNATURE_BYTES: usize = 64;

/// A version of a component, by the names in a path.
pub(crate) struct Artifact {
    component: ComponentName,
    digest: Digest,
}

impl Artifact {
    /// The artifact of these names, of a component that this host has.
    pub(crate) fn named(
        platform: &impl Platform,
        component: String,
        digest: &str,
    ) -> Result<Self, Problem> {
        let named = component.parse::<ComponentName>().ok();
        let has = |name: &ComponentName| components(platform, 0).contains_key(name);
        Ok(Self {
            component: named
                .filter(has)
                .ok_or(Problem::ComponentNotFound { component })?,
            digest: digest.parse().map_err(|_| Problem::DigestInvalid)?,
        })
    }

    /// Shows how far it is on this host, and has it staged if nobody has yet.
    pub(crate) async fn get<P: Platform>(
        &self,
        access: &Access<'_, P>,
    ) -> Result<Response<Body>, Problem> {
        let record = access.artifact(&self.digest).await?;
        let platform = access.platform();
        let state = match (&record, self.state(platform)) {
            (Some(_), _) => platform.stage(&self.component, self.digest),
            // The host's own version, or one that was refused and whose bytes are gone.
            (None, Some(state)) => state,
            (None, None) => return Err(Problem::ArtifactNotFound),
        };
        self.withdraw_refused(access, &state).await?;
        let size_bytes = record.map(|record| record.size_bytes);
        let shown = ArtifactJson::of(&self.component, self.digest, size_bytes, &state);
        Ok(response::json(StatusCode::OK, &shown))
    }

    /// How far it is on this host, if somebody has begun to get it ready.
    fn state(&self, platform: &impl Platform) -> Option<VersionState> {
        let mut versions = platform.versions(0).into_iter();
        let known = versions.find(|it| it.component == self.component && it.digest == self.digest);
        known.map(|version| version.state)
    }

    /// Stores it, and begins to stage it.
    pub(crate) async fn put<P, B>(
        &self,
        access: &Access<'_, P>,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        P: Platform,
        B: HttpBody<Data = Bytes, Error = UploadError>,
    {
        if !upload::is_of_type(headers, WASM) {
            return Err(Problem::MediaTypeUnsupported { expected: WASM });
        }
        let signature = signature(headers)?;
        let upload = Upload::of(headers, body, ARTIFACT_BYTES_MAX)?;
        let lease = Lease::take(access, &self.component, self.digest).await?;
        let size_bytes = match lease {
            Some(lease) => self.store(access, lease, signature, upload).await?,
            None => self.repeat(access, signature, upload).await?,
        };
        let platform = access.platform();
        let mut state = platform.stage(&self.component, self.digest);
        if matches!(state, VersionState::Refused(_)) {
            // From before: what was missing may be here now.
            platform.forget(&self.component, self.digest);
            state = platform.stage(&self.component, self.digest);
        }
        self.withdraw_refused(access, &state).await?;
        let status = match state {
            VersionState::Staging => StatusCode::ACCEPTED,
            VersionState::Ready => StatusCode::OK,
            VersionState::Refused(refusal) if is_final(&refusal) => {
                return Err(Problem::ArtifactRefused(refusal));
            }
            VersionState::Refused(_) => StatusCode::ACCEPTED,
        };
        let shown = ArtifactJson::of(&self.component, self.digest, Some(size_bytes), &state);
        Ok(response::json(status, &shown))
    }

    /// Reads a body that is stored already, and writes nothing of it.
    async fn repeat<P, B>(
        &self,
        access: &Access<'_, P>,
        signature: Option<String>,
        mut upload: Upload<B>,
    ) -> Result<u64, Problem>
    where
        P: Platform,
        B: HttpBody<Data = Bytes, Error = UploadError>,
    {
        let mut hash = Sha256::new();
        while let Some(piece) = upload.next().await? {
            hash.update(&piece);
        }
        self.check(hash)?;
        let record = access.own_artifact(&self.digest).await?;
        let record = record.ok_or(Problem::ArtifactBusy)?;
        let size_bytes = record.size_bytes;
        let is_other = signature.is_some() && signature != record.signature;
        if is_other && self.may_be_signed_anew(access).await? {
            let record = ArtifactRecord {
                signature,
                ..record
            };
            let key = keys::artifact(&self.digest);
            access.write(&key, &encode(&record)).await?;
        }
        Ok(size_bytes)
    }

    /// Whether another signature may take the place of the one that is stored: only where that one is of no use, or of
    /// none yet. All hosts look at it, and those that start later look again.
    async fn may_be_signed_anew<P: Platform>(
        &self,
        access: &Access<'_, P>,
    ) -> Result<bool, Problem> {
        match self.state(access.platform()) {
            Some(VersionState::Refused(refusal)) => Ok(matches!(
                refusal.kind.as_str(),
                "unsigned" | "wrong-signature"
            )),
            Some(VersionState::Staging | VersionState::Ready) => Ok(false),
            None => {
                let view = access.sound_view().await?;
                Ok(view.is_whole() && !artifacts::referred(&view.desired).contains(&self.digest))
            }
        }
    }

    /// Stores a body, and its record when it is whole and right; else nothing is left of it.
    async fn store<P, B>(
        &self,
        access: &Access<'_, P>,
        mut lease: Lease,
        signature: Option<String>,
        upload: Upload<B>,
    ) -> Result<u64, Problem>
    where
        P: Platform,
        B: HttpBody<Data = Bytes, Error = UploadError>,
    {
        let platform = access.platform();
        let stored = async {
            let size_bytes = self.store_pieces(access, &mut lease, upload).await?;
            let now_ms = platform.now_ms();
            let record = ArtifactRecord::new(self.component.clone(), size_bytes, signature, now_ms);
            let record = record.ok_or(Problem::BodyTooLarge {
                bytes_max: ARTIFACT_BYTES_MAX,
            })?;
            lease.renew(access).await?;
            let key = keys::artifact(&self.digest);
            access.write(&key, &encode(&record)).await?;
            Ok(size_bytes)
        };
        match stored.await {
            Ok(size_bytes) => {
                lease.end(access).await?;
                Ok(size_bytes)
            }
            // A store that has just failed is not asked again: the supervision removes what is left.
            Err(Problem::StoreUnavailable) => Err(Problem::StoreUnavailable),
            Err(problem) => {
                if lease.discard(access).await.is_err() {
                    platform.warn("what is left of a broken upload goes later");
                }
                Err(problem)
            }
        }
    }

    /// Writes the pieces of a body as they fill. How many bytes it had.
    async fn store_pieces<P, B>(
        &self,
        access: &Access<'_, P>,
        lease: &mut Lease,
        mut upload: Upload<B>,
    ) -> Result<u64, Problem>
    where
        P: Platform,
        B: HttpBody<Data = Bytes, Error = UploadError>,
    {
        let mut hash = Sha256::new();
        let mut chunk = BytesMut::with_capacity(ARTIFACT_CHUNK_BYTES as usize);
        let (mut chunks, mut size_bytes) = (0, 0);
        loop {
            let piece = upload.next().await?;
            let is_last = piece.is_none();
            let mut piece = piece.unwrap_or_default();
            hash.update(&piece);
            size_bytes += piece.len() as u64;
            while !piece.is_empty() {
                let room = ARTIFACT_CHUNK_BYTES as usize - chunk.len();
                chunk.extend_from_slice(&piece.split_to(room.min(piece.len())));
                if chunk.len() == ARTIFACT_CHUNK_BYTES as usize {
                    self.store_chunk(access, lease, &mut chunks, &mut chunk)
                        .await?;
                }
            }
            if is_last {
                break;
            }
        }
        if !chunk.is_empty() {
            self.store_chunk(access, lease, &mut chunks, &mut chunk)
                .await?;
        }
        self.check(hash)?;
        Ok(size_bytes)
    }

    async fn store_chunk<P: Platform>(
        &self,
        access: &Access<'_, P>,
        lease: &mut Lease,
        chunks: &mut u32,
        chunk: &mut BytesMut,
    ) -> Result<(), Problem> {
        lease.renew(access).await?;
        let key = keys::artifact_chunk(&self.digest, *chunks);
        access.write(&key, chunk).await?;
        *chunks += 1;
        chunk.clear();
        Ok(())
    }

    /// Whether what was hashed is what the path names.
    fn check(&self, hash: Sha256) -> Result<(), Problem> {
        let actual = Digest::from_bytes(hash.finalize().into());
        if actual == self.digest {
            return Ok(());
        }
        Err(Problem::DigestMismatch {
            actual: actual.to_string(),
        })
    }

    /// Removes the bytes of one that will never serve, if nobody relies on it.
    async fn withdraw_refused<P: Platform>(
        &self,
        access: &Access<'_, P>,
        state: &VersionState,
    ) -> Result<(), Problem> {
        match state {
            VersionState::Refused(refusal) if is_final(refusal) => {
                let view = access.sound_view().await?;
                artifacts::withdraw(access, &view, &self.digest).await
            }
            _ => Ok(()),
        }
    }
}

/// Whether trying again is of no use.
fn is_final(refusal: &Refusal) -> bool {
    !refusal.is_passing()
}

/// The signature that came along, if one did.
fn signature(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(SIGNATURE) else {
        return Ok(None);
    };
    let text = value.to_str().ok().map(str::trim);
    let signature = text.filter(|text| {
        let bytes = BASE64_STANDARD.decode(text);
        bytes.is_ok_and(|bytes| bytes.len() == SIGNATURE_BYTES)
    });
    match signature {
        Some(signature) => Ok(Some(signature.to_owned())),
        None => Err(Problem::HeaderInvalid {
            header: SIGNATURE,
            detail: format!("it is no Ed25519 signature: base64 of {SIGNATURE_BYTES} bytes"),
        }),
    }
}
