//! What a token is worth: only what it was issued for, only while it lasts, only under a key that is
//! still valid.

use starling_access::{Grant, Keys, Scope, TokenError, WeakKey, issue, verify};
use starling_mailbox::MailboxId;

const KEY: &str = "a key that nobody knows, of 32 bytes or more";
const OTHER: &str = "another key that nobody knows, of 32 bytes or more";
const NOW_S: u64 = 1_767_225_600;

fn keys(current: &str, previous: Option<&str>) -> Keys {
    Keys::new(current, previous).expect("keys")
}

fn mailbox(id: &str) -> MailboxId {
    id.parse().expect("a mailbox")
}

fn subscriber(id: &str) -> Grant {
    Grant {
        scope: Scope::Subscriber,
        mailbox: Some(mailbox(id)),
    }
}

fn everywhere(scope: Scope) -> Grant {
    Grant {
        scope,
        mailbox: None,
    }
}

#[test]
fn token_grants_what_it_was_issued_for() {
    let keys = keys(KEY, None);
    for grant in [
        subscriber("+15551230001"),
        everywhere(Scope::Deposit),
        everywhere(Scope::Provision),
        everywhere(Scope::Operator),
        Grant {
            scope: Scope::Deposit,
            mailbox: Some(mailbox("anna")),
        },
    ] {
        let token = issue(&keys, &grant, NOW_S, 60);
        assert_eq!(verify(&keys, &token, NOW_S), Ok(grant));
    }
}

#[test]
fn token_ends_with_its_time() {
    let keys = keys(KEY, None);
    let token = issue(&keys, &subscriber("anna"), NOW_S, 60);
    assert!(verify(&keys, &token, NOW_S + 59).is_ok());
    assert_eq!(verify(&keys, &token, NOW_S + 60), Err(TokenError::Expired));
    // One from a host whose clock is ahead.
    assert!(verify(&keys, &token, NOW_S - 600).is_ok());
}

#[test]
fn rotated_key_is_valid_until_it_is_dropped() {
    let before = issue(&keys(KEY, None), &subscriber("anna"), NOW_S, 60);
    let rotating = keys(OTHER, Some(KEY));
    assert!(verify(&rotating, &before, NOW_S).is_ok());
    let after = issue(&rotating, &subscriber("anna"), NOW_S, 60);
    assert!(verify(&rotating, &after, NOW_S).is_ok());
    // What is issued during the rotation is signed with the new key.
    let rotated = keys(OTHER, None);
    assert!(verify(&rotated, &after, NOW_S).is_ok());
    assert_eq!(verify(&rotated, &before, NOW_S), Err(TokenError::Invalid));
}

#[test]
fn changed_token_grants_nothing() {
    let keys = keys(KEY, None);
    let token = issue(&keys, &subscriber("anna"), NOW_S, 60);
    // Not the last character, whose lowest bits belong to no byte.
    for at in 0..token.len() - 1 {
        for with in ["A", "B", ".", "é"] {
            if token[at..=at] == *with {
                continue;
            }
            let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
            assert_eq!(
                verify(&keys, &changed, NOW_S),
                Err(TokenError::Invalid),
                "{changed}"
            );
        }
    }
}

#[test]
fn what_is_no_token_of_ours_grants_nothing() {
    let keys = keys(KEY, None);
    // {"alg":"none","typ":"JWT"} and {"iss":"starling","scope":"provision","exp":99999999999}
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.\
                    eyJpc3MiOiJzdGFybGluZyIsInNjb3BlIjoicHJvdmlzaW9uIiwiZXhwIjo5OTk5OTk5OTk5OX0.";
    let long = "a".repeat(100_000);
    for text in ["", ".", "..", "a.b.c", "Bearer", unsigned, &long] {
        assert_eq!(verify(&keys, text, NOW_S), Err(TokenError::Invalid));
    }
}

#[test]
fn subscribers_token_names_a_mailbox() {
    let keys = keys(KEY, None);
    let token = issue(&keys, &everywhere(Scope::Subscriber), NOW_S, 60);
    assert_eq!(verify(&keys, &token, NOW_S), Err(TokenError::Invalid));
}

#[test]
fn operators_token_names_no_mailbox() {
    let keys = keys(KEY, None);
    let limited = Grant {
        scope: Scope::Operator,
        mailbox: Some(mailbox("anna")),
    };
    let token = issue(&keys, &limited, NOW_S, 60);
    assert_eq!(verify(&keys, &token, NOW_S), Err(TokenError::Invalid));
}

#[test]
fn scope_has_one_name() {
    for (scope, name) in [
        (Scope::Subscriber, "subscriber"),
        (Scope::Deposit, "deposit"),
        (Scope::Provision, "provision"),
        (Scope::Operator, "operator"),
    ] {
        assert_eq!(scope.to_string(), name);
        assert_eq!(name.parse(), Ok(scope));
        let other = name.to_uppercase().parse::<Scope>().unwrap_err();
        assert!(other.to_string().contains(name), "{other}");
    }
}

#[test]
fn grant_covers_its_mailbox_alone() {
    let (anna, bert) = (mailbox("anna"), mailbox("bert"));
    let grant = subscriber("anna");
    assert!(grant.covers(Scope::Subscriber, &anna));
    assert!(!grant.covers(Scope::Subscriber, &bert));
    assert!(!grant.covers(Scope::Deposit, &anna));
    assert!(!grant.covers_all(Scope::Subscriber));
    assert!(everywhere(Scope::Deposit).covers(Scope::Deposit, &bert));
}

#[test]
fn short_key_is_refused() {
    assert_eq!(Keys::new("secret", None).err(), Some(WeakKey(6)));
    assert_eq!(Keys::new(KEY, Some("")).err(), Some(WeakKey(0)));
}

#[test]
fn keys_are_not_shown() {
    let shown = format!("{:?}", keys(KEY, Some(OTHER)));
    assert!(!shown.contains("nobody"), "{shown}");
}
