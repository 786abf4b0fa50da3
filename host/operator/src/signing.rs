//! Signatures of components: Ed25519 (RFC 8032) over a component's bytes.
//!
//! Keys are PEM files: PKCS#8 for the private one, SubjectPublicKeyInfo for the public one. They are those of OpenSSL, which
//! can take this module's place:
//!
//! ```text
//! openssl genpkey -algorithm ed25519 -out key.pem             # new_key, the private half
//! openssl pkey -in key.pem -pubout -out key.pem.pub           # new_key, the public half
//! openssl pkeyutl -sign -rawin -inkey key.pem -in voicemail.wasm | base64 > voicemail.wasm.sig    # sign
//! ```
//!
//! The private key is a secret: it is in a file that its owner alone may read, and in no message.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{SIGNATURE_LENGTH, Signer, SigningKey};
use thiserror::Error;

use crate::artifact;
use crate::private_file::{self, ReadError};

/// A signature of a component, as the management API takes it. It is checked by the hosts, which have the public key.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_LENGTH]);

/// Why a text is no [`Signature`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("it is not a signature: the base64 of {SIGNATURE_LENGTH} bytes")]
pub struct InvalidSignature;

/// Why there is no key, or no signature.
#[derive(Debug, Error)]
pub enum SigningError {
    /// A key is never overwritten: what it signed could not be signed again.
    #[error("{} is there already, and a key is not overwritten; name another file", .0.display())]
    Exists(PathBuf),
    /// Not a secret any more.
    #[error(
        "the key {} may be read by other users (its mode is {mode:04o}), and who has read it can sign; make another key, \
         or `chmod 600` it if nobody has",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another kind of key, or none.
    #[error(
        "{} is no private Ed25519 key in PEM (PKCS#8), as `openssl genpkey -algorithm ed25519` makes one",
        .0.display()
    )]
    NoKey(PathBuf),
    /// The component cannot be read.
    #[error(transparent)]
    Artifact(#[from] artifact::ReadError),
    /// A file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes a key: the private half at `path`, for its owner alone, and the public one, which hosts are given, at `<path>.pub`.
/// Returns the latter path.
///
/// # Errors
///
/// [`SigningError::Exists`] where either file is there; [`SigningError::Io`].
pub fn new_key(path: &Path) -> Result<PathBuf, SigningError> {
    let public = with_suffix(path, ".pub");
    // Asked before, so that no half is left alone. The files are made anew all the same.
    if let Some(there) = [path, &public].into_iter().find(|file| file.exists()) {
        return Err(SigningError::Exists(there.to_owned()));
    }
    let failed = |source: io::Error| SigningError::Io {
        path: path.to_owned(),
        source,
    };
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| failed(error.into()))?;
    let key = SigningKey::from_bytes(&secret);
    // Without the public half, which OpenSSL does not read in there.
    let halves = KeypairBytes {
        secret_key: secret,
        public_key: None,
    };
    let invalid = |error: &dyn fmt::Display| failed(io::Error::other(error.to_string()));
    let private_pem = halves
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| invalid(&error))?;
    let public_pem = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| invalid(&error))?;
    write_new(path, private_pem.as_bytes(), 0o600)?;
    write_new(&public, public_pem.as_bytes(), 0o644)?;
    Ok(public)
}

/// Signs the component in `file` with the private key in `key`, and writes the signature to `<file>.sig`, over one that was
/// there. Returns that path.
///
/// # Errors
///
/// [`SigningError`], but for `Exists`.
pub fn sign(file: &Path, key: &Path) -> Result<PathBuf, SigningError> {
    let key = read_key(key)?;
    let component = artifact::read_file(file)?;
    let signature = Signature(key.sign(&component).to_bytes());
    let path = signature_path(file);
    let unfinished = with_suffix(&path, ".new");
    fs::write(&unfinished, format!("{signature}\n"))
        .and_then(|()| fs::rename(&unfinished, &path))
        .map_err(|source| SigningError::Io {
            path: path.clone(),
            source,
        })?;
    Ok(path)
}

/// Where the signature of the component in `file` is: `<file>.sig`.
#[must_use]
pub fn signature_path(file: &Path) -> PathBuf {
    with_suffix(file, ".sig")
}

fn read_key(path: &Path) -> Result<SigningKey, SigningError> {
    let pem = private_file::read(path).map_err(|error| match error {
        ReadError::Exposed(mode) => SigningError::Exposed {
            path: path.to_owned(),
            mode,
        },
        ReadError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            SigningError::NoKey(path.to_owned())
        }
        ReadError::Io(source) => SigningError::Io {
            path: path.to_owned(),
            source,
        },
    })?;
    // What is wrong with a key stays unsaid: it might quote it.
    SigningKey::from_pkcs8_pem(&pem).map_err(|_| SigningError::NoKey(path.to_owned()))
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), SigningError> {
    let write = || {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SigningError::Exists(path.to_owned()),
        _ => SigningError::Io {
            path: path.to_owned(),
            source,
        },
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

// === impl Signature ===

/// In base64, on one line.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

/// Reads base64, broken into lines as `base64` and `openssl base64` break it, or not.
impl FromStr for Signature {
    type Err = InvalidSignature;

    fn from_str(text: &str) -> Result<Self, InvalidSignature> {
        let text: String = text.split_whitespace().collect();
        let bytes = STANDARD.decode(text).map_err(|_| InvalidSignature)?;
        let bytes = bytes.try_into().map_err(|_| InvalidSignature)?;
        Ok(Self(bytes))
    }
}
