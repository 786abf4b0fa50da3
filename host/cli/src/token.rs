//! `starling token`: makes a token for the API, and prints it.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use starling_access::{Grant, Keys, issue};
use thiserror::Error;

use crate::args::Token;
use crate::session_key::{self, ENVIRONMENT};

/// The shortest time that a token can be valid for.
const TTL_MIN: SignedDuration = SignedDuration::from_secs(1);

/// The longest one: whoever finds a token has it until then.
const TTL_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);

/// How long a token is valid, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ttl(u64);

/// Why a text says no [`Ttl`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum TtlError {
    /// Not a duration.
    #[error("it is not a duration, such as `15m`, `1h` or `30d`")]
    Malformed,
    /// Too short or too long.
    #[error("a token is valid for 1 second (`1s`) to 365 days (`365d`)")]
    Bounds,
}

impl std::str::FromStr for Ttl {
    type Err = TtlError;

    fn from_str(text: &str) -> Result<Self, TtlError> {
        let duration = duration(text).ok_or(TtlError::Malformed)?;
        if !(TTL_MIN..=TTL_MAX).contains(&duration) {
            return Err(TtlError::Bounds);
        }
        Ok(Self(duration.as_secs().unsigned_abs()))
    }
}

/// A duration as people say it, such as `15m`. Months and years have no fixed length: they are no durations here.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

/// Prints a token, alone on its line.
pub(crate) fn run(args: &Token) -> Result<()> {
    let keys = match std::env::var(ENVIRONMENT) {
        Ok(key) if !key.is_empty() => {
            Keys::new(&key, None).with_context(|| format!("{ENVIRONMENT} cannot be used"))?
        }
        _ => Keys::new(&session_key::read(&args.state_dir)?, None)?,
    };
    let grant = Grant {
        scope: args.scope,
        mailbox: args.mailbox.clone(),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock of this machine is before 1970")?;
    let token = issue(&keys, &grant, now.as_secs(), args.ttl.0);
    writeln!(io::stdout(), "{token}").context("the token could not be printed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, TtlError>) {
        assert_eq!(text.parse(), expected.map(Ttl), "{text}");
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        check("1s", Ok(1));
        check("15m", Ok(15 * 60));
        check("1h", Ok(3600));
        check("1h 30m", Ok(5400));
        check("90 minutes", Ok(5400));
        check("30d", Ok(30 * 86_400));
        check("2w", Ok(14 * 86_400));
        check("365d", Ok(365 * 86_400));
        check("PT1H", Ok(3600));
    }

    #[test]
    fn a_token_is_valid_for_a_second_to_a_year() {
        for text in ["0s", "999ms", "-1h", "365d 1s", "100000d"] {
            check(text, Err(TtlError::Bounds));
        }
        for text in ["", "1", "h", "1 fortnight", "1mo", "1y", "1h30", "∞"] {
            check(text, Err(TtlError::Malformed));
        }
    }
}
