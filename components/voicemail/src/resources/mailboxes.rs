//! `/v1/mailboxes`: the list for operators, and provisioning in bulk.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_mailbox::MailboxId;

use super::mailbox;
use crate::directory::{self, Place};
use crate::json::{self, MailboxJson, MailboxesJson, ResultJson};
use crate::negotiate::declared_type;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::response::{self, Body, NDJSON};
use crate::slots::Slots;
use crate::upload;

/// How many mailboxes a page has unless the client says so, and how many it may ask for.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// The largest body of a bulk request, and the most lines in it.
const BULK_BYTES_MAX: usize = 1024 * 1024;
const BULK_LINES_MAX: usize = 1_000;

/// Shows a page of mailboxes, in an order of no meaning. A page may have fewer than were asked for.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mut after: Option<Place> = None;
    let mut limit = LIMIT_DEFAULT;
    for (name, value) in Query::of(query) {
        match name.as_str() {
            "cursor" => after = Some(query::parsed(&name, &value)?),
            "limit" => limit = query::within(&name, &value, LIMIT_MAX)?,
            _ => return Err(query::unknown(&name, "limit, cursor")),
        }
    }
    let (ids, next) = directory::page(slots, after.as_ref(), limit).await?;
    let mut mailboxes = Vec::with_capacity(ids.len());
    for id in &ids {
        let mailbox = slots.in_sight(id).await?;
        if mailbox.exists() {
            mailboxes.push(MailboxJson::of(id, &mailbox));
        }
    }
    let page = MailboxesJson {
        mailboxes,
        next_cursor: next.map(|id| id.to_string()),
    };
    Ok(response::json(StatusCode::OK, &page))
}

/// Creates and changes many mailboxes: a line of JSON for each, a line of JSON with the outcome of
/// each. The lines are answered one by one, while the next ones are at work.
pub(crate) async fn post<P, B>(
    platform: P,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform + 'static,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    if declared_type(headers)?.as_deref() != Some(NDJSON) {
        let detail = format!("mailboxes in bulk are {NDJSON}, one JSON object a line");
        return Err(Problem::MediaTypeUnsupported { detail });
    }
    let body = upload::read(headers, body, BULK_BYTES_MAX).await?;
    let lines: Vec<Vec<u8>> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    if lines.len() > BULK_LINES_MAX {
        return Err(Problem::BodyMalformed {
            detail: format!(
                "the body has {} lines; at most {BULK_LINES_MAX} are taken at once",
                lines.len()
            ),
        });
    }
    // What is wrong with the store is wrong with every line: better said once.
    Slots::open(&platform).await?;
    let results = stream::unfold(
        (platform, lines.into_iter()),
        |(platform, mut lines)| async {
            let line = lines.next()?;
            let result = one(&platform, &line).await;
            Some((Ok(Bytes::from(result)), (platform, lines)))
        },
    );
    let mut response = Response::new(Body::produced(results.boxed_local()));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Provisions the mailbox of one line; the line to answer it with.
async fn one<P: Platform>(platform: &P, line: &[u8]) -> Vec<u8> {
    let mut named = String::new();
    let provisioned = async {
        let mut members = json::object(line)?;
        named = match members.remove("mailbox") {
            Some(serde_json::Value::String(mailbox)) => mailbox,
            _ => {
                return Err(Problem::MemberInvalid {
                    member: "mailbox".into(),
                    detail: "it is missing, or no text".into(),
                });
            }
        };
        let id: MailboxId = named.parse().map_err(Problem::MailboxIdInvalid)?;
        let settings = json::settings_of(&id, members)?;
        let slots = Slots::open(platform).await?;
        mailbox::apply(&slots, &id, settings, true, &HeaderMap::new()).await
    };
    let result = match provisioned.await {
        Ok((_, created)) => ResultJson {
            mailbox: &named,
            status: if created { 201 } else { 200 },
            message: None,
            problem: None,
        },
        Err(problem) => {
            let document = problem.document(None);
            ResultJson {
                mailbox: &named,
                status: document.status,
                message: None,
                problem: Some(document),
            }
        }
    };
    let mut line = serde_json::to_vec(&result).unwrap_or_default();
    line.push(b'\n');
    line
}
