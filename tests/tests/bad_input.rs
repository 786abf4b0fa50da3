//! What no well-meaning client sends: each gets a clear answer, and nothing is lost or left behind.

use std::time::Duration;

use serde_json::json;
use starling_tests::app::App;
use starling_tests::audio::{self, Encoding};
use starling_tests::client::Call;
use starling_tests::host::Host;
use starling_tests::mailbox::Mailbox;
use starling_tests::wire::{Wire, status_of};

const MIB: usize = 1024 * 1024;
/// The limit that these tests set, below the default so that less is sent.
const BODY_MAX: usize = 2 * MIB;

async fn with_mailbox() -> (App, Host, Mailbox) {
    let app = App::voicemail();
    let host = app
        .launch_with(&format!("[limits]\nrequest_body_bytes_max = {BODY_MAX}\n"))
        .start()
        .await;
    let mailbox = Mailbox::create(&host, "anna").await;
    (app, host, mailbox)
}

/// After whatever was done to it, the host takes and returns a message, and holds no other.
async fn unharmed(host: &Host, mailbox: &Mailbox) {
    assert!(
        mailbox.ids(host, "inbox").await.is_empty(),
        "something was left behind"
    );
    let wav = audio::speech(Encoding::MuLaw);
    let id = mailbox.leave(host, wav).await;
    assert_eq!(mailbox.fetch(host, &id).await, wav);
    assert_eq!(mailbox.ids(host, "inbox").await, [id]);
}

// === Bodies ===

#[tokio::test]
async fn body_over_the_limit_is_refused_whether_announced_or_not() {
    let (_app, host, mailbox) = with_mailbox().await;
    let head = |framing: &str| {
        format!(
            "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\n{framing}\r\n\r\n",
            mailbox.messages()
        )
    };
    // Announced: refused before the body is sent, and also to a client that sends it without waiting.
    let announced = head(&format!("content-length: {}", BODY_MAX + 1));
    let mut wire = Wire::open(host.address()).await;
    wire.send(&announced).await;
    assert_eq!(wire.status().await, Some(413));
    let problem = wire.read_all(starling_tests::host::PATIENCE).await;
    assert!(
        problem.contains("\"urn:starling:problem:body-too-large\""),
        "{problem}"
    );
    let mut wire = Wire::open(host.address()).await;
    wire.send([announced.as_bytes(), &[7; BODY_MAX + 1]].concat())
        .await;
    assert_eq!(wire.status().await, Some(413));

    // Not announced: refused once it is too long.
    let mut wire = Wire::open(host.address()).await;
    wire.send(head("transfer-encoding: chunked")).await;
    let chunk = [
        format!("{MIB:x}\r\n").into_bytes(),
        vec![7; MIB],
        b"\r\n".to_vec(),
    ]
    .concat();
    for _ in 0..BODY_MAX / MIB + 1 {
        wire.send(&chunk).await;
    }
    assert_eq!(wire.status().await, Some(413));
    unharmed(&host, &mailbox).await;
}

#[tokio::test]
async fn upload_that_breaks_off_leaves_nothing() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::long_speech();
    let announced = format!("content-length: {}\r\n\r\n", wav.len());
    for (framing, sent) in [
        (announced.as_str(), wav),
        ("transfer-encoding: chunked\r\n\r\n75300\r\n", wav),
    ] {
        let mut wire = Wire::open(host.address()).await;
        wire.send(format!(
            "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\n{framing}",
            mailbox.messages()
        ))
        .await;
        wire.send(&sent[..sent.len() / 2]).await;
        wire.finish().await;
        let answer = wire.read_all(Duration::from_secs(10)).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    unharmed(&host, &mailbox).await;
}

#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let (_app, host, mailbox) = with_mailbox().await;
    // RFC 9112, section 6.3: what two servers may read differently is how requests get smuggled.
    for framing in [
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "content-length: -5\r\n\r\nhello",
        "content-length: 5x\r\n\r\nhello",
        "content-length: 99999999999999999999999999\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello",
        "transfer-encoding: gzip\r\n\r\nhello",
    ] {
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\n{framing}",
            mailbox.messages()
        );
        let mut wire = Wire::open(host.address()).await;
        wire.send(request).await;
        let answer = wire.read_all(Duration::from_secs(10)).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{framing:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "one request, one answer: {answer}"
        );
    }
    unharmed(&host, &mailbox).await;
}

