//! What a caller hears, from what is recorded and chosen.

use starling_mailbox::audio::Format;
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, Audio, AudioId, CallState, Digest, Greeting, GreetingChoice, GreetingKind,
    Heard, Join, Mailbox, Origin, ProfileChange, Record, Slot, Stamp,
};

const NOW_MS: u64 = 1_000_000;

fn origin() -> Origin {
    Origin {
        region: "eu".parse().expect("a region"),
        now_ms: NOW_MS,
        alone: false,
    }
}

fn greeting(n: u8, expires_at_ms: Option<u64>) -> Greeting {
    Greeting {
        region: origin().region,
        audio: Audio {
            id: AudioId::from_random([n; 16]),
            format: Format::WavMuLaw,
            duration_ms: 1,
            size_bytes: 1,
            digest: Digest::of(&[n]),
            chunk_bytes: AUDIO_CHUNK_BYTES,
        },
        expires_at_ms,
    }
}

fn recorded(kinds: &[(GreetingKind, Option<u64>)]) -> Slot {
    let mut slot = Slot::default();
    for (n, (kind, expires_at_ms)) in kinds.iter().enumerate() {
        let greeting = greeting(n as u8, *expires_at_ms);
        let mailbox = Mailbox::of([slot.clone()], NOW_MS);
        let change = mailbox.change_greeting(*kind, Some(greeting), &origin());
        slot.join(change.expect("a change"));
    }
    slot
}

/// The kind that is heard; `None` for the standard greeting, with whether the name is in it.
fn heard(slot: &Slot, state: CallState, now_ms: u64) -> (Option<GreetingKind>, bool) {
    let mailbox = Mailbox::of([slot.clone()], now_ms);
    match mailbox.profile().heard(state, now_ms) {
        Heard::Recording(kind, _) => (Some(kind), false),
        Heard::Standard { name } => (None, name.is_some()),
    }
}

use CallState::{Busy as OnBusy, Unanswered};
use GreetingKind::{Busy, Name, Temporary, Unavailable};

#[test]
fn own_recording_is_heard_for_its_occasion() {
    let both = recorded(&[(Unavailable, None), (Busy, None), (Name, None)]);
    assert_eq!(heard(&both, Unanswered, NOW_MS), (Some(Unavailable), false));
    assert_eq!(heard(&both, OnBusy, NOW_MS), (Some(Busy), false));
    let one = recorded(&[(Unavailable, None)]);
    assert_eq!(heard(&one, OnBusy, NOW_MS), (Some(Unavailable), false));
    let busy_alone = recorded(&[(Busy, None)]);
    assert_eq!(heard(&busy_alone, Unanswered, NOW_MS), (None, false));
}

#[test]
fn temporary_greeting_goes_first_until_it_expires() {
    let mut slot = recorded(&[(Unavailable, None), (Temporary, Some(NOW_MS + 10))]);
    let choice = ProfileChange {
        greeting: Some(GreetingChoice::Standard),
        ..ProfileChange::default()
    };
    for _ in 0..2 {
        assert_eq!(heard(&slot, Unanswered, NOW_MS), (Some(Temporary), false));
        assert_eq!(
            heard(&slot, Unanswered, NOW_MS + 9),
            (Some(Temporary), false)
        );
        assert_ne!(
            heard(&slot, Unanswered, NOW_MS + 10),
            (Some(Temporary), false)
        );
        let mailbox = Mailbox::of([slot.clone()], NOW_MS);
        let chosen = mailbox.change_profile(choice.clone(), &origin());
        slot.join(chosen.expect("a change"));
    }
}

#[test]
fn standard_greeting_speaks_the_name_that_is_recorded() {
    assert_eq!(heard(&Slot::default(), Unanswered, NOW_MS), (None, false));
    assert_eq!(
        heard(&recorded(&[(Name, None)]), OnBusy, NOW_MS),
        (None, true)
    );
}

#[test]
fn greeting_that_is_replaced_or_expires_is_reclaimed() {
    let recorded = recorded(&[(Unavailable, None), (Temporary, Some(NOW_MS + 10))]);
    let mut record = Record::from(recorded);
    let mailbox = record.mailbox(&[], NOW_MS).expect("a mailbox");
    let change = mailbox.change_greeting(Unavailable, Some(greeting(7, None)), &origin());
    let changed = record.change(change.expect("a change"), &[], NOW_MS);
    changed.expect("a whole record");
    let ids = |record: &Record| -> Vec<_> {
        let reclaim = record.chores.reclaim.iter();
        reclaim.map(|discarded| discarded.audio.id).collect()
    };
    assert_eq!(ids(&record), [AudioId::from_random([0; 16])]);
    let swept = record.change(Slot::default(), &[], NOW_MS + 10);
    swept.expect("a whole record");
    assert_eq!(ids(&record), [0, 1].map(|n| AudioId::from_random([n; 16])));
    // Replaced in another region.
    let mailbox = record.mailbox(&[], NOW_MS).expect("a mailbox");
    let elsewhere = mailbox.change_greeting(
        Unavailable,
        None,
        &Origin {
            region: "us".parse().expect("a region"),
            ..origin()
        },
    );
    let elsewhere = [Record::from(elsewhere.expect("a change"))];
    assert!(record.is_sweepable(&elsewhere, NOW_MS));
    let swept = record.change(Slot::default(), &elsewhere, NOW_MS);
    swept.expect("a whole record");
    assert_eq!(
        ids(&record),
        [0, 1, 7].map(|n| AudioId::from_random([n; 16]))
    );
    let seen = record.mailbox(&elsewhere, NOW_MS).expect("a mailbox");
    assert_eq!(seen.profile().greeting_of(Unavailable, NOW_MS), None);
}

#[test]
fn greeting_of_a_mailbox_that_was_deleted_replaces_none_of_the_next() {
    // A region that has not heard of the deletion records one later than the new mailbox does.
    let behind = Record::from(recorded(&[(Unavailable, None)]));
    let (deleted, region) = (NOW_MS - 1, origin().region);
    let deleted = Stamp {
        physical_ms: deleted,
        counter: 0,
        region,
    };
    let mut anew = recorded(&[(Unavailable, None)]);
    for register in anew.profile.greetings.values_mut() {
        register.stamp.physical_ms = 0;
    }
    anew.deleted = Some(deleted);
    let mut record = Record::from(anew);
    assert!(!record.is_sweepable(std::slice::from_ref(&behind), NOW_MS));
    let swept = record.change(Slot::default(), std::slice::from_ref(&behind), NOW_MS);
    swept.expect("a whole record");
    let mailbox = record.mailbox(&[behind], NOW_MS).expect("a mailbox");
    assert!(mailbox.profile().greeting_of(Unavailable, NOW_MS).is_some());
    assert!(record.chores.reclaim.is_empty());
}
