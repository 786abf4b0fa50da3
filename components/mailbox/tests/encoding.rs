//! Stored bytes: what was ever written is still read, what is newer or damaged says so, and a full
//! slot still fits.
//!
//! The fixtures are bytes as a release wrote them. They are never written anew; a new version adds
//! its own: `cargo test -p starling-mailbox --test encoding -- --ignored` writes those that are
//! missing.

#![expect(clippy::disallowed_methods, reason = "the fixtures are files")]

use std::path::PathBuf;

use proptest::prelude::*;
use starling_mailbox::audio::Format;
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, Audio, AudioId, CALLER_BYTES_MAX, Chores, Count, Created, DecodeError,
    Digest, Discarded, ENCODING_VERSION, Entry, Failures, Flags, Forwarded, Greeting,
    GreetingChoice, GreetingKind, Header, MailboxId, MessageId, PinHash, Profile,
    QUOTA_MESSAGES_MAX, RateLimits, Rates, Record, Region, Register, SLOT_BYTES_MAX, SignIns, Slot,
    Stamp, Webhook, decode, encode,
};

fn region(name: &str) -> Region {
    name.parse().expect("a region")
}

fn register<T>(name: &str, physical_ms: u64, counter: u32, value: T) -> Option<Register<T>> {
    Some(Register {
        stamp: Stamp {
            physical_ms,
            counter,
            region: region(name),
        },
        value,
    })
}

fn audio(id: [u8; 16], format: Format) -> Audio {
    Audio {
        id: AudioId::from_random(id),
        format,
        duration_ms: 15_000,
        size_bytes: 240_044,
        digest: Digest::of(b"what was said"),
        chunk_bytes: AUDIO_CHUNK_BYTES,
    }
}

fn header(id: MessageId, from: Option<&str>, format: Format) -> Header {
    Header {
        received_at_ms: 1_767_225_600_123,
        region: region("eu-west"),
        from: from.map(|text| text.parse().expect("a caller")),
        reply_to: None,
        urgent: true,
        private: false,
        audio: audio(*id.as_bytes(), format),
        forwarded: None,
    }
}

/// What the fixtures of version 1 hold.
fn version_1() -> Vec<(&'static str, Slot)> {
    let mailbox: MailboxId = "+15551230001".parse().expect("a mailbox");
    let profile = Profile {
        created: Some(Created {
            at_ms: 1_767_225_599_000,
            region: region("eu-west"),
        }),
        quota_messages: register("eu-west", 1_767_225_599_001, 0, 50),
        quota_bytes: register("us-east", 1_767_225_599_001, 7, 25_000_000),
        ..Profile::default()
    };
    let flags = Flags {
        seen: register("us-east", 1_767_225_700_000, 0, true),
        saved: register("eu-west", 1_767_225_700_000, 3, false),
        deleted: None,
    };
    let formats = [
        Format::WavPcm8,
        Format::WavPcm16,
        Format::WavMuLaw,
        Format::WavALaw,
    ];
    const RETENTION_MS: u64 = 90 * 24 * 60 * 60 * 1000;
    let messages = formats.iter().enumerate().map(|(n, format)| {
        let from = ["+15551239999", "Ānna"].get(n).copied();
        let id = MessageId::derive(&mailbox, None, &[n as u8]);
        let header = header(id, from, *format);
        let expires_at_ms = header.received_at_ms + RETENTION_MS;
        let entry = Entry {
            header: Some(header),
            expires_at_ms,
            ..Entry::default()
        };
        (id, entry)
    });
    let flags_alone = (
        MessageId::from_random([0xab; 16]),
        Entry {
            flags,
            expires_at_ms: 1_767_225_700_000 + RETENTION_MS,
            ..Entry::default()
        },
    );
    vec![
        ("empty", Slot::default()),
        (
            "profile",
            Slot {
                profile: profile.clone(),
                ..Slot::default()
            },
        ),
        (
            "messages",
            Slot {
                profile,
                messages: messages.chain([flags_alone]).collect(),
                ..Slot::default()
            },
        ),
    ]
}

/// Every state that has a fixture of the newest version, by the name of its file without the
/// version.
fn samples() -> Vec<(&'static str, Record)> {
    let mut samples: Vec<_> = version_1()
        .into_iter()
        .map(|(name, slot)| (name, Record::from(slot)))
        .collect();
    samples.push(("everything", everything()));
    samples
}

