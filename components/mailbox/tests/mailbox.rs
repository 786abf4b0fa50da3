//! What a mailbox shows, and which changes it takes.

use starling_mailbox::audio::Format;
use starling_mailbox::{
    AHEAD_MAX_MS, AUDIO_CHUNK_BYTES, Audio, ChangeError, Cursor, DepositError, Digest, FlagChange,
    Folder, Header, InvalidCursor, Join, Mailbox, Message, MessageId, Origin, ProfileChange,
    QUOTA_BYTES_DEFAULT, QUOTA_MESSAGES_DEFAULT, Search, Slot, Summary, decode, encode, keys,
};

/// One region's slot and clock, with the changes a client makes there.
struct Place {
    slot: Slot,
    origin: Origin,
}

impl Place {
    fn new(region: &str) -> Self {
        let origin = Origin {
            region: region.parse().expect("a region"),
            now_ms: 1_000_000,
            alone: true,
        };
        Self {
            slot: Slot::default(),
            origin,
        }
    }

    /// A place with a mailbox that was created there.
    fn with_mailbox() -> Self {
        let mut place = Self::new("eu");
        place.set(ProfileChange::default());
        place
    }

    fn mailbox(&self) -> Mailbox {
        Mailbox::of([self.slot.clone()], self.origin.now_ms)
    }

    fn set(&mut self, change: ProfileChange) {
        let delta = self
            .mailbox()
            .change_profile(change, &self.origin)
            .expect("a change");
        self.slot.join(delta);
    }

    fn deposit(&mut self, id: u8, header: Header) -> Result<(), DepositError> {
        self.slot
            .join(self.mailbox().deposit(message_id(id), header)?);
        Ok(())
    }

    fn flag(&mut self, id: u8, change: FlagChange) -> Result<(), ChangeError> {
        self.slot.join(
            self.mailbox()
                .change_flags(message_id(id), change, &self.origin)?,
        );
        Ok(())
    }

    fn folder(&self, id: u8) -> Option<Folder> {
        self.message(id).map(|message| message.flags.folder())
    }

    fn message(&self, id: u8) -> Option<Message> {
        self.mailbox().message(message_id(id)).expect("it is whole")
    }
}

fn message_id(n: u8) -> MessageId {
    MessageId::from_random([n; 16])
}

fn header(received_at_ms: u64) -> Header {
    Header {
        received_at_ms,
        region: "eu".parse().expect("a region"),
        from: None,
        reply_to: None,
        urgent: false,
        private: false,
        forwarded: None,
        audio: Audio {
            id: message_id(1).into(),
            format: Format::WavPcm16,
            duration_ms: 500,
            size_bytes: 8_044,
            digest: Digest::of(b"body"),
            chunk_bytes: AUDIO_CHUNK_BYTES,
        },
    }
}

fn folder(folder: Folder) -> Search {
    Search {
        folder,
        ..Search::default()
    }
}

fn seen(value: bool) -> FlagChange {
    FlagChange {
        seen: Some(value),
        ..FlagChange::default()
    }
}

fn saved(value: bool) -> FlagChange {
    FlagChange {
        saved: Some(value),
        ..FlagChange::default()
    }
}

fn deleted(value: bool) -> FlagChange {
    FlagChange {
        deleted: Some(value),
        ..FlagChange::default()
    }
}

#[test]
fn mailbox_exists_once_it_is_created() {
    let mut place = Place::new("eu");
    assert!(!place.mailbox().exists());
    assert_eq!(
        place.deposit(1, header(1)),
        Err(DepositError::NoSuchMailbox)
    );
    place.set(ProfileChange::default());
    assert!(place.mailbox().exists());
    assert_eq!(
        place.mailbox().profile().quota_messages(),
        QUOTA_MESSAGES_DEFAULT
    );
    assert_eq!(place.mailbox().profile().quota_bytes(), QUOTA_BYTES_DEFAULT);
    assert_eq!(place.deposit(1, header(1)), Ok(()));
}

#[test]
fn settings_changed_in_different_regions_both_survive() {
    let (mut eu, mut us) = (Place::with_mailbox(), Place::new("us"));
    us.slot.join(eu.slot.clone());
    eu.set(ProfileChange {
        quota_messages: Some(5),
        ..ProfileChange::default()
    });
    us.set(ProfileChange {
        quota_bytes: Some(99),
        ..ProfileChange::default()
    });
    let joined = Mailbox::of([eu.slot, us.slot], 0);
    assert_eq!(
        (
            joined.profile().quota_messages(),
            joined.profile().quota_bytes()
        ),
        (5, 99)
    );
}

