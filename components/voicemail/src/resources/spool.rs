//! `/v1/spool`: what waits in the spool of the host that answers, for operators, and what is done with the
//! entries that no mailbox takes.

use http::{Response, StatusCode};
use starling_mailbox::{SpoolContents, SpoolEntry, SpoolKey, SpoolState, Spooled};

use crate::json::{SpoolEntryJson, SpoolJson};
use crate::limits;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::response::{self, Body};
use crate::spool::Spool;

/// How many entries a page has unless the client says so, and how many it may ask for.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// Shows how full it is, and a page of its entries in their order.
pub(crate) async fn get<P: Platform>(platform: &P, query: &str) -> Result<Response<Body>, Problem> {
    let (mut only, mut after, mut limit) = (None, None, LIMIT_DEFAULT);
    for (name, value) in Query::of(query) {
        match name.as_str() {
            "state" => only = Some(state(&name, &value)?),
            "cursor" => after = Some(query::parsed::<u64>(&name, &value)?),
            "limit" => limit = query::within(&name, &value, LIMIT_MAX)?,
            _ => return Err(query::unknown(&name, "state, limit, cursor")),
        }
    }
    let spool = open(platform).await?;
    let contents = spool.contents().await?;
    let mut shown = contents.entries.iter().filter(|(order, entry)| {
        let state = entry.state();
        let wanted = only.map_or(state != SpoolState::Unfinished, |only| only == state);
        wanted && after.is_none_or(|after| **order > after)
    });
    let mut entries = Vec::new();
    let mut last = None;
    for (order, entry) in shown.by_ref().take(limit) {
        last = Some(*order);
        let Some(key) = entry.waiting.or(entry.undeliverable) else {
            continue;
        };
        // What has been delivered meanwhile is not shown.
        if let Some(bytes) = spool.get(key).await? {
            let spooled = Spooled::decode(&bytes).ok();
            entries.push(SpoolEntryJson::of(*order, entry, spooled.as_ref()));
        }
    }
    let next_cursor = last.filter(|_| shown.next().is_some());
    let max = limits::spool(platform).await?;
    let json = SpoolJson {
        waiting: contents.fill(Some(SpoolState::Waiting)).into(),
        undeliverable: contents.fill(Some(SpoolState::Undeliverable)).into(),
        max: max.into(),
        entries,
        next_cursor: next_cursor.map(|order| order.to_string()),
    };
    Ok(response::json(StatusCode::OK, &json))
}

/// Has an entry that was set aside delivered again, in its place in the order.
pub(crate) async fn retry<P: Platform>(
    platform: &P,
    order: &str,
) -> Result<Response<Body>, Problem> {
    let spool = open(platform).await?;
    let contents = spool.contents().await?;
    let (order, entry, aside) = set_aside(&contents, order)?;
    let stored = spool.get(aside).await?.ok_or(Problem::SpoolEntryNotFound)?;
    let stored = match Spooled::decode(&stored) {
        Ok(spooled) => Spooled {
            refusal: None,
            ..spooled
        }
        .encode(),
        // Perhaps another release can read it.
        Err(_) => stored,
    };
    let bytes = entry.bytes();
    spool
        .set(SpoolKey::Waiting { order, bytes }, &stored)
        .await?;
    spool.delete(aside).await?;
    Ok(response::no_content())
}

/// Drops an entry that was set aside, and its audio.
pub(crate) async fn delete<P: Platform>(
    platform: &P,
    order: &str,
) -> Result<Response<Body>, Problem> {
    let spool = open(platform).await?;
    let contents = spool.contents().await?;
    let (order, entry, _) = set_aside(&contents, order)?;
    spool.remove(entry).await?;
    platform.log(&format!(
        "spool: entry {order} has been dropped by an operator"
    ));
    Ok(response::no_content())
}

async fn open<P: Platform>(platform: &P) -> Result<Spool<'_, P>, Problem> {
    Spool::open(platform).await?.ok_or(Problem::NotFound)
}

fn state(name: &str, value: &str) -> Result<SpoolState, Problem> {
    match value {
        "waiting" => Ok(SpoolState::Waiting),
        "undeliverable" => Ok(SpoolState::Undeliverable),
        _ => Err(query::invalid(
            name,
            "it is neither waiting nor undeliverable".into(),
        )),
    }
}

/// The entry of this number, if it was set aside.
fn set_aside<'a>(
    contents: &'a SpoolContents,
    order: &str,
) -> Result<(u64, &'a SpoolEntry, SpoolKey), Problem> {
    let order = order.parse().map_err(|_| Problem::SpoolEntryNotFound)?;
    let entry = contents.entries.get(&order);
    let entry = entry.filter(|entry| entry.state() == SpoolState::Undeliverable);
    let found = entry.and_then(|entry| Some((order, entry, entry.undeliverable?)));
    found.ok_or(Problem::SpoolEntryNotFound)
}
