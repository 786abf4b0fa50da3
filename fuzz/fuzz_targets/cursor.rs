//! The texts that stand in URLs, headers and members: what can be read can be shown, and is read as
//! the same again.

#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use starling_mailbox::{
    Caller, Cursor, Digest, Folder, GreetingChoice, GreetingKind, Language, MailboxId, MessageId,
    Region, TimeZone, directory_shard_of, owed_shard_of,
};

fuzz_target!(|text: &str| {
    one_spelling::<Cursor>(text);
    one_spelling::<Digest>(text);
    one_spelling::<Folder>(text);
    one_spelling::<MailboxId>(text);
    one_spelling::<MessageId>(text);
    one_spelling::<Region>(text);
    one_spelling::<Caller>(text);
    one_spelling::<GreetingChoice>(text);
    one_spelling::<GreetingKind>(text);
    if let Some(zone) = round_trip(text, TimeZone::as_str) {
        assert_eq!(zone.as_str(), text);
    }
    if let Some(language) = round_trip(text, Language::as_str) {
        assert!(language.as_str().eq_ignore_ascii_case(text));
    }
    if let Ok(mailbox) = text.parse::<MailboxId>() {
        assert!(owed_shard_of(&mailbox) <= directory_shard_of(&mailbox));
        let id = MessageId::derive(&mailbox, None, text.as_bytes());
        one_spelling::<MessageId>(&id.to_string());
    }
});

/// What is read of a text shows as that text.
fn one_spelling<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

/// What is read of a text, whose own text is read as the same.
fn round_trip<T>(text: &str, shown: impl Fn(&T) -> &str) -> Option<T>
where
    T: FromStr + Debug + PartialEq,
{
    let value: T = text.parse().ok()?;
    assert_eq!(shown(&value).parse().ok().as_ref(), Some(&value));
    Some(value)
}