// === Heads ===

#[tokio::test]
async fn absurd_heads_are_refused() {
    let (_app, host, mailbox) = with_mailbox().await;
    let address = host.address();
    let get = |rest: &str| format!("GET /v1/mailboxes/anna HTTP/1.1\r\nhost: a\r\n{rest}\r\n");
    let many: String = (0..2000).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(
        status_of(address, get(&many)).await,
        Some(431),
        "too many headers"
    );
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    assert_eq!(
        status_of(address, get(&long)).await,
        Some(431),
        "a header too long"
    );
    let path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(100_000));
    assert!(
        matches!(status_of(address, path).await, Some(414 | 431)),
        "a path too long"
    );
    for (what, request) in [
        ("a header without a colon", get("nonsense\r\n")),
        ("a control character in a header", get("x: a\x01b\r\n")),
        ("a space before the colon", get("x : y\r\n")),
        ("a folded header", get("x: y\r\n z\r\n")),
        (
            "a version that is none",
            "GET / HTTP/9.9\r\nhost: a\r\n\r\n".to_owned(),
        ),
        (
            "a method that is none",
            "G(T / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        ),
        (
            "a space in the path",
            "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        ),
        (
            "a host that is none",
            "GET /v1/mailboxes/anna HTTP/1.1\r\nhost: a b/c\r\n\r\n".to_owned(),
        ),
        (
            "a greeting of another protocol",
            "EHLO mail.example\r\n\r\n".to_owned(),
        ),
        ("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned()),
    ] {
        let status = status_of(address, request).await;
        assert!(matches!(status, None | Some(400)), "{what}: {status:?}");
    }
    unharmed(&host, &mailbox).await;
}

#[tokio::test]
async fn client_that_dribbles_its_head_is_shut_out() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nheader_timeout_ms = 500\n")
        .start()
        .await;
    let mut wire = Wire::open(host.address()).await;
    wire.send("GET /hello HTTP/1.1\r\nhost").await;
    let answer = wire.read_all(starling_tests::host::PATIENCE).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
}

#[tokio::test]
async fn absurd_paths_name_nothing() {
    let (_app, host, mailbox) = with_mailbox().await;
    for path in [
        "/v1/mailboxes/..%2f..%2fetc",
        "/v1/mailboxes/anna%00",
        "/v1/mailboxes/%ff%fe",
        "/v1/mailboxes/%",
        "/v1/mailboxes/anna/../bob",
        "/v1//mailboxes/anna",
        "/v1/mailboxes/anna/messages/%2e%2e/audio",
        "/v1/mailboxes/ANNA",
        "/v1/mailboxes/\u{e4}nna",
    ] {
        let path: String = path
            .bytes()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        Call::get(path).send(&host).await.problem(404);
    }
    let long = format!("/v1/mailboxes/{}", "a".repeat(65));
    Call::get(long).send(&host).await.problem(404);
    unharmed(&host, &mailbox).await;
}

#[tokio::test]
async fn mailbox_with_an_impossible_name_is_not_created() {
    let (_app, host, _) = with_mailbox().await;
    for name in [
        "ANNA",
        "a%2Fb",
        "%2B",
        "%2Bphone",
        "a%20b",
        &"a".repeat(65),
        "%2B1234567890123456",
    ] {
        let problem = Call::put(format!("/v1/mailboxes/{name}"))
            .json(&json!({}))
            .send(&host)
            .await
            .problem(422);
        assert_eq!(
            problem["type"], "urn:starling:problem:mailbox-id-invalid",
            "{name}"
        );
    }
}

// === The API ===

#[tokio::test]
async fn unknown_mailbox_and_unknown_message_are_told_apart() {
    let (_app, host, mailbox) = with_mailbox().await;
    let nobody = Mailbox::named("nobody");
    let wav = audio::speech(Encoding::MuLaw);
    let id = mailbox.leave(&host, wav).await;
    let absent: String = id
        .chars()
        .map(|c| if c == '0' { '1' } else { '0' })
        .collect();
    let told = async |call: Call, expected: &str| {
        let problem = call.send(&host).await.problem(404);
        assert_eq!(
            problem["type"],
            format!("urn:starling:problem:{expected}"),
            "{problem}"
        );
    };
    told(Call::get(nobody.path()), "mailbox-not-found").await;
    told(Call::get(nobody.messages()), "mailbox-not-found").await;
    told(
        Call::get(format!("{}/summary", nobody.path())),
        "mailbox-not-found",
    )
    .await;
    told(nobody.deposit(wav), "mailbox-not-found").await;
    told(Call::get(nobody.audio(&id)), "mailbox-not-found").await;
    told(
        Call::patch(nobody.message(&id)).json(&json!({ "seen": true })),
        "mailbox-not-found",
    )
    .await;
    for unknown in [absent.as_str(), "nonsense", "0"] {
        told(Call::get(mailbox.message(unknown)), "message-not-found").await;
        told(Call::get(mailbox.audio(unknown)), "message-not-found").await;
        told(Call::delete(mailbox.message(unknown)), "message-not-found").await;
        told(
            Call::patch(mailbox.message(unknown)).json(&json!({ "seen": true })),
            "message-not-found",
        )
        .await;
    }
}

#[tokio::test]
async fn wrong_json_is_refused_and_changes_nothing() {
    let (_app, host, mailbox) = with_mailbox().await;
    let id = mailbox.leave(&host, audio::speech(Encoding::MuLaw)).await;
    let before = mailbox.get(&host, &id).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = &deep[..60_000];
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("null", 400),
        ("[true]", 400),
        ("\u{0}", 400),
        (deep, 400),
        ("{\"seen\": true", 400),
        ("{\"seen\": 1}", 422),
        ("{\"seen\": \"true\"}", 422),
        ("{\"seen\": null}", 422),
        ("{\"sen\": true}", 422),
        ("{\"deleted\": true, \"id\": \"x\"}", 422),
    ] {
        let patch = Call::patch(mailbox.message(&id))
            .header("content-type", "application/json")
            .body(body.to_owned());
        patch.send(&host).await.problem(status);
    }
    let not_text = Call::patch(mailbox.message(&id))
        .header("content-type", "application/json")
        .body(&b"{\"seen\xff\": true}"[..]);
    not_text.send(&host).await.problem(400);
    assert_eq!(mailbox.get(&host, &id).await, before);
    for body in [
        "[]",
        "{\"quota_messages\": 0}",
        "{\"quota_messages\": -1}",
        "{\"quota_bytes\": 1.5}",
        "{\"colour\": 1}",
    ] {
        let put = Call::put(mailbox.path())
            .header("content-type", "application/json")
            .body(body);
        let answer = put.send(&host).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 422),
            "{body}: {}",
            answer.text()
        );
        answer.problem(answer.status.as_u16());
    }
}