#[test]
fn summary_counts_each_message_in_one_folder() {
    let mut place = Place::with_mailbox();
    for id in 0..6 {
        place
            .deposit(
                id,
                Header {
                    urgent: id % 2 == 1,
                    ..header(1)
                },
            )
            .expect("room");
    }
    place.flag(2, seen(true)).expect("a message");
    place.flag(3, saved(true)).expect("a message");
    place.flag(4, deleted(true)).expect("a message");
    place.flag(4, saved(true)).expect("a message");
    let expected = Summary {
        new: 3,
        urgent: 2,
        saved: 1,
        trash: 1,
        messages: 6,
        bytes: 6 * 8_044,
    };
    assert_eq!(place.mailbox().summary(), expected);
}

#[test]
fn deleted_message_comes_back_to_the_folder_it_left() {
    let mut place = Place::with_mailbox();
    place.deposit(1, header(1)).expect("room");
    place.flag(1, saved(true)).expect("a message");
    assert_eq!(place.folder(1), Some(Folder::Saved));
    place.flag(1, deleted(true)).expect("a message");
    assert_eq!(place.folder(1), Some(Folder::Trash));
    place.flag(1, deleted(false)).expect("a message");
    assert_eq!(place.folder(1), Some(Folder::Saved));
}

#[test]
fn wish_for_what_already_holds_changes_nothing() {
    let mut place = Place::with_mailbox();
    place.deposit(1, header(1)).expect("room");
    place.flag(1, seen(true)).expect("a message");
    let before = place.slot.clone();
    place.origin.now_ms += 1;
    place.set(ProfileChange {
        quota_messages: Some(QUOTA_MESSAGES_DEFAULT),
        ..ProfileChange::default()
    });
    place.deposit(1, header(2)).expect("the same deposit again");
    place.flag(1, seen(true)).expect("a message");
    place.flag(1, deleted(false)).expect("a message");
    assert_eq!(place.slot, before);
}

/// Found by the chaos test: what a client took back in another region, before that had heard of it, came back.
#[test]
fn wish_for_what_already_holds_is_later_than_what_is_not_known_yet() {
    let mut eu = Place::with_mailbox();
    eu.deposit(1, header(1)).expect("a deposit");
    let mut us = Place::new("us");
    us.slot = eu.slot.clone();
    for place in [&mut eu, &mut us] {
        place.origin.alone = false;
    }
    us.origin.now_ms = eu.origin.now_ms + 1;
    eu.flag(1, seen(true)).expect("a change");
    us.flag(1, seen(false)).expect("a change");
    us.slot.join(eu.slot);
    let mailbox = us.mailbox();
    let message = mailbox.message(message_id(1)).expect("it is whole");
    let message = message.expect("it is there");
    assert!(!message.flags.seen());
}

#[test]
fn later_change_wins_although_its_clock_is_behind() {
    let mut eu = Place::with_mailbox();
    eu.deposit(1, header(1)).expect("room");
    eu.flag(1, deleted(true)).expect("a message");
    let mut us = Place::new("ap");
    us.slot.join(eu.slot.clone());
    us.origin.now_ms = eu.origin.now_ms - 60_000;
    us.flag(1, deleted(false)).expect("a message");
    let joined = Mailbox::of([eu.slot, us.slot], 0);
    assert_eq!(
        joined
            .message(message_id(1))
            .expect("it is whole")
            .map(|m| m.flags.deleted()),
        Some(false)
    );
}

#[test]
fn stamp_too_far_ahead_stops_changes_and_names_its_region() {
    let mut ahead = Place::with_mailbox();
    ahead.deposit(1, header(1)).expect("room");
    ahead.flag(1, seen(true)).expect("a message");
    let mut behind = Place::new("us");
    behind.slot.join(ahead.slot.clone());
    behind.origin.now_ms = ahead.origin.now_ms - AHEAD_MAX_MS - 1;
    match behind.flag(1, seen(false)) {
        Err(ChangeError::ClockSkew(skew)) => {
            assert_eq!(
                (skew.region, skew.ahead_ms),
                (ahead.origin.region, AHEAD_MAX_MS + 1)
            );
        }
        other => panic!("{other:?}"),
    }
    behind.origin.now_ms += 1;
    assert_eq!(behind.flag(1, seen(false)), Ok(()));
}

