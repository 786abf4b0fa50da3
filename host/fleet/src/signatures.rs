//! Whose artifacts a host runs: Ed25519 signatures (RFC 8032) over the bytes of a component.
//!
//! A signature is base64 text, as `starling sign` writes it, and `openssl pkeyutl -sign -rawin` in raw bytes. Public keys
//! are PEM files with a SubjectPublicKeyInfo (RFC 8410), as `openssl pkey -pubout` writes them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{Signature, VerifyingKey};
use thiserror::Error;

/// The keys that a host trusts, and whether it runs what none of them has signed.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys {
    keys: Vec<VerifyingKey>,
    unsigned_allowed: bool,
}

/// A text that is no public key.
#[derive(Debug, Error)]
#[error("it is not an Ed25519 public key in PEM, such as `starling sign --new-key` writes")]
pub struct InvalidKey(#[source] ed25519_dalek::pkcs8::spki::Error);

/// Why an artifact is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Untrusted {
    /// It has no signature.
    #[error(
        "it is not signed, and this host runs signed components alone; sign it with `starling sign`, with a key whose \
         public half the hosts' configuration names in signatures.keys"
    )]
    Unsigned,
    /// Its signature was made with another key, or over other bytes.
    #[error(
        "its signature is by none of the keys that the host's configuration names in signatures.keys, or it is over \
         other bytes"
    )]
    WrongSignature,
    /// Its signature is none.
    #[error("its signature is not the base64 of an Ed25519 signature")]
    MalformedSignature,
}

impl TrustedKeys {
    /// No key yet. Unsigned artifacts are trusted if `unsigned_allowed`; one that has a signature must have one of
    /// a trusted key all the same.
    pub fn new(unsigned_allowed: bool) -> Self {
        Self {
            keys: Vec::new(),
            unsigned_allowed,
        }
    }

    /// Trusts a key.
    ///
    /// # Errors
    /// When it is not one.
    pub fn trust(&mut self, pem: &str) -> Result<(), InvalidKey> {
        let key = VerifyingKey::from_public_key_pem(pem).map_err(InvalidKey)?;
        self.keys.push(key);
        Ok(())
    }

    /// Whether these bytes with this signature are to be run.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, bytes: &[u8], signature: Option<&str>) -> Result<(), Untrusted> {
        let Some(text) = signature else {
            return if self.unsigned_allowed {
                Ok(())
            } else {
                Err(Untrusted::Unsigned)
            };
        };
        let decoded = BASE64_STANDARD
            .decode(text.trim())
            .map_err(|_| Untrusted::MalformedSignature)?;
        let signature =
            Signature::from_slice(&decoded).map_err(|_| Untrusted::MalformedSignature)?;
        let signed = |key: &VerifyingKey| key.verify_strict(bytes, &signature).is_ok();
        if self.keys.iter().any(signed) {
            Ok(())
        } else {
            Err(Untrusted::WrongSignature)
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::pkcs8::EncodePublicKey;
    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn key(seed: u8) -> (SigningKey, String) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let pem = key.verifying_key().to_public_key_pem(LineEnding::LF);
        (key, pem.unwrap())
    }

    fn signature(key: &SigningKey, bytes: &[u8]) -> String {
        BASE64_STANDARD.encode(key.sign(bytes).to_bytes())
    }

    #[test]
    fn what_a_trusted_key_has_signed_is_run() {
        let ((first, first_pem), (second, second_pem)) = (key(1), key(2));
        let mut trusted = TrustedKeys::new(false);
        trusted.trust(&first_pem).unwrap();
        trusted.trust(&second_pem).unwrap();
        for key in [first, second] {
            let text = format!("{}\n", signature(&key, b"component"));
            assert_eq!(trusted.check(b"component", Some(&text)), Ok(()));
        }
    }

    #[test]
    fn what_nobody_trusted_has_signed_is_not() {
        let ((trusted_key, pem), (other, _)) = (key(1), key(2));
        for unsigned_allowed in [false, true] {
            let mut trusted = TrustedKeys::new(unsigned_allowed);
            trusted.trust(&pem).unwrap();
            let check = |text: &str| trusted.check(b"component", Some(text));
            let of_other_bytes = signature(&trusted_key, b"another");
            let by_other = signature(&other, b"component");
            assert_eq!(check(&of_other_bytes), Err(Untrusted::WrongSignature));
            assert_eq!(check(&by_other), Err(Untrusted::WrongSignature));
            for malformed in ["", "no base64!", "AAAA"] {
                assert_eq!(check(malformed), Err(Untrusted::MalformedSignature));
            }
        }
    }

    #[test]
    fn unsigned_artifacts_are_run_where_that_is_allowed() {
        assert_eq!(TrustedKeys::new(true).check(b"component", None), Ok(()));
        let refused = TrustedKeys::default().check(b"component", None);
        assert_eq!(refused, Err(Untrusted::Unsigned));
    }

    #[test]
    fn a_key_is_one_in_pem() {
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(TrustedKeys::default().trust(text).is_err(), "{text}");
        }
    }
}
