//! The service around the messages: greetings, forwarding, distribution, purging and retention, what is
//! told to webhooks, the directory, and safe HTTP.

mod support;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use starling_access::WebhookSecret;
use support::{Answer, Call, NOON, World, wav};

const ANNA: &str = "/v1/mailboxes/anna";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[track_caller]
fn refused(answer: &Answer, status: u16, problem: &str) {
    let found = (answer.status.as_u16(), answer.problem());
    assert_eq!(found, (status, problem.to_owned()), "{}", answer.detail());
}

fn create(world: &World, mailbox: &str) {
    let path = format!("/v1/mailboxes/{mailbox}");
    world.put(&path).send().expect(StatusCode::CREATED);
}

fn set(world: &World, settings: Value) -> Answer {
    world.put(ANNA).json(&settings.to_string()).send()
}

/// Deposits into `anna`, and the path of the message.
fn deposit(world: &World, audio: &[u8]) -> String {
    let answer = world.deposit(audio).send().expect(StatusCode::CREATED);
    answer.header("location").expect("a location").to_owned()
}

fn count(world: &World, mailbox: &str) -> usize {
    let list = world
        .get(&format!("/v1/mailboxes/{mailbox}/messages"))
        .send();
    let list = list.expect(StatusCode::OK).json();
    list["messages"].as_array().expect("messages").len()
}

// === Greetings ===

#[test]
fn greeting_is_recorded_heard_and_deleted() {
    let world = World::with_mailbox();
    let heard = |query: &str| {
        world
            .get(&format!("{ANNA}/greeting{query}"))
            .send()
            .expect(StatusCode::OK)
            .json()
    };
    assert_eq!(heard("")["recording"], Value::Null);
    let busy = format!("{ANNA}/greetings/busy");
    refused(&world.get(&busy).send(), 404, "greeting-not-found");
    let audio = wav(600_000, 7);
    let set = world
        .put(&busy)
        .header("content-type", "audio/wav")
        .body(&audio)
        .send();
    let set = set.expect(StatusCode::CREATED);
    assert_eq!(set.header("location"), Some(busy.as_str()));
    assert_eq!(set.json()["duration_ms"], 37_500);
    let played = world.get(&busy).send().expect(StatusCode::OK);
    assert_eq!(played.body, audio);
    assert_eq!(
        played.header("content-disposition"),
        Some("inline; filename=\"greeting-busy.wav\"")
    );
    assert_eq!(heard("?reason=busy")["recording"]["href"], busy);
    assert_eq!(heard("?reason=unavailable")["recording"], Value::Null);
    world
        .put(&busy)
        .body(&wav(800, 1))
        .send()
        .expect(StatusCode::OK);
    assert_eq!(world.keys("audio/").len(), 1, "the first recording is gone");
    world.delete(&busy).send().expect(StatusCode::NO_CONTENT);
    refused(&world.delete(&busy).send(), 404, "greeting-not-found");
    assert_eq!(world.keys("audio/"), [] as [&str; 0]);
}

#[test]
fn temporary_greeting_ends_by_itself() {
    let world = World::with_mailbox();
    let temporary = format!("{ANNA}/greetings/temporary");
    let put = |query: &str| {
        world
            .put(&format!("{temporary}{query}"))
            .body(&wav(800, 0))
            .send()
    };
    refused(
        &put("?expires_at=2025-12-31T23:59:59Z"),
        400,
        "parameter-invalid",
    );
    refused(
        &put("?expires=2026-01-02T00:00:00Z"),
        400,
        "parameter-invalid",
    );
    let busy = world.put(&format!(
        "{ANNA}/greetings/busy?expires_at=2026-01-02T00:00:00Z"
    ));
    refused(&busy.body(&wav(800, 0)).send(), 400, "parameter-invalid");
    put("?expires_at=2026-01-02T00:00:00Z").expect(StatusCode::CREATED);
    let heard = || {
        world
            .get(&format!("{ANNA}/greeting"))
            .send()
            .expect(StatusCode::OK)
            .json()
    };
    assert_eq!(heard()["recording"]["kind"], "temporary");
    assert_eq!(heard()["recording"]["expires_at"], "2026-01-02T00:00:00Z");
    world.now_ms.set(NOON + DAY_MS);
    assert_eq!(heard()["recording"], Value::Null);
    world.get(&temporary).send().expect(StatusCode::NOT_FOUND);
    world.maintain();
    for _ in 0..8 {
        world.maintain();
    }
    assert_eq!(world.keys("audio/"), [] as [&str; 0]);
}

#[test]
fn what_is_no_greeting_is_refused() {
    let world = World::with_mailbox();
    refused(
        &world.get(&format!("{ANNA}/greetings/morning")).send(),
        404,
        "not-found",
    );
    refused(
        &world.get(&format!("{ANNA}/greeting?reason=tired")).send(),
        400,
        "parameter-invalid",
    );
    let put = |body: &[u8]| {
        world
            .put(&format!("{ANNA}/greetings/name"))
            .body(body)
            .send()
    };
    refused(&put(b"no audio"), 415, "media-type-unsupported");
    refused(&put(&wav(800, 0)[..100]), 422, "audio-broken");
    set(&world, json!({ "message_duration_ms_max": 40 }));
    refused(&put(&wav(800, 0)), 422, "deposit-refused");
    assert_eq!(world.keys("audio/"), [] as [&str; 0]);
}

