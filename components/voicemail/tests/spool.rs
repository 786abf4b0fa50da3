//! The spool: whatever the region's store does, a deposit becomes exactly one message under the id that was told,
//! or is kept where an operator sees it.

mod support;

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Answer, Call, Fault, NOON, Values, World, wav};

const DOWN: Option<Fault> = Some(Fault {
    from: 1,
    with_effect: false,
});

/// A world with `anna`, and a spool.
fn world() -> World {
    let world = World::with_mailbox();
    world.grant_spool();
    world
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// Does something while the region's store is down.
fn down<T>(world: &World, work: impl FnOnce() -> T) -> T {
    world.set_fault(DOWN);
    let done = work();
    world.set_fault(None);
    done
}

/// The entries that operators are shown.
fn entries(world: &World, query: &str) -> Vec<Value> {
    let spool = world.get(&format!("/v1/spool{query}")).send();
    let spool = spool.expect(StatusCode::OK).json();
    spool["entries"].as_array().expect("entries").clone()
}

/// Delivers until nothing waits.
fn replay(world: &World) {
    for _ in 0..100 {
        if entries(world, "?state=waiting").is_empty() {
            return;
        }
        world.maintain();
    }
    panic!("{:?}", world.log());
}

/// What is left in a spool that everything has been taken out of: its counter.
fn check_empty(world: &World) {
    let spool = world.spool();
    let keys: Vec<_> = spool.borrow().keys().cloned().collect();
    assert!(keys.iter().all(|key| key == "order"), "{keys:?}");
}

#[track_caller]
fn check_refused(answer: &Answer, status: u16, problem: &str) {
    let told = (answer.status.as_u16(), answer.problem());
    assert_eq!(told, (status, problem.to_owned()), "{}", answer.detail());
}

/// The one message there is, which can be heard.
#[track_caller]
fn check_only(world: &World, id: &str, audio: &[u8]) -> Value {
    let mut messages = world.messages("inbox");
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["id"], id);
    let path = format!("/v1/mailboxes/anna/messages/{id}/audio");
    let heard = world.get(&path).send().expect(StatusCode::OK);
    assert_eq!(heard.body, audio);
    messages.remove(0)
}

// === Accepting ===

#[test]
fn deposit_is_accepted_while_the_store_is_down_and_delivered_when_it_is_back() {
    let world = world();
    let audio = wav(600_000, 0);
    let deposit = world
        .deposit(&audio)
        .header("voicemail-from", "+15551239999");
    let accepted = down(&world, || deposit.send()).expect(StatusCode::ACCEPTED);
    let id = id(&accepted);
    let path = format!("/v1/mailboxes/anna/messages/{id}");
    assert_eq!(accepted.header("location"), Some(path.as_str()));
    assert!(!accepted.touched, "nothing has changed yet");
    let expected = json!({
        "status": "accepted", "id": id, "mailbox": "anna", "received_at": "2026-01-01T00:00:00Z",
        "duration_ms": 37_500, "size_bytes": 600_044, "media_type": "audio/wav",
    });
    assert_eq!(accepted.json(), expected);
    let waiting = json!([{
        "order": 1, "state": "waiting", "mailbox": "anna", "message": id,
        "accepted_at": "2026-01-01T00:00:00Z", "size_bytes": 600_044, "reason": null,
    }]);
    assert_eq!(json!(entries(&world, "")), waiting);
    let spool = world.spool().borrow().clone();
    assert!(spool.contains_key("waiting/00000000000000000001/600044"));
    assert_eq!(
        spool.len(),
        3 + 1 + 1,
        "three pieces, the entry, the counter"
    );
    assert!(spool.values().all(|value| value.len() <= 256 * 1024));
    assert!(world.messages("inbox").is_empty());

    world.now_ms.set(NOON + 3_600_000);
    let report = world.maintain();
    assert_eq!(report["spool_delivered"], 1);
    let message = check_only(&world, &id, &audio);
    assert_eq!(message["received_at"], "2026-01-01T00:00:00Z");
    assert_eq!(message["from"], "+15551239999");
    check_empty(&world);
    assert_eq!(world.maintain()["spool_delivered"], 0);
}

