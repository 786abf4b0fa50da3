//! Who may do what: scopes, the bearer tokens that carry them, and the PINs that subscribers sign in
//! with; and the signature by which a webhook knows who calls it.
//!
//! Tokens are stateless: any host of any region that holds a [`Keys`] checks them, without asking a
//! store or another region. So they cannot be revoked one by one; they are short-lived instead, and
//! replacing the key revokes all of them.
//!
//! # Invariants
//!
//! - No I/O, clock, randomness or environment: time and random bits are arguments.
//! - No secret has a textual form here: keys and PINs are not shown by `Debug`, and no error carries
//!   one.
//! - Secrets are compared in constant time, by the libraries that hash them.

mod grant;
mod keys;
mod pin;
mod token;
mod webhook;

pub use grant::{Grant, InvalidScope, Scope};
pub use keys::{KEY_BYTES_MIN, Keys, WeakKey};
pub use pin::{PIN_DIGITS, PIN_SALT_BYTES, Pin, PinCost, PinError, PinVerifier};
pub use token::{TOKEN_BYTES_MAX, TokenError, issue, verify};
pub use webhook::{InvalidSecret, WebhookSecret};
