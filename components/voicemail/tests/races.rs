//! Many at once, and everything that can fail in between: nothing acknowledged is lost, nothing
//! appears twice.

mod support;

use std::collections::BTreeSet;

use http::StatusCode;
use proptest::prelude::*;
use support::{Answer, Fault, World, at_once, wav};

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// Every message that is listed can be heard, whole.
fn check_all_audible(world: &World) {
    for message in world.messages("inbox") {
        let path = format!(
            "/v1/mailboxes/anna/messages/{}/audio",
            message["id"].as_str().expect("an id")
        );
        let audio = world.get(&path).send().expect(StatusCode::OK);
        assert_eq!(
            audio.body.len() as u64,
            message["size_bytes"].as_u64().expect("a size")
        );
        assert_eq!(audio.broken, None);
    }
}

#[test]
fn fifty_at_once_lose_nothing() {
    for seed in 1..6 {
        let world = World::with_mailbox();
        world.seed(seed);
        let answers = at_once((0..50).map(|n| world.deposit(&wav(800, n))));
        let ids: BTreeSet<_> = answers
            .into_iter()
            .map(|answer| id(&answer.expect(StatusCode::CREATED)))
            .collect();
        let listed: BTreeSet<_> = world
            .messages("inbox")
            .iter()
            .map(|m| m["id"].as_str().expect("an id").to_owned())
            .collect();
        assert_eq!((ids.len(), ids), (50, listed));
        check_all_audible(&world);
    }
}

#[test]
fn retries_at_once_are_one_message() {
    for seed in 1..100 {
        let world = World::with_mailbox();
        world.seed(seed);
        let answers =
            at_once((0..8).map(|_| world.deposit(&wav(800, 0)).header("idempotency-key", "k")));
        let ids: BTreeSet<_> = answers
            .into_iter()
            .map(|answer| id(&answer.expect(StatusCode::CREATED)))
            .collect();
        assert_eq!((ids.len(), world.messages("inbox").len()), (1, 1));
        check_all_audible(&world);
    }
}

#[test]
fn one_key_with_two_bodies_at_once_is_one_message_with_its_own_audio() {
    for seed in 1..200 {
        let world = World::with_mailbox();
        world.seed(seed);
        let answers = at_once((0..6).map(|n| {
            world
                .deposit(&wav(800, n % 2))
                .header("idempotency-key", "k")
        }));
        let created = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED)
            .count();
        let refused = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!((created, refused.count()), (3, 3));
        assert_eq!(world.messages("inbox").len(), 1);
        assert_eq!(world.keys("audio/").len(), 1, "the refused left nothing");
        check_all_audible(&world);
    }
}

#[test]
fn quota_holds_when_many_come_at_once() {
    for seed in 1..50 {
        let world = World::with_mailbox();
        world
            .put("/v1/mailboxes/anna")
            .json(r#"{"quota_messages": 3}"#)
            .send()
            .expect(StatusCode::OK);
        world.seed(seed);
        let answers = at_once((0..10).map(|n| world.deposit(&wav(800, n))));
        let created = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED)
            .count();
        assert_eq!(
            (
                created,
                world.messages("inbox").len(),
                world.keys("audio/").len()
            ),
            (3, 3, 3)
        );
        check_all_audible(&world);
    }
}

#[test]
fn mailbox_is_created_once_even_where_creation_is_not_guarded() {
    for seed in 1..200 {
        let world = World::local();
        world.leave_creation_unguarded();
        world.seed(seed);
        let quotas = ["{}", r#"{"quota_messages": 7}"#, r#"{"quota_bytes": 8000}"#];
        let answers = at_once((0..9).map(|n| world.put("/v1/mailboxes/anna").json(quotas[n % 3])));
        let created = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED)
            .count();
        assert_eq!(created, 1);
        let shown = world
            .get("/v1/mailboxes/anna")
            .send()
            .expect(StatusCode::OK)
            .json();
        assert_eq!(
            (&shown["quota_messages"], &shown["quota_bytes"]),
            (&7.into(), &8000.into())
        );
    }
}

#[test]
fn creator_that_died_does_not_stop_the_next() {
    for from in 1..6 {
        for with_effect in [false, true] {
            let world = World::local();
            world.leave_creation_unguarded();
            world.set_fault(Some(Fault { from, with_effect }));
            let dead = world.put("/v1/mailboxes/anna").send();
            world.set_fault(None);
            if dead.status != StatusCode::CREATED {
                assert_eq!(dead.problem(), "store-unavailable");
            }
            let next = world.put("/v1/mailboxes/anna").send();
            assert!(next.status.is_success());
            world
                .deposit(&wav(800, 0))
                .send()
                .expect(StatusCode::CREATED);
        }
    }
}