/// A record with something in every field.
fn everything() -> Record {
    let (slot, chores) = slot_and_chores();
    Record {
        chores,
        ..slot.into()
    }
}

fn slot_and_chores() -> (Slot, Chores) {
    let mut slot = version_1().remove(2).1;
    let id = MessageId::from_random([0xcd; 16]);
    let mut forwarded = header(id, Some("+15551239999"), Format::WavPcm16);
    forwarded.reply_to = Some("+15550000000".parse().expect("a caller"));
    forwarded.forwarded = Some(Forwarded {
        by: "anna".parse().expect("a mailbox"),
        comment: Some(audio([1; 16], Format::WavMuLaw)),
    });
    slot.messages.insert(
        id,
        Entry {
            header: Some(forwarded.clone()),
            expires_at_ms: 1_800_000_000_000,
            ..Entry::default()
        },
    );
    slot.messages.insert(
        MessageId::from_random([0xef; 16]),
        Entry {
            purged: true,
            expires_at_ms: 1_800_000_000_000,
            ..Entry::default()
        },
    );
    let greeting = Greeting {
        region: region("eu-west"),
        audio: audio([2; 16], Format::WavALaw),
        expires_at_ms: Some(1_767_300_000_000),
    };
    let webhook = Webhook {
        url: "https://example.com/hook".into(),
        secret: "not much of a secret".into(),
    };
    slot.deleted = register("us-east", 1_767_225_000_000, 1, ()).map(|it| it.stamp);
    slot.profile = Profile {
        retention_days: register("eu-west", 5, 0, 30),
        message_ms_max: register("eu-west", 5, 0, 60_000),
        time_zone: register("eu-west", 5, 0, "Europe/Vienna".parse().expect("a zone")),
        language: register("eu-west", 5, 0, "de-AT".parse().expect("a language")),
        greeting: register("eu-west", 5, 0, GreetingChoice::Standard),
        webhooks: register("eu-west", 5, 0, vec![webhook]),
        pin: register("eu-west", 5, 0, Some(PinHash("$argon2id$…".into()))),
        greetings: [
            (
                GreetingKind::Temporary,
                register("eu-west", 6, 0, Some(greeting)).expect("one"),
            ),
            (
                GreetingKind::Name,
                register("us-east", 6, 0, None).expect("one"),
            ),
        ]
        .into(),
        sign_ins: SignIns {
            failures: [(
                region("eu-west"),
                Failures {
                    count: Count(3),
                    last_ms: 1_767_225_800_000,
                },
            )]
            .into(),
            forgiven: [(region("eu-west"), Count(2))].into(),
        },
        ..slot.profile
    };
    let mut rates = Rates::default();
    let limits = RateLimits {
        mailbox_per_minute: Some(60),
        caller_per_minute: Some(6),
    };
    let from = forwarded.from.as_ref();
    rates
        .count(from, limits, 1_767_225_900_000)
        .expect("the first");
    let chores = Chores {
        reclaim: [Discarded {
            message: Some(id),
            audio: audio([3; 16], Format::WavPcm8),
        }]
        .into(),
        changes: 7,
        told: 6,
        rates,
    };
    (slot, chores)
}

fn fixture(version: u8, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("slot-v{version}-{name}.bin"))
}

#[test]
fn version_1_still_decodes() {
    for (name, slot) in version_1() {
        let bytes = std::fs::read(fixture(1, name)).expect(name);
        let slot_of = |record: Record| record.slot();
        assert_eq!(decode(bytes).and_then(slot_of), Ok(slot), "{name}");
    }
}

#[test]
fn version_2_still_decodes() {
    for (name, record) in samples() {
        let bytes = std::fs::read(fixture(2, name)).expect(name);
        assert_eq!(decode(bytes), Ok(record), "{name}");
    }
}

#[test]
fn version_3_still_decodes_and_comes_back_identical() {
    for (name, record) in samples() {
        let bytes = std::fs::read(fixture(3, name)).expect(name);
        let stored = decode(bytes.clone()).expect(name);
        assert_eq!(stored.slot(), record.slot(), "{name}");
        assert_eq!(stored, record, "{name}");
        assert_eq!(encode(&stored), bytes, "{name}");
    }
}

