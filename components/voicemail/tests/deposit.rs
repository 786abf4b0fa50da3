//! The way in: what is taken as a message, what it says of itself, and what a retry finds.

mod support;

use http::StatusCode;
use serde_json::json;
use support::{Answer, Call, World, wav};
use voicemail::UploadError;

const MIB: usize = 1024 * 1024;

#[track_caller]
fn check_refused(answer: &Answer, status: u16, problem: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (status, problem),
        "{}",
        answer.detail()
    );
}

/// A form of these fields; a name with a semicolon carries on with parameters of its own.
fn form(world: &World, fields: &[(&str, &[u8])]) -> Call {
    let mut body = Vec::new();
    for (name, value) in fields {
        let (name, more) = name.split_once(';').unwrap_or((name, ""));
        body.extend(
            format!("--frontier\r\ncontent-disposition: form-data; name=\"{name}\"{more}\r\n\r\n")
                .bytes(),
        );
        body.extend(*value);
        body.extend(b"\r\n");
    }
    body.extend(b"--frontier--\r\n");
    world
        .post("/v1/mailboxes/anna/messages")
        .header("content-type", "multipart/form-data; boundary=frontier")
        .body(&body)
}

#[test]
fn raw_audio_becomes_a_message() {
    let world = World::with_mailbox();
    let audio = wav(8000, 0);
    let answer = world
        .deposit(&audio)
        .header("voicemail-from", "+15551239999")
        .header("voicemail-urgent", "true")
        .header("voicemail-private", "True")
        .header("voicemail-received-at", "2025-12-31T23:59:59.5+00:00")
        .send()
        .expect(StatusCode::CREATED);
    let message = answer.json();
    let id = message["id"].as_str().expect("an id");
    let expected = json!({
        "id": id, "mailbox": "anna", "from": "+15551239999",
        "received_at": "2025-12-31T23:59:59.5Z", "duration_ms": 500, "size_bytes": 8044,
        "media_type": "audio/wav", "urgent": true, "private": true,
        "seen": false, "saved": false, "deleted": false, "region": "local",
        "reply_to": null, "forwarded_by": null, "comment": null,
        "expires_at": "2026-04-01T00:00:00Z",
    });
    assert_eq!(message, expected);
    let path = format!("/v1/mailboxes/anna/messages/{id}");
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(world.get(&path).send().json(), expected);
    assert_eq!(world.get(&format!("{path}/audio")).send().body, audio);
    assert_eq!(world.messages("inbox"), [expected]);
}

#[test]
fn message_without_particulars_is_from_nobody_and_from_now() {
    let world = World::with_mailbox();
    let message = world
        .deposit(&wav(800, 0))
        .send()
        .expect(StatusCode::CREATED)
        .json();
    assert_eq!(
        (&message["from"], &message["urgent"], &message["private"]),
        (&json!(null), &json!(false), &json!(false))
    );
    assert_eq!(message["received_at"], "2026-01-01T00:00:00Z");
}

#[test]
fn form_becomes_a_message() {
    let world = World::with_mailbox();
    let audio = wav(MIB, 0);
    let fields: &[(&str, &[u8])] = &[
        ("from", "Ānna ".as_bytes()),
        ("urgent", b"true"),
        ("private", b""),
        (
            "audio;; filename=\"message.wav\"\r\ncontent-type: audio/x-wav",
            &audio,
        ),
        ("received_at", b"2026-01-01T00:00:00.123Z"),
    ];
    let message = form(&world, fields)
        .send()
        .expect(StatusCode::CREATED)
        .json();
    assert_eq!(
        (&message["from"], &message["urgent"]),
        (&json!("Ānna"), &json!(true))
    );
    assert_eq!(message["received_at"], "2026-01-01T00:00:00.123Z");
    let path = format!(
        "/v1/mailboxes/anna/messages/{}/audio",
        message["id"].as_str().expect("an id")
    );
    assert_eq!(world.get(&path).send().body, audio);
}

