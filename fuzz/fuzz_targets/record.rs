//! Stored bytes: whatever lies under a key is decoded or refused, and what was decoded can be worked
//! with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starling_mailbox::{
    CallState, Cursor, DirectoryRoot, DirectoryShard, Folder, Join, Lease, Mailbox, MessageId,
    Origin, Owed, RateLimits, Record, Search, Shares, Slot, decode, encode, keys,
};

const LIMITS: RateLimits = RateLimits {
    mailbox_per_minute: Some(60),
    caller_per_minute: Some(7),
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = decode(bytes.to_vec()) {
        for now_ms in [0, 1_800_000_000_000, u64::MAX / 2] {
            match record.slot() {
                Ok(slot) => {
                    assert_eq!(decode(encode(&record)).as_ref(), Ok(&record));
                    work_with(&record, &slot, now_ms);
                }
                Err(_) => survive(&record, now_ms),
            }
        }
    }
    others(bytes);
});

/// What requests do with a record whose messages are damaged: whatever comes of it, it comes.
fn survive(record: &Record, now_ms: u64) {
    let Ok(mailbox) = record.mailbox(&[], now_ms) else {
        return;
    };
    drop(format!("{:?}", mailbox.summary()));
    let search = Search::default();
    let _ = mailbox.list(&search, None, 3);
    for id in mailbox.folder(search.folder) {
        let _ = mailbox.message(id);
        if let Ok(delta) = mailbox.purge(id) {
            let mut changed = record.clone();
            let _ = changed.change(delta, std::slice::from_ref(record), now_ms);
            let _ = decode(encode(&changed));
        }
    }
}

/// Everything that requests and chores do with a record.
fn work_with(record: &Record, slot: &Slot, now_ms: u64) {
    assert_eq!(&slot.clone().joined(slot.clone()), slot);
    let origin = Origin {
        region: "local".parse().expect("a region"),
        now_ms,
        alone: false,
    };

    let mailbox = record.mailbox(&[], now_ms).expect("it is whole");
    assert_eq!(
        mailbox.summary(),
        Mailbox::of([slot.clone()], now_ms).summary()
    );
    let ids = read(&mailbox, now_ms);
    assert_eq!(usize::try_from(mailbox.summary().messages), Ok(ids.len()));

    let mut changes = vec![
        mailbox.sign_in_failed(&origin),
        mailbox.sign_in_succeeded(),
        Slot::default(),
    ];
    changes.extend(mailbox.delete(&origin).ok());
    changes.extend(ids.iter().filter_map(|id| mailbox.purge(*id).ok()));
    for delta in changes {
        let mut changed = record.clone();
        let outcome = changed.change(delta, &[], now_ms);
        outcome.expect("it is whole");
        assert!(!changed.is_sweepable(&[], now_ms));
        assert_eq!(decode(encode(&changed)), Ok(changed));
    }

    let mut rates = record.chores.rates.clone();
    // Whether it is too fast does not matter.
    let _ = rates.count(None, LIMITS, now_ms);
}

/// Everything that is read of a mailbox, and which messages there are.
fn read(mailbox: &Mailbox, now_ms: u64) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for folder in [Folder::Inbox, Folder::Saved, Folder::Trash] {
        let search = Search {
            folder,
            ..Search::default()
        };
        let page = |after, limit| {
            let page = mailbox.list(&search, after, limit);
            assert!(page.damaged.is_empty());
            page
        };
        let mut after: Option<Cursor> = None;
        let before = ids.len();
        loop {
            let page = page(after, 3);
            ids.extend(page.messages.iter().map(|message| message.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids.len() - before, page(None, usize::MAX).messages.len());
    }
    for id in &ids {
        let message = mailbox.message(*id).expect("it is whole");
        for audio in message.expect("it is listed").header.recordings() {
            let chunks = audio.chunks();
            drop(keys::audio_chunk(audio, chunks.saturating_sub(1)));
            assert!(!audio.format.media_type().is_empty());
        }
    }
    for state in [CallState::Busy, CallState::Unanswered] {
        drop(format!("{:?}", mailbox.profile().heard(state, now_ms)));
    }
    let locked = mailbox.profile().sign_ins.locked_until_ms(now_ms);
    assert!(locked.is_none_or(|until_ms| until_ms > now_ms));
    ids
}

/// What is stored beside records.
fn others(bytes: &[u8]) {
    macro_rules! same_again {
        ($name:ty) => {
            <$name>::decode(Some(bytes)).ok().inspect(|value| {
                assert_eq!(<$name>::decode(Some(&value.encode())).as_ref(), Ok(value));
            })
        };
    }
    same_again!(DirectoryRoot);
    same_again!(DirectoryShard);
    same_again!(Shares);
    if let Some(owed) = same_again!(Owed) {
        for attempts in owed.0.into_values() {
            if let Some(next) = attempts.failed(1_800_000_000_000) {
                assert!(next.failed > attempts.failed);
            }
        }
    }
    if let Some(lease) = same_again!(Lease) {
        let taken = lease.taken_by([7; 16], lease.until_ms);
        assert!(taken.is_some(), "an expired lease is nobody's");
    }
}
