//! Limits that an operator sets by variables of the application.

use std::fmt::Display;
use std::str::FromStr;

use starling_mailbox::{RateLimits, SpoolFill};

use crate::platform::{Platform, Variable};
use crate::problem::Problem;

/// How many messages a minute one mailbox takes unless told otherwise.
const MAILBOX_PER_MINUTE: u32 = 600;
/// How many of them from one caller.
const CALLER_PER_MINUTE: u32 = 60;

/// How many messages the spool of a host takes unless told otherwise, and how many bytes of audio: 1 GiB.
const SPOOL_MESSAGES: u64 = 10_000;
const SPOOL_BYTES: u64 = 1024 * 1024 * 1024;

/// How fast messages may be deposited: the variables `deposits_per_minute` and
/// `deposits_per_minute_of_caller`, both for each mailbox; 0 is without limit.
pub(crate) async fn deposits(platform: &impl Platform) -> Result<RateLimits, Problem> {
    let per_minute = async |name: &str, default| {
        let limit = number(platform, name).await?.unwrap_or(default);
        Ok::<_, Problem>((limit > 0).then_some(limit))
    };
    Ok(RateLimits {
        mailbox_per_minute: per_minute("deposits_per_minute", MAILBOX_PER_MINUTE).await?,
        caller_per_minute: per_minute("deposits_per_minute_of_caller", CALLER_PER_MINUTE).await?,
    })
}

/// How much the spool of a host takes: the variables `spool_messages_max` and `spool_bytes_max`; with 0 it
/// takes nothing.
pub(crate) async fn spool(platform: &impl Platform) -> Result<SpoolFill, Problem> {
    let messages = number(platform, "spool_messages_max").await?;
    let bytes = number(platform, "spool_bytes_max").await?;
    Ok(SpoolFill {
        messages: messages.unwrap_or(SPOOL_MESSAGES),
        bytes: bytes.unwrap_or(SPOOL_BYTES),
    })
}

/// A variable that is a number; `None` if it is not set, or empty.
async fn number<T>(platform: &impl Platform, name: &str) -> Result<Option<T>, Problem>
where
    T: FromStr<Err: Display>,
{
    let invalid = |why: String| {
        platform.log(&format!("variable {name}: {why}"));
        Problem::Misconfigured
    };
    match platform.variable(name).await {
        Variable::Unset => Ok(None),
        Variable::Set(value) if value.trim().is_empty() => Ok(None),
        Variable::Set(value) => value
            .trim()
            .parse()
            .map(Some)
            .map_err(|error| invalid(format!("{value:?}: {error}"))),
        Variable::Unreadable(why) => Err(invalid(why)),
    }
}
