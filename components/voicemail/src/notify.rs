//! Telling a subscriber's webhooks that the mailbox has changed: message-waiting counts as a CloudEvent
//! (1.0, JSON), signed as the Standard Webhooks specification says.
//!
//! A record counts its changes in the very write that makes them, and how many of them have been told
//! ([`Chores`]). What is told is the state, not the change, so any number of changes in a row may be told
//! at once. Which mailboxes are behind is noted in a few keys of the region's store *before* the change
//! is written, so whoever does the chores finds it, also when the host that made the change is gone. It
//! delays no deposit but for that note, which is written only if there is a webhook to tell.
//!
//! [`Chores`]: starling_mailbox::Chores

use futures::future::join_all;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde::Serialize;
use starling_access::WebhookSecret;
use starling_mailbox::{
    Attempts, Mailbox, MailboxId, OWED_SHARDS, Owed, Record, Webhook, keys, owed_shard_of,
};

use crate::json::SummaryJson;
use crate::platform::{Platform, Store};
use crate::problem::Problem;
use crate::slots::Slots;
use crate::time;

/// How long a note stays although nothing is owed: its change may not have been written yet.
const NOTE_MS: u64 = 60_000;

/// After how long a note is made anew.
const NOTE_AGAIN_MS: u64 = NOTE_MS / 2;

/// How many webhooks are called at once.
const AT_ONCE: usize = 8;

/// A change that webhooks are told of (CloudEvents 1.0, JSON event format).
#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: &'static str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: EventData<'a>,
}

#[derive(Serialize)]
struct EventData<'a> {
    mailbox: &'a str,
    #[serde(flatten)]
    counts: SummaryJson,
}

/// Notes that a subscriber is going to be owed a notification. If that is not done, the round through the
/// directory finds out later.
pub(crate) async fn note<P: Platform>(slots: &Slots<'_, P>, id: &MailboxId) -> Result<(), Problem> {
    let now_ms = slots.platform().now_ms();
    let key = keys::owed_shard(owed_shard_of(id));
    let noted = slots.change_value(&key, |bytes| {
        let mut owed = Owed::decode(bytes)?;
        let fresh = owed.0.get(id).is_some_and(|attempts| {
            // One that failed waits for its next attempt, however often the mailbox changes.
            attempts.failed > 0 || now_ms < attempts.due_at_ms.saturating_add(NOTE_AGAIN_MS)
        });
        let attempts = Attempts {
            failed: 0,
            due_at_ms: now_ms,
        };
        owed.0.insert(id.clone(), attempts);
        Ok((!fresh).then(|| owed.encode()))
    });
    noted.await
}

/// Whether the record's subscriber has been told less than happened.
pub(crate) fn is_owed(record: &Record) -> bool {
    record.chores.told < record.chores.changes
}

/// Tells those who are owed it, a few at once, and notes when to try again where that fails. Begins
/// nothing at or after `until_ms`; what is left then comes first at another time.
pub(crate) async fn settle<P: Platform>(
    slots: &Slots<'_, P>,
    until_ms: u64,
) -> Result<(), Problem> {
    let now_ms = slots.platform().now_ms();
    // Not always from the same one on: webhooks that hang must not starve those of later shards.
    let first = (now_ms / 1000 % u64::from(OWED_SHARDS)) as u16;
    for shard in (0..OWED_SHARDS).map(|n| (first + n) % OWED_SHARDS) {
        let key = keys::owed_shard(shard);
        let Some(bytes) = slots.own_value(&key).await? else {
            continue;
        };
        let owed = slots.decoded(&key, Owed::decode(Some(&bytes)))?;
        let due: Vec<_> = owed
            .0
            .into_iter()
            .filter(|(_, attempts)| attempts.due_at_ms <= now_ms)
            .collect();
        for some in due.chunks(AT_ONCE) {
            if slots.platform().now_ms() >= until_ms {
                return Ok(());
            }
            let told = some.iter().map(|(id, attempts)| async move {
                let next = settle_one(slots, id, *attempts).await;
                (id.clone(), *attempts, next)
            });
            let told = join_all(told).await;
            let noted = slots.change_value(&key, |bytes| {
                let mut owed = Owed::decode(bytes)?;
                let mut changed = false;
                for (id, before, next) in &told {
                    // Unless it was noted anew meanwhile.
                    if owed.0.get(id) == Some(before) && next.as_ref() != Some(before) {
                        changed = true;
                        match next {
                            Some(next) => owed.0.insert(id.clone(), *next),
                            None => owed.0.remove(id),
                        };
                    }
                }
                Ok(changed.then(|| owed.encode()))
            });
            noted.await?;
        }
    }
    Ok(())
}

