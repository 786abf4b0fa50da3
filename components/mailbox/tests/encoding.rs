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
    AUDIO_CHUNK_BYTES, Audio, CALLER_BYTES_MAX, Created, DecodeError, Digest, ENCODING_VERSION,
    Entry, Flags, Header, MailboxId, MessageId, Profile, QUOTA_MESSAGES_MAX, Region, Register,
    SLOT_BYTES_MAX, Slot, Stamp, decode, encode,
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

fn header(from: Option<&str>, format: Format) -> Header {
    Header {
        received_at_ms: 1_767_225_600_123,
        region: region("eu-west"),
        from: from.map(|text| text.parse().expect("a caller")),
        urgent: true,
        private: false,
        audio: Audio {
            format,
            duration_ms: 15_000,
            size_bytes: 240_044,
            digest: Digest::of(b"what was said"),
            chunk_bytes: AUDIO_CHUNK_BYTES,
        },
    }
}

/// Every state that has a fixture, by the name of its file without the version.
fn samples() -> Vec<(&'static str, Slot)> {
    let mailbox: MailboxId = "+15551230001".parse().expect("a mailbox");
    let profile = Profile {
        created: Some(Created {
            at_ms: 1_767_225_599_000,
            region: region("eu-west"),
        }),
        quota_messages: register("eu-west", 1_767_225_599_001, 0, 50),
        quota_bytes: register("us-east", 1_767_225_599_001, 7, 25_000_000),
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
    let messages = formats.iter().enumerate().map(|(n, format)| {
        let from = ["+15551239999", "Ānna"].get(n).copied();
        let entry = Entry {
            header: Some(header(from, *format)),
            flags: Flags::default(),
        };
        (MessageId::derive(&mailbox, &[n as u8]), entry)
    });
    let flags_alone = (
        MessageId::from_random([0xab; 16]),
        Entry {
            header: None,
            flags: flags.clone(),
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
            },
        ),
    ]
}

fn fixture(version: u8, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("slot-v{version}-{name}.bin"))
}

#[test]
fn version_1_still_decodes_and_comes_back_identical() {
    for (name, slot) in samples() {
        let bytes = std::fs::read(fixture(1, name)).expect(name);
        assert_eq!(decode(&bytes), Ok(slot), "{name}");
        assert_eq!(
            decode(&bytes).map(|slot| encode(&slot)),
            Ok(bytes),
            "{name}"
        );
    }
}

#[test]
#[ignore = "writes the fixtures that are missing"]
fn write_missing_fixtures() {
    for (name, slot) in samples() {
        let path = fixture(ENCODING_VERSION, name);
        if !path.exists() {
            std::fs::write(path, encode(&slot)).expect("the fixtures can be written");
        }
    }
}

#[test]
fn newer_version_is_told_from_damage() {
    let mut bytes = encode(&samples()[2].1);
    bytes[0] = ENCODING_VERSION + 1;
    assert_eq!(
        decode(&bytes),
        Err(DecodeError::NewerVersion(ENCODING_VERSION + 1))
    );
    bytes[0] = 0;
    assert!(matches!(decode(&bytes), Err(DecodeError::Malformed(_))));
    assert!(matches!(decode(&[]), Err(DecodeError::Malformed(_))));
}

#[test]
fn cut_or_lengthened_bytes_are_malformed() {
    let bytes = encode(&samples()[2].1);
    for length in 1..bytes.len() {
        assert!(
            matches!(decode(&bytes[..length]), Err(DecodeError::Malformed(_))),
            "{length}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(decode(&longer), Err(DecodeError::Malformed(_))));
}

#[test]
fn invalid_region_or_caller_is_malformed() {
    let bytes = encode(&samples()[2].1);
    for (valid, invalid) in [("eu-west", "EU-WEST"), ("+15551239999", "+1555123\n999")] {
        let at = bytes
            .windows(valid.len())
            .position(|part| part == valid.as_bytes());
        let mut damaged = bytes.clone();
        damaged[at.expect(valid)..][..invalid.len()].copy_from_slice(invalid.as_bytes());
        assert!(
            matches!(decode(&damaged), Err(DecodeError::Malformed(_))),
            "{invalid:?}"
        );
    }
}

#[test]
fn slot_at_the_greatest_quota_fits_with_every_field_at_its_longest() {
    let longest_region = "r".repeat(32);
    let flag = || register(&longest_region, u64::MAX >> 8, u32::MAX, true);
    let entry = Entry {
        header: Some(Header {
            received_at_ms: u64::MAX >> 8,
            region: region(&longest_region),
            from: Some("c".repeat(CALLER_BYTES_MAX).parse().expect("a caller")),
            urgent: true,
            private: true,
            audio: Audio {
                duration_ms: u64::from(u32::MAX),
                ..header(None, Format::WavALaw).audio
            },
        }),
        flags: Flags {
            seen: flag(),
            saved: flag(),
            deleted: flag(),
        },
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
    };
    let bytes = encode(&Slot {
        profile,
        messages: messages.collect(),
    })
    .len();
    assert!(bytes < SLOT_BYTES_MAX, "{bytes}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = decode(&[&[ENCODING_VERSION], &bytes[..]].concat());
    }

    #[test]
    fn damaged_bytes_never_panic(at in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = encode(&samples()[2].1);
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(slot) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&slot)), Ok(slot));
        }
    }
}
