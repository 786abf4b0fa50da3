//! Proving to a webhook who calls: the signature of the Standard Webhooks specification (1.0).
//!
//! HMAC-SHA-256 over `id.timestamp.body`, so that neither can be exchanged for another, and an old
//! call is told from a new one.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// How many bytes a secret has (Standard Webhooks, "Signature scheme").
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What calls of a webhook are signed with.
#[derive(Clone, Eq, PartialEq)]
pub struct WebhookSecret {
    text: String,
    key: Vec<u8>,
}

/// The text is no secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a webhook's secret is whsec_ and 24 to 64 random bytes in base64 (Standard Webhooks), such as \
     whsec_ with the output of openssl rand -base64 32"
)]
pub struct InvalidSecret;

impl WebhookSecret {
    /// What to store, and what the receiver is given.
    pub fn as_stored(&self) -> &str {
        &self.text
    }

    /// The value of the header `webhook-signature` for a call with this `webhook-id` and
    /// `webhook-timestamp` (seconds since the Unix epoch).
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let signed = Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("a key of any length")
            .chain_update(id.as_bytes())
            .chain_update(format!(".{timestamp_s}."))
            .chain_update(body)
            .finalize();
        format!("v1,{}", STANDARD.encode(signed.into_bytes()))
    }
}

impl FromStr for WebhookSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if !SECRET_BYTES.contains(&key.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self {
            text: text.to_owned(),
            key,
        })
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signature_is_that_of_the_specification() {
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            .parse()
            .expect("a secret");
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_é",
        ] {
            assert!(text.parse::<WebhookSecret>().is_err(), "{text}");
        }
    }
}
