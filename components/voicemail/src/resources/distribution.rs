//! `/v1/messages`: one recording for several mailboxes, stored once.

use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_mailbox::{Audio, AudioId, Header, Mailbox, MailboxId, MessageId, RateLimits, Stamp};

use crate::deposit::{self, Place, place, withdraw};
use crate::json::{MessageJson, ResultJson, ResultsJson};
use crate::limits;
use crate::particulars::{IdFrom, IdempotencyKey};
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::recording::Announced;
use crate::response::{self, Body};
use crate::shares;
use crate::slots::{Slots, exists};

/// To how many mailboxes a message goes at once at most.
pub(crate) const RECIPIENTS_MAX: usize = 100;

/// One mailbox of several, with the id of its message; or why it gets none.
pub(crate) struct Recipient {
    named: String,
    found: Result<Found, Problem>,
}

/// The mailbox of a recipient, as it was when the message got its id.
#[derive(Clone)]
struct Found {
    id: MailboxId,
    deleted: Option<Stamp>,
    message: MessageId,
}

/// Takes a message for the mailboxes of `Voicemail-To`, or of the form's field `to`.
pub(crate) async fn post<P, B>(
    slots: &Slots<'_, P>,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let key = IdempotencyKey::of(headers)?;
    let recording = Announced::of(headers)?.receive(headers, body).await?;
    let to = check_recipients(recording.particulars.to.clone())?;
    let recipients = recipients(slots, to, key).await;
    let first = recipients.iter().find_map(|it| it.found.as_ref().ok());
    let Some(Found { id: first, .. }) = first else {
        // Nobody to store anything for.
        return Ok(results(&recipients, &[]));
    };
    let audio_id = match key {
        Some(key) => key.audio_id(first, "audio"),
        None => AudioId::from_random(slots.platform().random_bits()),
    };
    let (platform, region) = (slots.platform(), slots.region());
    let audio = recording.audio(audio_id);
    let header = deposit::header(platform, region, &recording.particulars, audio)?;
    let limits = limits::deposits(slots.platform()).await?;
    share(slots, &header.audio, &recipients).await?;
    recording.store(slots, &header.audio).await?;
    let ids = IdFrom::of(key);
    let placed = place_all(slots, &recipients, &header, limits, ids).await;
    Ok(results(&recipients, &placed))
}

/// Refuses a list of recipients that is empty, too long, or names one twice.
pub(crate) fn check_recipients(to: Vec<String>) -> Result<Vec<String>, Problem> {
    let invalid = |detail: String| Problem::MemberInvalid {
        member: "to".into(),
        detail,
    };
    if to.is_empty() || to.len() > RECIPIENTS_MAX {
        return Err(invalid(format!(
            "it names no 1 to {RECIPIENTS_MAX} mailboxes"
        )));
    }
    let mut sorted: Vec<_> = to.iter().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(invalid(format!("it names {:?} more than once", pair[0])));
    }
    Ok(to)
}

/// Looks the recipients up.
pub(crate) async fn recipients<P: Platform>(
    slots: &Slots<'_, P>,
    to: Vec<String>,
    key: Option<IdempotencyKey<'_>>,
) -> Vec<Recipient> {
    let lookups = to.into_iter().map(|named| async move {
        let found = async {
            let id: MailboxId = named.parse().map_err(|_| Problem::MailboxNotFound {
                mailbox: named.clone(),
            })?;
            let mailbox = slots.in_sight(&id).await?;
            exists(&id, &mailbox)?;
            let message = match key {
                Some(key) => key.message_id(&id, &mailbox),
                None => MessageId::from_random(slots.platform().random_bits()),
            };
            Ok(Found {
                deleted: mailbox.deleted().cloned(),
                id,
                message,
            })
        };
        let found = found.await;
        Recipient { named, found }
    });
    join_all(lookups).await
}

/// Enters the messages of all recipients as sharing audio.
pub(crate) async fn share<P: Platform>(
    slots: &Slots<'_, P>,
    audio: &Audio,
    recipients: &[Recipient],
) -> Result<(), Problem> {
    let found = recipients.iter().filter_map(|it| it.found.as_ref().ok());
    let messages = found.map(|found| (found.id.clone(), found.message));
    shares::add(slots, audio, &messages.collect::<Vec<_>>()).await
}

/// Takes the shares of all recipients back.
pub(crate) async fn unshare<P: Platform>(
    slots: &Slots<'_, P>,
    audio: &Audio,
    recipients: &[Recipient],
) {
    for found in recipients.iter().filter_map(|it| it.found.as_ref().ok()) {
        withdraw(slots, audio, &found.id, found.message).await;
    }
}

/// A message that was placed, in its mailbox.
pub(crate) struct Placed {
    mailbox: Mailbox,
    header: Header,
}

/// Writes the header into the mailbox of each recipient; who gets none gives the audio back.
pub(crate) async fn place_all<P: Platform>(
    slots: &Slots<'_, P>,
    recipients: &[Recipient],
    header: &Header,
    limits: RateLimits,
    ids: IdFrom,
) -> Vec<Option<Result<Placed, Problem>>> {
    let mut placed = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let Ok(found) = &recipient.found else {
            placed.push(None);
            continue;
        };
        let place_in = Place {
            id: &found.id,
            deleted: found.deleted.clone(),
            message: found.message,
        };
        let result = place(slots, &place_in, header, limits, |_| Ok(())).await;
        let came_to_nothing = match &result {
            // Purged since, or expired.
            Ok(mailbox) => !mailbox.shows(found.message),
            // Refused for certain; after any other failure it may be there nevertheless.
            Err(
                Problem::MailboxNotFound { .. }
                | Problem::MailboxFull { .. }
                | Problem::TooManyDeposits { .. }
                | Problem::DepositRefused { .. }
                | Problem::Contention,
            ) => ids == IdFrom::Chance,
            Err(_) => false,
        };
        if came_to_nothing {
            for audio in header.recordings() {
                withdraw(slots, audio, &found.id, found.message).await;
            }
        }
        placed.push(Some(result.map(|mailbox| Placed {
            mailbox,
            header: header.clone(),
        })));
    }
    placed
}

/// Says what became of each.
pub(crate) fn results(
    recipients: &[Recipient],
    placed: &[Option<Result<Placed, Problem>>],
) -> Response<Body> {
    let results = recipients.iter().enumerate().map(|(n, recipient)| {
        let placed = placed.get(n).and_then(Option::as_ref);
        let problem = match (&recipient.found, placed) {
            (Ok(found), Some(Ok(placed))) => {
                return ResultJson {
                    mailbox: &recipient.named,
                    status: StatusCode::CREATED.as_u16(),
                    message: Some(MessageJson::deposited(
                        &found.id,
                        &placed.mailbox,
                        found.message,
                        &placed.header,
                    )),
                    problem: None,
                };
            }
            (Err(problem), _) | (_, Some(Err(problem))) => problem.document(None),
            (Ok(_), None) => Problem::StoreUnavailable.document(None),
        };
        ResultJson {
            mailbox: &recipient.named,
            status: problem.status,
            message: None,
            problem: Some(problem),
        }
    });
    let results = ResultsJson {
        results: results.collect(),
    };
    response::json(StatusCode::MULTI_STATUS, &results)
}

impl Recipient {
    /// Whether this one gets nothing.
    pub(crate) fn is_lost(&self) -> bool {
        self.found.is_err()
    }
}
