//! Who asks, and whether they may: the bearer token of a request (RFC 6750) against what the resource
//! needs.
//!
//! It is decided before anything of a mailbox is read, so that a refusal says nothing of what exists.
//! Without a session key the API is open to anybody, which is said in every answer
//! ([`OPEN_HEADER`]) and in the log: that is how plain `spin up` runs on a laptop.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use starling_access::{Grant, Keys, Scope, TokenError, verify};
use starling_mailbox::MailboxId;

use crate::platform::{Platform, Variable};
use crate::problem::Problem;

/// The header that says that no key protects the API.
pub(crate) const OPEN_HEADER: &str = "voicemail-access";

/// What a request may do.
pub(crate) enum Access {
    /// Everything: there is no session key.
    Open,
    /// What its token grants.
    Granted(Grant),
    /// Nothing but what anybody may, for the reason given.
    Nobody(Problem),
}

/// The keys of the application, by the variables `session_key` and `session_key_previous`; `None` if
/// there are none.
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
            platform.log(&format!(
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
            platform.log(&format!("variable {name}: {why}"));
            Err(Problem::Misconfigured)
        }
    }
}

impl Access {
    /// What the `Authorization` header of a request at `now_ms` grants.
    pub(crate) fn of(keys: Option<&Keys>, headers: &HeaderMap, now_ms: u64) -> Self {
        let Some(keys) = keys else {
            return Self::Open;
        };
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let token = match (values.next(), values.next()) {
            (None, _) => return Self::Nobody(Problem::TokenMissing),
            (Some(value), None) => value.to_str().ok().and_then(bearer),
            (Some(_), Some(_)) => None,
        };
        let granted = token.map_or(Err(TokenError::Invalid), |token| {
            verify(keys, token, now_ms / 1000)
        });
        match granted {
            Ok(grant) => Self::Granted(grant),
            Err(TokenError::Expired) => Self::Nobody(Problem::TokenExpired),
            Err(TokenError::Invalid) => Self::Nobody(Problem::TokenInvalid),
        }
    }

    /// Whether one of `scopes` is granted for this mailbox. `None` stands for all of them together:
    /// a grant that is limited to one does not reach so far.
    pub(crate) fn permit(
        &self,
        scopes: &[Scope],
        mailbox: Option<&MailboxId>,
    ) -> Result<(), Problem> {
        let grant = match self {
            Self::Open => return Ok(()),
            Self::Nobody(problem) => return Err(problem.clone()),
            Self::Granted(grant) => grant,
        };
        let covers = |scope: &Scope| match mailbox {
            Some(mailbox) => grant.covers(*scope, mailbox),
            None => grant.covers_all(*scope),
        };
        if scopes.iter().any(covers) {
            Ok(())
        } else {
            Err(Problem::ScopeInsufficient {
                needed: scopes.to_vec(),
            })
        }
    }

    /// Whether this is a subscriber, who may change less of a mailbox than an operator.
    pub(crate) fn is_subscriber(&self) -> bool {
        matches!(self, Self::Granted(grant) if grant.scope == Scope::Subscriber)
    }
}

/// The token behind the scheme, which is compared without case (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
