//! The laws of the join, for every type that has one, and what follows from them: whatever regions
//! do, and in whatever order and however often they hear of it, they end with the same bytes.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use starling_mailbox::audio::Format;
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, Audio, Created, Digest, Entry, FlagChange, Flags, Header, Join, Mailbox,
    MessageId, Origin, Profile, ProfileChange, Region, Register, Slot, Stamp, decode, encode,
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

fn header() -> impl Strategy<Value = Header> {
    let caller = prop::option::of("[a-zé ]{0,3}x".prop_map(|text| text.parse().expect("a caller")));
    (
        0_u64..3,
        region(),
        caller,
        any::<bool>(),
        any::<bool>(),
        0_u8..3,
    )
        .prop_map(
            |(received_at_ms, region, from, urgent, private, body)| Header {
                received_at_ms,
                region,
                from,
                urgent,
                private,
                audio: Audio {
                    format: Format::WavMuLaw,
                    duration_ms: 1 + u64::from(body),
                    size_bytes: 100 + u64::from(body),
                    digest: Digest::of(&[body]),
                    chunk_bytes: AUDIO_CHUNK_BYTES,
                },
            },
        )
}

fn entry() -> impl Strategy<Value = Entry> {
    (prop::option::of(header()), flags()).prop_map(|(header, flags)| Entry { header, flags })
}

fn created() -> impl Strategy<Value = Created> {
    (0_u64..3, region()).prop_map(|(at_ms, region)| Created { at_ms, region })
}

fn profile() -> impl Strategy<Value = Profile> {
    let quota_messages = prop::option::of(register(1_u32..4));
    let quota_bytes = prop::option::of(register(1_u64..4));
    (prop::option::of(created()), quota_messages, quota_bytes).prop_map(
        |(created, quota_messages, quota_bytes)| Profile {
            created,
            quota_messages,
            quota_bytes,
        },
    )
}

fn slot() -> impl Strategy<Value = Slot> {
    (
        profile(),
        prop::collection::btree_map(message_id(), entry(), 0..4),
    )
        .prop_map(|(profile, messages)| Slot { profile, messages })
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
    profile_obeys_the_laws: profile();
    slot_obeys_the_laws: slot();
}

proptest! {
    #[test]
    fn equal_states_have_equal_bytes_and_come_back_whole((a, b) in (slot(), slot())) {
        prop_assert_eq!(decode(&encode(&a)), Ok(a.clone()));
        prop_assert_eq!(encode(&a) == encode(&b), a == b);
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
}

fn operation() -> impl Strategy<Value = Operation> {
    let flag = || prop::option::of(any::<bool>());
    prop_oneof![
        1 => (prop::option::of(1_u32..5), prop::option::of(100_u64..500)).prop_map(
            |(quota_messages, quota_bytes)| {
                Operation::ChangeProfile(ProfileChange { quota_messages, quota_bytes })
            }
        ),
        3 => (message_id(), header()).prop_map(|(id, header)| Operation::Deposit(id, header)),
        4 => (message_id(), flag(), flag(), flag()).prop_map(
            |(id, seen, saved, deleted)| {
                Operation::ChangeFlags(id, FlagChange { seen, saved, deleted })
            }
        ),
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
    }
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
        };
        let change = delta(&Mailbox::of([regions[at].clone()]), operation, &origin);
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
        let first = encode(&regions[0]);
        for region in &regions {
            prop_assert_eq!(&encode(region), &first);
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
        let mailbox = Mailbox::of(slots.clone());
        let change = FlagChange { deleted: Some(value), ..FlagChange::default() };
        let origin = Origin { region, now_ms };
        if let Ok(delta) = mailbox.change_flags(id, change, &origin) {
            let after = Mailbox::of(slots.into_iter().chain([delta]));
            prop_assert_eq!(after.message(id).map(|m| m.flags.deleted()), Some(value));
        }
    }

    #[test]
    fn other_flags_set_elsewhere_never_resurrect(
        slots in prop::collection::vec(slot(), 1..4),
        id in message_id(),
        now_ms in 0_u64..5,
        seen in prop::option::of(any::<bool>()),
        saved in prop::option::of(any::<bool>()),
    ) {
        // Two regions that see the same mailbox change it at once, without seeing each other.
        let mailbox = Mailbox::of(slots.clone());
        let at = |name: &str| Origin { region: name.parse().expect("a region"), now_ms };
        let deleted = FlagChange { deleted: Some(true), ..FlagChange::default() };
        let others = FlagChange { seen, saved, deleted: None };
        if let Ok(here) = mailbox.change_flags(id, deleted, &at("ap")) {
            let there = mailbox.change_flags(id, others, &at("us")).unwrap_or_default();
            let after = Mailbox::of(slots.into_iter().chain([here, there]));
            let message = after.message(id).expect("a message that was there");
            prop_assert!(message.flags.deleted());
            let seen_before = mailbox.message(id).is_some_and(|before| before.flags.seen());
            prop_assert_eq!(message.flags.seen(), seen.unwrap_or(seen_before));
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
        urgent: false,
        private: false,
        audio: Audio {
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
                header: None,
                flags,
            },
        )]),
        ..Slot::default()
    };
    assert_eq!(Mailbox::of([here.clone()]).messages().count(), 0);
    assert_eq!(decode(&encode(&here)), Ok(here));
}