#[test]
fn field_of_a_form_goes_before_the_header() {
    let world = World::with_mailbox();
    let (audio, from): (_, &[u8]) = (wav(800, 0), b"field");
    let call = form(&world, &[("audio", &audio), ("from", from)]);
    let call = call
        .header("voicemail-from", "header")
        .header("voicemail-urgent", "true");
    let message = call.send().expect(StatusCode::CREATED).json();
    assert_eq!(
        (&message["from"], &message["urgent"]),
        (&json!("field"), &json!(true))
    );
}

#[test]
fn form_that_makes_no_sense_is_refused() {
    let world = World::with_mailbox();
    let audio = wav(800, 0);
    for (fields, named) in [
        (&[("from", &b"x"[..])][..], "audio"),
        (&[("audio", &audio), ("audio", &audio)], "audio"),
        (&[("audio", &audio), ("color", b"red")], "color"),
        (&[("audio", &audio), ("urgent", b"very")], "urgent"),
        (&[("audio", &audio), ("from", b"\xff")], "from"),
        (&[("audio", &audio), ("from", b"a\nb")], "from"),
        (
            &[("audio", &audio), ("received_at", b"yesterday")],
            "received_at",
        ),
        (&[], "audio"),
    ] {
        let answer = form(&world, fields).send();
        check_refused(&answer, 422, "member-invalid");
        assert!(
            answer.detail().contains(&format!("{named:?}")),
            "{}",
            answer.detail()
        );
    }
    let long = vec![b'x'; 2000];
    check_refused(
        &form(&world, &[("audio", &audio), ("from", &long)]).send(),
        413,
        "body-too-large",
    );

    let broken = |content_type: &str, body: &[u8]| {
        world
            .post("/v1/mailboxes/anna/messages")
            .header("content-type", content_type)
            .body(body)
            .send()
    };
    check_refused(&broken("multipart/form-data", b"x"), 400, "body-malformed");
    check_refused(
        &broken("multipart/form-data; boundary=frontier", b"no form"),
        400,
        "body-malformed",
    );
    let cut = b"--frontier\r\ncontent-disposition: form-data; name=\"audio\"\r\n\r\nRIFF";
    check_refused(
        &broken("multipart/form-data; boundary=frontier", cut),
        400,
        "body-malformed",
    );
    assert_eq!(world.messages("inbox").len(), 0);
}

#[test]
fn declared_type_is_compared_with_the_bytes() {
    let world = World::with_mailbox();
    let deposit = |content_type: &str, body: &[u8]| {
        world
            .post("/v1/mailboxes/anna/messages")
            .header("content-type", content_type)
            .body(body)
            .send()
    };
    for declared in [
        "audio/wav",
        "audio/x-wav; codecs=1",
        "AUDIO/WAVE",
        "audio/vnd.wave",
        "application/octet-stream",
        "",
    ] {
        deposit(declared, &wav(800, 0)).expect(StatusCode::CREATED);
    }
    for declared in [
        "audio/ogg",
        "audio/mpeg",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/mixed",
    ] {
        check_refused(
            &deposit(declared, &wav(800, 0)),
            415,
            "media-type-unsupported",
        );
    }
    check_refused(&deposit("wav", &wav(800, 0)), 400, "header-invalid");
    check_refused(
        &deposit("audio/wav", b"MThd and so on"),
        415,
        "media-type-unsupported",
    );
    check_refused(&deposit("audio/wav", b""), 415, "media-type-unsupported");
    let mut adpcm = wav(800, 0);
    adpcm[20] = 0x11;
    let answer = deposit("audio/wav", &adpcm);
    check_refused(&answer, 415, "media-type-unsupported");
    assert!(answer.detail().contains("IMA ADPCM"), "{}", answer.detail());
    let cut = &wav(800, 0)[..600];
    check_refused(&deposit("audio/wav", cut), 422, "audio-broken");
}

