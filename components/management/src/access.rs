//! Who asks, and whether they may: the bearer token of a request (RFC 6750), which must have the scope `operator`.
//!
//! It is decided before anything is read, so that a refusal says nothing of what exists. Without a session key the
//! API is open to anybody who reaches it, as the application's is.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use starling_access::{Keys, Scope, TokenError, verify};

use crate::platform::{Platform, Variable};
use crate::problem::Problem;

/// The keys of the deployment, by the variables `session_key` and `session_key_previous`; `None` if there are none.
///
/// # Errors
///
/// [`Problem::Misconfigured`] if they cannot be read, or are too short to protect anything.
pub(crate) async fn keys(platform: &impl Platform) -> Result<Option<Keys>, Problem> {
    let Some(current) = secret(platform, "session_key").await? else {
        return Ok(None);
    };
    let previous = secret(platform, "session_key_previous").await?;
    Keys::new(&current, previous.as_deref())
        .map(Some)
        .map_err(|error| {
            platform.warn(&format!(
                "variable session_key or session_key_previous: {error}"
            ));
            Problem::Misconfigured
        })
}

async fn secret(platform: &impl Platform, name: &str) -> Result<Option<String>, Problem> {
    match platform.variable(name).await {
        Variable::Set(value) => Ok(Some(value.trim().to_owned()).filter(|it| !it.is_empty())),
        Variable::Unset => Ok(None),
        Variable::Unreadable(why) => {
            platform.warn(&format!("variable {name}: {why}"));
            Err(Problem::Misconfigured)
        }
    }
}

/// Whether a request at `now_ms` with these headers may do what operators do.
///
/// # Errors
///
/// Why it may not.
pub(crate) fn permit(keys: Option<&Keys>, headers: &HeaderMap, now_ms: u64) -> Result<(), Problem> {
    let Some(keys) = keys else {
        return Ok(());
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (None, _) => return Err(Problem::TokenMissing),
        (Some(value), None) => value.to_str().ok().and_then(bearer),
        (Some(_), Some(_)) => None,
    };
    let token = token.ok_or(Problem::TokenInvalid)?;
    match verify(keys, token, now_ms / 1000) {
        Ok(grant) if grant.covers_all(Scope::Operator) => Ok(()),
        Ok(_) => Err(Problem::ScopeInsufficient),
        Err(TokenError::Expired) => Err(Problem::TokenExpired),
        Err(TokenError::Invalid) => Err(Problem::TokenInvalid),
    }
}

/// The token behind the scheme, which is compared without case (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
