//! The lease, the delays between attempts, and the directory.

use std::collections::BTreeSet;

use proptest::prelude::*;
use starling_mailbox::{
    ATTEMPTS_MAX, Attempts, DIRECTORY_SHARDS, DecodeError, DirectoryRoot, DirectoryShard, LEASE_MS,
    Lease, MailboxId, Owed, Shares, directory_shard_of,
};

const NOW_MS: u64 = 1_000_000;

#[test]
fn lease_is_one_holders_until_it_ends() {
    let free = Lease::default();
    let mine = free.taken_by([1; 16], NOW_MS).expect("nobody's");
    assert_eq!(mine.until_ms, NOW_MS + LEASE_MS);
    assert_eq!(mine.taken_by([2; 16], NOW_MS + LEASE_MS - 1), None);
    let again = mine.taken_by([1; 16], NOW_MS + 5).expect("mine");
    assert_eq!(again.until_ms, NOW_MS + 5 + LEASE_MS);
    assert!(mine.taken_by([2; 16], NOW_MS + LEASE_MS).is_some());
}

#[test]
fn lease_of_a_clock_far_ahead_is_nobodys() {
    let far = Lease {
        holder: [1; 16],
        until_ms: NOW_MS + 3 * LEASE_MS,
        ..Lease::default()
    };
    assert!(far.taken_by([2; 16], NOW_MS).is_some());
}

#[test]
fn attempts_wait_longer_each_time_and_end() {
    let mut attempts = Attempts::default();
    let mut delays = Vec::new();
    let mut now_ms = NOW_MS;
    while let Some(next) = attempts.failed(now_ms) {
        delays.push((next.due_at_ms - now_ms) / 1000);
        (attempts, now_ms) = (next, next.due_at_ms);
    }
    assert_eq!(
        delays[..12],
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    );
    assert_eq!(delays.len() as u32, ATTEMPTS_MAX - 1);
    let days = (now_ms - NOW_MS) / 86_400_000;
    assert_eq!(days, 2, "some three days");
}

/// Seen when the fuzz target for stored bytes was written; its seed is `owed-for-ever`.
#[test]
fn a_count_of_attempts_that_was_never_reached_ends_them() {
    let damaged = Attempts {
        failed: u32::MAX,
        due_at_ms: u64::MAX,
    };
    assert_eq!(damaged.failed(NOW_MS), None);
}

#[test]
fn nothing_stored_is_empty() {
    assert_eq!(DirectoryShard::decode(None), Ok(DirectoryShard::default()));
    let newer = DirectoryRoot::decode(Some(&[9]));
    assert_eq!(newer, Err(DecodeError::NewerVersion(9)));
    assert!(matches!(
        Owed::decode(Some(&[])),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn shards_of_many_mailboxes_are_even() {
    let mut counts = vec![0; usize::from(DIRECTORY_SHARDS)];
    for n in 0..102_400 {
        let mailbox: MailboxId = format!("+1555{n:07}").parse().expect("a mailbox");
        counts[usize::from(directory_shard_of(&mailbox))] += 1;
    }
    assert!(
        counts.iter().all(|count| (40..=180).contains(count)),
        "{counts:?}"
    );
}

proptest! {
    /// In whatever order mailboxes come and go.
    #[test]
    fn shard_is_a_set_that_is_gone_through_in_its_order(
        changes in prop::collection::vec(("[a-c]{1,2}", any::<bool>()), 0..20),
        after in prop::option::of("[a-c]{1,2}"),
    ) {
        let id = |text: &String| text.parse::<MailboxId>().expect("a mailbox");
        let mut expected = BTreeSet::new();
        let mut stored = None;
        for (text, entered) in &changes {
            let id = id(text);
            let mut shard = DirectoryShard::decode(stored.as_deref()).expect("it was encoded");
            if *entered {
                prop_assert_eq!(shard.insert(&id), expected.insert(id.clone()));
            } else {
                prop_assert_eq!(shard.remove(&id), expected.remove(&id));
            }
            stored = Some(shard.encode());
        }
        let after = after.as_ref().map(id);
        let shard = DirectoryShard::decode(stored.as_deref()).expect("it was encoded");
        let rest: Result<Vec<_>, _> = shard.after(after.as_ref()).collect();
        let expected = expected.into_iter().filter(|id| after.as_ref().is_none_or(|it| id > it));
        prop_assert_eq!(rest, Ok(expected.collect()));
    }

    #[test]
    fn root_is_a_set_of_shards_that_there_are(
        shards in prop::collection::vec(any::<u16>(), 0..20),
        first: u16,
    ) {
        let mut root = DirectoryRoot::default();
        let mut expected = BTreeSet::new();
        for shard in shards {
            prop_assert_eq!(root.insert(shard), expected.insert(shard));
        }
        let root = DirectoryRoot::decode(Some(&root.encode())).expect("it was encoded");
        let expected = expected.into_iter().filter(|it| (first..DIRECTORY_SHARDS).contains(it));
        prop_assert_eq!(root.from(first).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_stored_comes_back(ids in prop::collection::btree_set("[a-z]{1,8}", 0..5)) {
        let ids = || ids.iter().map(|id| id.parse::<MailboxId>().expect("a mailbox"));
        let owed = Owed(ids().map(|id| (id, Attempts { failed: 1, due_at_ms: 2 })).collect());
        prop_assert_eq!(Owed::decode(Some(&owed.encode())), Ok(owed));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let bytes = Some(&bytes[..]);
        let _ = DirectoryShard::decode(bytes);
        let _ = DirectoryRoot::decode(bytes);
        let _ = Owed::decode(bytes);
        let _ = Lease::decode(bytes);
        let _ = Shares::decode(bytes);
    }
}
