//! The chores: what the host's spool holds is delivered; and those of the region, which are telling webhooks,
//! dropping what has expired, removing audio that nothing names.
//!
//! The host calls `POST /maintenance` at an interval, on the component itself; no route of the manifest
//! leads there from outside. Each call does a bounded step. Every host sees to its own spool. One host of a
//! region does the region's chores at a time, by a lease in the region's store that the holder renews with
//! each call; since everything here may be done twice, a lease that is lost is harmless.
//!
//! Where no timer calls (stock Spin), [`after`] does the chores of a mailbox when it is touched.

use http::{Response, StatusCode};
use serde::Serialize;
use starling_mailbox::{DIRECTORY_SHARDS, DirectoryShard, Lease, MailboxId, Profile, keys};

use crate::directory;
use crate::notify;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::reclaim::{self, Reclaimed};
use crate::response::{self, Body};
use crate::slots::{Change, Slots};
use crate::spool::{self, Replayed};

/// How many mailboxes one step of the round looks after.
const MAILBOXES_MAX: usize = 100;

/// How many shards of the directory one step goes through, most of which are empty where there are few
/// mailboxes.
const SHARDS_MAX: u16 = 256;

/// After how long a step begins nothing new, in the round and among the notifications alike: the host
/// ends a request after five seconds, and a webhook may take three.
const STEP_MS: u64 = 1_000;

/// How much of a step the spool may take before it begins with no further entry.
const SPOOL_MS: u64 = STEP_MS / 2;

/// For how long nobody must have had the lease for the chores to be done in passing.
const NO_TIMER_MS: u64 = 60_000;

/// What a step has done, for the operator.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether this instance had the lease.
    leader: bool,
    mailboxes: usize,
    reclaimed_pieces: u64,
    reclaimed_bytes: u64,
    spool_delivered: usize,
    spool_set_aside: usize,
}

/// Does a step of the chores: the host's, and the region's if this instance is the one to do them.
pub(crate) async fn post<P: Platform>(platform: &P) -> Result<Response<Body>, Problem> {
    let begun_ms = platform.now_ms();
    let replayed = spool::replay(platform, begun_ms.saturating_add(SPOOL_MS)).await?;
    let slots = &Slots::open(platform).await?;
    let holder = platform.instance();
    let mut taken = None;
    let take = slots.change_value(keys::MAINTENANCE, |bytes| {
        taken = Lease::decode(bytes)?.taken_by(holder, platform.now_ms());
        Ok(taken.as_ref().map(Lease::encode))
    });
    take.await?;
    let Some(mut lease) = taken else {
        return Ok(report(false, 0, Reclaimed::default(), replayed));
    };
    let mut mailboxes = 0;
    let mut reclaimed = Reclaimed::default();
    'round: for _ in 0..SHARDS_MAX {
        for id in rest_of_shard(slots, &lease, MAILBOXES_MAX - mailboxes).await? {
            if platform.now_ms() >= begun_ms.saturating_add(STEP_MS) {
                break 'round;
            }
            mailboxes += 1;
            let tended = tend(slots, &id).await;
            lease.after = Some(id);
            match tended {
                Ok(step) => {
                    reclaimed.pieces += step.pieces;
                    reclaimed.bytes += step.bytes;
                }
                // The store is down for all of them.
                Err(Problem::StoreUnavailable) => break 'round,
                // What is wrong with one mailbox, the log says, and must not stop the others.
                Err(_) => {}
            }
        }
        if mailboxes == MAILBOXES_MAX {
            break;
        }
        lease.after = None;
        lease.shard = (lease.shard + 1) % DIRECTORY_SHARDS;
    }
    lease.reclaimed_pieces += reclaimed.pieces;
    lease.reclaimed_bytes += reclaimed.bytes;
    let progress = slots.change_value(keys::MAINTENANCE, |bytes| {
        let now = Lease::decode(bytes)?;
        Ok((now.holder == holder).then(|| lease.encode()))
    });
    progress.await?;
    let until_ms = platform.now_ms().saturating_add(STEP_MS);
    notify::settle(slots, until_ms).await?;
    Ok(report(true, mailboxes, reclaimed, replayed))
}

fn report(
    leader: bool,
    mailboxes: usize,
    reclaimed: Reclaimed,
    replayed: Replayed,
) -> Response<Body> {
    let report = Report {
        leader,
        mailboxes,
        reclaimed_pieces: reclaimed.pieces,
        reclaimed_bytes: reclaimed.bytes,
        spool_delivered: replayed.delivered,
        spool_set_aside: replayed.set_aside,
    };
    response::json(StatusCode::OK, &report)
}

/// The next mailboxes of the shard that the round is in.
async fn rest_of_shard<P: Platform>(
    slots: &Slots<'_, P>,
    lease: &Lease,
    limit: usize,
) -> Result<Vec<MailboxId>, Problem> {
    let key = keys::directory_shard(lease.shard);
    let Some(bytes) = slots.own_value(&key).await? else {
        return Ok(Vec::new());
    };
    let shard = slots.decoded(&key, DirectoryShard::decode(Some(&bytes)))?;
    let rest = shard.after(lease.after.as_ref()).take(limit).collect();
    slots.decoded(&key, rest)
}

/// Does what is to be done for one mailbox: tidies its record, removes some of the audio that has left
/// it, notes a notification that has been forgotten, and takes it out of the directory once it is
/// deleted and nothing is left of it.
pub(crate) async fn tend<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
) -> Result<Reclaimed, Problem> {
    let tidy = |_: &_, _: &_| {
        Ok(Change {
            tidies: true,
            ..Change::default()
        })
    };
    slots.change(id, tidy).await?;
    let (mailbox, record) = slots.read(id).await?;
    if notify::is_owed(&record) && !mailbox.profile().webhooks().is_empty() {
        // The log says what failed; the next round comes by again.
        let _ = notify::note(slots, id).await;
    }
    let reclaimed = reclaim::step(slots, id, &record).await?;
    // That it does not exist may only seem so, where its creation is in a region that cannot be read.
    let nothing_here = record.profile == Profile::default() && record.messages.is_empty();
    if !mailbox.exists() && nothing_here && record.chores.reclaim.is_empty() {
        directory::leave(slots, id).await?;
        // Unless it was created anew in the same moment.
        let mailbox = slots.in_sight(id).await?;
        if mailbox.exists() {
            directory::enter(slots, id).await?;
        }
    }
    Ok(reclaimed)
}

/// Does the chores of a mailbox that a request has touched, if no timer seems to call.
pub async fn after<P: Platform>(platform: &P, id: &MailboxId) {
    let Ok(slots) = Slots::open(platform).await else {
        return;
    };
    let Ok(bytes) = slots.own_value(keys::MAINTENANCE).await else {
        return;
    };
    let lease = Lease::decode(bytes.as_deref()).unwrap_or_default();
    if platform.now_ms() < lease.until_ms.saturating_add(NO_TIMER_MS) {
        return;
    }
    // The log says what failed; the next request that touches the mailbox goes on.
    let _ = tend(&slots, id).await;
    if notify::is_anything_owed(&slots, id).await {
        let until_ms = platform.now_ms().saturating_add(STEP_MS);
        let _ = notify::settle(&slots, until_ms).await;
    }
}
