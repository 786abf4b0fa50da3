//! The laws of the join, for every type that has one, and what follows from them: whatever regions
//! do, and in whatever order and however often they hear of it, they end with the same bytes.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use starling_mailbox::audio::Format;
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, Audio, AudioId, Count, Created, DecodeError, Digest, Entry, Failures,
    FlagChange, Flags, Folder, Forwarded, Greeting, GreetingChoice, GreetingKind, Header, Join,
    Mailbox, Message, MessageId, Origin, PinHash, Profile, ProfileChange, Record, Region, Register,
    Search, SignIns, Slot, Stamp, decode, encode,
};

// === Values ===
//
// Drawn from few regions, times and ids, so that what is compared often ties, where laws break
// first.

const REGIONS: [&str; 3] = ["ap", "eu", "us"];

fn region() -> impl Strategy<Value = Region> {
    prop::sample::select(&REGIONS[..]).prop_map(|name| name.parse().expect("a region"))
}

fn message_id() -> impl Strategy<Value = MessageId> {
    (0_u8..4).prop_map(|n| MessageId::from_random([n; 16]))
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (0_u64..3, 0_u32..2, region()).prop_map(|(physical_ms, counter, region)| Stamp {
        physical_ms,
        counter,
        region,
    })
}

fn register<T: Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Register<T>> {
    (stamp(), value).prop_map(|(stamp, value)| Register { stamp, value })
}

fn flags() -> impl Strategy<Value = Flags> {
    let flag = || prop::option::of(register(any::<bool>()));
    (flag(), flag(), flag()).prop_map(|(seen, saved, deleted)| Flags {
        seen,
        saved,
        deleted,
    })
}

fn audio() -> impl Strategy<Value = Audio> {
    (0_u8..3).prop_map(|body| Audio {
        id: AudioId::from_random([body; 16]),
        format: Format::WavMuLaw,
        duration_ms: 1 + u64::from(body),
        size_bytes: 100 + u64::from(body),
        digest: Digest::of(&[body]),
        chunk_bytes: AUDIO_CHUNK_BYTES,
    })
}

fn forwarded() -> impl Strategy<Value = Option<Forwarded>> {
    prop::option::of(prop::option::of(audio()).prop_map(|comment| Forwarded {
        by: "anna".parse().expect("a mailbox"),
        comment,
    }))
}

fn header() -> impl Strategy<Value = Header> {
    let caller =
        || prop::option::of("[a-zé ]{0,3}x".prop_map(|text| text.parse().expect("a caller")));
    (
        0_u64..3,
        region(),
        (caller(), caller()),
        any::<bool>(),
        any::<bool>(),
        audio(),
        forwarded(),
    )
        .prop_map(
            |(received_at_ms, region, (from, reply_to), urgent, private, audio, forwarded)| {
                Header {
                    received_at_ms,
                    region,
                    from,
                    reply_to,
                    urgent,
                    private,
                    audio,
                    forwarded,
                }
            },
        )
}

fn entry() -> impl Strategy<Value = Entry> {
    (prop::option::of(header()), flags(), any::<bool>(), 0_u64..3).prop_map(
        |(header, flags, purged, expires_at_ms)| Entry {
            header,
            flags,
            purged,
            expires_at_ms,
        },
    )
}

fn created() -> impl Strategy<Value = Created> {
    (0_u64..3, region()).prop_map(|(at_ms, region)| Created { at_ms, region })
}

fn greeting() -> impl Strategy<Value = Option<Greeting>> {
    let greeting = (region(), audio(), prop::option::of(0_u64..3));
    prop::option::of(
        greeting.prop_map(|(region, audio, expires_at_ms)| Greeting {
            region,
            audio,
            expires_at_ms,
        }),
    )
}

fn sign_ins() -> impl Strategy<Value = SignIns> {
    let failures = (0_u32..4, 0_u64..3).prop_map(|(count, last_ms)| Failures {
        count: Count(count),
        last_ms,
    });
    let failures = prop::collection::btree_map(region(), failures, 0..3);
    let forgiven = prop::collection::btree_map(region(), (0_u32..4).prop_map(Count), 0..3);
    (failures, forgiven).prop_map(|(failures, forgiven)| SignIns { failures, forgiven })
}

