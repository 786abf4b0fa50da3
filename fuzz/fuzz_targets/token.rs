//! Bearer tokens: nobody gets in with a text that was not issued.
//!
//! The input is tried as a token, and as a change to one: from where its first byte says, so many
//! characters as its second says are replaced by the rest.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use starling_access::{Grant, Keys, Scope, issue, verify};

const NOW_S: u64 = 1_800_000_000;

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let [current, previous] = ["current key ", "previous key"].map(|key| key.repeat(3));
    Keys::new(&current, Some(&previous)).expect("long enough")
});

static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let grant = Grant {
        scope: Scope::Subscriber,
        mailbox: Some("+15551230001".parse().expect("a mailbox")),
    };
    issue(&KEYS, &grant, NOW_S, 60)
});

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        grants_nothing(text);
    }
    if let [at, replaced, text @ ..] = input
        && let Ok(text) = std::str::from_utf8(text)
    {
        let at = usize::from(*at).min(TOKEN.len());
        let end = (at + usize::from(*replaced)).min(TOKEN.len());
        grants_nothing(&[&TOKEN[..at], text, &TOKEN[end..]].concat());
    }
});

fn grants_nothing(text: &str) {
    let granted = verify(&KEYS, text, NOW_S);
    assert_eq!(granted.is_ok(), text == *TOKEN, "{text} grants {granted:?}");
    assert!(verify(&KEYS, text, NOW_S + 60).is_err());
}
