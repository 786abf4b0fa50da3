//! The shapes of the JSON that the API shows, and the reading of the JSON that it takes.
//!
//! What is taken is read member by member: an unknown member is refused by its name rather than
//! ignored, for who sends it believes that it does something.

use serde::Serialize;
use serde_json::{Map, Value};
use starling_access::{Pin, WebhookSecret};
use starling_mailbox::{
    CallState, FlagChange, Greeting, GreetingKind, Header, Heard, MESSAGE_MS_MAX_MAX, Mailbox,
    MailboxId, Message, MessageId, Page, ProfileChange, QUOTA_BYTES_MAX, QUOTA_MESSAGES_MAX,
    RETENTION_DAYS_MAX, SpoolEntry, SpoolFill, SpoolState, Spooled, Summary, WEBHOOK_URL_BYTES_MAX,
    WEBHOOKS_MAX, Webhook,
};

use crate::problem::{Document, PROBLEM_TYPE_PREFIX, Problem};
use crate::time;

/// The largest JSON body that is taken.
pub(crate) const JSON_BYTES_MAX: usize = 64 * 1024;

/// A mailbox.
#[derive(Serialize)]
pub(crate) struct MailboxJson<'a> {
    mailbox: &'a str,
    created_at: Option<String>,
    pin_set: bool,
    time_zone: String,
    language: String,
    greeting: String,
    quota_messages: u32,
    quota_bytes: u64,
    retention_days: u32,
    message_duration_ms_max: u64,
    webhooks: Vec<WebhookJson>,
}

/// A webhook, without its secret.
#[derive(Serialize)]
struct WebhookJson {
    url: String,
}

impl<'a> MailboxJson<'a> {
    pub(crate) fn of(id: &'a MailboxId, mailbox: &Mailbox) -> Self {
        let profile = mailbox.profile();
        let webhooks = profile.webhooks().into_iter();
        Self {
            mailbox: id.as_str(),
            created_at: profile
                .created
                .as_ref()
                .map(|created| time::format(created.at_ms)),
            pin_set: profile.pin().is_some(),
            time_zone: profile.time_zone().as_str().to_owned(),
            language: profile.language().as_str().to_owned(),
            greeting: profile.greeting().to_string(),
            quota_messages: profile.quota_messages(),
            quota_bytes: profile.quota_bytes(),
            retention_days: profile.retention_days(),
            message_duration_ms_max: profile.message_ms_max(),
            webhooks: webhooks
                .map(|webhook| WebhookJson {
                    url: webhook.url.into(),
                })
                .collect(),
        }
    }
}

/// A page of mailboxes.
#[derive(Serialize)]
pub(crate) struct MailboxesJson<'a> {
    pub(crate) mailboxes: Vec<MailboxJson<'a>>,
    pub(crate) next_cursor: Option<String>,
}

/// What became of one line of a bulk request, or of one of several mailboxes.
#[derive(Serialize)]
pub(crate) struct ResultJson<'a> {
    pub(crate) mailbox: &'a str,
    pub(crate) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<MessageJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Document>,
}

/// What became of each of several mailboxes.
#[derive(Serialize)]
pub(crate) struct ResultsJson<'a> {
    pub(crate) results: Vec<ResultJson<'a>>,
}

/// What became of each of several messages.
#[derive(Serialize)]
pub(crate) struct MessagesJson<'a> {
    pub(crate) messages: Vec<MessageJson<'a>>,
    pub(crate) not_found: Vec<String>,
}

/// A session (RFC 6749, section 5.1).
#[derive(Serialize)]
pub(crate) struct SessionJson<'a> {
    pub(crate) access_token: String,
    pub(crate) token_type: &'static str,
    pub(crate) expires_in: u64,
    pub(crate) mailbox: &'a str,
}

