//! PINs: which may be chosen, and what is kept of them.
//!
//! A PIN has little entropy, so what is kept is made with argon2id (RFC 9106), which makes each
//! guess cost memory and time even for somebody who holds a copy of the store; and a mailbox is
//! locked for a while after some wrong ones (`starling_mailbox::SignIns`), which is what limits
//! guessing through the API.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};

/// How many digits a PIN has.
pub const PIN_DIGITS: RangeInclusive<usize> = 6..=12;

/// How many random bytes each PIN is hashed with.
pub const PIN_SALT_BYTES: usize = 16;

/// A PIN that may be chosen.
#[derive(Clone, Eq, PartialEq)]
pub struct Pin(Box<str>);

/// Why a PIN may not be chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PinError {
    /// Not [`PIN_DIGITS`] digits.
    #[error("a PIN has {} to {} digits", PIN_DIGITS.start(), PIN_DIGITS.end())]
    NotDigits,
    /// Among the first that anybody would try.
    #[error(
        "the PIN is too easy to guess: it repeats itself, counts up or down, or is a part of the \
         mailbox's number"
    )]
    Trivial,
}

impl Pin {
    /// Checks a PIN that is to be set for a mailbox of this id.
    ///
    /// # Errors
    ///
    /// [`PinError`].
    pub fn choose(text: &str, mailbox: &str) -> Result<Self, PinError> {
        let pin: Self = text.parse()?;
        let digits = text.as_bytes();
        if counts(digits, 1) || counts(digits, 9) || repeats(digits) || mailbox.contains(text) {
            return Err(PinError::Trivial);
        }
        Ok(pin)
    }
}

/// Whether each digit is the one before plus `step`, modulo ten: 0 repeats, 1 counts up, 9 down.
fn counts(digits: &[u8], step: u8) -> bool {
    digits
        .windows(2)
        .all(|pair| (pair[0] - b'0' + step) % 10 == pair[1] - b'0')
}

/// Whether it is one block of up to half its length, over and over: 111111, 121212, 123123.
fn repeats(digits: &[u8]) -> bool {
    (1..=digits.len() / 2).any(|period| {
        digits
            .iter()
            .zip(&digits[period..])
            .all(|(one, next)| one == next)
    })
}

impl FromStr for Pin {
    type Err = PinError;

    /// Takes a PIN that somebody signs in with, chosen under whatever policy was in force.
    fn from_str(text: &str) -> Result<Self, PinError> {
        if PIN_DIGITS.contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(PinError::NotDigits)
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// What argon2id spends on a PIN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PinCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl PinCost {
    /// 19 MiB and two passes, on one lane: the OWASP Password Storage Cheat Sheet's first choice.
    pub const DEFAULT: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
    };

    fn params(self) -> Params {
        Params::new(self.memory_kib, self.passes, 1, None).unwrap_or(Params::DEFAULT)
    }
}

/// What is kept of a PIN: a PHC string with algorithm, cost, salt and hash.
#[derive(Clone, Eq, PartialEq)]
pub struct PinVerifier(String);

impl PinVerifier {
    /// Hashes a PIN with a salt of fresh random bytes.
    pub fn of(pin: &Pin, salt: &[u8; PIN_SALT_BYTES], cost: PinCost) -> Self {
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params());
        let hash: PasswordHash = hasher
            .hash_password_with_salt(pin.0.as_bytes(), salt)
            .expect("the parameters are checked, and the salt and the PIN are short");
        Self(hash.to_string())
    }

    /// Takes what was stored.
    pub fn from_stored(phc: &str) -> Self {
        Self(phc.to_owned())
    }

    /// What to store.
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// Whether this is the verifier of `pin`. Takes as long for a wrong one. A stored text that is
    /// no verifier is that of no PIN.
    pub fn matches(&self, pin: &Pin) -> bool {
        Argon2::default()
            .verify_password(pin.0.as_bytes(), self.0.as_str())
            .is_ok()
    }
}

impl fmt::Debug for PinVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinVerifier(…)")
    }
}
