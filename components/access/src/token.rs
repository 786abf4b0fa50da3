//! Bearer tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256 (`HS256`, RFC 7518).
//!
//! The format is `jsonwebtoken`'s. Its built-in cryptography brings every algorithm that a token can
//! have; the one that is used here is lent to it instead, by [`HMAC_SHA_256`].

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation, decode,
    decode_header, encode,
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use starling_mailbox::MailboxId;

use crate::{Grant, Keys, Scope};

/// The longest text that is looked at as a token. Ours have some 250 bytes.
pub const TOKEN_BYTES_MAX: usize = 1024;

const ISSUER: &str = "starling";

/// Why a token permits nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or not one of ours, or signed with a key that is not valid any more.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid until a moment ago.
    #[error("the token has expired")]
    Expired,
}

/// What a token says (RFC 7519, section 4.1; `scope` as in RFC 8693, section 4.2).
#[derive(Deserialize, Serialize)]
struct Claims {
    iss: String,
    scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    iat: u64,
    exp: u64,
}

/// A token that grants `grant` from `now_s` (seconds since the Unix epoch) on, for `ttl_s` seconds.
pub fn issue(keys: &Keys, grant: &Grant, now_s: u64, ttl_s: u64) -> String {
    install();
    let header = Header {
        kid: Some(keys.current.id.clone()),
        ..Header::new(Algorithm::HS256)
    };
    let claims = Claims {
        iss: ISSUER.to_owned(),
        scope: grant.scope.to_string(),
        sub: grant.mailbox.as_ref().map(MailboxId::to_string),
        iat: now_s,
        exp: now_s.saturating_add(ttl_s),
    };
    encode(&header, &claims, &keys.current.signing)
        .expect("claims are JSON, and the key is one for the algorithm")
}

/// What a token grants at `now_s` (seconds since the Unix epoch).
///
/// # Errors
///
/// [`TokenError`]. No text makes it panic.
pub fn verify(keys: &Keys, token: &str, now_s: u64) -> Result<Grant, TokenError> {
    install();
    let invalid = |_| TokenError::Invalid;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid);
    }
    let key_id = decode_header(token).map_err(invalid)?.kid;
    let key = key_id.and_then(|id| keys.by_id(&id));
    let key = key.ok_or(TokenError::Invalid)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    // By the clock that was passed in, below.
    validation.validate_exp = false;
    let claims = decode::<Claims>(token, &key.checking, &validation)
        .map_err(|_| TokenError::Invalid)?
        .claims;
    if now_s >= claims.exp {
        return Err(TokenError::Expired);
    }
    let scope = claims.scope.parse().map_err(|_| TokenError::Invalid)?;
    let mailbox = claims.sub.map(|id| id.parse::<MailboxId>()).transpose();
    let mailbox = mailbox.map_err(|_| TokenError::Invalid)?;
    match (scope, &mailbox) {
        (Scope::Subscriber, None) | (Scope::Operator, Some(_)) => Err(TokenError::Invalid),
        _ => Ok(Grant { scope, mailbox }),
    }
}

/// HMAC-SHA-256, and no other algorithm: a token that names another is refused.
static HMAC_SHA_256: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(HmacSha256::signing(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(HmacSha256::checking(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

fn install() {
    // Only the first time succeeds, and it is the same provider every time.
    let _ = HMAC_SHA_256.install_default();
}

struct HmacSha256(Hmac<Sha256>);

impl HmacSha256 {
    fn signing(algorithm: Algorithm, key: &EncodingKey) -> Result<Self, Error> {
        if key.family() != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Self::new(algorithm, key.as_bytes())
    }

    fn checking(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        if key.family() != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Self::new(algorithm, key.try_get_as_bytes()?)
    }

    fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, Error> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        let keyed = Hmac::new_from_slice(key).map_err(|_| ErrorKind::InvalidKeyFormat)?;
        Ok(Self(keyed))
    }
}

impl Signer<Vec<u8>> for HmacSha256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signed = self.0.clone().chain_update(message);
        Ok(signed.finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for HmacSha256 {
    /// In constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let signed = self.0.clone().chain_update(message);
        signed
            .verify_slice(signature)
            .map_err(signature::Error::from_source)
    }
}

impl JwtSigner for HmacSha256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for HmacSha256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
