//! Entering mailboxes into the region's directory, taking them out, and reading a page of it.

use starling_mailbox::{
    DecodeError, DirectoryRoot, DirectoryShard, MailboxId, directory_shard_of, keys,
};

use crate::platform::Platform;
use crate::problem::Problem;
use crate::slots::Slots;

/// Enters a mailbox, before it exists: what is not in the directory is never found again.
pub(crate) async fn enter<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
) -> Result<(), Problem> {
    let shard = directory_shard_of(id);
    let key = keys::directory_shard(shard);
    let entered = slots.change_value(&key, |bytes| {
        let mut shard = DirectoryShard::decode(bytes)?;
        Ok(shard.insert(id).then(|| shard.encode()))
    });
    entered.await?;
    let marked = slots.change_value(keys::DIRECTORY, |bytes| {
        let mut root = DirectoryRoot::decode(bytes)?;
        Ok(root.insert(shard).then(|| root.encode()))
    });
    marked.await
}

/// Takes a mailbox out, after it was deleted.
pub(crate) async fn leave<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
) -> Result<(), Problem> {
    let key = keys::directory_shard(directory_shard_of(id));
    let left = slots.change_value(&key, |bytes| {
        let mut shard = DirectoryShard::decode(bytes)?;
        Ok(shard.remove(id).then(|| shard.encode()))
    });
    left.await
}

/// A place in the directory: behind this mailbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place(MailboxId);

impl std::str::FromStr for Place {
    type Err = starling_mailbox::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Some of the mailboxes that are in the directory of any region, in an order of no meaning, and where
/// to go on.
///
/// Reads the shards that hold anything, one after another, until there are enough: whatever the number
/// of mailboxes, a page costs a few reads. Some of those named may not exist any more.
pub(crate) async fn page<P: Platform>(
    slots: &Slots<'_, P>,
    after: Option<&Place>,
    limit: usize,
) -> Result<(Vec<MailboxId>, Option<MailboxId>), Problem> {
    let roots = slots.values(keys::DIRECTORY, DirectoryRoot::decode).await?;
    let first = after.map_or(0, |Place(id)| directory_shard_of(id));
    let mut shards: Vec<u16> = roots.iter().flat_map(|root| root.from(first)).collect();
    shards.sort_unstable();
    shards.dedup();
    let mut found = Vec::new();
    for shard in shards {
        let key = keys::directory_shard(shard);
        let after = after.map(|Place(id)| id).filter(|_| shard == first);
        // One more than is wanted tells that there are more.
        let some = |bytes: Option<&[u8]>| -> Result<Vec<MailboxId>, DecodeError> {
            let shard = DirectoryShard::decode(bytes)?;
            shard.after(after).take(limit + 1).collect()
        };
        let mut ids = slots.values(&key, some).await?.concat();
        ids.sort_unstable();
        ids.dedup();
        found.extend(ids);
        if found.len() > limit {
            found.truncate(limit);
            let next = found.last().cloned();
            return Ok((found, next));
        }
    }
    Ok((found, None))
}
