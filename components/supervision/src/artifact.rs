//! What is stored of a version of a component.

use serde::{Deserialize, Serialize};

use crate::ComponentName;

/// The largest piece that an artifact is stored in: 256 KiB, which every supported store takes.
pub const ARTIFACT_CHUNK_BYTES: u32 = 256 * 1024;

/// The largest artifact: 64 MiB.
pub const ARTIFACT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An artifact whose pieces are all stored.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ArtifactRecord {
    /// The component that it was stored for.
    pub component: ComponentName,
    /// How long it is.
    pub size_bytes: u64,
    /// How long each piece is, but the last.
    pub chunk_bytes: u32,
    /// How many pieces there are.
    pub chunks: u32,
    /// The Ed25519 signature over its bytes, in base64, if it came with one.
    pub signature: Option<String>,
    /// When the record was written, in milliseconds since the Unix epoch.
    pub stored_at_ms: u64,
}

impl ArtifactRecord {
    /// The record of an artifact of this size in pieces of [`ARTIFACT_CHUNK_BYTES`].
    ///
    /// `None` if it is larger than [`ARTIFACT_BYTES_MAX`].
    pub fn new(
        component: ComponentName,
        size_bytes: u64,
        signature: Option<String>,
        stored_at_ms: u64,
    ) -> Option<Self> {
        let chunks = size_bytes.div_ceil(u64::from(ARTIFACT_CHUNK_BYTES));
        (size_bytes <= ARTIFACT_BYTES_MAX).then(|| Self {
            component,
            size_bytes,
            chunk_bytes: ARTIFACT_CHUNK_BYTES,
            chunks: u32::try_from(chunks).unwrap_or(u32::MAX),
            signature,
            stored_at_ms,
        })
    }
}
