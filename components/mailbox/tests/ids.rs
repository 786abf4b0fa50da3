//! Which texts are ids, and that ids derived from the same request are the same.

use starling_mailbox::{Caller, CallerError, Digest, InvalidId, MailboxId, MessageId, Region};

fn mailbox(text: &str) -> MailboxId {
    text.parse().expect("a mailbox id")
}

#[test]
fn mailbox_is_an_e164_number_or_a_plain_name() {
    let longest = "a".repeat(64);
    for text in [
        "+15551230001",
        "+12",
        "+123456789012345",
        "front-desk",
        "a.b_c-9",
        "..a",
        &longest,
    ] {
        assert_eq!(
            text.parse::<MailboxId>().map(|id| id.to_string()),
            Ok(text.into())
        );
    }
    let too_long = "a".repeat(65);
    for text in [
        "",
        "+",
        "+1",
        "+1234567890123456",
        "+0555123000",
        "+1555a",
        "+ 1555",
        "1+555",
        "Front",
        "a b",
        "a/b",
        "a%2f",
        "é",
        ".",
        "..",
        "\0",
        "a\n",
        &too_long,
    ] {
        assert_eq!(
            text.parse::<MailboxId>(),
            Err(InvalidId::Mailbox),
            "{text:?}"
        );
    }
}

#[test]
fn region_is_a_short_plain_name() {
    let (longest, too_long) = ("a".repeat(32), "a".repeat(33));
    for text in ["local", "eu-west-1", &longest] {
        assert_eq!(
            text.parse::<Region>().map(|id| id.to_string()),
            Ok(text.into())
        );
    }
    for text in ["", "EU", "eu_west", "eu.west", "eu west", &too_long] {
        assert_eq!(text.parse::<Region>(), Err(InvalidId::Region), "{text:?}");
    }
}

#[test]
fn message_id_has_one_spelling() {
    let text = "00112233445566778899aabbccddeeff";
    assert_eq!(
        text.parse::<MessageId>().map(|id| id.to_string()),
        Ok(text.into())
    );
    for text in [
        "",
        "0",
        &text.to_uppercase(),
        &text[1..],
        "zz112233445566778899aabbccddeeff",
    ] {
        assert_eq!(
            text.parse::<MessageId>(),
            Err(InvalidId::Message),
            "{text:?}"
        );
    }
}

#[test]
fn derived_id_depends_on_mailbox_and_key_alone() {
    let id = |name: &str, key: &str| MessageId::derive(&mailbox(name), None, key.as_bytes());
    assert_eq!(id("anna", "k1"), id("anna", "k1"));
    assert_ne!(id("anna", "k1"), id("anna", "k2"));
    assert_ne!(id("anna", "k1"), id("annak", "1"));
    // Known answer: a change of the derivation would break the retries in flight during a rollout.
    assert_eq!(
        id("+15551230001", "retry-1").to_string(),
        "52e905b74df56d7b9f2d440e6349e14f"
    );
}

#[test]
fn digest_is_sha_256() {
    // FIPS 180-4, the empty message.
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Digest::of(b"").to_string(), empty);
    assert_eq!(empty.parse(), Ok(Digest::of(b"")));
}

#[test]
fn caller_is_text_that_can_be_shown() {
    let longest = "é".repeat(64);
    for text in [
        "+15551239999",
        "Ānna Müller <anna@example.org>",
        "安娜",
        "👩‍👩‍👧",
        &longest,
    ] {
        assert_eq!(
            text.parse::<Caller>().map(|caller| caller.to_string()),
            Ok(text.into())
        );
    }
    let too_long = format!("{longest}a");
    for (text, error) in [
        ("", CallerError::Empty),
        ("  ", CallerError::Empty),
        (too_long.as_str(), CallerError::TooLong),
        ("a\nb", CallerError::Unprintable('\n')),
        ("a\u{1b}[31m", CallerError::Unprintable('\u{1b}')),
        ("\u{202e}gro.knab", CallerError::Unprintable('\u{202e}')),
    ] {
        assert_eq!(text.parse::<Caller>(), Err(error), "{text:?}");
    }
}