fn profile() -> impl Strategy<Value = Profile> {
    let kind = prop::sample::select(&[GreetingKind::Busy, GreetingKind::Name][..]);
    let choice = prop::sample::select(&[GreetingChoice::Recorded, GreetingChoice::Standard][..]);
    let pin = prop::option::of("[a-z]{1}".prop_map(|hash| PinHash(hash.into())));
    (
        prop::option::of(created()),
        prop::option::of(register(1_u32..4)),
        prop::option::of(register(1_u64..4)),
        prop::option::of(register(choice)),
        prop::option::of(register(pin)),
        prop::collection::btree_map(kind, register(greeting()), 0..2),
        sign_ins(),
    )
        .prop_map(
            |(created, quota_messages, quota_bytes, greeting, pin, greetings, sign_ins)| Profile {
                created,
                quota_messages,
                quota_bytes,
                greeting,
                pin,
                greetings,
                sign_ins,
                ..Profile::default()
            },
        )
}

fn slot() -> impl Strategy<Value = Slot> {
    (
        prop::option::weighted(0.3, stamp()),
        profile(),
        prop::collection::btree_map(message_id(), entry(), 0..4),
    )
        .prop_map(|(deleted, profile, messages)| Slot {
            deleted,
            profile,
            messages,
        })
}

/// A slot as it is stored.
fn stored(slot: Slot) -> Vec<u8> {
    encode(&slot.into())
}

/// A slot as it was stored.
fn restored(bytes: Vec<u8>) -> Result<Slot, DecodeError> {
    decode(bytes)?.slot()
}

// === The laws ===

fn check_laws<T: Join + Clone + Debug + PartialEq>(a: T, b: T, c: T) {
    let join = |x: &T, y: &T| x.clone().joined(y.clone());
    let ab = join(&a, &b);
    assert_eq!(ab, join(&b, &a), "commutative");
    assert_eq!(join(&ab, &c), join(&a, &join(&b, &c)), "associative");
    assert_eq!(join(&a, &a), a, "idempotent");
    assert_eq!(join(&a, &ab), ab, "inflationary");
    assert_eq!(join(&b, &ab), ab, "inflationary");
}

macro_rules! laws {
    ($($name:ident: $value:expr;)*) => {
        proptest! {$(
            #[test]
            fn $name((a, b, c) in ($value, $value, $value)) {
                check_laws(a, b, c);
            }
        )*}
    };
}

laws! {
    register_obeys_the_laws: register(any::<bool>());
    option_obeys_the_laws: prop::option::of(register(0_u8..3));
    map_obeys_the_laws: prop::collection::btree_map(0_u8..3, register(any::<bool>()), 0..3);
    flags_obey_the_laws: flags();
    header_obeys_the_laws: header();
    created_obeys_the_laws: created();
    entry_obeys_the_laws: entry();
    sign_ins_obey_the_laws: sign_ins();
    profile_obeys_the_laws: profile();
    slot_obeys_the_laws: slot();
}

proptest! {
    #[test]
    fn equal_states_have_equal_bytes_and_come_back_whole((a, b) in (slot(), slot())) {
        prop_assert_eq!(restored(stored(a.clone())), Ok(a.clone()));
        prop_assert_eq!(stored(a.clone()) == stored(b.clone()), a == b);
    }

    #[test]
    fn next_stamp_is_greater_than_all_in_sight_and_not_behind_the_clock(
        seen in prop::option::of(stamp()),
        now_ms in 0_u64..5,
        region in region(),
        bound in 0_u64..3,
    ) {
        match Stamp::next(now_ms, seen.as_ref(), &region, bound) {
            Ok(next) => {
                prop_assert!(Some(&next) > seen.as_ref());
                prop_assert!(next.physical_ms >= now_ms);
                prop_assert_eq!(next.region, region);
            }
            Err(skew) => {
                prop_assert!(skew.ahead_ms > bound);
                prop_assert_eq!(now_ms + skew.ahead_ms, seen.expect("a stamp").physical_ms);
            }
        }
    }
}

// === What follows from them ===

/// What a client does in one region. Clocks are as wrong as `now_ms` says.
#[derive(Clone, Debug)]
enum Operation {
    ChangeProfile(ProfileChange),
    Deposit(MessageId, Header),
    ChangeFlags(MessageId, FlagChange),
    Purge(MessageId),
    ChangeGreeting(GreetingKind, Option<Greeting>),
    SignInFailed,
    SignInSucceeded,
    Delete,
}

