//! Entries of the spool: what was ever written is still read, and keys alone tell what there is.
//!
//! The fixture is as a release wrote it; a new version adds its own: `cargo test -p starling-mailbox --test
//! spool -- --ignored` writes one that is missing.

#![expect(clippy::disallowed_methods, reason = "the fixtures are files")]

use std::path::PathBuf;

use proptest::prelude::*;
use starling_mailbox::audio::Format;
use starling_mailbox::{
    AUDIO_CHUNK_BYTES, Audio, DecodeError, Digest, Header, MailboxId, MessageId, Refusal,
    SpoolContents, SpoolFill, SpoolKey, SpoolState, Spooled,
};

fn spooled() -> Spooled {
    let mailbox: MailboxId = "+15551230001".parse().expect("a mailbox");
    let message = MessageId::derive(&mailbox, None, b"call-17");
    Spooled {
        mailbox,
        message,
        header: Header {
            received_at_ms: 1_767_225_600_123,
            region: "eu-west".parse().expect("a region"),
            from: Some("+15551239999".parse().expect("a caller")),
            reply_to: Some("Ānna".parse().expect("a caller")),
            urgent: true,
            private: true,
            audio: Audio {
                id: message.into(),
                format: Format::WavMuLaw,
                duration_ms: 15_000,
                size_bytes: 600_044,
                digest: Digest::of(b"what was said"),
                chunk_bytes: AUDIO_CHUNK_BYTES,
            },
            forwarded: None,
        },
        idempotency_key: Some("call-17".into()),
        accepted_at_ms: 1_767_225_600_456,
        refusal: Some(Refusal {
            problem: "mailbox-full".into(),
            detail: "The mailbox holds 100 messages.".into(),
            at_ms: 1_767_225_700_000,
        }),
    }
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spooled-v1.bin")
}

#[test]
fn version_1_still_decodes_and_comes_back_identical() {
    let bytes = std::fs::read(fixture()).expect("the fixture");
    assert_eq!(Spooled::decode(&bytes), Ok(spooled()));
    assert_eq!(spooled().encode(), bytes);
}

#[test]
#[ignore = "writes the fixture if it is missing"]
fn write_missing_fixture() {
    if !fixture().exists() {
        std::fs::write(fixture(), spooled().encode()).expect("the fixture can be written");
    }
}

#[test]
fn newer_version_is_told_from_damage() {
    let bytes = spooled().encode();
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(Spooled::decode(&newer), Err(DecodeError::NewerVersion(2)));
    for damaged in [&[][..], &[0], &bytes[..40], &[&bytes[..], &[0]].concat()] {
        let decoded = Spooled::decode(damaged);
        assert!(
            matches!(decoded, Err(DecodeError::Malformed(_))),
            "{decoded:?}"
        );
    }
}

#[test]
fn keys_sort_as_entries_do_and_tell_what_there_is() {
    let waiting = |order, bytes| SpoolKey::Waiting { order, bytes };
    let undeliverable = |order, bytes| SpoolKey::Undeliverable { order, bytes };
    let chunk = |order, begun_ms, n| SpoolKey::Chunk { order, begun_ms, n };
    assert_eq!(
        waiting(9, 600_044).to_string(),
        "waiting/00000000000000000009/600044"
    );
    assert!(waiting(9, 5).to_string() < waiting(10, 5).to_string());

    let mut keys: Vec<_> = [
        waiting(10, 600_044),
        chunk(10, 7, 1),
        chunk(10, 7, 0),
        chunk(10, 7, 2),
        undeliverable(9, 44),
        chunk(9, 6, 0),
        // On its way from one to the other.
        undeliverable(8, 100),
        waiting(8, 100),
        // Without an entry.
        chunk(11, 8, 0),
        chunk(11, 9, 1),
    ]
    .iter()
    .map(SpoolKey::to_string)
    .collect();
    keys.extend(["order", "waiting", "waiting/9/1", "slot/anna", ""].map(str::to_owned));
    let contents = SpoolContents::of(&keys);
    keys.reverse();
    assert_eq!(SpoolContents::of(&keys), contents);

    let states: Vec<_> = contents
        .entries
        .iter()
        .map(|(n, it)| (*n, it.state()))
        .collect();
    use SpoolState::{Undeliverable, Unfinished, Waiting};
    assert_eq!(
        states,
        [
            (8, Waiting),
            (9, Undeliverable),
            (10, Waiting),
            (11, Unfinished)
        ]
    );
    let fill = |messages, bytes| SpoolFill { messages, bytes };
    assert_eq!(contents.fill(Some(Waiting)), fill(2, 600_144));
    assert_eq!(contents.fill(Some(Undeliverable)), fill(1, 44));
    assert_eq!(contents.fill(Some(Unfinished)), fill(1, 2 * 256 * 1024));
    assert_eq!(contents.fill(None), fill(4, 600_188 + 2 * 256 * 1024));
    let chunks: Vec<_> = contents.entries[&10].chunks.values().copied().collect();
    assert_eq!(chunks, [chunk(10, 7, 0), chunk(10, 7, 1), chunk(10, 7, 2)]);
    assert_eq!(contents.entries[&11].begun_ms(), Some(9));
    assert_eq!(contents.entries[&8].begun_ms(), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_and_keys_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        key in "(chunk|waiting|undeliverable|order)?(/[0-9]{0,25}){0,4}",
    ) {
        let _ = Spooled::decode(&bytes);
        let _ = Spooled::decode(&[&[1], &bytes[..]].concat());
        SpoolContents::of([key]).fill(None);
    }
}
