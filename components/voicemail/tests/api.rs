//! The resources: what each shows, takes and refuses.

mod support;

use http::{Method, StatusCode};
use serde_json::json;
use support::{World, wav};

// === Mailboxes ===

#[test]
fn mailbox_is_created_once_and_changed_afterwards() {
    let world = World::local();
    let path = "/v1/mailboxes/+15551230001";
    let created = world.put(path).send().expect(StatusCode::CREATED);
    assert_eq!(created.header("location"), Some(path));
    assert_eq!(created.header("cache-control"), Some("no-store"));
    let expected = json!({
        "mailbox": "+15551230001",
        "created_at": "2026-01-01T00:00:00Z",
        "pin_set": false,
        "time_zone": "UTC",
        "language": "en",
        "greeting": "recorded",
        "quota_messages": 1000,
        "quota_bytes": 500_000_000,
        "retention_days": 90,
        "message_duration_ms_max": 1_800_000,
        "webhooks": [],
    });
    assert_eq!(created.json(), expected);

    world.now_ms.set(support::NOON + 1);
    let again = world.put(path).json("{}").send().expect(StatusCode::OK);
    assert_eq!((again.json(), again.header("location")), (expected, None));

    let changed = world
        .put(path)
        .json(r#"{"quota_messages": 5}"#)
        .send()
        .expect(StatusCode::OK);
    assert_eq!(changed.json()["quota_messages"], 5);
    let shown = world.get(path).send().expect(StatusCode::OK).json();
    assert_eq!(
        (shown, "2026-01-01T00:00:00Z"),
        (changed.json(), "2026-01-01T00:00:00Z")
    );
}

#[test]
fn escaped_and_plain_path_name_the_same_mailbox() {
    let world = World::local();
    world
        .put("/v1/mailboxes/%2B15551230001")
        .send()
        .expect(StatusCode::CREATED);
    world
        .get("/v1/mailboxes/+15551230001")
        .send()
        .expect(StatusCode::OK);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let world = World::local();
    for (body, named) in [
        (r#"{"quota_messages": 0}"#, "quota_messages"),
        (r#"{"quota_messages": 2001}"#, "quota_messages"),
        (r#"{"quota_messages": -1}"#, "quota_messages"),
        (r#"{"quota_messages": "5"}"#, "quota_messages"),
        (r#"{"quota_messages": null}"#, "quota_messages"),
        (r#"{"quota_messages": 1.5}"#, "quota_messages"),
        (r#"{"quota_bytes": 0}"#, "quota_bytes"),
        (r#"{"quota": 5}"#, "quota"),
        (r#"{"pin": "1234"}"#, "pin"),
    ] {
        let answer = world.put("/v1/mailboxes/anna").json(body).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (422, "member-invalid")
        );
        assert!(
            answer.detail().contains(&format!("{named:?}")),
            "{}",
            answer.detail()
        );
    }
    world
        .get("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::NOT_FOUND);
}

#[test]
fn body_that_is_no_json_object_is_refused() {
    let world = World::with_mailbox();
    for body in ["{", "[]", "null", "{} {}", "\u{0}", "{\"a\":\"\\ud800\"}"] {
        let answer = world.put("/v1/mailboxes/anna").json(body).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (400, "body-malformed")
        );
    }
    let deep = "[".repeat(60_000);
    let answer = world.put("/v1/mailboxes/anna").json(&deep).send();
    assert_eq!(answer.problem(), "body-malformed");
    let large = format!("{{{}}}", " ".repeat(65 * 1024));
    let answer = world.put("/v1/mailboxes/anna").json(&large).send();
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (413, "body-too-large")
    );
    let answer = world
        .put("/v1/mailboxes/anna")
        .header("content-type", "text/plain")
        .body(b"{}")
        .send();
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (415, "media-type-unsupported")
    );
}

#[test]
fn id_that_no_mailbox_can_have_is_not_found_and_not_created() {
    let world = World::local();
    for id in ["Anna", "+0123", "a%20b", "a%2Fb", ".."] {
        let path = format!("/v1/mailboxes/{id}");
        let answer = world.put(&path).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (422, "mailbox-id-invalid")
        );
        let answer = world.get(&path).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (404, "mailbox-not-found")
        );
    }
    assert!(world.values("local").borrow().is_empty());
}

#[test]
fn requests_for_an_unknown_mailbox_write_nothing() {
    let world = World::local();
    let message = "/v1/mailboxes/anna/messages/00112233445566778899aabbccddeeff";
    for call in [
        world.get("/v1/mailboxes/anna"),
        world.get("/v1/mailboxes/anna/summary"),
        world.get("/v1/mailboxes/anna/messages"),
        world.get(message),
        world.get(&format!("{message}/audio")),
        world.patch(message, r#"{"seen": true}"#),
        world.delete(message),
        world.deposit(&wav(800, 0)),
    ] {
        let answer = call.send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (404, "mailbox-not-found")
        );
    }
    assert!(world.values("local").borrow().is_empty());
}

#[test]
fn summary_counts_what_a_lamp_shows() {
    let world = World::with_mailbox();
    for n in 0..4 {
        let urgent = if n < 2 { "true" } else { "false" };
        world
            .deposit(&wav(800, n))
            .header("voicemail-urgent", urgent)
            .send()
            .expect(StatusCode::CREATED);
    }
    let ids: Vec<_> = world
        .messages("inbox")
        .iter()
        .map(|m| m["id"].as_str().expect("id").to_owned())
        .collect();
    world
        .patch(
            &format!("/v1/mailboxes/anna/messages/{}", ids[0]),
            r#"{"saved": true}"#,
        )
        .send();
    world
        .delete(&format!("/v1/mailboxes/anna/messages/{}", ids[1]))
        .send();
    let summary = world
        .get("/v1/mailboxes/anna/summary")
        .send()
        .expect(StatusCode::OK)
        .json();
    assert_eq!(
        (&summary["saved"], &summary["trash"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&summary["messages"], &summary["bytes"]),
        (&json!(4), &json!(4 * 844))
    );
    let new = summary["new"].as_u64().expect("a count");
    assert_eq!((new, summary["urgent"].as_u64() <= Some(new)), (2, true));
}

// === Messages ===

#[test]
fn list_is_newest_first_in_pages() {
    let world = World::with_mailbox();
    let mut deposited = Vec::new();
    for n in 0..5 {
        world.now_ms.set(support::NOON + u64::from(n) * 1000);
        deposited.push(
            world
                .deposit(&wav(800, n))
                .send()
                .expect(StatusCode::CREATED)
                .json(),
        );
    }
    deposited.reverse();
    assert_eq!(world.messages("inbox"), deposited);

    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/mailboxes/anna/messages?limit=2{cursor}");
        let page = world.get(&path).send().expect(StatusCode::OK).json();
        paged.extend(page["messages"].as_array().expect("messages").clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, deposited);
}

#[test]
fn query_that_makes_no_sense_is_refused() {
    let world = World::with_mailbox();
    for query in [
        "limit=0",
        "limit=x",
        "folder=outbox",
        "cursor=garbage",
        "page=2",
    ] {
        let answer = world
            .get(&format!("/v1/mailboxes/anna/messages?{query}"))
            .send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (400, "parameter-invalid"),
            "{query}"
        );
    }
}

#[test]
fn message_is_marked_saved_deleted_and_undeleted() {
    let world = World::with_mailbox();
    let message = world
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED);
    let path = message.header("location").expect("a location").to_owned();
    let patch = |json: &str| {
        world
            .patch(&path, json)
            .send()
            .expect(StatusCode::OK)
            .json()
    };

    let seen = patch(r#"{"seen": true}"#);
    assert_eq!(
        (&seen["seen"], &seen["saved"], &seen["deleted"]),
        (&json!(true), &json!(false), &json!(false))
    );
    patch(r#"{"saved": true, "seen": false}"#);
    assert_eq!(
        (world.messages("inbox").len(), world.messages("saved").len()),
        (0, 1)
    );

    let gone = world.delete(&path).send().expect(StatusCode::NO_CONTENT);
    assert_eq!((gone.body.len(), gone.header("content-type")), (0, None));
    world.delete(&path).send().expect(StatusCode::NO_CONTENT);
    assert_eq!(
        (world.messages("saved").len(), world.messages("trash").len()),
        (0, 1)
    );
    assert_eq!(
        world.get(&path).send().expect(StatusCode::OK).json()["deleted"],
        true
    );

    let back = patch(r#"{"deleted": false}"#);
    assert_eq!(
        (&back["saved"], &back["seen"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(patch("{}"), back);
}

#[test]
fn merge_patch_is_taken_as_well() {
    let world = World::with_mailbox();
    let path = world
        .deposit(&wav(800, 0))
        .send()
        .header("location")
        .expect("a location")
        .to_owned();
    let patch = |media_type| {
        let call = world
            .call(Method::PATCH, &path)
            .header("content-type", media_type);
        call.body(br#"{"seen": true}"#).send()
    };
    patch("application/merge-patch+json").expect(StatusCode::OK);
    patch("Application/JSON; charset=utf-8").expect(StatusCode::OK);
    for other in [
        "application/json-patch+json",
        "text/json",
        "application/x-www-form-urlencoded",
    ] {
        let answer = patch(other);
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (415, "media-type-unsupported")
        );
    }
    assert_eq!(patch("json").problem(), "header-invalid");
}

#[test]
fn change_that_makes_no_sense_is_refused_by_name() {
    let world = World::with_mailbox();
    let path = world
        .deposit(&wav(800, 0))
        .send()
        .header("location")
        .expect("a location")
        .to_owned();
    for (body, named) in [
        (r#"{"seen": 1}"#, "seen"),
        (r#"{"seen": null}"#, "seen"),
        (r#"{"saved": "true"}"#, "saved"),
        (r#"{"from": "me"}"#, "from"),
        (r#"{"seen": true, "delete": true}"#, "delete"),
    ] {
        let answer = world.patch(&path, body).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (422, "member-invalid")
        );
        assert!(
            answer.detail().contains(&format!("{named:?}")),
            "{}",
            answer.detail()
        );
    }
    assert_eq!(world.patch(&path, "").send().problem(), "body-malformed");
    assert_eq!(world.messages("inbox")[0]["seen"], false);
}

#[test]
fn unknown_message_is_not_found() {
    let world = World::with_mailbox();
    for id in [
        "00112233445566778899aabbccddeeff",
        "x",
        "00112233445566778899AABBCCDDEEFF",
    ] {
        let path = format!("/v1/mailboxes/anna/messages/{id}");
        for call in [
            world.get(&path),
            world.get(&format!("{path}/audio")),
            world.patch(&path, "{}"),
            world.delete(&path),
        ] {
            let answer = call.send();
            assert_eq!(
                (answer.status.as_u16(), answer.problem().as_str()),
                (404, "message-not-found")
            );
        }
    }
}

// === All of them ===

#[test]
fn path_that_names_nothing_is_not_found() {
    let world = World::with_mailbox();
    for path in [
        "/",
        "/v1",
        "/v1/mailboxes/",
        "/v1/mailboxes/anna/",
        "/v1/x/anna",
        "/v2",
    ] {
        let answer = world.get(path).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (404, "not-found"),
            "{path}"
        );
    }
}

#[test]
fn unknown_method_is_told_the_known_ones() {
    let world = World::local();
    let message = "/v1/mailboxes/anna/messages/00112233445566778899aabbccddeeff";
    for (path, allow) in [
        ("/v1/openapi.json", "GET, HEAD"),
        ("/v1/sessions", "POST"),
        ("/v1/messages", "POST"),
        ("/v1/mailboxes", "GET, HEAD, POST"),
        ("/v1/mailboxes/anna", "GET, HEAD, PUT, DELETE"),
        ("/v1/mailboxes/anna/summary", "GET, HEAD"),
        ("/v1/mailboxes/anna/greeting", "GET, HEAD"),
        (
            "/v1/mailboxes/anna/greetings/busy",
            "GET, HEAD, PUT, DELETE",
        ),
        (
            "/v1/mailboxes/anna/messages",
            "GET, HEAD, POST, PATCH, DELETE",
        ),
        (message, "GET, HEAD, PATCH, DELETE"),
        (&format!("{message}/audio"), "GET, HEAD"),
        (&format!("{message}/audio/peaks"), "GET, HEAD"),
        (&format!("{message}/comment"), "GET, HEAD"),
        (&format!("{message}/forward"), "POST"),
    ] {
        for method in [
            Method::PUT,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            if allow.split(", ").any(|known| known == method.as_str()) {
                continue;
            }
            let answer = world.call(method, path).send();
            assert_eq!(
                (answer.status.as_u16(), answer.problem().as_str()),
                (405, "method-not-allowed")
            );
            assert_eq!(answer.header("allow"), Some(allow));
        }
    }
}

#[test]
fn accept_decides_before_anything_is_done() {
    let world = World::with_mailbox();
    let list = "/v1/mailboxes/anna/messages";
    for accept in [
        "application/json",
        "*/*",
        "application/*",
        "text/html, application/json;q=0.1",
        "APPLICATION/JSON",
        "",
        "garbage",
        "text/html;q=0.5, */*;q=0.1",
    ] {
        world
            .get(list)
            .header("accept", accept)
            .send()
            .expect(StatusCode::OK);
    }
    for accept in [
        "text/html",
        "audio/wav",
        "application/json;q=0",
        "*/*, application/json;q=0.0",
        "application/xml",
    ] {
        let answer = world.get(list).header("accept", accept).send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (406, "not-acceptable"),
            "{accept}"
        );
    }
    let refused = world
        .deposit(&wav(800, 0))
        .header("accept", "audio/wav")
        .send();
    assert_eq!(refused.problem(), "not-acceptable");
    assert_eq!(world.messages("inbox").len(), 0);
}

#[test]
fn head_is_get_without_the_body() {
    let world = World::with_mailbox();
    let message = world
        .deposit(&wav(800, 0))
        .send()
        .header("location")
        .expect("a location")
        .to_owned();
    for path in [
        "/v1/mailboxes/anna",
        "/v1/mailboxes/anna/summary",
        "/v1/mailboxes/anna/messages",
        "/v1/mailboxes/anna/messages?limit=0",
        "/v1/mailboxes/berta",
        &message,
        &format!("{message}/audio"),
    ] {
        let (get, head) = (
            world.get(path).send(),
            world.call(Method::HEAD, path).send(),
        );
        assert_eq!((get.status, &get.headers), (head.status, &head.headers));
        assert_eq!(head.body.len(), 0);
        assert_eq!(
            get.header("content-length"),
            Some(get.body.len().to_string().as_str())
        );
    }
}

#[test]
fn cursors_that_somebody_makes_up_lead_nowhere_and_cost_no_more_than_others() {
    let world = World::with_mailbox();
    for n in 0..3 {
        world
            .deposit(&wav(800, n))
            .send()
            .expect(StatusCode::CREATED);
    }
    // Any 48 digits have the form of one; the numbers are spread over all of them.
    for n in 0..2_000_u128 {
        let digits = format!(
            "{:048x}",
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        );
        world.reads();
        let list = world
            .get(&format!("/v1/mailboxes/anna/messages?cursor={digits}"))
            .send();
        let messages = list.expect(StatusCode::OK).json()["messages"].clone();
        assert!(messages.as_array().is_some_and(|list| list.len() <= 3));
        assert_eq!(world.reads(), ["slot/anna"]);
    }
}
