//! Whether a bucket still is a continuation of its copy.
//!
//! A copy holds a prefix of its origin. So whatever the origin still holds within that prefix, the copy holds too, and
//! whatever the copy alone holds, the origin has replaced by something later than the prefix. An origin that has lost
//! its end and written another breaks one or the other, unless all of it that was written within the prefix has been
//! replaced since: then nothing can be read any more that would differ.

use async_nats::jetstream::message::StreamMessage;
use starling_kv::Error;

use crate::bucket::origin_time_ns;
use crate::pump::Linked;

/// Messages at the end of a copy that are looked for in its origin. There are that many only where the origin has
/// replaced as many at a stretch.
const LOOKED_FOR_MAX: usize = 64;

/// Where an origin and its copy, which ends at `end`, are found to hold different messages, if they are. The origin
/// ends there or later.
pub(crate) async fn difference(
    origin: &Linked,
    copy: &Linked,
    end: u64,
) -> Result<Option<u64>, Error> {
    let held = last_up_to(origin, end).await?;
    let compared = held.as_ref().map_or(0, |message| message.sequence);
    if let Some(message) = held {
        let copied = copy.bucket.at(&copy.link, message.sequence).await?;
        if !copied.is_some_and(|copied| same(origin, &message, copy, &copied)) {
            return Ok(Some(message.sequence));
        }
    }
    let mut from = compared + 1;
    for _ in 0..LOOKED_FOR_MAX {
        let Some(message) = copy.bucket.first_from(&copy.link, from).await? else {
            break;
        };
        if message.sequence > end {
            break;
        }
        from = message.sequence + 1;
        if copy.bucket.is_filler(&message) {
            continue;
        }
        let Some(subject) = copy
            .bucket
            .same_subject_in(&origin.bucket, &message.subject)
        else {
            continue;
        };
        let last = origin.bucket.last_of(&origin.link, subject).await?;
        if last.is_none_or(|last| last.sequence <= end) {
            return Ok(Some(message.sequence));
        }
    }
    Ok(None)
}

fn same(origin: &Linked, message: &StreamMessage, copy: &Linked, copied: &StreamMessage) -> bool {
    origin.bucket.below(&message.subject) == copy.bucket.below(&copied.subject)
        && origin_time_ns(message) == origin_time_ns(copied)
}

/// The last message up to this sequence that is no filler.
async fn last_up_to(origin: &Linked, mut end: u64) -> Result<Option<StreamMessage>, Error> {
    // There is at most one filler: each takes the place of the one before.
    loop {
        let Some(message) = greatest(origin, end).await? else {
            return Ok(None);
        };
        if !origin.bucket.is_filler(&message) {
            return Ok(Some(message));
        }
        end = message.sequence - 1;
    }
}

/// The last message up to this sequence. Servers find the first from a sequence on; so it is searched by halves.
async fn greatest(origin: &Linked, end: u64) -> Result<Option<StreamMessage>, Error> {
    if end == 0 {
        return Ok(None);
    }
    if let Some(message) = origin.bucket.at(&origin.link, end).await? {
        return Ok(Some(message));
    }
    let mut found = None;
    // What is looked for is at `low` or later, and before `high`.
    let (mut low, mut high) = (1, end);
    while low < high {
        let middle = low + (high - low) / 2;
        let message = origin.bucket.first_from(&origin.link, middle).await?;
        match message.filter(|message| message.sequence < high) {
            Some(message) => {
                low = message.sequence + 1;
                found = Some(message);
            }
            None => high = middle,
        }
    }
    Ok(found)
}