#[test]
fn change_of_an_unknown_message_is_refused() {
    let mut place = Place::with_mailbox();
    assert_eq!(place.flag(1, seen(true)), Err(ChangeError::NoSuchMessage));
}

#[test]
fn id_with_another_audio_is_refused() {
    let mut place = Place::with_mailbox();
    place.deposit(1, header(1)).expect("room");
    let mut other = header(1);
    other.audio.digest = Digest::of(b"another body");
    assert_eq!(place.deposit(1, other), Err(DepositError::IdReused));
}

#[test]
fn quotas_hold_and_count_the_trash() {
    let mut place = Place::with_mailbox();
    place.set(ProfileChange {
        quota_messages: Some(2),
        quota_bytes: Some(20_000),
        ..ProfileChange::default()
    });
    place.deposit(1, header(1)).expect("room");
    let mut large = header(1);
    large.audio.size_bytes = 12_000;
    let full = DepositError::TooManyBytes {
        used: 8_044,
        wanted: 12_000,
        quota: 20_000,
    };
    assert_eq!(place.deposit(2, large), Err(full));
    place.deposit(2, header(1)).expect("room");
    place.flag(2, deleted(true)).expect("a message");
    assert_eq!(
        place.deposit(3, header(1)),
        Err(DepositError::TooManyMessages(2))
    );
    // A retry of what is there finds no room needed.
    assert_eq!(place.deposit(2, header(1)), Ok(()));
}

#[test]
fn list_is_newest_first_and_its_pages_miss_nothing() {
    let mut place = Place::with_mailbox();
    let ages = [5, 3, 9, 3, 7, 3, 1];
    for (id, age) in ages.into_iter().enumerate() {
        place.deposit(id as u8, header(age)).expect("room");
    }
    place.flag(2, deleted(true)).expect("a message");
    let expected = [4, 0, 5, 3, 1, 6].map(message_id);
    for limit in 1..8 {
        let mailbox = place.mailbox();
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = mailbox.list(&folder(Folder::Inbox), cursor, limit);
            assert!(page.messages.len() <= limit);
            ids.extend(page.messages.iter().map(|message| message.id));
            let Some(next) = page.next else { break };
            cursor = Some(next.to_string().parse().expect("a cursor"));
        }
        assert_eq!(ids, expected, "limit {limit}");
    }
    assert_eq!(
        place
            .mailbox()
            .list(&folder(Folder::Trash), None, 10)
            .messages
            .len(),
        1
    );
    assert_eq!(
        place
            .mailbox()
            .list(&folder(Folder::Saved), None, 10)
            .messages
            .len(),
        0
    );
}

#[test]
fn page_goes_on_where_it_was_although_messages_come_and_go() {
    let mut place = Place::with_mailbox();
    for id in 1..=4 {
        place.deposit(id, header(u64::from(id))).expect("room");
    }
    let next = place.mailbox().list(&folder(Folder::Inbox), None, 2).next;
    place.flag(3, deleted(true)).expect("a message");
    place.deposit(9, header(9)).expect("room");
    let mailbox = place.mailbox();
    let page = mailbox.list(&folder(Folder::Inbox), next, 2);
    let ids: Vec<_> = page.messages.iter().map(|message| message.id).collect();
    assert_eq!((ids, page.next), (vec![message_id(2), message_id(1)], None));
}

#[test]
fn damage_to_a_message_is_told_of_that_message_alone() {
    let mut place = Place::with_mailbox();
    for n in 1..=3 {
        let from = format!("caller-{n}").parse().expect("a caller");
        let header = Header {
            from: Some(from),
            ..header(u64::from(n))
        };
        place.deposit(n, header).expect("there is room");
    }
    let mut bytes = encode(&place.slot.into());
    let at = bytes.windows(8).position(|text| text == b"caller-2");
    bytes[at.expect("the caller")] = 0xff;

    let record = decode(bytes).expect("the rest is whole");
    let mailbox = record.mailbox(&[], 1_000_000).expect("it is one region's");
    assert_eq!(mailbox.summary().messages, 3);
    for n in [1, 3] {
        assert!(
            mailbox
                .message(message_id(n))
                .expect("it is whole")
                .is_some()
        );
    }
    assert!(mailbox.message(message_id(2)).is_err());
    let caller_3 = Search {
        from: Some("caller-3".into()),
        ..folder(Folder::Inbox)
    };
    for (search, found) in [(folder(Folder::Inbox), &[3, 1][..]), (caller_3, &[3])] {
        let page = mailbox.list(&search, None, 9);
        let ids = page.messages.iter().map(|message| message.id);
        assert!(ids.eq(found.iter().copied().map(message_id)));
        let damaged = page.damaged.into_iter().map(|(id, _)| id);
        assert!(damaged.eq([message_id(2)]));
    }
    // It can be removed nowhere but with its audio, which is not known.
    let mut record = record;
    let purge = mailbox.purge(message_id(2)).expect("it is there");
    assert!(record.clone().change(purge, &[], 1_000_000).is_err());
    // And when its time has come, it stands in nobody's way.
    let in_years = 1 << 45;
    assert_eq!(record.change(Slot::default(), &[], in_years), Ok(()));
    assert!(!record.messages.is_empty());
}