fn operation() -> impl Strategy<Value = Operation> {
    let flag = || prop::option::of(any::<bool>());
    prop_oneof![
        1 => (prop::option::of(1_u32..5), prop::option::of(100_u64..500)).prop_map(
            |(quota_messages, quota_bytes)| {
                Operation::ChangeProfile(ProfileChange {
                    quota_messages,
                    quota_bytes,
                    ..ProfileChange::default()
                })
            }
        ),
        3 => (message_id(), header()).prop_map(|(id, header)| Operation::Deposit(id, header)),
        4 => (message_id(), flag(), flag(), flag()).prop_map(
            |(id, seen, saved, deleted)| {
                Operation::ChangeFlags(id, FlagChange { seen, saved, deleted })
            }
        ),
        1 => message_id().prop_map(Operation::Purge),
        1 => greeting().prop_map(|it| Operation::ChangeGreeting(GreetingKind::Busy, it)),
        1 => Just(Operation::SignInFailed),
        1 => Just(Operation::SignInSucceeded),
        1 => Just(Operation::Delete),
    ]
}

/// Fewer than `max` places in a list whose length is not known yet.
fn indices(max: usize) -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..max)
}

/// The effect of an operation on what its region sees; a refused one has none.
fn delta(mailbox: &Mailbox, operation: Operation, origin: &Origin) -> Slot {
    match operation {
        Operation::ChangeProfile(change) => {
            mailbox.change_profile(change, origin).unwrap_or_default()
        }
        Operation::Deposit(id, header) => {
            let header = Header {
                region: origin.region.clone(),
                ..header
            };
            mailbox.deposit(id, header).unwrap_or_default()
        }
        Operation::ChangeFlags(id, change) => {
            mailbox.change_flags(id, change, origin).unwrap_or_default()
        }
        Operation::Purge(id) => mailbox.purge(id).unwrap_or_default(),
        Operation::ChangeGreeting(kind, greeting) => {
            let region = origin.region.clone();
            let greeting = greeting.map(|greeting| Greeting { region, ..greeting });
            let changed = mailbox.change_greeting(kind, greeting, origin);
            changed.unwrap_or_default()
        }
        Operation::SignInFailed => mailbox.sign_in_failed(origin),
        Operation::SignInSucceeded => mailbox.sign_in_succeeded(),
        Operation::Delete => mailbox.delete(origin).unwrap_or_default(),
    }
}

/// A mailbox before anything in it has expired.
fn seen(slots: impl IntoIterator<Item = Slot>) -> Mailbox {
    Mailbox::of(slots, 0)
}

/// Runs operations in regions. Each region sees its own changes and whatever earlier changes of
/// others `heard` says (as indices into all changes so far); in the end everybody hears everything,
/// in the order of `shuffle`.
fn converged(
    steps: Vec<(usize, u64, Operation, Vec<prop::sample::Index>)>,
    shuffle: Vec<prop::sample::Index>,
) -> Vec<Slot> {
    let mut regions: Vec<Slot> = vec![Slot::default(); REGIONS.len()];
    let mut changes: Vec<Slot> = Vec::new();
    for (at, now_ms, operation, heard) in steps {
        for index in heard.iter().filter(|_| !changes.is_empty()) {
            regions[at].join(index.get(&changes).clone());
        }
        let origin = Origin {
            region: REGIONS[at].parse().expect("a region"),
            now_ms,
            alone: false,
        };
        let change = delta(&seen([regions[at].clone()]), operation, &origin);
        regions[at].join(change.clone());
        changes.push(change);
    }
    for (turn, region) in regions.iter_mut().enumerate() {
        // Some twice, in an order of this region's own; then all, so that nothing is missing.
        for index in shuffle.iter().skip(turn).filter(|_| !changes.is_empty()) {
            region.join(index.get(&changes).clone());
        }
        let all = changes.iter().cloned();
        if turn % 2 == 0 {
            all.for_each(|c| region.join(c))
        } else {
            all.rev().for_each(|c| region.join(c))
        }
    }
    regions
}