/// A recorded greeting.
#[derive(Serialize)]
pub(crate) struct GreetingJson {
    kind: String,
    href: String,
    duration_ms: u64,
    size_bytes: u64,
    media_type: String,
    expires_at: Option<String>,
}

impl GreetingJson {
    pub(crate) fn of(id: &MailboxId, kind: GreetingKind, greeting: &Greeting) -> Self {
        Self {
            kind: kind.to_string(),
            href: format!("/v1/mailboxes/{id}/greetings/{kind}"),
            duration_ms: greeting.audio.duration_ms,
            size_bytes: greeting.audio.size_bytes,
            media_type: greeting.audio.format.media_type().to_string(),
            expires_at: greeting.expires_at_ms.map(time::format),
        }
    }
}

/// What a caller should hear.
#[derive(Serialize)]
pub(crate) struct HeardJson {
    /// The subscriber's recording; `None` for the standard greeting.
    recording: Option<GreetingJson>,
    /// The subscriber's name, to be spoken within the standard greeting.
    name: Option<GreetingJson>,
    language: String,
    time_zone: String,
    message_duration_ms_max: u64,
}

impl HeardJson {
    pub(crate) fn of(id: &MailboxId, mailbox: &Mailbox, state: CallState) -> Self {
        let profile = mailbox.profile();
        let (recording, name) = match profile.heard(state, mailbox.now_ms()) {
            Heard::Recording(kind, greeting) => (Some(GreetingJson::of(id, kind, greeting)), None),
            Heard::Standard { name } => {
                let name = name.map(|name| GreetingJson::of(id, GreetingKind::Name, name));
                (None, name)
            }
        };
        Self {
            recording,
            name,
            language: profile.language().as_str().to_owned(),
            time_zone: profile.time_zone().as_str().to_owned(),
            message_duration_ms_max: profile.message_ms_max(),
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
    from: Option<String>,
    reply_to: Option<String>,
    received_at: String,
    expires_at: String,
    duration_ms: u64,
    size_bytes: u64,
    media_type: String,
    urgent: bool,
    private: bool,
    seen: bool,
    saved: bool,
    deleted: bool,
    region: String,
    forwarded_by: Option<String>,
    comment: Option<CommentJson>,
}

/// A message that is in the spool.
#[derive(Serialize)]
pub(crate) struct AcceptedJson<'a> {
    status: &'static str,
    id: String,
    mailbox: &'a str,
    received_at: String,
    duration_ms: u64,
    size_bytes: u64,
    media_type: String,
}

impl<'a> AcceptedJson<'a> {
    pub(crate) fn of(spooled: &'a Spooled) -> Self {
        let header = &spooled.header;
        Self {
            status: "accepted",
            id: spooled.message.to_string(),
            mailbox: spooled.mailbox.as_str(),
            received_at: time::format(header.received_at_ms),
            duration_ms: header.audio.duration_ms,
            size_bytes: header.audio.size_bytes,
            media_type: header.audio.format.media_type().to_string(),
        }
    }
}

/// A host's spool.
#[derive(Serialize)]
pub(crate) struct SpoolJson {
    pub(crate) waiting: SpoolFillJson,
    pub(crate) undeliverable: SpoolFillJson,
    pub(crate) max: SpoolFillJson,
    pub(crate) entries: Vec<SpoolEntryJson>,
    pub(crate) next_cursor: Option<String>,
}

/// How much there is in a spool, or may be.
#[derive(Serialize)]
pub(crate) struct SpoolFillJson {
    messages: u64,
    bytes: u64,
}

impl From<SpoolFill> for SpoolFillJson {
    fn from(fill: SpoolFill) -> Self {
        let SpoolFill { messages, bytes } = fill;
        Self { messages, bytes }
    }
}

/// An entry of a spool, without anything of what was said or by whom.
#[derive(Serialize)]
pub(crate) struct SpoolEntryJson {
    order: u64,
    state: &'static str,
    /// `None`, as the next two, if the entry cannot be read.
    mailbox: Option<String>,
    message: Option<String>,
    accepted_at: Option<String>,
    size_bytes: u64,
    reason: Option<ReasonJson>,
}

/// Why an entry of a spool was set aside.
#[derive(Serialize)]
struct ReasonJson {
    r#type: String,
    detail: String,
    at: String,
}

impl SpoolEntryJson {
    pub(crate) fn of(order: u64, entry: &SpoolEntry, spooled: Option<&Spooled>) -> Self {
        let refusal = spooled.and_then(|spooled| spooled.refusal.as_ref());
        Self {
            order,
            state: match entry.state() {
                SpoolState::Undeliverable => "undeliverable",
                SpoolState::Waiting | SpoolState::Unfinished => "waiting",
            },
            mailbox: spooled.map(|spooled| spooled.mailbox.to_string()),
            message: spooled.map(|spooled| spooled.message.to_string()),
            accepted_at: spooled.map(|spooled| time::format(spooled.accepted_at_ms)),
            size_bytes: entry.bytes(),
            reason: refusal.map(|refusal| ReasonJson {
                r#type: format!("{PROBLEM_TYPE_PREFIX}{}", refusal.problem),
                detail: refusal.detail.clone(),
                at: time::format(refusal.at_ms),
            }),
        }
    }
}

/// What was said in front of a forwarded message.
#[derive(Serialize)]
struct CommentJson {
    href: String,
    duration_ms: u64,
    size_bytes: u64,
    media_type: String,
}

impl<'a> MessageJson<'a> {
    pub(crate) fn of(mailbox: &'a MailboxId, message: &Message) -> Self {
        let (header, flags) = (&message.header, &message.flags);
        let path = format!("/v1/mailboxes/{mailbox}/messages/{}", message.id);
        let forwarded = header.forwarded.as_ref();
        let comment = forwarded.and_then(|it| it.comment.as_ref());
        Self {
            id: message.id.to_string(),
            mailbox: mailbox.as_str(),
            from: header.from.as_ref().map(|caller| caller.to_string()),
            reply_to: header.reply_to.as_ref().map(|caller| caller.to_string()),
            received_at: time::format(header.received_at_ms),
            expires_at: time::format(message.expires_at_ms),
            duration_ms: header.audio.duration_ms,
            size_bytes: header.audio.size_bytes,
            media_type: header.audio.format.media_type().to_string(),
            urgent: header.urgent,
            private: header.private,
            seen: flags.seen(),
            saved: flags.saved(),
            deleted: flags.deleted(),
            region: header.region.to_string(),
            forwarded_by: forwarded.map(|it| it.by.to_string()),
            comment: comment.map(|audio| CommentJson {
                href: format!("{path}/comment"),
                duration_ms: audio.duration_ms,
                size_bytes: audio.size_bytes,
                media_type: audio.format.media_type().to_string(),
            }),
        }
    }

