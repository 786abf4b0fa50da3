//! `/v1/mailboxes/{mailbox}/messages`: the list, and the way in.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_mailbox::{Cursor, Folder, MailboxId};

use crate::deposit;
use crate::json::{ListJson, MessageJson};
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::response::{self, Body};
use crate::slots::Slots;

/// How many messages a page has unless the client says so, and how many it may ask for.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// What a client asks of the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Query {
    folder: Folder,
    after: Option<Cursor>,
    limit: usize,
}

/// Shows a page of a folder.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    query: Option<&str>,
) -> Result<Response<Body>, Problem> {
    let Query {
        folder,
        after,
        limit,
    } = parse(query.unwrap_or_default())?;
    let mailbox = slots.mailbox(id).await?;
    let page = mailbox.list(folder, after, limit);
    Ok(response::json(StatusCode::OK, &ListJson::of(id, page)))
}

/// Takes a message.
pub(crate) async fn post<P, B>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (mailbox, message) = deposit::deposit(slots, id, headers, body).await?;
    // It was just put there, or was there before.
    let message = mailbox.message(message).ok_or(Problem::StoredDataDamaged)?;
    let mut response = response::json(StatusCode::CREATED, &MessageJson::of(id, message));
    let location = format!("/v1/mailboxes/{id}/messages/{}", message.id);
    response
        .headers_mut()
        .extend(response::header(LOCATION, location));
    Ok(response)
}

fn parse(query: &str) -> Result<Query, Problem> {
    let mut parsed = Query {
        folder: Folder::default(),
        after: None,
        limit: LIMIT_DEFAULT,
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let invalid = |detail: String| Problem::ParameterInvalid {
            parameter: name.to_string(),
            detail,
        };
        match name.as_ref() {
            "folder" => {
                parsed.folder = value.parse().map_err(|error| invalid(format!("{error}")))?
            }
            "cursor" => {
                parsed.after = Some(value.parse().map_err(|error| invalid(format!("{error}")))?)
            }
            "limit" => {
                let limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=LIMIT_MAX).contains(limit));
                parsed.limit = limit.ok_or_else(|| {
                    invalid(format!("it is no whole number from 1 to {LIMIT_MAX}"))
                })?;
            }
            _ => {
                return Err(invalid(
                    "it is not known; those that are known are folder, limit, cursor".into(),
                ));
            }
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_read_by_name() {
        let default = Query {
            folder: Folder::Inbox,
            after: None,
            limit: 20,
        };
        assert_eq!(parse(""), Ok(default));
        assert_eq!(
            parse("folder=trash&limit=1"),
            Ok(Query {
                folder: Folder::Trash,
                limit: 1,
                ..default
            })
        );
        assert_eq!(
            parse("limit=100"),
            Ok(Query {
                limit: 100,
                ..default
            })
        );
    }

    #[test]
    fn wrong_query_names_the_parameter() {
        for (query, named) in [
            ("folder=outbox", "folder"),
            ("folder=", "folder"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=-1", "limit"),
            ("limit=ten", "limit"),
            ("cursor=abc", "cursor"),
            ("foldr=inbox", "foldr"),
            ("%ff=1", "\u{fffd}"),
        ] {
            match parse(query) {
                Err(Problem::ParameterInvalid { parameter, .. }) => assert_eq!(parameter, named),
                other => panic!("{query}: {other:?}"),
            }
        }
    }
}