#[test]
#[ignore = "writes the fixtures that are missing"]
fn write_missing_fixtures() {
    for (name, record) in samples() {
        let path = fixture(ENCODING_VERSION, name);
        if !path.exists() {
            std::fs::write(path, encode(&record)).expect("the fixtures can be written");
        }
    }
}

#[test]
fn newer_version_is_told_from_damage() {
    let mut bytes = encode(&everything());
    bytes[0] = ENCODING_VERSION + 1;
    assert_eq!(
        decode(bytes.clone()),
        Err(DecodeError::NewerVersion(ENCODING_VERSION + 1))
    );
    bytes[0] = 0;
    assert!(matches!(decode(bytes), Err(DecodeError::Malformed(_))));
    assert!(matches!(decode(Vec::new()), Err(DecodeError::Malformed(_))));
}

#[test]
fn cut_or_lengthened_bytes_are_malformed() {
    let bytes = encode(&everything());
    for length in 1..bytes.len() {
        assert!(
            matches!(
                decode(bytes[..length].to_vec()),
                Err(DecodeError::Malformed(_))
            ),
            "{length}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(decode(longer), Err(DecodeError::Malformed(_))));
}

#[test]
fn invalid_region_or_caller_is_malformed() {
    let bytes = encode(&everything());
    for (valid, invalid) in [("eu-west", "EU-WEST"), ("+15551239999", "+1555123\n999")] {
        let at = bytes
            .windows(valid.len())
            .position(|part| part == valid.as_bytes());
        let mut damaged = bytes.clone();
        damaged[at.expect(valid)..][..invalid.len()].copy_from_slice(invalid.as_bytes());
        let read = decode(damaged).and_then(|record| record.slot());
        assert!(
            matches!(read, Err(DecodeError::Malformed(_))),
            "{invalid:?}"
        );
    }
}

#[test]
fn record_at_the_greatest_quota_fits_with_every_field_at_its_longest() {
    let longest_region = "r".repeat(32);
    let flag = || register(&longest_region, u64::MAX >> 8, u32::MAX, true);
    let longest_audio = Audio {
        duration_ms: u64::from(u32::MAX),
        ..audio([0xff; 16], Format::WavALaw)
    };
    let entry = Entry {
        header: Some(Header {
            received_at_ms: u64::MAX >> 8,
            region: region(&longest_region),
            from: Some("c".repeat(CALLER_BYTES_MAX).parse().expect("a caller")),
            reply_to: Some("c".repeat(CALLER_BYTES_MAX).parse().expect("a caller")),
            urgent: true,
            private: true,
            audio: longest_audio.clone(),
            forwarded: Some(Forwarded {
                by: "m".repeat(64).parse().expect("a mailbox"),
                comment: Some(longest_audio),
            }),
        }),
        flags: Flags {
            seen: flag(),
            saved: flag(),
            deleted: flag(),
        },
        purged: false,
        expires_at_ms: u64::MAX >> 8,
    };
    let messages = (0..QUOTA_MESSAGES_MAX).map(|n| {
        let mut id = [0xff; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        (MessageId::from_random(id), entry.clone())
    });
    let profile = Profile {
        created: Some(Created {
            at_ms: u64::MAX,
            region: region(&longest_region),
        }),
        quota_messages: register(&longest_region, u64::MAX, u32::MAX, u32::MAX),
        quota_bytes: register(&longest_region, u64::MAX, u32::MAX, u64::MAX),
        ..everything().profile
    };
    let (mut slot, chores) = slot_and_chores();
    slot.profile = profile;
    slot.messages = messages.collect();
    // And a year's tombstones of a subscriber who hears twenty messages a day.
    slot.messages.extend((0..20 * 365_u32).map(|n| {
        let mut id = [0xee; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let tombstone = Entry {
            purged: true,
            expires_at_ms: 1_800_000_000_000,
            ..Entry::default()
        };
        (MessageId::from_random(id), tombstone)
    }));
    let record = Record {
        chores,
        ..slot.into()
    };
    let bytes = encode(&record).len();
    assert!(bytes < SLOT_BYTES_MAX, "{bytes}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for version in 0..=ENCODING_VERSION {
            let _ = decode([&[version], &bytes[..]].concat()).and_then(|record| record.slot());
        }
    }

    #[test]
    fn damaged_bytes_never_panic(at in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = encode(&everything());
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(record) = decode(bytes) && record.slot().is_ok() {
            prop_assert_eq!(decode(encode(&record)), Ok(record));
        }
    }
}
