//! Keys as NATS subjects, and back. Pure.
//!
//! A `/` separates the parts of a key as `.` separates the tokens of a subject, so that a listing by prefix is a
//! subscription with a wildcard. Other bytes that the key-value convention of NATS does not take are written as `=` and
//! two hexadecimal digits; an empty part is written as a single `=`. The result is a key that the `nats` tool reads.

use std::fmt::Write;

/// The reserved subject of fillers (below a bucket's prefix). No key is written like this: a first `_` is escaped,
/// because keys that begin with one are reserved.
pub(crate) const GAP: &str = "_gap";

/// How a key is written as the tokens below its bucket's prefix.
pub(crate) fn encode(key: &str) -> String {
    let mut subject = String::with_capacity(key.len() + 8);
    for (index, part) in key.split('/').enumerate() {
        if index > 0 {
            subject.push('.');
        }
        encode_part(part, index == 0, &mut subject);
    }
    subject
}

fn encode_part(part: &str, first: bool, subject: &mut String) {
    if part.is_empty() {
        subject.push('=');
    }
    for (index, byte) in part.bytes().enumerate() {
        let plain = match byte {
            b'_' => !(first && index == 0),
            byte => byte.is_ascii_alphanumeric() || byte == b'-',
        };
        if plain {
            subject.push(char::from(byte));
        } else {
            let _ = write!(subject, "={byte:02X}");
        }
    }
}

/// The key that was written like this; `None` for what [`encode`] does not write, such as [`GAP`].
pub(crate) fn decode(subject: &str) -> Option<String> {
    let mut key = Vec::with_capacity(subject.len());
    for (index, token) in subject.split('.').enumerate() {
        if index > 0 {
            key.push(b'/');
        }
        if token != "=" {
            decode_token(token, &mut key)?;
        }
    }
    let key = String::from_utf8(key).ok()?;
    (encode(&key) == subject).then_some(key)
}

fn decode_token(token: &str, key: &mut Vec<u8>) -> Option<()> {
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            key.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            key.push(byte);
        }
    }
    Some(())
}

/// The filter that lets pass every key with this prefix, and as few others as tokens allow.
pub(crate) fn filter(prefix: &str) -> String {
    match prefix.rsplit_once('/') {
        // A prefix that ends in `/` has an empty last part, and whatever follows takes its place.
        Some((parts, _)) => format!("{}.>", encode(parts)),
        None => ">".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(key: &str, subject: &str) {
        assert_eq!(encode(key), subject);
        assert_eq!(decode(subject).as_deref(), Some(key));
    }

    #[test]
    fn keys_read_as_subjects() {
        check("slot/anna", "slot.anna");
        check("slot/+15551230001", "slot.=2B15551230001");
        check("audio/3f-a_b/0", "audio.3f-a_b.0");
        check("a.b", "a=2Eb");
        check("_gap", "=5Fgap");
        check("a/_gap", "a._gap");
        check("ü", "=C3=BC");
        check("=", "=3D");
    }

    #[test]
    fn empty_parts_are_kept_apart() {
        check("/", "=.=");
        check("a/", "a.=");
        check("/a", "=.a");
        check("a//b", "a.=.b");
    }

    #[test]
    fn what_is_no_key_is_not_decoded() {
        for subject in ["_gap", "a=2", "a=2e", "a=zz", "=FF", "a..b", "=41"] {
            assert_eq!(decode(subject), None, "{subject}");
        }
    }

    #[test]
    fn filters_are_as_narrow_as_whole_parts() {
        assert_eq!(filter(""), ">");
        assert_eq!(filter("slo"), ">");
        assert_eq!(filter("slot/"), "slot.>");
        assert_eq!(filter("slot/an"), "slot.>");
        assert_eq!(filter("a/+1/x"), "a.=2B1.>");
    }

    /// Whether a subject passes a filter that ends in the only wildcard that filters here have.
    fn passes(subject: &str, filter: &str) -> bool {
        let tokens = filter.strip_suffix('>').unwrap();
        subject.starts_with(tokens) && subject.len() > tokens.len()
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in "[^\\pC]{1,40}|[a-z/_.=+]{1,20}") {
            let subject = encode(&key);
            prop_assert_eq!(decode(&subject), Some(key));
            prop_assert!(subject.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=.".contains(&byte)));
            prop_assert!(subject.split('.').all(|token| !token.is_empty()));
        }

        #[test]
        fn a_filter_passes_every_key_of_its_prefix(key in "[a-c/_+]{1,12}", length in 0usize..12) {
            let prefix = &key[..length.min(key.len())];
            let (subject, filter) = (encode(&key), filter(prefix));
            prop_assert!(passes(&subject, &filter), "{} does not pass {}", subject, filter);
        }
    }
}