proptest! {
    #[test]
    fn regions_converge_to_equal_bytes_whatever_they_hear_when(
        steps in prop::collection::vec(
            (0..REGIONS.len(), 0_u64..10, operation(), indices(4)),
            0..24,
        ),
        shuffle in indices(24),
    ) {
        let regions = converged(steps, shuffle);
        let first = stored(regions[0].clone());
        for region in &regions {
            prop_assert_eq!(&stored(region.clone()), &first);
        }
    }

    #[test]
    fn change_made_with_the_latest_in_sight_holds(
        slots in prop::collection::vec(slot(), 1..4),
        id in message_id(),
        value: bool,
        now_ms in 0_u64..5,
        region in region(),
    ) {
        let mailbox = seen(slots.clone());
        let change = FlagChange { deleted: Some(value), ..FlagChange::default() };
        let origin = Origin { region, now_ms, alone: false };
        if let Ok(delta) = mailbox.change_flags(id, change, &origin) {
            let after = seen(slots.into_iter().chain([delta]));
            let message = after.message(id).expect("it is whole");
            prop_assert_eq!(message.map(|m| m.flags.deleted()), Some(value));
        }
    }

    #[test]
    fn other_flags_set_elsewhere_never_resurrect(
        slots in prop::collection::vec(slot(), 1..4),
        id in message_id(),
        now_ms in 0_u64..5,
        marked in prop::option::of(any::<bool>()),
        saved in prop::option::of(any::<bool>()),
    ) {
        // Two regions that see the same mailbox change it at once, without seeing each other.
        let mailbox = seen(slots.clone());
        let at = |name: &str| Origin { region: name.parse().expect("a region"), now_ms, alone: false };
        let deleted = FlagChange { deleted: Some(true), ..FlagChange::default() };
        let others = FlagChange { seen: marked, saved, deleted: None };
        if let Ok(here) = mailbox.change_flags(id, deleted, &at("ap")) {
            let there = mailbox.change_flags(id, others, &at("us")).unwrap_or_default();
            let after = seen(slots.into_iter().chain([here, there]));
            let message = after.message(id).expect("it is whole").expect("a message that was there");
            prop_assert!(message.flags.deleted());
            let before = mailbox.message(id).expect("it is whole");
            let was_seen = before.is_some_and(|before| before.flags.seen());
            prop_assert_eq!(message.flags.seen(), marked.unwrap_or(was_seen));
        }
    }
}

// === Records, read in place ===

proptest! {
    /// Whatever regions have stored, and however much of it they have in common: what is read of it
    /// in place is what its join says, and so are the changes that are made upon it.
    #[test]
    fn mailbox_that_is_read_in_place_is_the_join_of_its_slots(
        slots in prop::collection::vec(slot(), 1..4),
        operations in prop::collection::vec(operation(), 1..4),
        now_ms in 0_u64..5,
        region in region(),
    ) {
        let restored = |slot: &Slot| decode(stored(slot.clone())).expect("it was encoded");
        let records: Vec<Record> = slots.iter().map(restored).collect();
        let mut read = Mailbox::read(&records, now_ms).expect("it is whole");
        let mut joined = Mailbox::of(slots, now_ms);
        let origin = Origin { region, now_ms, alone: false };
        for operation in operations {
            prop_assert_eq!(shown(&read), shown(&joined));
            prop_assert_eq!(read.profile(), joined.profile());
            prop_assert_eq!(read.summary(), joined.summary());
            let change = delta(&read, operation.clone(), &origin);
            prop_assert_eq!(&change, &delta(&joined, operation, &origin));
            read = read.with(change.clone()).expect("it is whole");
            joined = joined.with(change).expect("it is whole");
        }
    }

    /// A record that is changed in place is the record that was decoded, changed, and encoded anew.
    #[test]
    fn record_that_is_changed_in_place_has_the_bytes_of_its_state(
        before in slot(),
        deltas in prop::collection::vec(slot(), 1..3),
        elsewhere in slot(),
        now_ms in prop::sample::select(&[0, 1_000_000, 1 << 40][..]),
    ) {
        let mut stored_one = decode(stored(before.clone())).expect("it was encoded");
        let mut fresh_one = Record::from(before);
        let others = [Record::from(elsewhere)];
        for delta in deltas {
            for record in [&mut stored_one, &mut fresh_one] {
                record.change(delta.clone(), &others, now_ms).expect("it is whole");
            }
            prop_assert_eq!(encode(&stored_one), encode(&fresh_one));
            stored_one = decode(encode(&stored_one)).expect("it was encoded");
            prop_assert_eq!(stored_one.slot(), fresh_one.slot());
        }
    }
}

