//! `/v1/mailboxes/{mailbox}/messages`: the list, the way in, and what is done to several at once.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as HttpBody;
use starling_mailbox::{
    Cursor, FlagChange, Folder, Mailbox, MailboxId, MessageId, Search, Slot, keys,
};

use super::message::{change, declared_change, purge};
use crate::deposit::{self, Taken};
use crate::json::{self, AcceptedJson, JSON_BYTES_MAX, ListJson, MessageJson, MessagesJson};
use crate::maintenance;
use crate::platform::{Platform, UploadError};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::response::{self, Body};
use crate::slots::{Change, Slots, exists};
use crate::upload;

/// How many messages a page has unless the client says so, and how many it may ask for.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// How many messages are changed at once at most.
const BULK_MAX: usize = 100;

/// The longest text to search for, in bytes.
const SEARCH_BYTES_MAX: usize = 128;

/// What a client asks of the list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listing {
    search: Search,
    after: Option<Cursor>,
    limit: usize,
}

/// Shows a page of a folder.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let Listing {
        search,
        after,
        limit,
    } = parse(query)?;
    let mailbox = slots.mailbox(id).await?;
    let page = mailbox.list(&search, after, limit);
    for (message, error) in &page.damaged {
        let log = format!(
            "list {}: message {message} is left out: {error}",
            keys::slot(id)
        );
        slots.platform().log(&log);
    }
    Ok(response::json(StatusCode::OK, &ListJson::of(id, &page)))
}

/// Takes a message: 201 once it is in the mailbox, 202 once it is in the spool.
pub(crate) async fn post<P, B>(
    platform: &P,
    id: &MailboxId,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    let (message, mut response) = match deposit::deposit(platform, id, headers, body).await? {
        Taken::Stored(it) => {
            let json = MessageJson::deposited(id, &it.mailbox, it.message, &it.header);
            (it.message, response::json(StatusCode::CREATED, &json))
        }
        Taken::Spooled(it) => {
            let json = AcceptedJson::of(&it);
            (it.message, response::json(StatusCode::ACCEPTED, &json))
        }
    };
    let location = format!("/v1/mailboxes/{id}/messages/{message}");
    response
        .headers_mut()
        .extend(response::header(LOCATION, location));
    Ok(response)
}

/// Changes the flags of several messages in one write: all that exist, and says which do not.
pub(crate) async fn patch<P, B>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Problem>
where
    P: Platform,
    B: HttpBody<Data = Bytes, Error = UploadError>,
{
    declared_change(headers)?;
    let body = upload::read(headers, body, JSON_BYTES_MAX).await?;
    let (ids, flags) = json::bulk_change(&body)?;
    if ids.is_empty() || ids.len() > BULK_MAX {
        return Err(Problem::MemberInvalid {
            member: "messages".into(),
            detail: format!("it is no list of 1 to {BULK_MAX} ids"),
        });
    }
    let (mailbox, not_found) = flag_all(slots, id, ids.clone(), flags).await?;
    let changed = ids.iter().filter_map(|text| text.parse().ok());
    let changed = changed.filter_map(|it| mailbox.message(it).transpose());
    let changed = changed.map(|it| Ok(MessageJson::of(id, &it?)));
    let messages = MessagesJson {
        messages: slots.decoded_of(id, changed.collect())?,
        not_found,
    };
    Ok(response::json(StatusCode::OK, &messages))
}

/// Moves messages to the trash (`id`, repeated), or removes what lies there for good
/// (`folder=trash`), or both (`purge=true`).
pub(crate) async fn delete<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let (mut ids, mut trash, mut for_good) = (Vec::new(), false, false);
    for (name, value) in Query::of(query) {
        match name.as_str() {
            "id" => ids.push(value),
            "folder" if value == "trash" => trash = true,
            "folder" => {
                return Err(query::invalid(
                    &name,
                    "only the trash can be emptied".into(),
                ));
            }
            "purge" => for_good = query::boolean(&name, &value)?,
            _ => return Err(query::unknown(&name, "id, folder, purge")),
        }
    }
    if ids.len() > BULK_MAX {
        return Err(query::invalid(
            "id",
            format!("at most {BULK_MAX} are taken at once"),
        ));
    }
    if trash != ids.is_empty() {
        let detail = "either some ids are given, or folder=trash".to_owned();
        return Err(query::invalid("id", detail));
    }
    if !trash && !for_good {
        let deleted = FlagChange {
            deleted: Some(true),
            ..FlagChange::default()
        };
        flag_all(slots, id, ids, deleted).await?;
        return Ok(response::no_content());
    }
    let chosen = |mailbox: &Mailbox| -> Vec<MessageId> {
        if trash {
            mailbox.folder(Folder::Trash).collect()
        } else {
            let ids = ids.iter().filter_map(|text| text.parse().ok());
            ids.filter(|id| mailbox.shows(*id)).collect()
        }
    };
    purge(slots, id, chosen).await?;
    maintenance::tend(slots, id).await?;
    Ok(response::no_content())
}