#[test]
fn particulars_that_make_no_sense_are_refused() {
    let world = World::with_mailbox();
    let long = "x".repeat(129);
    for (name, value) in [
        ("voicemail-from", long.as_str()),
        ("voicemail-from", "\u{202e}gro.knab"),
        ("voicemail-urgent", "yes"),
        ("voicemail-private", "1"),
        ("voicemail-received-at", "2026-01-01"),
        ("voicemail-received-at", "1969-12-31T23:59:59Z"),
        ("idempotency-key", ""),
        ("idempotency-key", "two words"),
        ("idempotency-key", &"k".repeat(256)),
    ] {
        check_refused(
            &world.deposit(&wav(800, 0)).header(name, value).send(),
            400,
            "header-invalid",
        );
    }
    let twice = world
        .deposit(&wav(800, 0))
        .header("idempotency-key", "a")
        .header("idempotency-key", "a");
    check_refused(&twice.send(), 400, "header-invalid");
    let future = world
        .deposit(&wav(800, 0))
        .header("voicemail-received-at", "2026-01-01T00:10:00.001Z")
        .send();
    check_refused(&future, 422, "member-invalid");
    assert!(world.keys("audio/").is_empty());
}

#[test]
fn size_is_limited_whether_it_is_declared_or_not() {
    let world = World::with_mailbox();
    let largest = wav(10 * MIB - 44, 0);
    world.deposit(&largest).send().expect(StatusCode::CREATED);
    assert_eq!(world.keys("audio/").len(), 40);
    check_refused(
        &world.deposit(&wav(10 * MIB - 43, 0)).send(),
        413,
        "body-too-large",
    );

    let undeclared = |pieces, end| world.deposit(b"").pieces(pieces, end).send();
    let pieces = || {
        largest
            .chunks(100_000)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    undeclared(pieces(), None).expect(StatusCode::CREATED);
    let mut too_many = pieces();
    too_many.push(vec![0]);
    check_refused(&undeclared(too_many, None), 413, "body-too-large");
    check_refused(
        &undeclared(vec![vec![0; 10]], Some(UploadError::TooLarge)),
        413,
        "body-too-large",
    );
    // A length is not believed, neither for memory nor for anything else.
    let claim = world
        .deposit(b"")
        .pieces(vec![], None)
        .header("content-length", "99999999999");
    check_refused(&claim.send(), 413, "body-too-large");
    let audio: &[u8] = &wav(10 * MIB - 43, 0);
    check_refused(
        &form(&world, &[("audio", audio)]).send(),
        413,
        "body-too-large",
    );
}

#[test]
fn upload_is_the_same_however_it_comes() {
    let world = World::with_mailbox();
    let whole = wav(8000, 0);
    for piece_bytes in [1, 1000, whole.len() - 1, whole.len()] {
        let pieces: Vec<_> = whole.chunks(piece_bytes).map(<[u8]>::to_vec).collect();
        let announced = whole.len().to_string();
        let deposits = [
            world.deposit(b"").pieces(pieces.clone(), None),
            world
                .deposit(b"")
                .pieces(pieces, None)
                .header("content-length", &announced),
        ];
        for deposit in deposits {
            let deposited = deposit.send().expect(StatusCode::CREATED);
            let path = format!("{}/audio", deposited.header("location").unwrap());
            let heard = world.get(&path).send().expect(StatusCode::OK);
            assert!(heard.body == whole, "in pieces of {piece_bytes}");
        }
    }
}

#[test]
fn upload_that_breaks_off_leaves_nothing() {
    let world = World::with_mailbox();
    let whole = wav(8000, 0);
    let end = Some(UploadError::Broken);
    check_refused(
        &world.deposit(b"").pieces(vec![whole.clone()], end).send(),
        400,
        "body-malformed",
    );
    let short = world
        .deposit(b"")
        .pieces(vec![whole], None)
        .header("content-length", "9000");
    check_refused(&short.send(), 400, "body-malformed");
    assert!(world.keys("audio/").is_empty());
    assert_eq!(world.messages("inbox").len(), 0);
}

#[test]
fn full_mailbox_takes_nothing_more() {
    let world = World::with_mailbox();
    world
        .put("/v1/mailboxes/anna")
        .json(r#"{"quota_messages": 2, "quota_bytes": 2000}"#)
        .send();
    world
        .deposit(&wav(800, 0))
        .header("idempotency-key", "a")
        .send()
        .expect(StatusCode::CREATED);
    let large = world.deposit(&wav(1200, 0)).send();
    check_refused(&large, 507, "mailbox-full");
    assert_eq!(large.header("retry-after"), None);
    world
        .deposit(&wav(800, 1))
        .send()
        .expect(StatusCode::CREATED);
    check_refused(&world.deposit(&wav(8, 2)).send(), 507, "mailbox-full");
    assert_eq!(world.keys("audio/").len(), 2);
    // What is in it stays known.
    world
        .deposit(&wav(800, 0))
        .header("idempotency-key", "a")
        .send()
        .expect(StatusCode::CREATED);
}

#[test]
fn retry_finds_the_message_and_writes_nothing() {
    let world = World::with_mailbox();
    let deposit = || {
        world
            .deposit(&wav(800, 0))
            .header("idempotency-key", "call-17")
            .send()
    };
    let first = deposit().expect(StatusCode::CREATED);
    let before = world.values("local").borrow().clone();
    world.now_ms.set(support::NOON + 60_000);
    let second = deposit().expect(StatusCode::CREATED);
    assert_eq!(first.json(), second.json());
    assert_eq!(first.header("location"), second.header("location"));
    assert_eq!(*world.values("local").borrow(), before);
    // The message as it is now, not as it was.
    world
        .delete(first.header("location").expect("a location"))
        .send();
    assert_eq!(
        deposit().expect(StatusCode::CREATED).json()["deleted"],
        true
    );
}

#[test]
fn key_with_another_body_is_refused_and_leaves_nothing() {
    let world = World::with_mailbox();
    let deposit = |content| {
        world
            .deposit(&wav(800, content))
            .header("idempotency-key", "call-17")
            .send()
    };
    deposit(0).expect(StatusCode::CREATED);
    let before = world.values("local").borrow().clone();
    check_refused(&deposit(1), 422, "idempotency-key-reused");
    assert_eq!(*world.values("local").borrow(), before);
}

#[test]
fn keys_of_different_mailboxes_do_not_meet() {
    let world = World::with_mailbox();
    world.put("/v1/mailboxes/berta").send();
    let deposit = |mailbox, content| {
        let call = world
            .post(&format!("/v1/mailboxes/{mailbox}/messages"))
            .body(&wav(800, content));
        call.header("idempotency-key", "same")
            .send()
            .expect(StatusCode::CREATED)
            .json()["id"]
            .clone()
    };
    assert_ne!(deposit("anna", 0), deposit("berta", 1));
}

#[test]
fn form_that_is_made_to_exhaust_is_refused() {
    let world = World::with_mailbox();
    let audio = wav(800, 0);
    let send = |body: Vec<u8>| {
        let call = world.post("/v1/mailboxes/anna/messages");
        let call = call.header("content-type", "multipart/form-data; boundary=x");
        call.body(&body).send()
    };
    let part = |name: &str, value: &[u8]| {
        let head = format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    };
    // As many fields as fit, each the same, or each another.
    let same = part("from", b"a").repeat(100_000);
    check_refused(&send(same), 422, "member-invalid");
    let others: Vec<u8> = (0..50_000)
        .flat_map(|n| part(&format!("f{n}"), b""))
        .collect();
    check_refused(&send(others), 422, "member-invalid");
    // Nothing but boundaries.
    check_refused(&send(b"--x\r\n".repeat(500_000)), 400, "body-malformed");
    // A field whose head does not end, and one whose body does not.
    let head = [&b"--x\r\nx-filler: "[..], &b"y".repeat(MIB)].concat();
    check_refused(&send(head), 400, "body-malformed");
    let open = [part("audio", &audio), b"--x\r\n".to_vec()].concat();
    check_refused(&send(open), 400, "body-malformed");
    // A form within a form is no audio.
    let nested = part("audio", &part("audio", &audio));
    let nested = [nested, b"--x--\r\n".to_vec()].concat();
    assert!(send(nested).status.is_client_error());
    assert_eq!(world.messages("inbox").len(), 0);
    assert_eq!(world.keys("audio/"), [] as [&str; 0]);
}
