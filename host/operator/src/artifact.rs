//! What is deployed: a component's bytes with their signature, from a file or from an OCI registry.

mod credentials;
mod registry;
mod source;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

pub use credentials::CredentialsError;
pub use registry::{RegistryError, SIGNATURE_ANNOTATION};
pub use source::{InvalidSource, Source};

use crate::Digest;
use crate::signing::{InvalidSignature, Signature, signature_path};

/// The longest component that is read: 64 MiB.
pub const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The longest signature file that is read. One has some 90 bytes.
const SIGNATURE_BYTES_MAX: u64 = 4096;

/// A component, ready to be deployed.
#[derive(Clone)]
pub struct Artifact {
    /// Its bytes. Whether they are a component is for the hosts to say.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// Their signature, if there is one. Whether it is right is for the hosts to say: they have the public key.
    pub signature: Option<Signature>,
}

/// How to read an artifact, beside where.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The file of the signature. Otherwise it is `<file>.sig` if that is there, or the annotation
    /// [`SIGNATURE_ANNOTATION`] of what comes from a registry.
    pub signature: Option<PathBuf>,
    /// Docker's configuration file, which may have a password for a registry. It need not be there.
    pub docker_config: Option<PathBuf>,
}

/// No signature was named, and Docker's configuration is where Docker has it.
impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            signature: None,
            docker_config: credentials::docker_config(|name| std::env::var_os(name)),
        }
    }
}

/// Why a file was not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Longer than any component may be.
    #[error("{} is longer than {bytes_max} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What would be read.
        bytes_max: u64,
    },
    /// What the system said.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why there is no artifact.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file, or an annotation, holds no signature.
    #[error("{place} holds no signature; `starling sign` makes one")]
    Signature {
        /// Where it was looked for.
        place: String,
        /// What is wrong.
        source: InvalidSignature,
    },
    /// The registry has none.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Artifact {
    /// Reads an artifact from where it is.
    ///
    /// # Errors
    ///
    /// [`ArtifactError`].
    pub async fn read(source: &Source, options: &ReadOptions) -> Result<Self, ArtifactError> {
        let named = options.signature.clone();
        let (bytes, signature) = match source {
            Source::File(file) => {
                let beside = Some(signature_path(file)).filter(|path| path.exists());
                let signature = named.or(beside).as_deref().map(read_signature);
                (read_file(file)?, signature)
            }
            Source::Registry(image) => {
                let pulled = registry::pull(image, options.docker_config.as_deref()).await?;
                let annotated = || {
                    let place = format!("the annotation {SIGNATURE_ANNOTATION} of {image}");
                    let text = pulled.signature?;
                    Some(parse_signature(&text, &place))
                };
                let signature = named.as_deref().map(read_signature).or_else(annotated);
                (pulled.bytes, signature)
            }
        };
        Ok(Self {
            digest: Digest::of(&bytes),
            bytes,
            signature: signature.transpose()?,
        })
    }
}

/// Without the bytes.
impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("bytes", &self.bytes.len())
            .field("digest", &self.digest)
            .field("signature", &self.signature)
            .finish()
    }
}

/// The bytes of a component's file.
pub(crate) fn read_file(path: &Path) -> Result<Bytes, ReadError> {
    read_bounded(path, BYTES_MAX).map(Bytes::from)
}

fn read_signature(path: &Path) -> Result<Signature, ArtifactError> {
    let bytes = read_bounded(path, SIGNATURE_BYTES_MAX)?;
    parse_signature(
        &String::from_utf8_lossy(&bytes),
        &path.display().to_string(),
    )
}

fn parse_signature(text: &str, place: &str) -> Result<Signature, ArtifactError> {
    text.parse().map_err(|source| ArtifactError::Signature {
        place: place.to_owned(),
        source,
    })
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let read = || {
        // One more than there may be tells that it is too long.
        let mut bytes = Vec::new();
        File::open(path)?
            .take(bytes_max + 1)
            .read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() as u64 > bytes_max => Err(ReadError::TooLarge {
            path: path.to_owned(),
            bytes_max,
        }),
        Ok(bytes) => Ok(bytes),
        Err(source) => Err(ReadError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}