    /// A message that was deposited, as it is in its mailbox; or as it was, if a retry comes so late
    /// that it has been purged or has expired.
    pub(crate) fn deposited(
        id: &'a MailboxId,
        mailbox: &Mailbox,
        message: MessageId,
        header: &Header,
    ) -> Self {
        // Nothing is deposited under the id of one that cannot be read.
        if let Ok(Some(present)) = mailbox.message(message) {
            return Self::of(id, &present);
        }
        let gone = Message {
            id: message,
            header: header.clone(),
            flags: Default::default(),
            expires_at_ms: mailbox.now_ms(),
        };
        Self {
            deleted: true,
            ..Self::of(id, &gone)
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
    pub(crate) fn of(mailbox: &'a MailboxId, page: &Page) -> Self {
        let messages = page.messages.iter();
        Self {
            messages: messages
                .map(|message| MessageJson::of(mailbox, message))
                .collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// Settings to change.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// Those that need nothing else.
    pub(crate) change: ProfileChange,
    /// A new PIN; `Some(None)` removes it.
    pub(crate) pin: Option<Option<Pin>>,
    /// The present PIN, by which a subscriber may change it.
    pub(crate) current_pin: Option<String>,
    /// The members that only an operator may change, as far as they are given.
    pub(crate) operators: Vec<String>,
}

/// Reads the settings to change; an empty body changes none.
pub(crate) fn settings(mailbox: &MailboxId, body: &[u8]) -> Result<Settings, Problem> {
    if body.is_empty() {
        return Ok(Settings::default());
    }
    settings_of(mailbox, object(body)?)
}

/// Reads the members of an object as settings.
pub(crate) fn settings_of(
    mailbox: &MailboxId,
    members: Map<String, Value>,
) -> Result<Settings, Problem> {
    let mut settings = Settings::default();
    let change = &mut settings.change;
    for (member, value) in members {
        let mut operators = true;
        match member.as_str() {
            "quota_messages" => {
                change.quota_messages = Some(within_u32(&member, &value, QUOTA_MESSAGES_MAX)?);
            }
            "quota_bytes" => change.quota_bytes = Some(within(&member, &value, QUOTA_BYTES_MAX)?),
            "retention_days" => {
                change.retention_days = Some(within_u32(&member, &value, RETENTION_DAYS_MAX)?);
            }
            "message_duration_ms_max" => {
                change.message_ms_max = Some(within(&member, &value, MESSAGE_MS_MAX_MAX)?);
            }
            "webhooks" => change.webhooks = Some(webhooks(&member, &value)?),
            _ => operators = false,
        }
        if operators {
            settings.operators.push(member);
            continue;
        }
        match member.as_str() {
            "time_zone" => change.time_zone = Some(parsed(&member, &value)?),
            "language" => change.language = Some(parsed(&member, &value)?),
            "greeting" => change.greeting = Some(parsed(&member, &value)?),
            "pin" if value.is_null() => settings.pin = Some(None),
            "pin" => {
                let pin = Pin::choose(text(&member, &value)?, mailbox.as_str());
                let pin = pin.map_err(|error| invalid(&member, error.to_string()))?;
                settings.pin = Some(Some(pin));
            }
            "current_pin" => settings.current_pin = Some(text(&member, &value)?.to_owned()),
            _ => {
                return Err(unknown(
                    member,
                    "pin, current_pin, time_zone, language, greeting, quota_messages, \
                     quota_bytes, retention_days, message_duration_ms_max, webhooks",
                ));
            }
        }
    }
    Ok(settings)
}

fn webhooks(member: &str, value: &Value) -> Result<Vec<Webhook>, Problem> {
    let list = value.as_array().filter(|list| list.len() <= WEBHOOKS_MAX);
    let list = list.ok_or_else(|| {
        invalid(
            member,
            format!("it is no list of at most {WEBHOOKS_MAX} webhooks"),
        )
    })?;
    list.iter()
        .map(|webhook| {
            let part = |name: &str| webhook.get(name).and_then(Value::as_str);
            let (Some(url), Some(secret), Some(2)) = (
                part("url"),
                part("secret"),
                webhook.as_object().map(Map::len),
            ) else {
                let detail = "a webhook has a \"url\" and a \"secret\", and nothing else";
                return Err(invalid(member, detail.into()));
            };
            if !is_web_address(url) {
                let detail = format!(
                    "a URL is http or https, with a host and without a user, in at most \
                     {WEBHOOK_URL_BYTES_MAX} bytes"
                );
                return Err(invalid(member, detail));
            }
            let secret: WebhookSecret = secret
                .parse()
                .map_err(|error| invalid(member, format!("{error}")))?;
            Ok(Webhook {
                url: url.into(),
                secret: secret.as_stored().into(),
            })
        })
        .collect()
}

fn is_web_address(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'));
    url.len() <= WEBHOOK_URL_BYTES_MAX
        && matches!(uri.scheme_str(), Some("http" | "https"))
        && host.is_some_and(|authority| !authority.host().is_empty())
}

/// Reads who wants to sign in: mailbox and PIN as they were given.
pub(crate) fn credentials(body: &[u8]) -> Result<(String, String), Problem> {
    let (mut mailbox, mut pin) = (None, None);
    for (member, value) in object(body)? {
        match member.as_str() {
            "mailbox" => mailbox = Some(text(&member, &value)?.to_owned()),
            "pin" => pin = Some(text(&member, &value)?.to_owned()),
            _ => return Err(unknown(member, "mailbox, pin")),
        }
    }
    let missing = |member: &str| invalid(member, "it is missing".into());
    Ok((
        mailbox.ok_or_else(|| missing("mailbox"))?,
        pin.ok_or_else(|| missing("pin"))?,
    ))
}

/// Reads to which mailboxes a message is to be forwarded.
pub(crate) fn recipients(body: &[u8]) -> Result<Vec<String>, Problem> {
    let mut to = None;
    for (member, value) in object(body)? {
        match member.as_str() {
            "to" => to = Some(texts(&member, &value)?),
            _ => return Err(unknown(member, "to")),
        }
    }
    to.ok_or_else(|| invalid("to", "it is missing".into()))
}

/// Reads a change of several messages: their ids, and the flags to change.
pub(crate) fn bulk_change(body: &[u8]) -> Result<(Vec<String>, FlagChange), Problem> {
    let mut members = object(body)?;
    let ids = members
        .remove("messages")
        .ok_or_else(|| invalid("messages", "it is missing".into()))?;
    Ok((texts("messages", &ids)?, flags_of(members)?))
}

/// Reads the flags to change: a merge patch (RFC 7396) in which nothing can be removed.
pub(crate) fn flag_change(body: &[u8]) -> Result<FlagChange, Problem> {
    flags_of(object(body)?)
}

fn flags_of(members: Map<String, Value>) -> Result<FlagChange, Problem> {
    let mut change = FlagChange::default();
    for (member, value) in members {
        let flag = match member.as_str() {
            "seen" => &mut change.seen,
            "saved" => &mut change.saved,
            "deleted" => &mut change.deleted,
            _ => return Err(unknown(member, "seen, saved, deleted")),
        };
        let Value::Bool(value) = value else {
            return Err(invalid(&member, "it is neither true nor false".into()));
        };
        *flag = Some(value);
    }
    Ok(change)
}

pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
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
        .ok_or_else(|| invalid(member, format!("it is no whole number from 1 to {max}")))
}

fn within_u32(member: &str, value: &Value, max: u32) -> Result<u32, Problem> {
    let number = within(member, value, u64::from(max))?;
    Ok(u32::try_from(number).unwrap_or(max))
}

fn text<'a>(member: &str, value: &'a Value) -> Result<&'a str, Problem> {
    value
        .as_str()
        .ok_or_else(|| invalid(member, "it is no text".into()))
}

fn texts(member: &str, value: &Value) -> Result<Vec<String>, Problem> {
    let list = value.as_array();
    let texts = list.map(|list| {
        list.iter()
            .map(|it| it.as_str().map(str::to_owned))
            .collect()
    });
    texts
        .flatten()
        .ok_or_else(|| invalid(member, "it is no list of texts".into()))
}

fn parsed<T>(member: &str, value: &Value) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let parsed = text(member, value)?.parse();
    parsed.map_err(|error: T::Err| invalid(member, error.to_string()))
}

fn invalid(member: &str, detail: String) -> Problem {
    Problem::MemberInvalid {
        member: member.to_owned(),
        detail,
    }
}

fn unknown(member: String, known: &str) -> Problem {
    Problem::MemberInvalid {
        member,
        detail: format!("it is not known; those that can be set are {known}"),
    }
}
