//! Reads artifacts from the fleet's stores, where any region may have left them.

use std::sync::Arc;

use starling_engine::management::artifacts::{Refusal, RefusalKind};
use starling_kv::Store;
use starling_supervision::{ARTIFACT_BYTES_MAX, ArtifactRecord, Digest, decode, keys};

use crate::refusal::refusal;

/// Reads a version from the first of `stores` that has all of it, and its signature with it.
///
/// # Errors
/// Why there is none: the most telling of what was found.
pub(crate) async fn read(
    stores: &[Arc<dyn Store>],
    digest: &Digest,
) -> Result<(Vec<u8>, Option<String>), Refusal> {
    let mut why = refusal(
        RefusalKind::Incomplete,
        "no region's store that can be read has the artifact",
    );
    for store in stores {
        match read_from(&**store, digest).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(refused) => why = refused,
        }
    }
    Err(why)
}

async fn read_from(
    store: &dyn Store,
    digest: &Digest,
) -> Result<Option<(Vec<u8>, Option<String>)>, Refusal> {
    let failed = |error: starling_kv::Error| {
        refusal(
            RefusalKind::Store,
            format!("the fleet's store cannot be read: {error}"),
        )
    };
    let Some(entry) = store.get(&keys::artifact(digest)).await.map_err(failed)? else {
        return Ok(None);
    };
    let record: ArtifactRecord = decode(&entry.value)
        .map_err(|error| refusal(RefusalKind::Incomplete, error.to_string()))?;
    if record.size_bytes > ARTIFACT_BYTES_MAX {
        return Err(refusal(
            RefusalKind::TooLarge,
            format!("it has more than {ARTIFACT_BYTES_MAX} bytes"),
        ));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(record.size_bytes).unwrap_or_default());
    for chunk in 0..record.chunks {
        let key = keys::artifact_chunk(digest, chunk);
        let Some(entry) = store.get(&key).await.map_err(failed)? else {
            return Err(refusal(
                RefusalKind::Incomplete,
                format!("the store has not piece {chunk} of {}", record.chunks),
            ));
        };
        bytes.extend_from_slice(&entry.value);
        if bytes.len() as u64 > record.size_bytes {
            break;
        }
    }
    if Digest::of(&bytes) != *digest {
        return Err(refusal(
            RefusalKind::DigestMismatch,
            "its bytes are not those that its digest names",
        ));
    }
    Ok(Some((bytes, record.signature)))
}