/// Changes the flags of those of the messages that exist; the others are named.
async fn flag_all<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    ids: Vec<String>,
    flags: FlagChange,
) -> Result<(Mailbox, Vec<String>), Problem> {
    let mut not_found = Vec::new();
    let make = |mailbox: &Mailbox, _: &_| {
        exists(id, mailbox)?;
        not_found.clear();
        let mut deltas = Slot::default();
        for text in &ids {
            let message = text.parse().ok().filter(|it| mailbox.shows(*it));
            match message {
                Some(message) => change(&mut deltas, slots, id, mailbox, message, flags)?,
                None => not_found.push(text.clone()),
            }
        }
        Ok(Change::of_messages(deltas))
    };
    let mailbox = slots.change(id, make).await?;
    Ok((mailbox, not_found))
}

/// Reads the query of a list.
pub(crate) fn parse(query: &str) -> Result<Listing, Problem> {
    let mut listing = Listing {
        search: Search::default(),
        after: None,
        limit: LIMIT_DEFAULT,
    };
    let search = &mut listing.search;
    for (name, value) in Query::of(query) {
        match name.as_str() {
            "folder" => search.folder = query::parsed(&name, &value)?,
            "from" if value.len() > SEARCH_BYTES_MAX => {
                let detail = format!("it is longer than {SEARCH_BYTES_MAX} bytes");
                return Err(query::invalid(&name, detail));
            }
            "from" => search.from = Some(value).filter(|text| !text.is_empty()),
            "since" => search.since_ms = Some(query::time_ms(&name, &value)?),
            "until" => search.until_ms = Some(query::time_ms(&name, &value)?),
            "cursor" => listing.after = Some(query::parsed(&name, &value)?),
            "limit" => listing.limit = query::within(&name, &value, LIMIT_MAX)?,
            _ => {
                let known = "folder, from, since, until, limit, cursor";
                return Err(query::unknown(&name, known));
            }
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_read_by_name() {
        let default = Listing {
            search: Search::default(),
            after: None,
            limit: 20,
        };
        assert_eq!(parse(""), Ok(default.clone()));
        let search = Search {
            folder: Folder::Trash,
            from: Some("+1555".into()),
            since_ms: Some(1),
            until_ms: Some(86_400_000),
        };
        assert_eq!(
            parse(
                "folder=trash&limit=1&from=%2B1555&since=1970-01-01T00:00:00.001Z\
                 &until=1970-01-02T00:00:00Z"
            ),
            Ok(Listing {
                search,
                limit: 1,
                ..default.clone()
            })
        );
        assert_eq!(
            parse("limit=100&from="),
            Ok(Listing {
                limit: 100,
                ..default
            })
        );
    }

    #[test]
    fn wrong_query_names_the_parameter() {
        let long = format!("from={}", "a".repeat(129));
        for (query, named) in [
            ("folder=outbox", "folder"),
            ("folder=", "folder"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=-1", "limit"),
            ("limit=ten", "limit"),
            ("cursor=abc", "cursor"),
            ("since=yesterday", "since"),
            ("until=", "until"),
            ("foldr=inbox", "foldr"),
            ("%ff=1", "\u{fffd}"),
            (&long, "from"),
        ] {
            match parse(query) {
                Err(Problem::ParameterInvalid { parameter, .. }) => assert_eq!(parameter, named),
                other => panic!("{query}: {other:?}"),
            }
        }
    }
}
