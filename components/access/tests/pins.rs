//! Which PINs may be chosen, and that a verifier knows its PIN from all others.

use proptest::prelude::*;
use starling_access::{Pin, PinCost, PinError, PinVerifier};

/// As cheap as argon2 goes: what it costs is not what is tested.
const CHEAP: PinCost = PinCost {
    memory_kib: 8,
    passes: 1,
};

#[test]
fn pin_is_digits_that_are_not_obvious() {
    for pin in ["493817", "000199", "135791", "120120999", "999998"] {
        assert!(Pin::choose(pin, "+15551230001").is_ok(), "{pin}");
    }
}

#[test]
fn what_is_no_pin_is_refused() {
    for text in [
        "",
        "12345",
        "1234567890123",
        "12a456",
        "49381\u{0667}",
        " 493817",
        "-493817",
    ] {
        assert_eq!(
            Pin::choose(text, "anna"),
            Err(PinError::NotDigits),
            "{text}"
        );
    }
}

#[test]
fn obvious_pin_is_refused() {
    for pin in [
        "000000",
        "123456",
        "234567890",
        "654321",
        "098765",
        "121212",
        "123123",
        "12121",
        "480480",
        "1231231",
    ] {
        let expected = if pin.len() < 6 {
            PinError::NotDigits
        } else {
            PinError::Trivial
        };
        assert_eq!(Pin::choose(pin, "anna"), Err(expected), "{pin}");
    }
    assert_eq!(
        Pin::choose("230001", "+15551230001"),
        Err(PinError::Trivial)
    );
}

#[test]
fn obvious_pin_of_former_times_still_signs_in() {
    assert!("123456".parse::<Pin>().is_ok());
}

#[test]
fn verifier_says_what_it_cost() {
    let pin: Pin = "493817".parse().expect("a PIN");
    let verifier = PinVerifier::of(&pin, &[7; 16], PinCost::DEFAULT);
    assert!(
        verifier
            .as_stored()
            .starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{}",
        verifier.as_stored()
    );
    assert!(PinVerifier::from_stored(verifier.as_stored()).matches(&pin));
}

#[test]
fn damaged_verifier_matches_nothing() {
    let pin: Pin = "493817".parse().expect("a PIN");
    for stored in ["", "$", "$argon2id$", "493817"] {
        assert!(!PinVerifier::from_stored(stored).matches(&pin), "{stored}");
    }
}

#[test]
fn neither_pin_nor_verifier_is_shown() {
    let pin: Pin = "493817".parse().expect("a PIN");
    let verifier = PinVerifier::of(&pin, &[7; 16], CHEAP);
    assert_eq!(format!("{pin:?} {verifier:?}"), "Pin(…) PinVerifier(…)");
}

proptest! {
    #[test]
    fn verifier_matches_its_pin_alone(one in "[0-9]{6,12}", other in "[0-9]{6,12}", salt: [u8; 16]) {
        let verifier = PinVerifier::of(&one.parse().expect("a PIN"), &salt, CHEAP);
        prop_assert!(verifier.matches(&one.parse().expect("a PIN")));
        prop_assert_eq!(verifier.matches(&other.parse().expect("a PIN")), one == other);
    }
}
