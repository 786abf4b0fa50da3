//! The shapes of the JSON that the API shows, and the reading of the JSON that it takes.
//!
//! What is taken is read member by member: an unknown member is refused by its name rather than
//! ignored, for who sends it believes that it does something.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use starling_mailbox::{
    FlagChange, Mailbox, MailboxId, Message, Page, ProfileChange, QUOTA_BYTES_MAX,
    QUOTA_MESSAGES_MAX, Summary,
};

use crate::problem::Problem;
use crate::time;

/// The largest JSON body that is taken.
pub(crate) const JSON_BYTES_MAX: usize = 64 * 1024;

/// A mailbox.
#[derive(Serialize)]
pub(crate) struct MailboxJson<'a> {
    mailbox: &'a str,
    created_at: Option<String>,
    quota_messages: u32,
    quota_bytes: u64,
}

impl<'a> MailboxJson<'a> {
    pub(crate) fn of(id: &'a MailboxId, mailbox: &Mailbox) -> Self {
        let profile = mailbox.profile();
        Self {
            mailbox: id.as_str(),
            created_at: profile
                .created
                .as_ref()
                .map(|created| time::format(created.at_ms)),
            quota_messages: profile.quota_messages(),
            quota_bytes: profile.quota_bytes(),
        }
    }
}

/// The counts of a mailbox.
#[derive(Serialize)]
pub(crate) struct SummaryJson {
    new: u32,
    urgent: u32,
    saved: u32,
    trash: u32,
    messages: u32,
    bytes: u64,
}

impl From<Summary> for SummaryJson {
    fn from(summary: Summary) -> Self {
        let Summary {
            new,
            urgent,
            saved,
            trash,
            messages,
            bytes,
        } = summary;
        Self {
            new,
            urgent,
            saved,
            trash,
            messages,
            bytes,
        }
    }
}

/// A message.
#[derive(Serialize)]
pub(crate) struct MessageJson<'a> {
    id: String,
    mailbox: &'a str,
    from: Option<&'a str>,
    received_at: String,
    duration_ms: u64,
    size_bytes: u64,
    media_type: Cow<'static, str>,
    urgent: bool,
    private: bool,
    seen: bool,
    saved: bool,
    deleted: bool,
    region: &'a str,
}

impl<'a> MessageJson<'a> {
    pub(crate) fn of(mailbox: &'a MailboxId, message: Message<'a>) -> Self {
        let (header, flags) = (message.header, message.flags);
        Self {
            id: message.id.to_string(),
            mailbox: mailbox.as_str(),
            from: header.from.as_ref().map(|caller| caller.as_str()),
            received_at: time::format(header.received_at_ms),
            duration_ms: header.audio.duration_ms,
            size_bytes: header.audio.size_bytes,
            media_type: header.audio.format.media_type(),
            urgent: header.urgent,
            private: header.private,
            seen: flags.seen(),
            saved: flags.saved(),
            deleted: flags.deleted(),
            region: header.region.as_str(),
        }
    }
}

/// A page of a folder.
#[derive(Serialize)]
pub(crate) struct ListJson<'a> {
    messages: Vec<MessageJson<'a>>,
    next_cursor: Option<String>,
}

impl<'a> ListJson<'a> {
    pub(crate) fn of(mailbox: &'a MailboxId, page: Page<'a>) -> Self {
        let messages = page.messages.into_iter();
        Self {
            messages: messages
                .map(|message| MessageJson::of(mailbox, message))
                .collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// Reads the settings to change; an empty body changes none.
pub(crate) fn profile_change(body: &[u8]) -> Result<ProfileChange, Problem> {
    let mut change = ProfileChange::default();
    if body.is_empty() {
        return Ok(change);
    }
    for (member, value) in object(body)? {
        match member.as_str() {
            "quota_messages" => {
                let quota = within(&member, &value, u64::from(QUOTA_MESSAGES_MAX))?;
                change.quota_messages = u32::try_from(quota).ok();
            }
            "quota_bytes" => change.quota_bytes = Some(within(&member, &value, QUOTA_BYTES_MAX)?),
            _ => return Err(unknown(member, "quota_messages, quota_bytes")),
        }
    }
    Ok(change)
}

/// Reads the flags to change: a merge patch (RFC 7396) in which nothing can be removed.
pub(crate) fn flag_change(body: &[u8]) -> Result<FlagChange, Problem> {
    let mut change = FlagChange::default();
    for (member, value) in object(body)? {
        let flag = match member.as_str() {
            "seen" => &mut change.seen,
            "saved" => &mut change.saved,
            "deleted" => &mut change.deleted,
            _ => return Err(unknown(member, "seen, saved, deleted")),
        };
        let Value::Bool(value) = value else {
            return Err(Problem::MemberInvalid {
                member,
                detail: "it is neither true nor false".into(),
            });
        };
        *flag = Some(value);
    }
    Ok(change)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Problem::BodyMalformed {
        detail: format!("the body is no JSON: {error}"),
    })?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::BodyMalformed {
            detail: "the body is JSON, but no object".into(),
        }),
    }
}

fn within(member: &str, value: &Value, max: u64) -> Result<u64, Problem> {
    value
        .as_u64()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| Problem::MemberInvalid {
            member: member.to_owned(),
            detail: format!("it is no whole number from 1 to {max}"),
        })
}

fn unknown(member: String, known: &str) -> Problem {
    Problem::MemberInvalid {
        member,
        detail: format!("it is not known; those that can be set are {known}"),
    }
}
