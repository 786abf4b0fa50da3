//! Several regions: each writes its own store, reads all, and does not stop when another one does.

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{World, wav};

/// Two regions that can read each other, with a mailbox that was created in the first.
fn two() -> (World, World) {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    eu.put("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::CREATED);
    (eu, us)
}

fn path(message: &Value) -> String {
    format!(
        "/v1/mailboxes/anna/messages/{}",
        message["id"].as_str().expect("an id")
    )
}

#[test]
fn message_left_in_one_region_is_heard_in_the_other() {
    let (eu, us) = two();
    let audio = wav(600_000, 0);
    let message = us.deposit(&audio).send().expect(StatusCode::CREATED).json();
    assert_eq!(message["region"], "us");
    assert_eq!(eu.messages("inbox"), std::slice::from_ref(&message));
    assert_eq!(
        eu.get(&format!("{}/audio", path(&message)))
            .send()
            .expect(StatusCode::OK)
            .body,
        audio
    );
}

#[test]
fn flag_set_where_the_message_is_not_shows_everywhere() {
    let (eu, us) = two();
    let message = eu
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED)
        .json();
    us.delete(&path(&message))
        .send()
        .expect(StatusCode::NO_CONTENT);
    eu.patch(&path(&message), r#"{"seen": true}"#)
        .send()
        .expect(StatusCode::OK);
    for region in [&eu, &us] {
        let shown = region
            .get(&path(&message))
            .send()
            .expect(StatusCode::OK)
            .json();
        assert_eq!(
            (&shown["seen"], &shown["deleted"]),
            (&json!(true), &json!(true))
        );
    }
}

#[test]
fn mailbox_created_in_one_region_is_no_news_in_the_other() {
    let (_, us) = two();
    us.put("/v1/mailboxes/anna").send().expect(StatusCode::OK);
    us.put("/v1/mailboxes/anna")
        .json(r#"{"quota_messages": 5}"#)
        .send()
        .expect(StatusCode::OK);
}

#[test]
fn retry_in_the_other_region_finds_the_message() {
    let (eu, us) = two();
    let deposit = |world: &World, content| {
        world
            .deposit(&wav(800, content))
            .header("idempotency-key", "k")
            .send()
    };
    let first = deposit(&eu, 0).expect(StatusCode::CREATED).json();
    assert_eq!(deposit(&us, 0).expect(StatusCode::CREATED).json(), first);
    assert_eq!(deposit(&us, 1).problem(), "idempotency-key-reused");
    assert!(us.keys("audio/").is_empty());
}

#[test]
fn retry_while_the_regions_are_apart_is_one_message_when_they_meet() {
    let (eu, us) = two();
    us.put("/v1/mailboxes/anna")
        .json(r#"{"quota_messages": 9}"#)
        .send()
        .expect(StatusCode::OK);
    eu.values("us").borrow_mut().clear();
    // Apart: the other counts as absent, each has the mailbox itself.
    us.set_unreachable("eu", true);
    us.put("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::CREATED);
    us.now_ms.set(support::NOON + 5);
    us.deposit(&wav(800, 0))
        .header("idempotency-key", "k")
        .send()
        .expect(StatusCode::CREATED);
    us.set_unreachable("eu", false);
    eu.set_unreachable("us", true);
    eu.deposit(&wav(800, 0))
        .header("idempotency-key", "k")
        .send()
        .expect(StatusCode::CREATED);
    eu.set_unreachable("us", false);
    let (in_eu, in_us) = (eu.messages("inbox"), us.messages("inbox"));
    assert_eq!((in_eu.len(), &in_eu), (1, &in_us));
    assert_eq!(
        in_eu[0]["region"], "eu",
        "the earlier deposit is the message"
    );
}

#[test]
fn region_that_cannot_be_read_counts_as_absent() {
    let (eu, us) = two();
    us.deposit(&wav(800, 0)).send().expect(StatusCode::CREATED);
    eu.set_unreachable("us", true);
    assert_eq!(eu.messages("inbox").len(), 0);
    let log = eu.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("region us counts as absent"), "{log:?}");
    eu.deposit(&wav(800, 1)).send().expect(StatusCode::CREATED);
    eu.set_unreachable("us", false);
    assert_eq!(eu.log().len(), 1, "once for each request");
    assert_eq!(eu.messages("inbox").len(), 2);

    eu.values("us")
        .borrow_mut()
        .insert("slot/anna".into(), vec![77]);
    assert_eq!(eu.messages("inbox").len(), 1);
    assert!(eu.log()[0].contains("version 77"));
}

#[test]
fn damaged_message_of_another_region_hides_no_other() {
    let (eu, us) = two();
    let deposited = us.deposit(&wav(800, 0)).send().expect(StatusCode::CREATED);
    let message = deposited.json();
    let seen = eu.patch(&path(&message), r#"{"seen":true}"#);
    seen.send().expect(StatusCode::OK);
    eu.deposit(&wav(800, 1)).send().expect(StatusCode::CREATED);
    assert_eq!(eu.messages("inbox").len(), 2);

    // What is told of the message at the end of the record: how long its audio is, and so on.
    let flip = || {
        let values = eu.values("us");
        let mut values = values.borrow_mut();
        let record = values.get_mut("slot/anna").expect("a record");
        let at = record
            .windows(2)
            .rposition(|two| [b"us", b"Us"].contains(&two.try_into().expect("two")));
        record[at.expect("the region")] ^= b'U' ^ b'u';
    };
    flip();
    for world in [&eu, &us] {
        assert_eq!(world.messages("inbox").len(), 1);
        let log = world.log();
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].contains("list slot/anna: message"), "{log:?}");
        let damaged = world.get(&path(&message)).send();
        assert_eq!(damaged.problem(), "stored-data-damaged");
        assert_eq!(world.log().len(), 1);
    }
    flip();

    // Who set the flag last is not to be told without reading both: the other region counts as absent.
    let seen = us.patch(&path(&message), r#"{"seen":false}"#);
    seen.send().expect(StatusCode::OK);
    assert_eq!(eu.messages("inbox")[0]["seen"], false);
    flip();
    assert_eq!(eu.messages("inbox").len(), 1);
    let log = eu.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(
        log[0].contains("another region counts as absent: read slot/anna"),
        "{log:?}"
    );
}

#[test]
fn audio_of_a_region_that_is_gone_can_be_asked_for_again() {
    let (eu, us) = two();
    let message = us
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED)
        .json();
    // The slot is replicated, the audio not yet.
    let audio = us.keys("audio/").remove(0);
    let bytes = us.values("us").borrow_mut().remove(&audio).expect("audio");
    assert_eq!(
        eu.get(&format!("{}/audio", path(&message)))
            .send()
            .problem(),
        "stored-data-damaged"
    );
    us.values("us").borrow_mut().insert(audio, bytes);
    eu.get(&format!("{}/audio", path(&message)))
        .send()
        .expect(StatusCode::OK);
}

#[test]
fn region_with_a_clock_in_the_future_stops_changes_of_what_it_touched() {
    let (eu, us) = two();
    let message = eu
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED)
        .json();
    us.now_ms.set(support::NOON + 601_000);
    us.patch(&path(&message), r#"{"seen": true}"#)
        .send()
        .expect(StatusCode::OK);
    let refused = eu.patch(&path(&message), r#"{"seen": false}"#).send();
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (503, "clock-skew")
    );
    assert!(
        refused.detail().contains("region us"),
        "{}",
        refused.detail()
    );
    // Deposits carry no stamp and go on.
    eu.deposit(&wav(800, 1)).send().expect(StatusCode::CREATED);
}

#[test]
fn variables_that_make_no_sense_stop_the_application() {
    for (region, regions) in [("Not A Region", "local"), ("local", "local,NO")] {
        let world = World::of(region, regions);
        let answer = world.get("/v1/mailboxes/anna").send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (500, "misconfigured")
        );
        assert!(world.log()[0].contains("variable region"));
    }
    let spaced = World::of("eu", " us , eu,, us ");
    spaced
        .put("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::CREATED);
}