// === Regions that tidy up ===

/// What happens in regions whose records are swept with every change, and that read each other's
/// slots as they last arrived.
#[derive(Clone, Debug)]
enum Event {
    /// A client does something in a region.
    Change(usize, Box<Operation>),
    /// A region gets to see the slot of another as it is now.
    Arrive { to: usize, from: usize },
    /// Time passes.
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    prop_oneof![
        6 => (0..REGIONS.len(), operation()).prop_map(|(at, what)| Event::Change(at, Box::new(what))),
        4 => (0..REGIONS.len(), 0..REGIONS.len()).prop_map(|(to, from)| Event::Arrive { to, from }),
        1 => (1_u64..40).prop_map(|days| Event::Wait(days * DAY_MS)),
    ]
}

/// What a client can see of a mailbox but for its settings: expired greetings may have gone from these.
fn shown(mailbox: &Mailbox) -> (bool, Vec<Message>) {
    let folders = [Folder::Inbox, Folder::Saved, Folder::Trash];
    let mut messages = Vec::new();
    for folder in folders {
        let search = Search {
            folder,
            ..Search::default()
        };
        let page = mailbox.list(&search, None, usize::MAX);
        assert_eq!(page.damaged, []);
        assert_eq!(mailbox.folder(folder).count(), page.messages.len());
        messages.extend(page.messages);
    }
    (mailbox.exists(), messages)
}

/// The operation with the ids that a client's request would have: those of a mailbox that was deleted
/// do not come back, and a message's own audio has the message's id.
fn as_the_api_would(operation: Operation, mailbox: &Mailbox) -> Operation {
    let anna = "anna".parse().expect("a mailbox");
    let id = |id: MessageId| MessageId::derive(&anna, mailbox.deleted(), id.as_bytes());
    match operation {
        Operation::Deposit(key, header) => {
            let audio = Audio {
                id: id(key).into(),
                ..header.audio
            };
            Operation::Deposit(
                id(key),
                Header {
                    received_at_ms: mailbox.now_ms(),
                    audio,
                    forwarded: None,
                    ..header
                },
            )
        }
        Operation::ChangeFlags(key, change) => Operation::ChangeFlags(id(key), change),
        Operation::Purge(key) => Operation::Purge(id(key)),
        other => other,
    }
}