// === Forwarding and distribution ===

fn forward(world: &World, message: &str, to: &[&str]) -> Call {
    let body = json!({ "to": to }).to_string();
    world.post(&format!("{message}/forward")).json(&body)
}

#[test]
fn forwarded_message_shares_its_audio_until_the_last_is_purged() {
    let world = World::with_mailbox();
    create(&world, "bert");
    create(&world, "carla");
    let audio = wav(600_000, 1);
    let message = deposit(&world, &audio);
    let answer = forward(&world, &message, &["bert", "carla", "nobody"]).send();
    let results = answer.expect(StatusCode::MULTI_STATUS).json();
    let statuses: Vec<_> = results["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|it| it["status"].clone())
        .collect();
    assert_eq!(statuses, [201, 201, 404]);
    assert_eq!(results["results"][0]["message"]["forwarded_by"], "anna");
    assert_eq!(world.keys("audio/").len(), 3, "nothing was copied");
    let mut paths = vec![message];
    for (n, mailbox) in ["bert", "carla"].iter().enumerate() {
        let id = results["results"][n]["message"]["id"]
            .as_str()
            .expect("an id");
        paths.push(format!("/v1/mailboxes/{mailbox}/messages/{id}"));
    }
    for gone in 0..3 {
        for path in &paths[gone..] {
            assert_eq!(
                world
                    .get(&format!("{path}/audio"))
                    .send()
                    .expect(StatusCode::OK)
                    .body,
                audio
            );
        }
        let purge = world.delete(&format!("{}?purge=true", paths[gone])).send();
        purge.expect(StatusCode::NO_CONTENT);
    }
    assert_eq!(world.keys("audio"), [] as [&str; 0]);
}

#[test]
fn forward_carries_a_comment_in_front() {
    let world = World::with_mailbox();
    create(&world, "bert");
    let message = deposit(&world, &wav(800, 1));
    let comment = wav(1600, 2);
    let mut body = b"--x\r\ncontent-disposition: form-data; name=\"to\"\r\n\r\nbert\r\n".to_vec();
    body.extend(b"--x\r\ncontent-disposition: form-data; name=\"audio\"; filename=\"c.wav\"\r\ncontent-type: audio/wav\r\n\r\n");
    body.extend(&comment);
    body.extend(b"\r\n--x--\r\n");
    let answer = world
        .post(&format!("{message}/forward"))
        .header("content-type", "multipart/form-data; boundary=x")
        .body(&body)
        .send();
    let results = answer.expect(StatusCode::MULTI_STATUS).json();
    let forwarded = &results["results"][0]["message"];
    assert_eq!(forwarded["comment"]["duration_ms"], 100);
    let href = forwarded["comment"]["href"].as_str().expect("a path");
    assert_eq!(world.get(href).send().expect(StatusCode::OK).body, comment);
    refused(
        &world.get(&format!("{message}/comment")).send(),
        404,
        "comment-not-found",
    );
    let bert = format!(
        "/v1/mailboxes/bert/messages/{}?purge=true",
        forwarded["id"].as_str().expect("an id")
    );
    world.delete(&bert).send().expect(StatusCode::NO_CONTENT);
    assert_eq!(world.keys("audio/").len(), 1, "the original is still there");
}

#[test]
fn forward_from_another_region_is_copied_into_the_own() {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    create(&eu, "anna");
    create(&eu, "bert");
    let audio = wav(600_000, 3);
    let message = deposit(&eu, &audio);
    let results = forward(&us, &message, &["bert"])
        .send()
        .expect(StatusCode::MULTI_STATUS)
        .json();
    let forwarded = &results["results"][0]["message"];
    assert_eq!(forwarded["region"], "us");
    eu.delete(&format!("{message}?purge=true"))
        .send()
        .expect(StatusCode::NO_CONTENT);
    let path = format!(
        "/v1/mailboxes/bert/messages/{}/audio",
        forwarded["id"].as_str().expect("an id")
    );
    for world in [&eu, &us] {
        assert_eq!(world.get(&path).send().expect(StatusCode::OK).body, audio);
    }
}

#[test]
fn forward_that_is_not_to_be_is_refused() {
    let world = World::with_mailbox();
    create(&world, "bert");
    let private = world
        .deposit(&wav(800, 0))
        .header("voicemail-private", "true")
        .send()
        .expect(StatusCode::CREATED);
    let private = private.header("location").expect("a location").to_owned();
    refused(
        &forward(&world, &private, &["bert"]).send(),
        403,
        "message-private",
    );
    let message = deposit(&world, &wav(800, 1));
    let many: Vec<String> = (0..101).map(|n| format!("m{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for to in [&[][..], &many, &["bert", "bert"]] {
        refused(&forward(&world, &message, to).send(), 422, "member-invalid");
    }
    let unknown = format!("{ANNA}/messages/00112233445566778899aabbccddeeff");
    refused(
        &forward(&world, &unknown, &["bert"]).send(),
        404,
        "message-not-found",
    );
    let call = |body: &str| world.post(&format!("{message}/forward")).json(body).send();
    refused(&call("{}"), 422, "member-invalid");
    refused(&call(r#"{"to": "bert"}"#), 422, "member-invalid");
    refused(
        &call(r#"{"to": ["bert"], "cc": []}"#),
        422,
        "member-invalid",
    );
    let plain = world
        .post(&format!("{message}/forward"))
        .header("content-type", "text/plain")
        .body(b"bert")
        .send();
    refused(&plain, 415, "media-type-unsupported");
    assert_eq!(count(&world, "bert"), 0);
}

#[test]
fn repeated_forward_is_one_message() {
    let world = World::with_mailbox();
    create(&world, "bert");
    let message = deposit(&world, &wav(800, 1));
    for _ in 0..3 {
        let answer = forward(&world, &message, &["bert"])
            .header("idempotency-key", "f")
            .send();
        assert_eq!(
            answer.expect(StatusCode::MULTI_STATUS).json()["results"][0]["status"],
            201
        );
    }
    assert_eq!(count(&world, "bert"), 1);
}

#[test]
fn one_recording_goes_to_several_mailboxes_and_is_stored_once() {
    let world = World::with_mailbox();
    create(&world, "bert");
    let full = world
        .put("/v1/mailboxes/full")
        .json(r#"{"quota_bytes": 1}"#)
        .send();
    full.expect(StatusCode::CREATED);
    let audio = wav(600_000, 1);
    let send = || {
        let call = world
            .post("/v1/messages")
            .header("voicemail-to", "anna, bert,full,no one")
            .header("voicemail-from", "+1555")
            .header("idempotency-key", "d");
        call.body(&audio)
            .send()
            .expect(StatusCode::MULTI_STATUS)
            .json()
    };
    let first = send();
    let statuses = |answer: &Value| -> Vec<Value> {
        answer["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|it| it["status"].clone())
            .collect()
    };
    assert_eq!(statuses(&first), [201, 201, 507, 404]);
    assert_eq!(
        first["results"][2]["problem"]["type"],
        "urn:starling:problem:mailbox-full"
    );
    assert_eq!(statuses(&send()), [201, 201, 507, 404]);
    assert_eq!(
        (
            count(&world, "anna"),
            count(&world, "bert"),
            world.keys("audio/").len()
        ),
        (1, 1, 3)
    );
    refused(
        &world.post("/v1/messages").body(&audio).send(),
        422,
        "member-invalid",
    );
    refused(
        &world.deposit(&audio).header("voicemail-to", "bert").send(),
        422,
        "member-invalid",
    );
}

#[test]
fn audio_of_a_distribution_goes_with_the_last_of_its_messages() {
    let world = World::with_mailbox();
    create(&world, "bert");
    let full = world
        .put("/v1/mailboxes/full")
        .json(r#"{"quota_bytes": 1}"#)
        .send();
    full.expect(StatusCode::CREATED);
    let call = world
        .post("/v1/messages")
        .header("voicemail-to", "anna,bert,full");
    call.body(&wav(600_000, 1))
        .send()
        .expect(StatusCode::MULTI_STATUS);
    for (mailbox, left) in [("anna", 3), ("bert", 0)] {
        let path = format!("/v1/mailboxes/{mailbox}");
        world.delete(&path).send().expect(StatusCode::NO_CONTENT);
        assert_eq!(world.keys("audio/").len(), left);
    }
    assert_eq!(world.keys("audio-shares/"), [] as [&str; 0]);
}

// === Purging, retention, deletion ===

#[test]
fn purged_message_is_gone_and_so_is_its_audio() {
    let world = World::with_mailbox();
    let message = deposit(&world, &wav(600_000, 1));
    world.delete(&message).send().expect(StatusCode::NO_CONTENT);
    assert_eq!(world.messages("trash").len(), 1);
    assert_eq!(world.keys("audio/").len(), 3);
    for _ in 0..2 {
        world
            .delete(&format!("{message}?purge=true"))
            .send()
            .expect(StatusCode::NO_CONTENT);
        world.get(&message).send().expect(StatusCode::NOT_FOUND);
        assert_eq!(world.keys("audio"), [] as [&str; 0]);
    }
    refused(
        &world.patch(&message, r#"{"deleted": false}"#).send(),
        404,
        "message-not-found",
    );
    refused(
        &world
            .delete(&format!(
                "{ANNA}/messages/00112233445566778899aabbccddeeff?purge=true"
            ))
            .send(),
        404,
        "message-not-found",
    );
    refused(
        &world.delete(&format!("{message}?purge=perhaps")).send(),
        400,
        "parameter-invalid",
    );
}

#[test]
fn late_retry_of_a_purged_deposit_brings_nothing_back() {
    let world = World::with_mailbox();
    let send = || {
        world
            .deposit(&wav(600_000, 1))
            .header("idempotency-key", "k")
            .send()
            .expect(StatusCode::CREATED)
    };
    let first = send().json();
    let path = format!("{ANNA}/messages/{}", first["id"].as_str().expect("an id"));
    world
        .delete(&format!("{path}?purge=true"))
        .send()
        .expect(StatusCode::NO_CONTENT);
    let again = send().json();
    assert_eq!(
        (&again["id"], &again["deleted"]),
        (&first["id"], &json!(true))
    );
    assert_eq!((count(&world, "anna"), world.keys("audio/").len()), (0, 0));
}

#[test]
fn trash_is_emptied_and_nothing_else() {
    let world = World::with_mailbox();
    let kept = deposit(&world, &wav(800, 1));
    for n in 2..5 {
        let message = deposit(&world, &wav(800, n));
        world.delete(&message).send().expect(StatusCode::NO_CONTENT);
    }
    let messages = format!("{ANNA}/messages");
    world
        .delete(&format!("{messages}?folder=trash"))
        .send()
        .expect(StatusCode::NO_CONTENT);
    assert_eq!(
        (world.messages("trash").len(), world.keys("audio/").len()),
        (0, 1)
    );
    world.get(&kept).send().expect(StatusCode::OK);
    for query in ["", "?folder=inbox", "?folder=trash&id=x", "?ids=x"] {
        refused(
            &world.delete(&format!("{messages}{query}")).send(),
            400,
            "parameter-invalid",
        );
    }
}

#[test]
fn several_messages_are_changed_and_deleted_at_once() {
    let world = World::with_mailbox();
    let ids: Vec<String> = (0..3)
        .map(|n| {
            deposit(&world, &wav(800, n))
                .rsplit_once('/')
                .expect("an id")
                .1
                .to_owned()
        })
        .collect();
    let messages = format!("{ANNA}/messages");
    let change = json!({ "messages": [ids[0], ids[1], "nonsense"], "seen": true }).to_string();
    let changed = world
        .patch(&messages, &change)
        .send()
        .expect(StatusCode::OK)
        .json();
    assert_eq!(changed["not_found"], json!(["nonsense"]));
    assert_eq!(changed["messages"].as_array().map(Vec::len), Some(2));
    assert!(
        changed["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .all(|it| it["seen"] == true)
    );
    world
        .delete(&format!("{messages}?id={}&id={}", ids[0], ids[2]))
        .send()
        .expect(StatusCode::NO_CONTENT);
    assert_eq!(
        (world.messages("trash").len(), world.messages("inbox").len()),
        (2, 1)
    );
    world
        .delete(&format!("{messages}?id={}&purge=true", ids[0]))
        .send()
        .expect(StatusCode::NO_CONTENT);
    assert_eq!(
        (world.messages("trash").len(), world.keys("audio/").len()),
        (1, 2)
    );
    for body in [
        r#"{"seen": true}"#,
        r#"{"messages": [], "seen": true}"#,
        r#"{"messages": [1], "seen": true}"#,
        r#"{"messages": ["a"], "heard": true}"#,
    ] {
        refused(&world.patch(&messages, body).send(), 422, "member-invalid");
    }
}

#[test]
fn expired_messages_are_reclaimed_by_their_region() {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    create(&eu, "anna");
    set(&eu, json!({ "retention_days": 1 })).expect(StatusCode::OK);
    deposit(&eu, &wav(600_000, 1));
    deposit(&us, &wav(600_000, 2));
    assert_eq!((eu.keys("audio/").len(), us.keys("audio/").len()), (3, 3));
    let at = |now_ms: u64, expected: usize| {
        for world in [&eu, &us] {
            world.now_ms.set(now_ms);
        }
        for world in [&eu, &us] {
            assert_eq!(count(world, "anna"), expected);
            assert_eq!(world.keys("audio/").len(), 3, "stored, whoever sees it");
        }
    };
    at(NOON + DAY_MS - 1, 2);
    at(NOON + DAY_MS, 0);
    for world in [&eu, &us] {
        let mut bytes = 0;
        for _ in 0..5 {
            bytes += world.maintain()["reclaimed_bytes"]
                .as_u64()
                .expect("a number");
        }
        assert_eq!((world.keys("audio/").len(), bytes), (0, 600_044));
    }
}

#[test]
fn deleted_mailbox_leaves_nothing_behind_in_any_region() {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    create(&eu, "anna");
    for world in [&eu, &us] {
        deposit(world, &wav(600_000, 1));
        world
            .put(&format!("{ANNA}/greetings/name"))
            .body(&wav(800, 0))
            .send();
    }
    us.delete(ANNA).send().expect(StatusCode::NO_CONTENT);
    refused(&us.delete(ANNA).send(), 404, "mailbox-not-found");
    for world in [&us, &eu] {
        world.get(ANNA).send().expect(StatusCode::NOT_FOUND);
        for _ in 0..5 {
            world.maintain();
        }
        assert_eq!(world.keys("audio/"), [] as [&str; 0], "{}", world.region);
    }
    // Made anew it is empty, and takes what is deposited under an old key as new.
    create(&us, "anna");
    assert_eq!(count(&us, "anna"), 0);
    deposit(&us, &wav(800, 1));
    assert_eq!(count(&eu, "anna"), 1);
}

#[test]
fn chores_are_one_instances_at_a_time() {
    let world = World::with_mailbox();
    let other = world.another_instance();
    assert_eq!(world.maintain()["leader"], true);
    assert_eq!(other.maintain()["leader"], false);
    other.now_ms.set(NOON + 10_000);
    assert_eq!(other.maintain()["leader"], true);
}

// === Provisioning ===

#[test]
fn mailboxes_are_provisioned_in_bulk_a_result_a_line() {
    let world = World::with_mailbox();
    let lines = [
        r#"{"mailbox": "+15551230001", "language": "fr"}"#,
        r#"{"mailbox": "anna", "quota_messages": 7}"#,
        "",
        r#"{"mailbox": "NOT ONE"}"#,
        r#"{"mailbox": "bert", "pin": "123456"}"#,
        "nonsense",
        r#"{"quota_messages": 7}"#,
    ];
    let call = world
        .post("/v1/mailboxes")
        .header("content-type", "application/x-ndjson");
    let answer = call
        .body(lines.join("\n").as_bytes())
        .send()
        .expect(StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let results: Vec<Value> = String::from_utf8_lossy(&answer.body)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let statuses: Vec<_> = results.iter().map(|it| it["status"].clone()).collect();
    assert_eq!(statuses, [201, 200, 422, 422, 400, 422]);
    assert_eq!(
        results[3]["problem"]["type"],
        "urn:starling:problem:member-invalid"
    );
    assert_eq!(world.get(ANNA).send().json()["quota_messages"], 7);
    world
        .get("/v1/mailboxes/bert")
        .send()
        .expect(StatusCode::NOT_FOUND);
    let many = "{}\n".repeat(1001);
    let call = |body: &str| {
        world
            .post("/v1/mailboxes")
            .header("content-type", "application/x-ndjson")
            .body(body.as_bytes())
            .send()
    };
    refused(&call(&many), 400, "body-malformed");
    refused(&call(&"x".repeat(1024 * 1024 + 1)), 413, "body-too-large");
    refused(
        &world.post("/v1/mailboxes").json("{}").send(),
        415,
        "media-type-unsupported",
    );
}

#[test]
fn list_of_mailboxes_is_paged_without_gap_and_in_few_reads() {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    let mut expected: Vec<String> = (0..150).map(|n| format!("m{n:03}")).collect();
    for (n, mailbox) in expected.iter().enumerate() {
        create(if n % 3 == 0 { &us } else { &eu }, mailbox);
    }
    eu.delete("/v1/mailboxes/m007")
        .send()
        .expect(StatusCode::NO_CONTENT);
    expected.remove(7);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        eu.reads();
        let page = eu
            .get(&format!("/v1/mailboxes?limit=20{cursor}"))
            .send()
            .expect(StatusCode::OK)
            .json();
        let reads = eu.reads().len();
        assert!(reads <= 2 + 2 * 21 + 2 * 21, "{reads} reads");
        let mailboxes = page["mailboxes"].as_array().expect("mailboxes");
        assert!(mailboxes.len() <= 20);
        found.extend(
            mailboxes
                .iter()
                .map(|it| it["mailbox"].as_str().expect("an id").to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    found.sort_unstable();
    assert_eq!(found, expected);
    for query in ["limit=0", "limit=101", "cursor=NOT%20ONE", "page=2"] {
        refused(
            &eu.get(&format!("/v1/mailboxes?{query}")).send(),
            400,
            "parameter-invalid",
        );
    }
}

#[test]
fn page_of_a_full_mailbox_takes_one_read_for_each_region() {
    let world = World::with_mailbox();
    world.set("deposits_per_minute", "0");
    for n in 0..1000_u32 {
        deposit(&world, &wav(800, (n % 251) as u8));
    }
    assert_eq!(
        world.get(&format!("{ANNA}/summary")).send().json()["messages"],
        1000
    );
    world.reads();
    let page = world
        .get(&format!("{ANNA}/messages?limit=20"))
        .send()
        .expect(StatusCode::OK)
        .json();
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(20));
    assert_eq!(world.reads(), ["slot/anna"]);
    refused(&world.deposit(&wav(800, 0)).send(), 507, "mailbox-full");
}

// === Rates ===

#[test]
fn deposits_that_come_too_fast_are_told_when_to_come_again() {
    let world = World::with_mailbox();
    world.set("deposits_per_minute", "6");
    world.set("deposits_per_minute_of_caller", "2");
    let send = |from: &str, n: u8| {
        world
            .deposit(&wav(800, n))
            .header("voicemail-from", from)
            .send()
    };
    for n in 0..2 {
        send("+1", n).expect(StatusCode::CREATED);
    }
    let answer = send("+1", 2);
    refused(&answer, 429, "too-many-deposits");
    assert_eq!(answer.header("retry-after"), Some("30"));
    for n in 2..6 {
        send(&format!("+{n}"), n).expect(StatusCode::CREATED);
    }
    let answer = send("+9", 9);
    refused(&answer, 429, "too-many-deposits");
    assert_eq!(answer.header("retry-after"), Some("10"));
    assert_eq!(
        world.keys("audio/").len(),
        6,
        "what was refused is not kept"
    );
    world.now_ms.set(NOON + 10_000);
    send("+9", 9).expect(StatusCode::CREATED);
    world.set("deposits_per_minute", "plenty");
    refused(&send("+9", 9), 500, "misconfigured");
}

// === Webhooks ===

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn with_webhook() -> World {
    let world = World::with_mailbox();
    let webhooks = json!({ "webhooks": [{ "url": "https://example.com/hook", "secret": SECRET }] });
    let shown = set(&world, webhooks).expect(StatusCode::OK).json();
    assert_eq!(
        shown["webhooks"],
        json!([{ "url": "https://example.com/hook" }])
    );
    world
}

#[test]
fn webhook_is_told_of_the_counts_and_can_check_who_tells() {
    let world = with_webhook();
    world
        .deposit(&wav(800, 0))
        .header("voicemail-urgent", "true")
        .send()
        .expect(StatusCode::CREATED);
    assert!(world.sent().is_empty(), "no deposit waits for a webhook");
    world.maintain();
    let [request]: [_; 1] = world.sent().try_into().expect("one request");
    assert_eq!(
        (request.method(), request.uri().to_string().as_str()),
        (&Method::POST, "https://example.com/hook")
    );
    let header = |name: &str| request.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "application/cloudevents+json");
    let event: Value = serde_json::from_slice(request.body()).expect("JSON");
    assert_eq!(
        (&event["specversion"], &event["type"], &event["subject"]),
        (
            &json!("1.0"),
            &json!("org.starling.voicemail.mailbox.changed"),
            &json!("anna")
        )
    );
    assert_eq!(
        event["data"],
        json!({ "mailbox": "anna", "new": 1, "urgent": 1, "saved": 0, "trash": 0, "messages": 1, "bytes": 844 })
    );
    assert_eq!(event["id"], header("webhook-id"));
    let secret: WebhookSecret = SECRET.parse().expect("a secret");
    let signed = secret.sign(&header("webhook-id"), NOON / 1000, request.body());
    assert_eq!(
        (header("webhook-signature"), header("webhook-timestamp")),
        (signed, (NOON / 1000).to_string())
    );
    world.maintain();
    assert!(world.sent().is_empty(), "once is enough");
}

#[test]
fn webhook_that_fails_is_told_again_later_under_the_same_id() {
    let world = with_webhook();
    world.answers([Err("refused".into()), Ok(StatusCode::SERVICE_UNAVAILABLE)]);
    world
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED);
    let mut ids = Vec::new();
    for (after_ms, calls) in [(0, 1), (999, 0), (1, 1), (1999, 0), (1, 1), (600_000, 0)] {
        world.now_ms.set(world.now_ms.get() + after_ms);
        world.maintain();
        let sent = world.sent();
        assert_eq!(sent.len(), calls, "{after_ms} ms later");
        ids.extend(sent.iter().map(|it| it.headers()["webhook-id"].clone()));
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    assert!(world.log().concat().contains("notify"));
}

#[test]
fn what_is_owed_survives_the_one_who_owed_it() {
    let world = with_webhook();
    let message = deposit(&world, &wav(800, 0));
    world
        .patch(&message, r#"{"seen": true}"#)
        .send()
        .expect(StatusCode::OK);
    // Another instance, much later: the lease of the first has long ended.
    let other = world.another_instance();
    other.now_ms.set(NOON + 3_600_000);
    other.maintain();
    assert_eq!(other.sent().len(), 1, "several changes are told at once");
}

#[test]
fn note_that_was_lost_is_found_on_the_round() {
    let world = with_webhook();
    deposit(&world, &wav(800, 0));
    for key in world.keys("owed/") {
        world.values("local").borrow_mut().remove(&key);
    }
    for _ in 0..8 {
        world.maintain();
    }
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn deposit_succeeds_whatever_the_webhook_does() {
    let world = with_webhook();
    world.answers((0..20).map(|_| Err("down".into())));
    for n in 0..3 {
        deposit(&world, &wav(800, n));
        world.maintain();
        world.now_ms.set(world.now_ms.get() + 60_000);
    }
    assert_eq!(count(&world, "anna"), 3);
}

#[test]
fn webhook_that_makes_no_sense_is_refused() {
    let world = World::with_mailbox();
    let hook = |url: &str, secret: &str| json!({ "webhooks": [{ "url": url, "secret": secret }] });
    for settings in [
        hook("ftp://example.com/", SECRET),
        hook("/hook", SECRET),
        hook("https://user:pass@example.com/", SECRET),
        hook("https://", SECRET),
        hook(&format!("https://example.com/{}", "x".repeat(600)), SECRET),
        hook("https://example.com/", "short"),
        json!({ "webhooks": [{ "url": "https://example.com/" }] }),
        json!({ "webhooks": [{ "url": "https://example.com/", "secret": SECRET, "x": 1 }] }),
        json!({ "webhooks": "https://example.com/" }),
    ] {
        refused(&set(&world, settings), 422, "member-invalid");
    }
}

// === Safe HTTP ===

#[test]
fn change_upon_another_state_is_refused() {
    let world = World::with_mailbox();
    let message = deposit(&world, &wav(800, 0));
    for (path, change) in [
        (ANNA, r#"{"language": "de"}"#),
        (&*message, r#"{"seen": true}"#),
    ] {
        let method = if path == ANNA {
            Method::PUT
        } else {
            Method::PATCH
        };
        let tag = world
            .get(path)
            .send()
            .expect(StatusCode::OK)
            .header("etag")
            .expect("a tag")
            .to_owned();
        let call = |tag: &str| {
            world
                .call(method.clone(), path)
                .json(change)
                .header("if-match", tag)
                .send()
        };
        refused(&call("\"another\""), 412, "precondition-failed");
        let changed = call(&tag).expect(StatusCode::OK);
        let new = changed.header("etag").expect("a tag").to_owned();
        assert_ne!(new, tag);
        refused(&call(&tag), 412, "precondition-failed");
        call("*").expect(StatusCode::OK);
        let same = world
            .get(path)
            .header("if-none-match", &new)
            .send()
            .expect(StatusCode::NOT_MODIFIED);
        assert!(same.body.is_empty());
        world
            .get(path)
            .header("if-none-match", &tag)
            .send()
            .expect(StatusCode::OK);
        refused(
            &world.delete(path).header("if-match", &tag).send(),
            412,
            "precondition-failed",
        );
    }
    let only_new = || world.put(ANNA).header("if-none-match", "*").send();
    refused(&only_new(), 412, "precondition-failed");
    world.delete(ANNA).send().expect(StatusCode::NO_CONTENT);
    only_new().expect(StatusCode::CREATED);
    refused(
        &world
            .put("/v1/mailboxes/bert")
            .header("if-match", "*")
            .send(),
        412,
        "precondition-failed",
    );
}

#[test]
fn browsers_of_listed_origins_may_call() {
    let world = World::with_mailbox();
    let preflight = |origin: &str| {
        let call = world.call(Method::OPTIONS, &format!("{ANNA}/messages"));
        call.header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .send()
            .expect(StatusCode::NO_CONTENT)
    };
    assert_eq!(
        preflight("https://a.example").header("access-control-allow-origin"),
        None
    );
    world.set(
        "cors_allowed_origins",
        "https://a.example, https://b.example",
    );
    let allowed = preflight("https://b.example");
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://b.example")
    );
    assert_eq!(
        allowed.header("access-control-allow-methods"),
        Some("GET, HEAD, POST, PATCH, DELETE")
    );
    assert_eq!(allowed.header("vary"), Some("Origin"));
    for origin in ["https://c.example", "https://a.example.evil", "null"] {
        assert_eq!(
            preflight(origin).header("access-control-allow-origin"),
            None,
            "{origin}"
        );
    }
    let answer = world
        .get(ANNA)
        .header("origin", "https://a.example")
        .send()
        .expect(StatusCode::OK);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://a.example")
    );
    let refusal = world
        .get("/v1/mailboxes/nobody")
        .header("origin", "https://a.example")
        .send();
    assert_eq!(
        refusal.header("access-control-allow-origin"),
        Some("https://a.example"),
        "the page may read why"
    );
    world.set("cors_allowed_origins", "*");
    assert_eq!(
        preflight("https://c.example").header("access-control-allow-origin"),
        Some("*")
    );
}

#[test]
fn every_answer_is_safe_to_show_and_names_its_trace() {
    let world = World::with_mailbox();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (path, status) in [
        (ANNA, 200),
        ("/v1/mailboxes/nobody", 404),
        ("/v1/openapi.json", 200),
    ] {
        let answer = world.get(path).header("traceparent", traceparent).send();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("content-security-policy").is_some());
        if status == 404 {
            let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(
                document["instance"],
                "urn:starling:trace:4bf92f3577b34da6a3ce929d0e0e4736"
            );
        }
    }
    let instance = |answer: &Answer| -> Value {
        let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
        document["instance"].clone()
    };
    let own = [(); 2].map(|()| instance(&world.get("/v1/mailboxes/nobody").send()));
    assert_ne!(own[0], own[1]);
}

// === What a review found ===

#[test]
fn refused_distribution_leaves_the_audio_to_its_retry() {
    // The retry may have stored it already, and be about to be let in.
    let world = World::with_mailbox();
    world.set("deposits_per_minute", "1");
    deposit(&world, &wav(800, 9));
    let send = || {
        let call = world
            .post("/v1/messages")
            .header("voicemail-to", "anna")
            .header("idempotency-key", "d");
        let answer = call.body(&wav(600_000, 1)).send();
        answer.expect(StatusCode::MULTI_STATUS).json()["results"][0]["status"].clone()
    };
    assert_eq!(send(), 429);
    assert_eq!(
        world.keys("audio/").len(),
        1 + 3,
        "what the retry relies on"
    );
    world.now_ms.set(NOON + 60_000);
    assert_eq!(send(), 201);
    let newest = world.messages("inbox")[0].clone();
    let path = format!("{ANNA}/messages/{}", newest["id"].as_str().expect("an id"));
    let audio = world
        .get(&format!("{path}/audio"))
        .send()
        .expect(StatusCode::OK);
    assert_eq!(audio.body, wav(600_000, 1));
}

#[test]
fn late_retry_of_a_purged_deposit_takes_nothing_from_who_shares_it() {
    for seed in 1..60 {
        let world = World::with_mailbox();
        create(&world, "bert");
        let audio = wav(600_000, 1);
        let send = || world.deposit(&audio).header("idempotency-key", "k");
        let first = send().send().expect(StatusCode::CREATED);
        let message = first.header("location").expect("a location").to_owned();
        let forwarded = forward(&world, &message, &["bert"]).send();
        let forwarded = forwarded.expect(StatusCode::MULTI_STATUS).json();
        let id = forwarded["results"][0]["message"]["id"].clone();
        world.seed(seed);
        let purge = world.delete(&format!("{message}?purge=true"));
        support::at_once([send(), purge, send()]);
        let path = format!(
            "/v1/mailboxes/bert/messages/{}/audio",
            id.as_str().expect("an id")
        );
        assert_eq!(world.get(&path).send().expect(StatusCode::OK).body, audio);
    }
}

#[test]
fn one_damaged_mailbox_does_not_stop_the_round() {
    let world = World::with_mailbox();
    set(&world, json!({ "retention_days": 1 })).expect(StatusCode::OK);
    deposit(&world, &wav(800, 1));
    for n in 0..40 {
        let mailbox = format!("damaged{n}");
        create(&world, &mailbox);
        let values = world.values("local");
        let key = format!("slot/{mailbox}");
        values.borrow_mut().insert(key, b"\x02damaged".to_vec());
    }
    world.now_ms.set(NOON + DAY_MS);
    for _ in 0..8 {
        world.maintain();
    }
    assert_eq!(world.keys("audio/"), [] as [&str; 0]);
}

#[test]
fn region_that_cannot_be_read_takes_no_mailbox_out_of_the_directory() {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    create(&eu, "anna");
    set(&eu, json!({ "retention_days": 1 })).expect(StatusCode::OK);
    deposit(&us, &wav(800, 1));
    us.set_unreachable("eu", true);
    for _ in 0..5 {
        us.maintain();
    }
    us.set_unreachable("eu", false);
    us.now_ms.set(NOON + DAY_MS);
    for _ in 0..5 {
        us.maintain();
    }
    assert_eq!(us.keys("audio/"), [] as [&str; 0], "it is still found");
}

#[test]
fn webhooks_that_hang_starve_neither_the_others_nor_the_round() {
    let world = World::with_mailbox();
    let hook = json!({ "webhooks": [{ "url": "https://example.com/hook", "secret": SECRET }] });
    for n in 0..40 {
        let path = format!("/v1/mailboxes/m{n}");
        let put = world.put(&path).json(&hook.to_string()).send();
        put.expect(StatusCode::CREATED);
        let deposit = world.post(&format!("{path}/messages")).body(&wav(800, n));
        deposit.send().expect(StatusCode::CREATED);
    }
    world.answers((0..40).map(|_| Err("it did not answer in time".into())));
    world.hang_ms(3_000);
    world.maintain();
    let begun = world.sent().len();
    assert!(
        (1..=8).contains(&begun),
        "{begun} were begun, and the host ends the call"
    );
    world.hang_ms(0);
    for _ in 0..60 {
        world.now_ms.set(world.now_ms.get() + 1_000);
        world.maintain();
    }
    let told: std::collections::BTreeSet<String> = world
        .sent()
        .iter()
        .map(|it| {
            it.headers()["webhook-id"]
                .to_str()
                .expect("text")
                .to_owned()
        })
        .collect();
    assert_eq!(told.len(), 40);
}

#[test]
fn greeting_is_asked_for_anew_and_changed_upon_the_present_one_alone() {
    let world = World::with_mailbox();
    let name = format!("{ANNA}/greetings/name");
    let put = |header: &'static str, tag: &str, n: u8| {
        let call = world.put(&name).header(header, tag);
        call.body(&wav(800, n)).send()
    };
    refused(&put("if-match", "*", 1), 412, "precondition-failed");
    put("if-none-match", "*", 1).expect(StatusCode::CREATED);
    refused(&put("if-none-match", "*", 2), 412, "precondition-failed");
    let played = world.get(&name).send().expect(StatusCode::OK);
    assert_eq!(played.header("cache-control"), Some("private, no-cache"));
    let tag = played.header("etag").expect("a tag").to_owned();
    let same = world.get(&name).header("if-none-match", &tag).send();
    same.expect(StatusCode::NOT_MODIFIED);
    put("if-match", &tag, 3).expect(StatusCode::OK);
    refused(&put("if-match", &tag, 4), 412, "precondition-failed");
    let delete = world.delete(&name).header("if-match", &tag).send();
    refused(&delete, 412, "precondition-failed");
    assert_eq!(
        world.keys("audio/").len(),
        1,
        "what was refused is not kept"
    );
}

#[test]
fn refused_request_touches_nothing() {
    let world = World::with_mailbox();
    let touched = |call: Call| call.send().touched;
    assert!(touched(world.deposit(&wav(800, 0))));
    assert!(!touched(
        world
            .post("/v1/mailboxes/nobody/messages")
            .body(&wav(800, 0))
    ));
    assert!(!touched(world.get(ANNA)));
    world.set(
        "session_key",
        "a key that nobody knows, of 32 bytes or more",
    );
    assert!(!touched(world.deposit(&wav(800, 0))));
}
