//! The keys that tokens are signed with: the current one, and during a rotation the one before it.

use std::fmt;

use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};

/// The shortest key that is taken, in bytes: as long as the digest (RFC 7518, section 3.2).
pub const KEY_BYTES_MIN: usize = 32;

/// What tokens are signed and checked with.
///
/// To rotate a key without anybody noticing, while hosts are restarted one by one: make the new key
/// the previous everywhere, so that it is checked; then the current, with the old one as the previous;
/// then drop the old one, once the longest token has expired.
pub struct Keys {
    pub(crate) current: Key,
    pub(crate) previous: Option<Key>,
}

pub(crate) struct Key {
    /// Names the key in a token's header (RFC 7515, section 4.1.4) without revealing anything of it.
    pub(crate) id: String,
    pub(crate) signing: EncodingKey,
    pub(crate) checking: DecodingKey,
}

/// A key that could be guessed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a session key has at least {KEY_BYTES_MIN} bytes; this one has {0}")]
pub struct WeakKey(pub usize);

impl Keys {
    /// Takes the text of the current key, and of the previous one if there is one.
    ///
    /// # Errors
    ///
    /// [`WeakKey`] if one of them is too short. What is long enough is taken to be random.
    pub fn new(current: &str, previous: Option<&str>) -> Result<Self, WeakKey> {
        Ok(Self {
            current: Key::of(current)?,
            previous: previous.map(Key::of).transpose()?,
        })
    }

    /// The key of this id, if it is still valid.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Key> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id == id)
    }
}

impl Key {
    fn of(text: &str) -> Result<Self, WeakKey> {
        let bytes = text.as_bytes();
        if bytes.len() < KEY_BYTES_MIN {
            return Err(WeakKey(bytes.len()));
        }
        let digest = Sha256::new()
            .chain_update(b"starling session key id, version 1\0")
            .chain_update(bytes)
            .finalize();
        Ok(Self {
            id: digest[..4]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            signing: EncodingKey::from_secret(bytes),
            checking: DecodingKey::from_secret(bytes),
        })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("current", &self.current.id)
            .field("previous", &self.previous.as_ref().map(|key| &key.id))
            .finish()
    }
}
