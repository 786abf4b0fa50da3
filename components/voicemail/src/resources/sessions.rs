//! `/v1/sessions`: signing in with mailbox and PIN.
//!
//! # What an attacker learns
//!
//! Whether the mailbox exists, has a PIN, is locked, or the PIN is wrong: the answer is the same, and so is
//! the work, one write and one argon2id. An attempt counts as failed *before* the PIN is looked at, so
//! that no number of attempts at once gets past the lock.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_access::{Grant, Keys, Pin, PinVerifier, Scope, issue};
use starling_mailbox::{Mailbox, MailboxId};

use crate::json::{self, JSON_BYTES_MAX, SessionJson};
use crate::negotiate::declared_type;
use crate::platform::{Platform, Store, UploadError};
use crate::problem::Problem;
use crate::response::{self, Body, JSON};
use crate::slots::{Slots, unavailable};
use crate::upload;

/// How long a session lasts, in seconds: a token cannot be taken back, so not for long.
const SESSION_S: u64 = 15 * 60;

/// What is checked where there is nothing to check. Whatever it says, nobody is signed in by it.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdC4uLg$\
     L9s3vhRXDdzfZSaQcHAyhUrWy6XFLNLQoJhCSNzaRBA";

/// Where an attempt is written that counts for no mailbox.
const DECOY: &str = "sign-in";

/// Signs in.
pub(crate) async fn post<P, B>(
    slots: &Slots<'_, P>,
    keys: &Keys,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    if declared_type(headers)?.as_deref() != Some(JSON) {
        let detail = format!("who signs in says so in {JSON}");
        return Err(Problem::MediaTypeUnsupported { detail });
    }
    let body = upload::read(headers, body, JSON_BYTES_MAX).await?;
    let (mailbox, pin) = json::credentials(&body)?;
    // What can be no mailbox or no PIN fails by itself; that says nothing of what exists.
    let id: MailboxId = mailbox.parse().map_err(|_| Problem::SignInFailed)?;
    let pin: Pin = pin.parse().map_err(|_| Problem::SignInFailed)?;
    if !attempt(slots, &id, &pin).await? {
        return Err(Problem::SignInFailed);
    }
    let grant = Grant {
        scope: Scope::Subscriber,
        mailbox: Some(id.clone()),
    };
    let now_s = slots.platform().now_ms() / 1000;
    let session = SessionJson {
        access_token: issue(keys, &grant, now_s, SESSION_S),
        token_type: "Bearer",
        expires_in: SESSION_S,
        mailbox: id.as_str(),
    };
    Ok(response::json(StatusCode::OK, &session))
}

/// Whether this is the PIN of the mailbox, which is not locked. Counts the attempt.
pub(crate) async fn attempt<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    pin: &Pin,
) -> Result<bool, Problem> {
    let mut verifier = None;
    let count = |mailbox: &Mailbox, _: &_| {
        verifier = None;
        let profile = mailbox.profile();
        let locked = profile.sign_ins.locked_until_ms(mailbox.now_ms()).is_some();
        let (true, false, Some(hash)) = (mailbox.exists(), locked, profile.pin()) else {
            return Ok(Default::default());
        };
        verifier = Some(PinVerifier::from_stored(&hash.0));
        Ok(mailbox.sign_in_failed(&slots.origin()))
    };
    slots.change(id, count).await?;
    if verifier.is_none() {
        let decoy = slots.own_store().set(DECOY, b"-").await;
        decoy.map_err(|error| unavailable(slots.platform(), "count an attempt", &error))?;
    }
    let (is_somebodys, verifier) = match verifier {
        Some(verifier) => (true, verifier),
        None => (false, PinVerifier::from_stored(NOBODYS)),
    };
    if !verifier.matches(pin) || !is_somebodys {
        return Ok(false);
    }
    slots
        .change(id, |mailbox, _| Ok(mailbox.sign_in_succeeded()))
        .await?;
    Ok(true)
}