proptest! {
    /// What a region drops from its record is never missed: all see the same mailbox in the end,
    /// nothing that was purged is in it, and the audio of everything that is not is to be reclaimed
    /// by the region that stored it, exactly once.
    #[test]
    fn tidying_up_changes_nothing_that_can_be_seen(events in prop::collection::vec(event(), 0..40)) {
        let mut now_ms = 1_000_000;
        let mut records = vec![Record::default(); REGIONS.len()];
        // What each region has seen of each, itself excepted.
        let mut arrived = vec![vec![Record::default(); REGIONS.len()]; REGIONS.len()];
        let mut purged: BTreeMap<MessageId, Option<Stamp>> = BTreeMap::new();
        let others_of = |arrived: &Vec<Vec<Record>>, at: usize| -> Vec<Record> {
            let others = arrived[at].iter().enumerate().filter(|(from, _)| *from != at);
            others.map(|(_, record)| record.clone()).collect()
        };
        for event in events {
            match event {
                Event::Wait(ms) => now_ms += ms,
                Event::Arrive { to, from } => arrived[to][from] = records[from].clone(),
                Event::Change(at, operation) => {
                    let others = others_of(&arrived, at);
                    let origin = Origin { region: REGIONS[at].parse().expect("a region"), now_ms, alone: false };
                    let mailbox = records[at].mailbox(&others, now_ms).expect("it is whole");
                    let operation = as_the_api_would(*operation, &mailbox);
                    if let Operation::Purge(id) = operation && mailbox.shows(id) {
                        purged.insert(id, mailbox.deleted().cloned());
                    }
                    let delta = delta(&mailbox, operation, &origin);
                    let shown_with = shown(&mailbox.with(delta.clone()).expect("it is whole"));
                    records[at].change(delta, &others, now_ms).expect("it is whole");
                    let changed = records[at].mailbox(&others, now_ms).expect("it is whole");
                    prop_assert_eq!(shown(&changed), shown_with);
                    // As the next request finds it.
                    records[at] = decode(encode(&records[at])).expect("it was encoded");
                }
            }
        }
        arrived.fill(records.clone());
        let whole = |records: &[Record]| {
            let slots = records.iter().map(|record| record.slot().expect("it is whole"));
            Mailbox::of(slots, now_ms)
        };
        let before = whole(&records);
        for (at, record) in records.iter().enumerate() {
            let view = record.mailbox(&others_of(&arrived, at), now_ms).expect("it is whole");
            prop_assert_eq!(shown(&view), shown(&before));
            prop_assert_eq!(view.summary(), before.summary());
        }
        // Now everybody tidies up, knowing everything.
        for (at, record) in records.iter_mut().enumerate() {
            let others = others_of(&arrived, at);
            let deleted = record.deleted.clone();
            let nothing = Slot { deleted, ..Slot::default() };
            record.change(nothing, &others, now_ms).expect("it is whole");
            prop_assert!(!record.is_sweepable(&others, now_ms));
        }
        let tidy = whole(&records);
        prop_assert_eq!(shown(&tidy), shown(&before));
        for (id, deleted) in purged {
            // Unless the mailbox was deleted since, and is another one now; or the tombstone has
            // outlived everything that it could hide.
            if tidy.deleted() == deleted.as_ref() && now_ms < 1_000_000 + 90 * 24 * 60 * 60 * 1000 {
                prop_assert!(!tidy.shows(id), "{id} came back");
            }
        }
        for record in &records {
            for (id, entry) in &record.messages.entries().expect("it is whole") {
                for audio in entry.header.iter().flat_map(Header::recordings) {
                    let discarded = record.chores.reclaim.iter();
                    let mut both = discarded.filter(|it| it.message == Some(*id));
                    prop_assert!(both.all(|it| it.audio != *audio), "{id} is in use");
                }
            }
        }
    }
}

// === Counterexamples, each of which a plausible join gets wrong ===

fn register_at(name: &str, value: bool) -> Register<bool> {
    let region = name.parse().expect("a region");
    Register {
        stamp: Stamp {
            physical_ms: 1,
            counter: 0,
            region,
        },
        value,
    }
}

#[test]
fn equal_stamps_with_different_values_still_commute() {
    // "Keep mine unless theirs is newer" keeps a different value on each side.
    let (yes, no) = (register_at("eu", true), register_at("eu", false));
    assert_eq!(
        yes.clone().joined(no.clone()),
        no.clone().joined(yes.clone())
    );
    assert_eq!(no.joined(yes.clone()), yes);
}

#[test]
fn header_deposited_twice_is_the_earlier_one_everywhere() {
    // "The first that I heard of" is a different one in each region.
    let header = |name: &str, received_at_ms| Header {
        received_at_ms,
        region: name.parse().expect("a region"),
        from: None,
        reply_to: None,
        urgent: false,
        private: false,
        forwarded: None,
        audio: Audio {
            id: AudioId::from_random([1; 16]),
            format: Format::WavPcm16,
            duration_ms: 1,
            size_bytes: 46,
            digest: Digest::of(b"a"),
            chunk_bytes: AUDIO_CHUNK_BYTES,
        },
    };
    let (eu, us) = (header("eu", 5), header("us", 4));
    assert_eq!(eu.clone().joined(us.clone()), us);
    assert_eq!(us.clone().joined(eu.clone()), us);
    // The same instant: the name of the region decides.
    assert_eq!(header("us", 5).joined(eu.clone()), eu);
}

#[test]
fn flags_without_a_header_wait_for_it() {
    // Dropping an entry whose header is elsewhere would lose the flag.
    let id = MessageId::from_random([7; 16]);
    let flags = Flags {
        deleted: Some(register_at("eu", true)),
        ..Flags::default()
    };
    let here = Slot {
        messages: BTreeMap::from([(
            id,
            Entry {
                flags,
                ..Entry::default()
            },
        )]),
        ..Slot::default()
    };
    assert_eq!(seen([here.clone()]).summary().messages, 0);
    assert_eq!(restored(stored(here.clone())), Ok(here));
}