#[test]
fn deposit_interrupted_anywhere_is_completed_by_its_retry() {
    let audio = wav(600_000, 0);
    let whole = {
        let world = World::with_mailbox();
        world.set_fault(None);
        world
            .deposit(&audio)
            .header("idempotency-key", "k")
            .send()
            .expect(StatusCode::CREATED);
        world.operations()
    };
    for from in 1..=whole {
        for with_effect in [false, true] {
            let world = World::with_mailbox();
            world.set_fault(Some(Fault { from, with_effect }));
            let first = world.deposit(&audio).header("idempotency-key", "k").send();
            assert_eq!(
                (first.status.as_u16(), first.problem().as_str()),
                (503, "store-unavailable")
            );
            assert_eq!(first.header("retry-after"), Some("1"));
            assert!(
                !first.detail().contains("fire"),
                "the store's words are the operator's"
            );
            world.set_fault(None);
            // Whatever is visible meanwhile is whole.
            check_all_audible(&world);
            let retry = world.deposit(&audio).header("idempotency-key", "k").send();
            retry.expect(StatusCode::CREATED);
            assert_eq!(world.messages("inbox").len(), 1);
            check_all_audible(&world);
            assert!(
                world
                    .log()
                    .iter()
                    .any(|line| line.contains("the disk is on fire"))
            );
        }
    }
}

#[test]
fn change_that_loses_every_race_is_to_be_tried_again() {
    let world = World::with_mailbox();
    world.lose_every_race();
    let answer = world.deposit(&wav(800, 0)).send();
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (503, "contention")
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(world.log()[0].contains("slot/anna"));
    assert_eq!(world.messages("inbox").len(), 0);
}

#[test]
fn every_request_says_so_when_the_store_fails() {
    let world = World::with_mailbox();
    let path = world
        .deposit(&wav(800, 0))
        .send()
        .header("location")
        .expect("a location")
        .to_owned();
    for call in [
        world.get("/v1/mailboxes/anna"),
        world.get("/v1/mailboxes/anna/summary"),
        world.get("/v1/mailboxes/anna/messages"),
        world.get(&path),
        world.get(&format!("{path}/audio")),
        world.patch(&path, r#"{"seen": true}"#),
        world.delete(&path),
        world
            .put("/v1/mailboxes/anna")
            .json(r#"{"quota_messages": 5}"#),
    ] {
        world.set_fault(Some(Fault {
            from: 1,
            with_effect: false,
        }));
        let answer = call.send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (503, "store-unavailable")
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
        world.set_fault(None);
    }
    world.set_unreachable("local", true);
    assert_eq!(
        world.get("/v1/mailboxes/anna").send().problem(),
        "store-unavailable"
    );
}

#[test]
fn slot_that_cannot_be_read_is_never_overwritten() {
    let world = World::with_mailbox();
    for (bytes, status, problem) in [
        (&[9, 1, 2, 3][..], 503, "newer-release"),
        (&[1, 0xff, 0xff], 500, "stored-data-damaged"),
        (&[], 500, "stored-data-damaged"),
    ] {
        world
            .values("local")
            .borrow_mut()
            .insert("slot/anna".into(), bytes.to_vec());
        for call in [
            world.get("/v1/mailboxes/anna"),
            world.put("/v1/mailboxes/anna"),
            world.deposit(&wav(800, 0)),
        ] {
            let answer = call.send();
            assert_eq!(
                (answer.status.as_u16(), answer.problem().as_str()),
                (status, problem)
            );
        }
        assert_eq!(world.values("local").borrow()["slot/anna"], bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flags_set_at_once_all_hold(
        seed in 1_u64..,
        flags in prop::collection::vec((0_usize..3, 0_usize..4), 1..12),
    ) {
        let world = World::with_mailbox();
        world.seed(seed);
        let paths: Vec<_> = (0..4)
            .map(|n| {
                let answer = world.deposit(&wav(800, n)).send();
                answer.header("location").expect("a location").to_owned()
            })
            .collect();
        let names = ["seen", "saved", "deleted"];
        let calls = flags.iter().map(|(flag, n)| {
            world.patch(&paths[*n], &format!(r#"{{"{}": true}}"#, names[*flag]))
        });
        for answer in at_once(calls) {
            prop_assert_eq!(answer.status, StatusCode::OK);
        }
        for (flag, n) in flags {
            prop_assert_eq!(&world.get(&paths[n]).send().json()[names[flag]], true);
        }
    }
}
