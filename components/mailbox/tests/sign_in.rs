//! Wrong PINs lock a mailbox, wherever they are tried, and the right one forgives those it knew of.

use starling_mailbox::{
    AHEAD_MAX_MS, FAILURES_FREE, Join, LOCK_MS_MAX, LOCK_MS_MIN, Mailbox, Origin, ProfileChange,
    Slot,
};

const NOW_MS: u64 = 1_000_000;

fn at(region: &str, now_ms: u64) -> Origin {
    Origin {
        region: region.parse().expect("a region"),
        now_ms,
        alone: false,
    }
}

fn seen(slots: &[&Slot]) -> Mailbox {
    Mailbox::of(slots.iter().map(|slot| (*slot).clone()), NOW_MS)
}

fn created() -> Slot {
    let change = ProfileChange::default();
    let made = Mailbox::default().change_profile(change, &at("eu", NOW_MS));
    made.expect("a mailbox")
}

fn fail(slot: &mut Slot, region: &str, times: u32) {
    for _ in 0..times {
        let delta = seen(&[slot]).sign_in_failed(&at(region, NOW_MS));
        slot.join(delta);
    }
}

fn locked_until_ms(slots: &[&Slot], now_ms: u64) -> Option<u64> {
    seen(slots).profile().sign_ins.locked_until_ms(now_ms)
}

#[test]
fn lock_grows_with_failures_up_to_its_longest() {
    let mut slot = created();
    fail(&mut slot, "eu", FAILURES_FREE);
    assert_eq!(locked_until_ms(&[&slot], NOW_MS), None);
    let mut expected_ms = LOCK_MS_MIN;
    for _ in 0..40 {
        fail(&mut slot, "eu", 1);
        let until_ms = NOW_MS + expected_ms;
        assert_eq!(locked_until_ms(&[&slot], NOW_MS), Some(until_ms));
        assert_eq!(locked_until_ms(&[&slot], until_ms - 1), Some(until_ms));
        assert_eq!(locked_until_ms(&[&slot], until_ms), None);
        expected_ms = (2 * expected_ms).min(LOCK_MS_MAX);
    }
}

#[test]
fn failures_of_all_regions_add_up() {
    let mut eu = created();
    let mut us = eu.clone();
    fail(&mut eu, "eu", FAILURES_FREE);
    fail(&mut us, "us", 1);
    assert_eq!(locked_until_ms(&[&eu], NOW_MS), None);
    assert_eq!(locked_until_ms(&[&us], NOW_MS), None);
    assert!(locked_until_ms(&[&eu, &us], NOW_MS).is_some());
}

#[test]
fn right_pin_forgives_what_it_knew_of_and_nothing_else() {
    let mut eu = created();
    let mut us = eu.clone();
    fail(&mut eu, "eu", FAILURES_FREE);
    let forgiven = seen(&[&eu]).sign_in_succeeded();
    // Somebody guesses elsewhere at the same time.
    fail(&mut us, "us", FAILURES_FREE);
    eu.join(forgiven);
    assert!(seen(&[&eu]).sign_in_succeeded().is_empty());
    fail(&mut eu, "eu", 1);
    assert!(locked_until_ms(&[&eu, &us], NOW_MS).is_some());
    assert_eq!(locked_until_ms(&[&eu], NOW_MS), None);
}

#[test]
fn clock_that_is_ahead_locks_for_no_longer_than_it_is_ahead() {
    let locked = |ahead_ms: u64| {
        let mut slot = created();
        for _ in 0..=FAILURES_FREE {
            let delta = seen(&[&slot]).sign_in_failed(&at("eu", NOW_MS + ahead_ms));
            slot.join(delta);
        }
        slot
    };
    let slot = locked(60_000);
    let until_ms = NOW_MS + 60_000 + LOCK_MS_MIN;
    assert_eq!(locked_until_ms(&[&slot], NOW_MS), Some(until_ms));
    assert_eq!(locked_until_ms(&[&slot], until_ms), None);
    // Beyond what clocks may differ, it is no clock.
    let slot = locked(AHEAD_MAX_MS + 1);
    assert_eq!(locked_until_ms(&[&slot], NOW_MS), None);
}
