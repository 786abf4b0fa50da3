//! The lease, the delays between attempts, and the directory.

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
    #[test]
    fn what_is_stored_comes_back(ids in prop::collection::btree_set("[a-z]{1,8}", 0..5)) {
        let ids = || ids.iter().map(|id| id.parse::<MailboxId>().expect("a mailbox"));
        let shard = DirectoryShard(ids().collect());
        prop_assert_eq!(DirectoryShard::decode(Some(&shard.encode())), Ok(shard));
        let root = DirectoryRoot(ids().map(|id| directory_shard_of(&id)).collect());
        prop_assert_eq!(DirectoryRoot::decode(Some(&root.encode())), Ok(root));
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