/// Tells one subscriber, if that is owed; what to note then, `None` for nothing.
async fn settle_one<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    attempts: Attempts,
) -> Option<Attempts> {
    let now_ms = slots.platform().now_ms();
    let (mailbox, record) = match slots.read(id).await {
        Ok(read) => read,
        Err(_) => return attempts.failed(now_ms),
    };
    let webhooks = mailbox.profile().webhooks();
    if !is_owed(&record) || webhooks.is_empty() {
        // The change that it was noted for may still be under way.
        let old = now_ms >= attempts.due_at_ms.saturating_add(NOTE_MS);
        return (!old).then_some(attempts);
    }
    let changes = record.chores.changes;
    let calls = webhooks
        .iter()
        .map(|webhook| call(slots, id, &mailbox, webhook, changes));
    if join_all(calls).await.into_iter().all(|told| told) {
        let told = slots.change_chores(id, |record| {
            let behind = record.chores.told < changes;
            record.chores.told = record.chores.told.max(changes);
            behind
        });
        return match told.await {
            // The note stays for a while: another change may be relying on it, and be under way.
            Ok(()) => Some(Attempts {
                failed: 0,
                due_at_ms: now_ms,
            }),
            Err(_) => attempts.failed(now_ms),
        };
    }
    let next = attempts.failed(now_ms);
    if next.is_none() {
        let log = format!("notify: giving up after {} attempts", attempts.failed + 1);
        slots.platform().log(&log);
        let given_up = slots.change_chores(id, |record| {
            // What happened since the last attempt has not been tried; the round finds it.
            record.chores.told = record.chores.told.max(changes);
            true
        });
        // If that fails, the round finds it again.
        let _ = given_up.await;
    }
    next
}

/// Calls one webhook; whether it has taken the event.
async fn call<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    mailbox: &Mailbox,
    webhook: &Webhook,
    changes: u64,
) -> bool {
    let platform = slots.platform();
    let timestamp_ms = platform.now_ms();
    // The same for every attempt at the same state, from whichever host.
    let event_id = format!("{}-{id}-{changes}", slots.region());
    let event = Event {
        specversion: "1.0",
        id: &event_id,
        source: format!("urn:starling:region:{}", slots.region()),
        r#type: "org.starling.voicemail.mailbox.changed",
        subject: id.as_str(),
        time: time::format(timestamp_ms),
        datacontenttype: "application/json",
        data: EventData {
            mailbox: id.as_str(),
            counts: mailbox.summary().into(),
        },
    };
    let body = serde_json::to_vec(&event).unwrap_or_default();
    let Ok(secret) = webhook.secret.parse::<WebhookSecret>() else {
        platform.log("notify: a stored secret is no secret");
        return false;
    };
    let signature = secret.sign(&event_id, timestamp_ms / 1000, &body);
    let request = Request::post(&*webhook.url)
        .header(CONTENT_TYPE, "application/cloudevents+json")
        .header("webhook-id", &event_id)
        .header("webhook-timestamp", timestamp_ms / 1000)
        .header("webhook-signature", signature)
        .body(body);
    let answer = match request {
        Ok(request) => platform.send(request).await,
        Err(error) => Err(error.to_string()),
    };
    match answer {
        Ok(status) if status.is_success() => true,
        Ok(StatusCode::GONE) => {
            // "Do not call again": nothing is owed to it any more, until it changes.
            true
        }
        Ok(status) => {
            platform.log(&format!("notify: a webhook answered {status}"));
            false
        }
        Err(why) => {
            platform.log(&format!("notify: a webhook was not reached: {why}"));
            false
        }
    }
}

/// For who is told of no timer: whether anything is owed at all, at the price of a read.
pub(crate) async fn is_anything_owed<P: Platform>(slots: &Slots<'_, P>, id: &MailboxId) -> bool {
    let key = keys::owed_shard(owed_shard_of(id));
    matches!(slots.own_store().get(&key).await, Ok(Some(_)))
}
