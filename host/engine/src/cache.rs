//! Compiled components on disk, so that a host starts in milliseconds.
//!
//! A compiled component is native code: running a damaged or planted one would be fatal. So an entry is used only
//! if the file belongs to the host's own user, nobody else may write it, and a digest stored with it covers the
//! code, the component it came from and the configuration of the engine. Anything else is compiled again.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

/// The file starts with this, then the digest, then the code.
const MAGIC: &[u8; 8] = b"starlng1";
const DIGEST_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + DIGEST_BYTES;

/// A folder of compiled components, for one configuration of one engine.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    engine_digest: [u8; DIGEST_BYTES],
}

impl Cache {
    /// Opens the cache in `folder`, which is made if it is missing, for the owner alone.
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        if fs::metadata(&folder)?.mode() & 0o022 != 0 {
            let why = "others may write it; make it the host's alone with chmod 700";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let mut hasher = DigestHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder,
            engine_digest: hasher.0.finalize().into(),
        })
    }

    /// The code for a component, if a sound entry is there.
    pub(crate) fn read(&self, component_digest: &[u8; DIGEST_BYTES]) -> Option<Vec<u8>> {
        let path = self.path(component_digest);
        match self.read_entry(&path, component_digest) {
            Ok(code) => Some(code),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled component is not used");
                None
            }
        }
    }

    /// Keeps the code of a component. The entry appears whole or not at all.
    pub(crate) fn write(
        &self,
        component_digest: &[u8; DIGEST_BYTES],
        code: &[u8],
    ) -> io::Result<()> {
        let path = self.path(component_digest);
        let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
        // Made anew, so that nothing is written through a link or into a file of somebody else's.
        let _ = fs::remove_file(&unfinished);
        let written = (|| {
            let mut file = fs::File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.write_all(MAGIC)?;
            file.write_all(&self.seal(component_digest, code))?;
            file.write_all(code)?;
            fs::rename(&unfinished, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn path(&self, component_digest: &[u8; DIGEST_BYTES]) -> PathBuf {
        let name = format!(
            "{}-{}.cwasm",
            hex(&component_digest[..16]),
            hex(&self.engine_digest[..8])
        );
        self.folder.join(name)
    }

    fn read_entry(
        &self,
        path: &Path,
        component_digest: &[u8; DIGEST_BYTES],
    ) -> io::Result<Vec<u8>> {
        let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return refused("it belongs to another user");
        }
        if metadata.mode() & 0o022 != 0 {
            return refused("others may write it");
        }
        let mut header = [0; HEADER_BYTES];
        io::Read::read_exact(&mut file, &mut header)?;
        let mut code = Vec::new();
        io::Read::read_to_end(&mut file, &mut code)?;
        if header[..MAGIC.len()] != *MAGIC {
            return refused("it is not an entry of this cache");
        }
        if header[MAGIC.len()..] != self.seal(component_digest, &code) {
            return refused("it is damaged, or was made from something else");
        }
        Ok(code)
    }

    fn seal(&self, component_digest: &[u8; DIGEST_BYTES], code: &[u8]) -> [u8; DIGEST_BYTES] {
        let mut seal = Sha256::new();
        seal.update(component_digest);
        seal.update(self.engine_digest);
        seal.update(code);
        seal.finalize().into()
    }
}

/// Feeds what implements [`Hash`] to SHA-256, whose result is the same in every process.
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(std::array::from_fn(|index| digest[index]))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const COMPONENT: [u8; DIGEST_BYTES] = [7; DIGEST_BYTES];

    fn cache(folder: &Path) -> Cache {
        Cache::open(folder.join("cache"), &Engine::default()).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        assert_eq!(cache.read(&COMPONENT), None);
        cache.write(&COMPONENT, b"code").unwrap();
        assert_eq!(cache.read(&COMPONENT).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.read(&[8; DIGEST_BYTES]), None);
    }

    #[test]
    fn a_damaged_entry_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        for at in [0, MAGIC.len(), HEADER_BYTES] {
            cache.write(&COMPONENT, b"code").unwrap();
            let path = cache.path(&COMPONENT);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(cache.read(&COMPONENT), None, "byte {at} was changed");
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(cache.read(&COMPONENT), None, "cut at {at}");
        }
    }

    #[test]
    fn an_entry_that_others_may_write_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.write(&COMPONENT, b"code").unwrap();
        fs::set_permissions(cache.path(&COMPONENT), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.read(&COMPONENT), None);
    }

    #[test]
    fn an_entry_for_another_component_under_this_name_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.write(&[8; DIGEST_BYTES], b"code").unwrap();
        fs::rename(cache.path(&[8; DIGEST_BYTES]), cache.path(&COMPONENT)).unwrap();
        assert_eq!(cache.read(&COMPONENT), None);
    }
}