#[test]
fn garbage_is_no_cursor() {
    let mut place = Place::with_mailbox();
    place.deposit(1, header(1)).expect("room");
    place.deposit(2, header(2)).expect("room");
    let cursor = place
        .mailbox()
        .list(&folder(Folder::Inbox), None, 1)
        .next
        .expect("a second page")
        .to_string();
    assert!(cursor.parse::<Cursor>().is_ok());
    let almost = format!("{cursor}0");
    for text in [
        "",
        "0",
        "zz",
        "é",
        "éééééééééééééééé",
        &cursor[1..],
        &almost,
        &cursor.replace('0', "x"),
    ] {
        assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
    }
}

#[test]
fn keys_are_flat_and_carry_the_digest() {
    let mailbox = "+15551230001".parse().expect("a mailbox");
    assert_eq!(keys::slot(&mailbox), "slot/+15551230001");
    assert_eq!(keys::slot_creation(&mailbox), "slot-creation/+15551230001");
    let mut audio = header(1).audio;
    audio.digest = Digest::of(b"");
    let key = "audio/01010101010101010101010101010101/e3b0c44298fc1c14/12";
    assert_eq!(keys::audio_chunk(&audio, 12), key);
}

#[test]
fn chunks_cover_the_audio() {
    let chunk = u64::from(AUDIO_CHUNK_BYTES.get());
    for (size_bytes, chunks) in [(1, 1), (chunk, 1), (chunk + 1, 2), (2 * chunk, 2)] {
        assert_eq!(
            Audio {
                size_bytes,
                ..header(1).audio
            }
            .chunks(),
            chunks
        );
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A place with a mailbox that keeps messages for two days, and a message received at the first
/// instant of its clock.
fn two_days() -> Place {
    let mut place = Place::with_mailbox();
    place.set(ProfileChange {
        retention_days: Some(2),
        ..ProfileChange::default()
    });
    let now_ms = place.origin.now_ms;
    place.deposit(1, header(now_ms)).expect("room");
    place
}

#[test]
fn message_vanishes_at_one_instant_for_every_reader() {
    let mut place = two_days();
    let expires_at_ms = place.origin.now_ms + 2 * DAY_MS;
    place.flag(1, saved(true)).expect("a message");
    place.origin.now_ms = expires_at_ms - 1;
    assert_eq!(place.mailbox().summary().messages, 1);
    place.origin.now_ms += 1;
    let mailbox = place.mailbox();
    assert_eq!(mailbox.summary(), Summary::default());
    assert!(!mailbox.shows(message_id(1)));
    assert!(
        mailbox
            .list(&folder(Folder::Saved), None, 9)
            .messages
            .is_empty()
    );
    assert_eq!(place.flag(1, seen(true)), Err(ChangeError::NoSuchMessage));
    // A retention that was changed since changes nothing for what is there.
    place.set(ProfileChange {
        retention_days: Some(700),
        ..ProfileChange::default()
    });
    assert_eq!(place.mailbox().summary().messages, 0);
}

#[test]
fn retry_of_an_expired_deposit_succeeds_and_shows_nothing() {
    let mut place = two_days();
    place.origin.now_ms += 2 * DAY_MS;
    let before = place.slot.clone();
    assert_eq!(place.deposit(1, header(place.origin.now_ms)), Ok(()));
    assert_eq!(place.slot, before);
}

#[test]
fn retention_counts_from_the_deposit_however_old_the_message_is() {
    let mut place = two_days();
    place.origin.now_ms += DAY_MS;
    place.deposit(2, header(1)).expect("room");
    place.origin.now_ms += 2 * DAY_MS - 1;
    assert!(place.mailbox().shows(message_id(2)));
    place.origin.now_ms += 1;
    assert!(!place.mailbox().shows(message_id(2)));
}

#[test]
fn message_longer_than_the_mailbox_takes_is_refused() {
    let mut place = Place::with_mailbox();
    place.set(ProfileChange {
        message_ms_max: Some(499),
        ..ProfileChange::default()
    });
    let refused = DepositError::TooLong {
        duration_ms: 500,
        max_ms: 499,
    };
    assert_eq!(place.deposit(1, header(1)), Err(refused));
}

#[test]
fn purged_message_is_gone_also_for_a_flag_or_a_retry_from_elsewhere() {
    let mut eu = Place::with_mailbox();
    eu.deposit(1, header(1)).expect("room");
    let mut us = Place::new("us");
    us.slot.join(eu.slot.clone());
    us.flag(1, seen(true)).expect("a message");
    let mut retried = Place::new("ap");
    retried.set(ProfileChange::default());
    retried.deposit(1, header(5)).expect("room");
    let purge = eu.mailbox().purge(message_id(1)).expect("a message");
    eu.slot.join(purge);
    let joined = Mailbox::of([retried.slot, us.slot, eu.slot], 0);
    assert_eq!(joined.summary().messages, 0);
    assert_eq!(joined.purge(message_id(1)), Ok(Slot::default()));
    assert_eq!(joined.purge(message_id(2)), Err(ChangeError::NoSuchMessage));
    assert_eq!(
        joined.deposit(message_id(1), header(6)),
        Ok(Slot::default())
    );
}

#[test]
fn deleted_mailbox_takes_everything_with_it_and_can_be_made_anew() {
    let mut eu = Place::with_mailbox();
    eu.set(ProfileChange {
        quota_messages: Some(7),
        ..ProfileChange::default()
    });
    eu.deposit(1, header(1)).expect("room");
    let mut us = Place::new("us");
    us.slot.join(eu.slot.clone());
    // At once: deleted in one region, deposited into and changed in the other.
    us.deposit(2, header(2)).expect("room");
    us.set(ProfileChange {
        quota_bytes: Some(9),
        ..ProfileChange::default()
    });
    eu.slot
        .join(eu.mailbox().delete(&eu.origin).expect("a deletion"));
    assert!(!eu.mailbox().exists());
    let joined = Mailbox::of([eu.slot.clone(), us.slot.clone()], 0);
    assert!(!joined.exists());
    assert_eq!(joined.summary().messages, 0);
    // Deleting it again is nothing new.
    assert_eq!(joined.delete(&eu.origin), Ok(Slot::default()));
    // Made anew, in the region that has heard of the deletion or in the other.
    us.slot.join(eu.slot.clone());
    us.set(ProfileChange::default());
    us.deposit(3, header(3)).expect("room");
    let joined = Mailbox::of([us.slot, eu.slot], 0);
    assert!(joined.exists());
    assert_eq!(joined.profile().quota_messages(), QUOTA_MESSAGES_DEFAULT);
    let ids: Vec<_> = joined.folder(Folder::Inbox).collect();
    assert_eq!(ids, [message_id(3)]);
}

#[test]
fn search_finds_by_caller_and_date() {
    let mut place = Place::with_mailbox();
    for (id, from) in [(1, "+15551230001"), (2, "\u{c4}nna"), (3, "\u{e4}NNA B")] {
        let from = Some(from.parse().expect("a caller"));
        let message = Header {
            from,
            ..header(u64::from(id))
        };
        place.deposit(id, message).expect("room");
    }
    place.deposit(4, header(4)).expect("room");
    let mailbox = place.mailbox();
    let check = |search: Search, expected: &[u8]| {
        let page = mailbox.list(&search, None, 9);
        let ids: Vec<_> = page.messages.iter().map(|message| message.id).collect();
        let expected: Vec<_> = expected.iter().copied().map(message_id).collect();
        assert_eq!(ids, expected, "{search:?}");
    };
    let from = |text: &str| Search {
        from: Some(text.to_owned()),
        ..Search::default()
    };
    check(Search::default(), &[4, 3, 2, 1]);
    check(from("\u{e4}nna"), &[3, 2]);
    check(from("0001"), &[1]);
    check(from("nobody"), &[]);
    let dates = Search {
        since_ms: Some(2),
        until_ms: Some(4),
        ..Search::default()
    };
    check(dates.clone(), &[3, 2]);
    check(
        Search {
            from: Some("b".into()),
            ..dates
        },
        &[3],
    );
}