#[tokio::test]
async fn wrong_particulars_are_refused_by_name() {
    let (_app, host, mailbox) = with_mailbox().await;
    for (name, value) in [
        ("voicemail-urgent", "perhaps"),
        ("voicemail-private", "2"),
        ("voicemail-received-at", "yesterday"),
        ("voicemail-received-at", "2026-13-45T99:00:00Z"),
        ("idempotency-key", "two words"),
        ("idempotency-key", ""),
    ] {
        let call = mailbox
            .deposit(audio::speech(Encoding::MuLaw))
            .header(name, value);
        let problem = call.send(&host).await.problem(400);
        assert!(
            problem["detail"].as_str().unwrap().contains(name),
            "{problem}"
        );
    }
    let tomorrow = mailbox
        .deposit(audio::speech(Encoding::MuLaw))
        .header("voicemail-received-at", "2999-01-01T00:00:00Z");
    tomorrow.send(&host).await.problem(422);
    unharmed(&host, &mailbox).await;
}

#[tokio::test]
async fn wrong_query_is_refused_by_name() {
    let (_app, host, mailbox) = with_mailbox().await;
    for (query, culprit) in [
        ("folder=outbox", "folder"),
        ("limit=0", "limit"),
        ("limit=ten", "limit"),
        ("limit=1000000", "limit"),
        ("cursor=nonsense", "cursor"),
        ("colour=red", "colour"),
    ] {
        let problem = Call::get(format!("{}?{query}", mailbox.messages()))
            .send(&host)
            .await
            .problem(400);
        assert!(
            problem["detail"].as_str().unwrap().contains(culprit),
            "{problem}"
        );
    }
}

