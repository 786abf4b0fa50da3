//! Stored documents: JSON objects with a `version`.
//!
//! Hosts of different releases share a fleet while it is updated, so readers pass over fields that they do not know. A
//! release that adds a field must do without it in what an older release wrote, or wrote anew without it. What cannot be
//! done that way, a new case of an enumeration among it, is a new version: release N+1 reads it and still writes the old
//! one, release N+2 writes it. A reader that meets a version from its future says so ([`DecodeError::NewerVersion`]) and
//! must not overwrite it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ArtifactRecord, Desired, Heartbeat, Members};

/// The version that [`encode`] writes, and the newest that [`decode`] reads.
pub const DOCUMENT_VERSION: u32 = 1;

/// What is stored as a document of its own.
pub trait Document: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const NAME: &'static str;
}

impl Document for ArtifactRecord {
    const NAME: &'static str = "artifact record";
}

impl Document for Desired {
    const NAME: &'static str = "desired state";
}

impl Document for Heartbeat {
    const NAME: &'static str = "heartbeat";
}

impl Document for Members {
    const NAME: &'static str = "list of members";
}

/// Why stored bytes are no document of the kind that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer release, which is being brought in, or was and is being taken back.
    #[error("the {document} has version {version}; this release reads up to {DOCUMENT_VERSION}")]
    NewerVersion {
        /// Which document.
        document: &'static str,
        /// Its version.
        version: u32,
    },
    /// Written by no release: damage, or something else under the same key.
    #[error("the {document} is malformed: {detail}")]
    Malformed {
        /// Which document.
        document: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

/// A document with its version beside its own fields.
#[derive(Serialize)]
struct Versioned<'a, D> {
    version: u32,
    #[serde(flatten)]
    document: &'a D,
}

/// The version alone, which is looked at before anything else.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The bytes to store.
pub fn encode<D: Document>(document: &D) -> Vec<u8> {
    let versioned = Versioned {
        version: DOCUMENT_VERSION,
        document,
    };
    serde_json::to_vec(&versioned)
        .expect("a document is a structure whose maps have texts for keys")
}

/// The document that was stored.
///
/// # Errors
///
/// [`DecodeError`] for bytes that [`encode`] did not write, now or formerly. No bytes make it panic.
pub fn decode<D: Document>(bytes: &[u8]) -> Result<D, DecodeError> {
    let malformed = |error: serde_json::Error| DecodeError::Malformed {
        document: D::NAME,
        detail: error.to_string(),
    };
    let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
    match version {
        0 => Err(DecodeError::Malformed {
            document: D::NAME,
            detail: "there is no version 0".into(),
        }),
        1..=DOCUMENT_VERSION => serde_json::from_slice(bytes).map_err(malformed),
        version => Err(DecodeError::NewerVersion {
            document: D::NAME,
            version,
        }),
    }
}
