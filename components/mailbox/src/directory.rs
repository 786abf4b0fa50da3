//! Which mailboxes there are: the list that operators page through, and that the chores go round.
//!
//! No store can be asked for a part of its keys in Spin, and a scan of all of them is no answer to a
//! request. So each region keeps a directory of the mailboxes that were created there, spread over a
//! fixed number of shards by a hash of the id. A shard of a million mailboxes' directory holds a
//! thousand, some 15 KB; a page reads one shard of each region, or a few. What is stored is a sorted
//! list, of which the ids that nobody asks for are stepped over, and never taken to pieces.
//!
//! A mailbox is in the directory before it exists, and leaves it after it is deleted, so that a crash
//! in between leaves at most an entry too many, which the next round of chores removes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::encoding::whole;
use crate::{DecodeError, MailboxId};

/// How many shards there are. Fixed for ever: it decides where an entry is found.
pub const DIRECTORY_SHARDS: u16 = 1024;

const VERSION: u8 = 1;

/// The mailboxes of one shard, in their order.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DirectoryShard<'a>(#[serde(borrow)] Vec<&'a str>);

impl<'a> DirectoryShard<'a> {
    /// Whether it was not there.
    pub fn insert(&mut self, mailbox: &'a MailboxId) -> bool {
        insert(&mut self.0, mailbox.as_str())
    }

    /// Whether it was there.
    pub fn remove(&mut self, mailbox: &MailboxId) -> bool {
        let at = self.0.binary_search(&mailbox.as_str());
        at.map(|at| self.0.remove(at)).is_ok()
    }

    /// The mailboxes behind this one, or all.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] in the place of what is no mailbox.
    pub fn after(
        &self,
        mailbox: Option<&MailboxId>,
    ) -> impl Iterator<Item = Result<MailboxId, DecodeError>> {
        let first = mailbox.map_or(0, |mailbox| {
            self.0.partition_point(|id| *id <= mailbox.as_str())
        });
        let malformed = |error: crate::InvalidId| DecodeError::Malformed(error.to_string());
        let rest = self.0.iter().skip(first);
        rest.map(move |id| id.parse().map_err(malformed))
    }
}

/// Which shards hold, or held, anything, in their order: the shortcut through an empty directory.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DirectoryRoot(Vec<u16>);

impl DirectoryRoot {
    /// Whether it was not there.
    pub fn insert(&mut self, shard: u16) -> bool {
        insert(&mut self.0, shard)
    }

    /// The shards from this one on.
    pub fn from(&self, shard: u16) -> impl Iterator<Item = u16> {
        let first = self.0.partition_point(|it| *it < shard);
        let rest = self.0.iter().copied().skip(first);
        rest.filter(|shard| *shard < DIRECTORY_SHARDS)
    }
}

fn insert<T: Ord>(sorted: &mut Vec<T>, value: T) -> bool {
    match sorted.binary_search(&value) {
        Ok(_) => false,
        Err(at) => {
            sorted.insert(at, value);
            true
        }
    }
}

/// The shard of a mailbox.
pub fn directory_shard_of(mailbox: &MailboxId) -> u16 {
    let digest = Sha256::digest(mailbox.as_str().as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) % DIRECTORY_SHARDS
}

macro_rules! stored {
    ($($name:ident$(<$lifetime:lifetime>)?),*) => {$(
        impl$(<$lifetime>)? $name$(<$lifetime>)? {
            /// The bytes to store.
            pub fn encode(&self) -> Vec<u8> {
                postcard::to_extend(self, vec![VERSION])
                    .expect("it consists of texts and numbers, and a vector takes any length")
            }

            /// What was stored; nothing counts as empty.
            ///
            /// # Errors
            ///
            /// [`DecodeError`] for bytes that [`encode`](Self::encode) did not write. No bytes make it
            /// panic.
            pub fn decode(bytes: Option<&$($lifetime)? [u8]>) -> Result<Self, DecodeError> {
                match bytes.map(<[u8]>::split_first) {
                    None => Ok(Self::default()),
                    Some(Some((&VERSION, body))) => whole(body),
                    Some(None | Some((0, _))) => Err(DecodeError::Malformed("it has no version".into())),
                    Some(Some((newer, _))) => Err(DecodeError::NewerVersion(*newer)),
                }
            }
        }
    )*};
}

pub(crate) use stored;

stored!(DirectoryShard<'a>, DirectoryRoot);
