//! What a deposit says of itself besides the audio: in headers, or in the fields of a form.

use http::HeaderMap;
use starling_mailbox::{AHEAD_MAX_MS, AudioId, Caller, Mailbox, MailboxId, MessageId};

use crate::negotiate::single;
use crate::problem::Problem;
use crate::time;

/// The names of a particular: its header, and its field in a form.
pub(crate) struct Name {
    header: &'static str,
    pub(crate) field: &'static str,
}

/// Who left the message.
pub(crate) const FROM: Name = Name {
    header: "voicemail-from",
    field: "from",
};
/// Whether it is urgent.
pub(crate) const URGENT: Name = Name {
    header: "voicemail-urgent",
    field: "urgent",
};
/// Whether it is not to be passed on.
pub(crate) const PRIVATE: Name = Name {
    header: "voicemail-private",
    field: "private",
};
/// Where the caller wants to be called back, if elsewhere.
pub(crate) const REPLY_TO: Name = Name {
    header: "voicemail-reply-to",
    field: "reply_to",
};
/// For which mailboxes it is, where it is for several.
pub(crate) const TO: Name = Name {
    header: "voicemail-to",
    field: "to",
};
/// When it was taken, if not now.
pub(crate) const RECEIVED_AT: Name = Name {
    header: "voicemail-received-at",
    field: "received_at",
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// What a deposit says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Particulars {
    pub(crate) from: Option<Caller>,
    pub(crate) reply_to: Option<Caller>,
    pub(crate) to: Vec<String>,
    pub(crate) urgent: Option<bool>,
    pub(crate) private: Option<bool>,
    pub(crate) received_at_ms: Option<u64>,
}

impl Particulars {
    /// The names of the fields of a form.
    pub(crate) const FIELDS: [&str; 6] = [
        FROM.field,
        REPLY_TO.field,
        TO.field,
        URGENT.field,
        PRIVATE.field,
        RECEIVED_AT.field,
    ];

    /// Reads the `Voicemail-…` headers.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut particulars = Self::default();
        for name in [FROM, REPLY_TO, TO, URGENT, PRIVATE, RECEIVED_AT] {
            if let Some(text) = single(headers, name.header)? {
                particulars
                    .set(name.field, text)
                    .map_err(|detail| Problem::HeaderInvalid {
                        header: name.header.into(),
                        detail,
                    })?;
            }
        }
        Ok(particulars)
    }

    /// Reads one particular by the name of its field; an empty one counts as absent, as in a form
    /// that is not filled in. The error says what is wrong with it.
    pub(crate) fn set(&mut self, field: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if field == FROM.field {
            self.from = Some(text.parse().map_err(|error| format!("{error}"))?);
        } else if field == REPLY_TO.field {
            self.reply_to = Some(text.parse().map_err(|error| format!("{error}"))?);
        } else if field == TO.field {
            let ids = text.split(',').map(|id| id.trim().to_owned());
            self.to = ids.filter(|id| !id.is_empty()).collect();
        } else if field == URGENT.field {
            self.urgent = Some(boolean(text)?);
        } else if field == PRIVATE.field {
            self.private = Some(boolean(text)?);
        } else {
            let ms = time::parse(text);
            self.received_at_ms =
                Some(ms.ok_or("it is no RFC 3339 time, such as 2026-01-31T09:30:00Z")?);
        }
        Ok(())
    }

    /// These, and for what they do not say, `others`.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            from: self.from.or(others.from),
            reply_to: self.reply_to.or(others.reply_to),
            to: if self.to.is_empty() {
                others.to
            } else {
                self.to
            },
            urgent: self.urgent.or(others.urgent),
            private: self.private.or(others.private),
            received_at_ms: self.received_at_ms.or(others.received_at_ms),
        }
    }

    /// When the message was taken: now, unless it says otherwise; and not in the future, beyond
    /// what clocks differ.
    pub(crate) fn received_at_ms(&self, now_ms: u64) -> Result<u64, Problem> {
        let ms = self.received_at_ms.unwrap_or(now_ms);
        if ms > now_ms.saturating_add(AHEAD_MAX_MS) {
            let detail = format!("{} is in the future", time::format(ms));
            return Err(Problem::MemberInvalid {
                member: RECEIVED_AT.field.into(),
                detail,
            });
        }
        Ok(ms)
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}

/// What a client names its request with, to be able to repeat it (draft-ietf-httpapi-idempotency-key).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct IdempotencyKey<'a>(&'a str);

/// Where the ids of a request's messages come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum IdFrom {
    /// The client's idempotency key: another attempt may share them, and rely on what this one stored.
    Key,
    /// Random bits: nobody else knows them.
    Chance,
}

impl IdFrom {
    /// Where they come from if the request has this key.
    pub(crate) fn of(key: Option<IdempotencyKey<'_>>) -> Self {
        match key {
            Some(_) => Self::Key,
            None => Self::Chance,
        }
    }
}

impl<'a> IdempotencyKey<'a> {
    /// The key of a request, if it has one.
    pub(crate) fn of(headers: &'a HeaderMap) -> Result<Option<Self>, Problem> {
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(None);
        }
        let key = single(headers, IDEMPOTENCY_KEY)?.unwrap_or_default();
        let valid = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
            && key.bytes().all(|character| character.is_ascii_graphic());
        if !valid {
            return Err(Problem::HeaderInvalid {
                header: IDEMPOTENCY_KEY.into(),
                detail: format!(
                    "it is not 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
                ),
            });
        }
        Ok(Some(Self(key)))
    }

    /// The key that a request had, as it was kept.
    pub(crate) fn kept(key: &'a str) -> Self {
        Self(key)
    }

    /// The key as it was sent.
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    /// The id of the message that is deposited under this key into a mailbox.
    pub(crate) fn message_id(self, id: &MailboxId, mailbox: &Mailbox) -> MessageId {
        // An attempt that could not read the mailbox may have come first, by way of the spool.
        let unread = self.message_id_unread(id);
        if mailbox.deleted().is_none() || mailbox.knows(unread) {
            return unread;
        }
        MessageId::derive(id, mailbox.deleted(), self.0.as_bytes())
    }

    /// That id for a mailbox that cannot be read: as if it had never been deleted, which is true of nearly
    /// all.
    pub(crate) fn message_id_unread(self, id: &MailboxId) -> MessageId {
        MessageId::derive(id, None, self.0.as_bytes())
    }

    /// An id for other audio that belongs to the request; a blank keeps it apart from every key.
    pub(crate) fn audio_id(self, id: &MailboxId, what: &str) -> AudioId {
        let name = format!("{} {what}", self.0);
        MessageId::derive(id, None, name.as_bytes()).into()
    }
}