// === Audio ===

#[tokio::test]
async fn broken_audio_is_refused_and_not_kept() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::speech(Encoding::Pcm16);
    let with = |at: usize, bytes: &[u8]| {
        let mut wav = wav.to_vec();
        wav[at..at + bytes.len()].copy_from_slice(bytes);
        wav
    };
    let data = wav.windows(4).position(|four| four == b"data").unwrap();
    for (what, broken, statuses) in [
        ("nothing", Vec::new(), [415, 422]),
        ("text", b"hello, I am not audio".to_vec(), [415, 415]),
        ("the header alone", wav[..44].to_vec(), [422, 422]),
        ("half a header", wav[..20].to_vec(), [422, 415]),
        (
            "the half of a file",
            wav[..wav.len() / 2].to_vec(),
            [422, 422],
        ),
        ("no channels", with(22, &[0, 0]), [422, 415]),
        ("no samples a second", with(24, &[0, 0, 0, 0]), [422, 415]),
        ("a codec that is none", with(20, &[0xEE, 0xEE]), [415, 415]),
        (
            "data that claims to be longer",
            with(data + 4, &(wav.len() as u32).to_le_bytes()),
            [422, 422],
        ),
        ("another kind of RIFF", with(8, b"AVI "), [415, 415]),
    ] {
        let answer = mailbox.deposit(broken).send(&host).await;
        let status = answer.status.as_u16();
        assert!(
            statuses.contains(&status),
            "{what}: {status} {}",
            answer.text()
        );
        answer.problem(status);
    }
    let declared = Call::post(mailbox.messages())
        .header("content-type", "audio/ogg")
        .body(wav);
    declared.send(&host).await.problem(415);
    unharmed(&host, &mailbox).await;
}

// === Silence and slowness ===

#[tokio::test]
async fn connection_that_stays_silent_is_closed() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nheader_timeout_ms = 200\n")
        .start()
        .await;
    for beginning in ["", "P", "GET / HT"] {
        let mut wire = Wire::open(host.address()).await;
        wire.send(beginning).await;
        let closed = tokio::time::timeout(starling_tests::host::PATIENCE, wire.status()).await;
        let status = closed.unwrap_or_else(|_| panic!("still open after {beginning:?}"));
        assert!(matches!(status, None | Some(408)), "{status:?}");
    }
}

#[tokio::test]
async fn upload_that_comes_slowly_is_given_its_time_and_one_that_stalls_is_not() {
    const HEAD: &str = "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n";

    let app = App::guest();
    let host = app
        .launch_with("[limits]\nrequest_timeout_ms = 800\n")
        .start()
        .await;
    let mut slow = Wire::open(host.address()).await;
    slow.send(HEAD).await;
    for byte in b"12345678" {
        tokio::time::sleep(Duration::from_millis(250)).await;
        slow.send([*byte]).await;
    }
    assert_eq!(slow.status().await, Some(200));

    let mut stalled = Wire::open(host.address()).await;
    stalled.send(HEAD).await;
    stalled.send("1234").await;
    assert_eq!(stalled.status().await, Some(504));
}

#[tokio::test]
async fn request_that_names_no_host_or_two_is_refused() {
    let app = App::guest();
    let host = app.launch().start().await;
    for (head, expected) in [
        ("GET /hello HTTP/1.1\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nhost: user@a\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("GET /hello HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(
            status_of(host.address(), head).await,
            Some(expected),
            "{head:?}"
        );
    }
}
