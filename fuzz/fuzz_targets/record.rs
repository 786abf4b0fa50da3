//! Stored bytes: whatever lies under a key is decoded or refused, and what was decoded can be worked
//! with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starling_mailbox::{
    CallState, Cursor, DirectoryRoot, DirectoryShard, Join, Lease, Mailbox, Origin, Owed,
    RateLimits, Record, Search, Shares, Slot, decode, encode, keys,
};

const LIMITS: RateLimits = RateLimits {
    mailbox_per_minute: Some(60),
    caller_per_minute: Some(7),
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = decode(bytes) {
        assert_eq!(decode(&encode(&record)).as_ref(), Ok(&record));
        for now_ms in [0, 1_800_000_000_000, u64::MAX / 2] {
            work_with(&record, now_ms);
        }
    }
    others(bytes);
});

/// Everything that requests and chores do with a record.
fn work_with(record: &Record, now_ms: u64) {
    let slot = &record.slot;
    assert_eq!(&slot.clone().joined(slot.clone()), slot);
    let origin = Origin {
        region: "local".parse().expect("a region"),
        now_ms,
        alone: false,
    };

    let mailbox = record.mailbox(&Slot::default(), now_ms);
    let summary = mailbox.summary();
    assert_eq!(
        usize::try_from(summary.messages).ok(),
        Some(mailbox.messages().count())
    );
    read(&mailbox, now_ms);

    let mut changes = vec![
        mailbox.sign_in_failed(&origin),
        mailbox.sign_in_succeeded(),
        Slot::default(),
    ];
    changes.extend(mailbox.delete(&origin).ok());
    changes.extend(
        mailbox
            .messages()
            .filter_map(|message| mailbox.purge(message.id).ok()),
    );
    for delta in changes {
        let mut changed = record.clone();
        changed.change(delta, &Slot::default(), now_ms);
        assert!(!changed.is_sweepable(&Slot::default(), now_ms));
        assert_eq!(decode(&encode(&changed)), Ok(changed));
    }

    let mut rates = record.chores.rates.clone();
    // Whether it is too fast does not matter.
    let _ = rates.count(None, LIMITS, now_ms);
}

/// Everything that is read of a mailbox.
fn read(mailbox: &Mailbox, now_ms: u64) {
    let mut after: Option<Cursor> = None;
    let mut seen = 0;
    let search = Search::default();
    loop {
        let page = mailbox.list(&search, after, 3);
        seen += page.messages.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, mailbox.list(&search, None, usize::MAX).messages.len());
    for message in mailbox.messages() {
        for audio in message.header.recordings() {
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
