//! Which mailboxes there are: the list that operators page through, and that the chores go round.
//!
//! No store can be asked for a part of its keys in Spin, and a scan of all of them is no answer to a
//! request. So each region keeps a directory of the mailboxes that were created there, spread over a
//! fixed number of shards by a hash of the id. A shard of a million mailboxes' directory holds a
//! thousand, some 15 KB; a page reads one shard of each region, or a few.
//!
//! A mailbox is in the directory before it exists, and leaves it after it is deleted, so that a crash
//! in between leaves at most an entry too many, which the next round of chores removes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::encoding::whole;
use crate::{DecodeError, MailboxId};

/// How many shards there are. Fixed for ever: it decides where an entry is found.
pub const DIRECTORY_SHARDS: u16 = 1024;

const VERSION: u8 = 1;

/// The mailboxes of one shard.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DirectoryShard(pub BTreeSet<MailboxId>);

/// Which shards hold, or held, anything: the shortcut through an empty directory.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DirectoryRoot(pub BTreeSet<u16>);

/// The shard of a mailbox.
pub fn directory_shard_of(mailbox: &MailboxId) -> u16 {
    let digest = Sha256::digest(mailbox.as_str().as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) % DIRECTORY_SHARDS
}

macro_rules! stored {
    ($($name:ty),*) => {$(
        impl $name {
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
            pub fn decode(bytes: Option<&[u8]>) -> Result<Self, DecodeError> {
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

stored!(DirectoryShard, DirectoryRoot);