#[test]
fn form_and_what_is_said_in_it_are_accepted_too() {
    let world = world();
    let audio = wav(800, 0);
    let mut body = Vec::new();
    for (name, value) in [
        ("from", &b"field"[..]),
        ("urgent", b"true"),
        ("received_at", b"2025-12-31T23:00:00Z"),
        ("audio", &audio),
    ] {
        let head = format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--x--\r\n");
    let call = world
        .post("/v1/mailboxes/anna/messages")
        .header("content-type", "multipart/form-data; boundary=x")
        .header("voicemail-private", "true")
        .body(&body);
    let accepted = down(&world, || call.send()).expect(StatusCode::ACCEPTED);
    replay(&world);
    let message = check_only(&world, &id(&accepted), &audio);
    assert_eq!(message["from"], "field");
    assert_eq!(message["received_at"], "2025-12-31T23:00:00Z");
    assert_eq!(
        (&message["urgent"], &message["private"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn what_is_wrong_is_refused_also_while_the_store_is_down() {
    let world = world();
    world.set(
        "session_key",
        "a key that only the tests have, and nobody else",
    );
    check_refused(
        &down(&world, || world.deposit(&wav(800, 0)).send()),
        401,
        "token-missing",
    );
    world.set("session_key", "");
    let cut = &wav(800, 0)[..600];
    let with = |name, value: &str| world.deposit(&wav(800, 0)).header(name, value);
    for (call, status, problem) in [
        (
            world.deposit(b"MThd and so on"),
            415,
            "media-type-unsupported",
        ),
        (world.deposit(cut), 422, "audio-broken"),
        (
            world.deposit(&wav(10 * 1024 * 1024, 0)),
            413,
            "body-too-large",
        ),
        (with("idempotency-key", "two words"), 400, "header-invalid"),
        (with("voicemail-urgent", "very"), 400, "header-invalid"),
        (with("voicemail-to", "berta"), 422, "member-invalid"),
        (
            with("voicemail-received-at", "2027-01-01T00:00:00Z"),
            422,
            "member-invalid",
        ),
        (with("accept", "text/html"), 406, "not-acceptable"),
        (
            world.post("/v1/mailboxes/Anna/messages"),
            404,
            "mailbox-not-found",
        ),
    ] {
        check_refused(&down(&world, || call.send()), status, problem);
    }
    assert!(world.spool().borrow().is_empty());
}

#[test]
fn what_the_store_knows_is_refused_as_long_as_it_answers() {
    let world = world();
    let nobody = world
        .post("/v1/mailboxes/nobody/messages")
        .body(&wav(800, 0));
    check_refused(&nobody.send(), 404, "mailbox-not-found");
    world
        .put("/v1/mailboxes/anna")
        .json(r#"{"quota_bytes": 100}"#)
        .send()
        .expect(StatusCode::OK);
    check_refused(&world.deposit(&wav(800, 0)).send(), 507, "mailbox-full");
    world
        .put("/v1/mailboxes/anna")
        .json(r#"{"quota_bytes": 10000}"#)
        .send();
    world.lose_every_race();
    check_refused(&world.deposit(&wav(800, 0)).send(), 503, "contention");
    assert!(world.spool().borrow().is_empty());
}

#[test]
fn without_a_spool_everything_is_as_it_was() {
    let world = World::with_mailbox();
    let refused = down(&world, || world.deposit(&wav(800, 0)).send());
    check_refused(&refused, 503, "store-unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    world.set_unreachable("local", true);
    let refused = world.deposit(&wav(800, 0)).send();
    check_refused(&refused, 503, "store-unavailable");
    world.set_unreachable("local", false);
    check_refused(&world.get("/v1/spool").send(), 404, "not-found");
    check_refused(&world.delete("/v1/spool/1").send(), 404, "not-found");
    check_refused(&world.post("/v1/spool/1/retry").send(), 404, "not-found");
    world.maintain();
}

#[test]
fn other_requests_are_not_for_the_spool() {
    let world = world();
    let left = world
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED);
    let path = left.header("location").expect("a location").to_owned();
    let forward = format!("{path}/forward");
    for call in [
        world.post(&forward).json(r#"{"to": ["berta"]}"#),
        world
            .put("/v1/mailboxes/anna/greetings/busy")
            .body(&wav(800, 0)),
        world.patch(&path, r#"{"seen": true}"#),
        world.put("/v1/mailboxes/berta"),
    ] {
        check_refused(&down(&world, || call.send()), 503, "store-unavailable");
    }
    let several = world.post("/v1/messages").header("voicemail-to", "anna");
    let several =
        down(&world, || several.body(&wav(800, 0)).send()).expect(StatusCode::MULTI_STATUS);
    assert_eq!(several.json()["results"][0]["status"], 503);
    assert!(world.spool().borrow().is_empty());
}

#[test]
fn store_that_cannot_be_opened_is_down() {
    let world = world();
    world.set_unreachable("local", true);
    let audio = wav(800, 0);
    let accepted = world.deposit(&audio).send().expect(StatusCode::ACCEPTED);
    check_refused(&world.post("/maintenance").send(), 503, "store-unavailable");
    world.set_unreachable("local", false);
    replay(&world);
    check_only(&world, &id(&accepted), &audio);
}

#[test]
fn store_that_hangs_leaves_time_to_answer() {
    let audio = wav(800, 0);
    // The mailbox can be read, and then nothing more is answered.
    for from in 2..5 {
        let world = world();
        world.hang_from(Some(from));
        let accepted = world.deposit(&audio).send().expect(StatusCode::ACCEPTED);
        assert!(world.now_ms.get() - NOON < 5_000, "{}", world.now_ms.get());
        world.hang_from(None);
        replay(&world);
        check_only(&world, &id(&accepted), &audio);
    }
}

// === Exactly once ===

/// Tries a deposit whose store fails from each of its operations on, and with and without the effect of the first
/// that fails; then delivers.
fn check_failing_anywhere(dress: impl Fn(Call) -> Call, prepare: impl Fn(&World)) {
    let audio = wav(600_000, 0);
    let whole = {
        let world = world();
        prepare(&world);
        world.set_fault(None);
        let deposit = dress(world.deposit(&audio)).send();
        deposit.expect(StatusCode::CREATED);
        world.operations()
    };
    assert!(whole >= 5, "{whole}");
    for from in 1..=whole {
        for with_effect in [false, true] {
            let world = world();
            prepare(&world);
            world.set_fault(Some(Fault { from, with_effect }));
            let answer = dress(world.deposit(&audio)).send();
            let asked = world.operations();
            world.set_fault(None);
            let id = id(&answer.expect(StatusCode::ACCEPTED));
            // Pieces of audio are written at once, so some of them may fail.
            assert!(asked <= from + 3, "asked again: {asked} after {from}");
            for message in world.messages("inbox") {
                assert_eq!(message["id"], id.as_str());
            }
            replay(&world);
            check_only(&world, &id, &audio);
            check_empty(&world);
            assert_eq!(world.keys("audio/").len(), 3);
        }
    }
}

#[test]
fn store_failing_anywhere_makes_one_message() {
    check_failing_anywhere(|call| call, |_| {});
    check_failing_anywhere(|call| call.header("idempotency-key", "call-17"), |_| {});
}

#[test]
fn store_failing_anywhere_makes_one_message_of_which_webhooks_are_told() {
    let webhooks = json!({ "webhooks": [{
        "url": "https://hooks.example.com/mwi", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }] });
    let prepare = |world: &World| {
        let put = world.put("/v1/mailboxes/anna").json(&webhooks.to_string());
        put.send().expect(StatusCode::OK);
        world.maintain();
        world.sent();
    };
    check_failing_anywhere(|call| call.header("idempotency-key", "call-17"), prepare);
    let world = world();
    prepare(&world);
    down(&world, || world.deposit(&wav(800, 0)).send()).expect(StatusCode::ACCEPTED);
    assert!(world.sent().is_empty());
    world.maintain();
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn retry_gives_the_same_id_and_makes_one_message() {
    let world = world();
    let audio = wav(800, 0);
    let deposit = || {
        world
            .deposit(&audio)
            .header("idempotency-key", "call-17")
            .send()
    };
    let first = id(&down(&world, deposit).expect(StatusCode::ACCEPTED));
    let again = id(&down(&world, deposit).expect(StatusCode::ACCEPTED));
    assert_eq!(first, again);
    // The store is back, and nothing has been delivered yet.
    assert_eq!(id(&deposit().expect(StatusCode::CREATED)), first);
    check_only(&world, &first, &audio);
    replay(&world);
    check_only(&world, &first, &audio);
    check_empty(&world);
    assert_eq!(id(&deposit().expect(StatusCode::CREATED)), first);
    check_only(&world, &first, &audio);
}

#[test]
fn one_key_is_one_message_also_in_a_mailbox_that_was_made_anew() {
    let audio = wav(800, 0);
    let made_anew = || {
        let world = world();
        world
            .deposit(&wav(80, 1))
            .header("idempotency-key", "call-17")
            .send();
        world
            .delete("/v1/mailboxes/anna")
            .send()
            .expect(StatusCode::NO_CONTENT);
        world.now_ms.set(NOON + 60_000);
        world.maintain();
        world
            .put("/v1/mailboxes/anna")
            .send()
            .expect(StatusCode::CREATED);
        world
    };
    let deposit = |world: &World| {
        let deposit = world.deposit(&audio).header("idempotency-key", "call-17");
        deposit.send()
    };
    // From the spool first, then by a retry; and the other way round.
    let world = made_anew();
    let spooled = id(&down(&world, || deposit(&world)).expect(StatusCode::ACCEPTED));
    replay(&world);
    check_only(&world, &spooled, &audio);
    assert_eq!(id(&deposit(&world).expect(StatusCode::CREATED)), spooled);
    check_only(&world, &spooled, &audio);

    let world = made_anew();
    down(&world, || deposit(&world)).expect(StatusCode::ACCEPTED);
    let stored = id(&deposit(&world).expect(StatusCode::CREATED));
    replay(&world);
    check_only(&world, &stored, &audio);
    check_empty(&world);
}

#[test]
fn entries_are_delivered_in_their_order() {
    let world = world();
    let lefts: Vec<_> = (0..30)
        .map(|n| {
            world.now_ms.set(NOON + u64::from(n));
            let answer = down(&world, || world.deposit(&wav(800, n)).send());
            id(&answer.expect(StatusCode::ACCEPTED))
        })
        .collect();
    // The store takes some and fails again, in the midst of one.
    let mut delivered = 0;
    for operations in (5..).step_by(7) {
        if delivered == lefts.len() {
            break;
        }
        world.set_fault(Some(Fault {
            from: operations,
            with_effect: operations % 2 == 0,
        }));
        world.post("/maintenance").send();
        world.set_fault(None);
        let there: BTreeSet<_> = world
            .messages("inbox")
            .iter()
            .map(|message| message["id"].as_str().expect("an id").to_owned())
            .collect();
        delivered = there.len();
        assert_eq!(there, lefts[..delivered].iter().cloned().collect());
    }
    replay(&world);
    check_empty(&world);
}

#[test]
fn step_ends_in_time_and_the_next_goes_on() {
    let world = world();
    for n in 0..3 {
        down(&world, || world.deposit(&wav(800, n)).send()).expect(StatusCode::ACCEPTED);
    }
    world.slow_ms(400);
    assert_eq!(world.maintain()["spool_delivered"], 1);
    world.slow_ms(0);
    assert_eq!(world.maintain()["spool_delivered"], 2);
}

#[test]
fn host_that_dies_at_any_moment_of_a_delivery_makes_one_message() {
    let audio = wav(600_000, 0);
    let prepared = || {
        let world = world();
        let accepted = down(&world, || world.deposit(&audio).send());
        (id(&accepted.expect(StatusCode::ACCEPTED)), world)
    };
    let whole = {
        let (_, world) = prepared();
        world.set_spool_fault(None);
        world.maintain();
        world.spool_operations()
    };
    assert!(whole >= 8, "{whole}");
    for from in 1..=whole {
        for with_effect in [false, true] {
            let (id, world) = prepared();
            world.set_spool_fault(Some(Fault { from, with_effect }));
            world.maintain();
            world.set_spool_fault(None);
            replay(&world);
            check_only(&world, &id, &audio);
            assert!(entries(&world, "").is_empty());
            // What is left of the audio is removed once it is old.
            world.now_ms.set(NOON + 3_600_000);
            world.maintain();
            check_empty(&world);
        }
    }
}

#[test]
fn entry_is_whole_or_there_is_none() {
    let audio = wav(600_000, 0);
    let whole = {
        let world = world();
        world.set_spool_fault(None);
        down(&world, || world.deposit(&audio).send()).expect(StatusCode::ACCEPTED);
        world.spool_operations()
    };
    for from in 1..=whole {
        for with_effect in [false, true] {
            let world = world();
            world.set_spool_fault(Some(Fault { from, with_effect }));
            let refused = down(&world, || world.deposit(&audio).send());
            check_refused(&refused, 503, "store-unavailable");
            world.set_spool_fault(None);
            let may_be_there = from == whole && with_effect;
            assert_eq!(entries(&world, "").len(), usize::from(may_be_there));
            replay(&world);
            assert_eq!(world.messages("inbox").len(), usize::from(may_be_there));
            world.now_ms.set(NOON + 3_599_999);
            world.maintain();
            let left = world
                .spool()
                .borrow()
                .keys()
                .any(|key| key.starts_with("chunk/"));
            world.now_ms.set(NOON + 3_600_000);
            world.maintain();
            check_empty(&world);
            // Whoever may still be writing an entry is left alone. The pieces are the operations 3 to 5.
            let some = from == 3 && with_effect || (4..6).contains(&from);
            assert_eq!(left, some || from == whole && !with_effect);
        }
    }
}

// === Bounds ===

#[test]
fn full_spool_takes_nothing_more_and_leaves_nothing() {
    let world = world();
    let deposit = |bytes| down(&world, || world.deposit(&wav(bytes, 0)).send());
    world.set("spool_messages_max", "2");
    deposit(800).expect(StatusCode::ACCEPTED);
    deposit(800).expect(StatusCode::ACCEPTED);
    let before: Values = world.spool().borrow().clone();
    let refused = deposit(800);
    check_refused(&refused, 503, "store-unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(*world.spool().borrow(), before);
    world.set("spool_messages_max", "100");
    world.set("spool_bytes_max", "2532");
    deposit(800).expect(StatusCode::ACCEPTED);
    check_refused(&deposit(8), 503, "store-unavailable");
    let spool = world.get("/v1/spool").send().expect(StatusCode::OK).json();
    assert_eq!(spool["waiting"], json!({ "messages": 3, "bytes": 2_532 }));
    assert_eq!(spool["undeliverable"], json!({ "messages": 0, "bytes": 0 }));
    assert_eq!(spool["max"], json!({ "messages": 100, "bytes": 2_532 }));
    assert!(world.log().contains(&"spool: it is full".to_owned()));
    replay(&world);
    deposit(800).expect(StatusCode::ACCEPTED);
    world.set("spool_messages_max", "many");
    check_refused(&deposit(800), 500, "misconfigured");
}

#[test]
fn what_is_kept_is_neither_logged_nor_named_by_keys() {
    let world = world();
    let deposit = world
        .post("/v1/mailboxes/+15551230001/messages")
        .header("voicemail-from", "+15551239999")
        .header("idempotency-key", "call-17");
    world.log();
    down(&world, || deposit.body(&wav(800, 0)).send()).expect(StatusCode::ACCEPTED);
    // That is logged of every request that the store fails.
    let log = world.log();
    assert_eq!(log, ["read slot/+15551230001: the disk is on fire"]);
    world.maintain();
    let log = world.log().concat();
    assert!(log.contains("entry 1 is undeliverable"), "{log}");
    let keys: String = world.spool().borrow().keys().cloned().collect();
    let entries = json!(entries(&world, "")).to_string();
    for told in ["15551239999", "call-17"] {
        for told_in in [&log, &keys, &entries] {
            assert!(!told_in.contains(told), "{told_in}");
        }
    }
    assert!(!log.contains("5551230001") && !keys.contains("5551230001"));
}

// === Undeliverable ===

#[test]
fn mailbox_made_in_another_region_is_waited_for() {
    let us = World::of("us", "eu,us");
    us.grant_spool();
    let eu = us.from("eu");
    let leave = |mailbox: &str| {
        let deposit = us.post(&format!("/v1/mailboxes/{mailbox}/messages"));
        down(&us, || deposit.body(&wav(800, 0)).send()).expect(StatusCode::ACCEPTED);
    };
    leave("nobody");
    leave("anna");
    assert_eq!(us.maintain()["spool_set_aside"], 0);
    assert_eq!(entries(&us, "?state=waiting").len(), 2);

    // It is heard of, and the one that waits before it keeps nothing back.
    eu.put("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::CREATED);
    us.maintain();
    assert_eq!(us.messages("inbox").len(), 1);
    assert_eq!(entries(&us, "?state=waiting").len(), 1);

    us.now_ms.set(NOON + 10 * 60_000);
    assert_eq!(us.maintain()["spool_set_aside"], 1);
    assert_eq!(entries(&us, "?state=undeliverable").len(), 1);
}

#[test]
fn what_no_mailbox_takes_is_kept_aside_and_seen_to() {
    let world = world();
    let deposit = |mailbox: &str, content| {
        let call = world.post(&format!("/v1/mailboxes/{mailbox}/messages"));
        let call = call.header("idempotency-key", "call-17");
        let accepted = down(&world, || call.body(&wav(800, content)).send());
        id(&accepted.expect(StatusCode::ACCEPTED))
    };
    world
        .put("/v1/mailboxes/small")
        .json(r#"{"quota_messages": 1, "message_duration_ms_max": 60000}"#)
        .send();
    deposit("nobody", 0);
    deposit("anna", 1);
    deposit("anna", 2);
    let dropped = deposit("nobody-either", 3);
    deposit("anna", 1);
    assert_eq!(world.maintain()["spool_set_aside"], 3);
    // Nothing is tried again by itself, and nothing keeps the others waiting.
    assert_eq!(world.maintain()["spool_set_aside"], 0);
    assert_eq!(world.messages("inbox").len(), 1);

    let aside = entries(&world, "?state=undeliverable");
    let shown: Vec<_> = aside
        .iter()
        .map(|entry| {
            (
                entry["order"].as_u64().expect("an order"),
                &entry["reason"]["type"],
            )
        })
        .collect();
    let problem = |name: &str| json!(format!("urn:starling:problem:{name}"));
    let (missing, reused) = (
        problem("mailbox-not-found"),
        problem("idempotency-key-reused"),
    );
    assert_eq!(shown, [(1, &missing), (3, &reused), (4, &missing)]);
    assert_eq!(aside[0]["mailbox"], "nobody");
    assert_eq!(aside[0]["reason"]["at"], "2026-01-01T00:00:00Z");
    assert!(entries(&world, "?state=waiting").is_empty());

    // A page at a time.
    let page = |query: &str| world.get(&format!("/v1/spool?{query}")).send().json();
    let first = page("limit=2");
    assert_eq!(first["next_cursor"], "3");
    assert_eq!(first["entries"], json!(aside[..2]));
    let last = page("limit=2&cursor=3");
    assert_eq!(
        (&last["next_cursor"], &last["entries"]),
        (&Value::Null, &json!(aside[2..]))
    );
    for query in ["state=lost", "limit=0", "cursor=x", "order=1"] {
        let refused = world.get(&format!("/v1/spool?{query}")).send();
        check_refused(&refused, 400, "parameter-invalid");
    }

    // Delivered again after the operator has seen to the reason.
    world
        .put("/v1/mailboxes/nobody")
        .send()
        .expect(StatusCode::CREATED);
    let send = |call: Call| call.send().expect(StatusCode::NO_CONTENT);
    send(world.post("/v1/spool/1/retry"));
    assert_eq!(entries(&world, "?state=waiting")[0]["reason"], Value::Null);
    check_refused(
        &world.delete("/v1/spool/1").send(),
        404,
        "spool-entry-not-found",
    );
    assert_eq!(world.maintain()["spool_delivered"], 1);
    let list = world.get("/v1/mailboxes/nobody/messages").send().json();
    assert_eq!(list["messages"].as_array().expect("messages").len(), 1);
    // Tried again for nothing.
    send(world.post("/v1/spool/3/retry"));
    assert_eq!(world.maintain()["spool_set_aside"], 1);

    // Dropped.
    send(world.delete("/v1/spool/3"));
    send(world.delete("/v1/spool/4"));
    for path in ["/v1/spool/4", "/v1/spool/5", "/v1/spool/-1", "/v1/spool/x"] {
        check_refused(&world.delete(path).send(), 404, "spool-entry-not-found");
        let retry = world.post(&format!("{path}/retry")).send();
        check_refused(&retry, 404, "spool-entry-not-found");
    }
    check_empty(&world);
    assert!(!world.log().concat().contains(&dropped));
}

#[test]
fn full_mailbox_takes_it_once_there_is_room() {
    let world = world();
    world
        .put("/v1/mailboxes/anna")
        .json(r#"{"quota_messages": 1}"#)
        .send();
    let lefts: Vec<_> = (0..2)
        .map(|n| id(&down(&world, || world.deposit(&wav(800, n)).send())))
        .collect();
    world.maintain();
    let aside = entries(&world, "?state=undeliverable");
    assert_eq!(
        aside[0]["reason"]["type"],
        "urn:starling:problem:mailbox-full"
    );
    assert_eq!(aside[0]["message"], lefts[1].as_str());
    let path = format!("/v1/mailboxes/anna/messages/{}?purge=true", lefts[0]);
    world.delete(&path).send().expect(StatusCode::NO_CONTENT);
    world
        .post("/v1/spool/2/retry")
        .send()
        .expect(StatusCode::NO_CONTENT);
    replay(&world);
    check_only(&world, &lefts[1], &wav(800, 1));
}

#[test]
fn limits_of_rate_are_for_those_who_send_now() {
    let world = world();
    world.set("deposits_per_minute", "1");
    for n in 0..3 {
        down(&world, || world.deposit(&wav(800, n)).send()).expect(StatusCode::ACCEPTED);
    }
    world.maintain();
    assert_eq!(world.messages("inbox").len(), 3);
}

#[test]
fn mailbox_that_was_made_anew_meanwhile_gets_nothing_of_its_predecessor() {
    let world = world();
    down(&world, || world.deposit(&wav(800, 0)).send()).expect(StatusCode::ACCEPTED);
    world.now_ms.set(NOON + 1_000);
    world
        .delete("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::NO_CONTENT);
    world
        .put("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::CREATED);
    assert_eq!(world.maintain()["spool_set_aside"], 1);
    assert!(world.messages("inbox").is_empty());
    let aside = &entries(&world, "")[0];
    assert_eq!(
        aside["reason"]["type"],
        "urn:starling:problem:deposit-refused"
    );
}

#[test]
fn setting_aside_can_be_interrupted_anywhere() {
    let prepared = || {
        let world = world();
        let call = world
            .post("/v1/mailboxes/nobody/messages")
            .body(&wav(800, 0));
        down(&world, || call.send()).expect(StatusCode::ACCEPTED);
        world
    };
    let operations = |world: &World, work: &dyn Fn(&World)| {
        world.set_spool_fault(None);
        work(world);
        world.spool_operations()
    };
    let set_aside = |world: &World| {
        world.maintain();
    };
    let retry = |world: &World| {
        world.post("/v1/spool/1/retry").send();
    };
    for from in 1..=operations(&prepared(), &set_aside) {
        for with_effect in [false, true] {
            let world = prepared();
            world.set_spool_fault(Some(Fault { from, with_effect }));
            set_aside(&world);
            world.set_spool_fault(None);
            set_aside(&world);
            assert_eq!(entries(&world, "").len(), 1);
            assert_eq!(entries(&world, "?state=undeliverable").len(), 1);
            world.put("/v1/mailboxes/nobody").send();
            world.set_spool_fault(Some(Fault { from, with_effect }));
            retry(&world);
            world.set_spool_fault(None);
            retry(&world);
            replay(&world);
            let list = world.get("/v1/mailboxes/nobody/messages").send().json();
            assert_eq!(list["messages"].as_array().expect("messages").len(), 1);
            check_empty(&world);
        }
    }
}

#[test]
fn damaged_entries_are_kept_aside() {
    let world = world();
    for n in 0..4 {
        down(&world, || world.deposit(&wav(800, n)).send()).expect(StatusCode::ACCEPTED);
    }
    let chunk = |order: u64| format!("chunk/{order:020}/{NOON}/0");
    let waiting = |order: u64| format!("waiting/{order:020}/844");
    let newer = {
        let spool = world.spool();
        let mut spool = spool.borrow_mut();
        spool.remove(&chunk(1)).expect("audio");
        spool.get_mut(&chunk(2)).expect("audio")[500] ^= 1;
        spool.insert(waiting(3), vec![1, 2, 3]);
        let entry = spool.get_mut(&waiting(4)).expect("an entry");
        entry[0] = 99;
        entry.clone()
    };
    assert_eq!(world.maintain()["spool_set_aside"], 3);
    let aside = entries(&world, "?state=undeliverable");
    let damaged = "urn:starling:problem:stored-data-damaged";
    assert_eq!(aside[0]["reason"]["type"], damaged);
    assert_eq!(aside[1]["reason"]["type"], damaged);
    assert_eq!(
        (&aside[2]["mailbox"], &aside[2]["reason"]),
        (&Value::Null, &Value::Null)
    );
    // What a newer release wrote waits for one.
    assert_eq!(world.spool().borrow()[&waiting(4)], newer);
    // Nothing but a newer release can help it either, and it may be dropped.
    world
        .post("/v1/spool/3/retry")
        .send()
        .expect(StatusCode::NO_CONTENT);
    assert_eq!(world.maintain()["spool_set_aside"], 1);
    world
        .delete("/v1/spool/3")
        .send()
        .expect(StatusCode::NO_CONTENT);
}

// === Cost ===

#[test]
fn step_with_nothing_to_deliver_asks_the_spool_once() {
    let world = world();
    world.set_spool_fault(None);
    world.maintain();
    assert_eq!(world.spool_operations(), 1);
    world
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED);
    assert_eq!(world.spool_operations(), 1);
}

#[test]
fn spool_that_fails_stops_no_chores() {
    let world = world();
    world.set_spool_fault(DOWN);
    assert_eq!(world.maintain()["leader"], true);
    world
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED);
    let refused = down(&world, || world.deposit(&wav(800, 0)).send());
    check_refused(&refused, 503, "store-unavailable");
}

#[test]
fn two_that_deliver_at_once_deliver_once() {
    for seed in 1..50 {
        let world = world();
        for n in 0..5 {
            down(&world, || world.deposit(&wav(800, n)).send()).expect(StatusCode::ACCEPTED);
        }
        world.seed(seed);
        let other = world.another_instance();
        support::at_once([world.post("/maintenance"), other.post("/maintenance")]);
        replay(&world);
        assert_eq!(world.messages("inbox").len(), 5);
        check_empty(&world);
    }
}
