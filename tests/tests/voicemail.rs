//! A voicemail is left, listed, fetched, marked, deleted and brought back: the main job, on speech.

use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value, json};
use starling_tests::app::App;
use starling_tests::audio::{self, Encoding};
use starling_tests::client::{Call, Connection};
use starling_tests::host::Host;
use starling_tests::mailbox::{Mailbox, created_id, persist};
use starling_tests::wire::Wire;

const ANNA: &str = "+15551230001";

/// A host with one empty mailbox.
async fn with_mailbox() -> (App, Host, Mailbox) {
    let app = App::voicemail();
    let host = app.launch().start().await;
    let mailbox = Mailbox::create(&host, ANNA).await;
    (app, host, mailbox)
}

// === The life of a message ===

#[tokio::test]
async fn speech_in_every_encoding_comes_back_byte_for_byte() {
    let (_app, host, mailbox) = with_mailbox().await;
    for encoding in Encoding::ALL {
        let wav = audio::speech(encoding);
        let id = mailbox.leave(&host, wav).await;
        let fetched = Call::get(mailbox.audio(&id)).send(&host).await.expect(200);
        assert!(fetched.body == wav, "{encoding:?} differs");
        assert_eq!(fetched.header("content-type"), "audio/wav", "{encoding:?}");
        assert_eq!(
            fetched.header("content-length"),
            wav.len().to_string(),
            "{encoding:?}"
        );

        let message = mailbox.get(&host, &id).await;
        let told = message["duration_ms"].as_u64().unwrap();
        assert!(
            told.abs_diff(audio::duration_ms(wav, encoding)) <= 1,
            "{encoding:?}: {message}"
        );
        assert_eq!(message["size_bytes"], wav.len(), "{encoding:?}");
    }
}

#[tokio::test]
async fn message_tells_what_the_caller_said_of_it() {
    let (_app, host, mailbox) = with_mailbox().await;
    let deposit = mailbox
        .deposit(audio::speech(Encoding::MuLaw))
        .header("voicemail-urgent", "true")
        .header("voicemail-private", "true")
        .header("voicemail-received-at", "2026-01-31T09:30:00Z");
    let deposited = deposit.send(&host).await;
    let id = created_id(&deposited);
    let message = mailbox.get(&host, &id).await;
    assert_eq!(
        message,
        deposited.json(),
        "the answer to a deposit is the message"
    );
    for (member, expected) in [
        ("id", json!(id)),
        ("mailbox", json!(ANNA)),
        ("from", json!("+15551230099")),
        ("media_type", json!("audio/wav")),
        ("urgent", json!(true)),
        ("private", json!(true)),
        ("seen", json!(false)),
        ("saved", json!(false)),
        ("deleted", json!(false)),
        ("region", json!("local")),
    ] {
        assert_eq!(message[member], expected, "{member}");
    }
    let received = message["received_at"].as_str().unwrap();
    assert!(
        received.starts_with("2026-01-31T09:30:00") && received.ends_with('Z'),
        "{received}"
    );
}

#[tokio::test]
async fn message_moves_between_folders_as_it_is_marked() {
    let (_app, host, mailbox) = with_mailbox().await;
    let id = mailbox.leave(&host, audio::speech(Encoding::ALaw)).await;
    let only = vec![id.clone()];
    let folders = async |expected: [&Vec<String>; 3], when: &str| {
        for (folder, expected) in ["inbox", "saved", "trash"].into_iter().zip(expected) {
            assert_eq!(
                &mailbox.ids(&host, folder).await,
                expected,
                "{folder} {when}"
            );
        }
    };
    let none = Vec::new();
    folders([&only, &none, &none], "at first").await;

    mailbox.patch(&host, &id, json!({ "seen": true })).await;
    assert_eq!(mailbox.get(&host, &id).await["seen"], true);
    mailbox.patch(&host, &id, json!({ "saved": true })).await;
    folders([&none, &only, &none], "once saved").await;

    Call::delete(mailbox.message(&id))
        .send(&host)
        .await
        .expect_success();
    folders([&none, &none, &only], "once deleted").await;
    Call::delete(mailbox.message(&id))
        .send(&host)
        .await
        .expect_success();
    folders([&none, &none, &only], "once deleted twice").await;

    mailbox
        .patch(&host, &id, json!({ "deleted": false, "saved": false }))
        .await;
    folders([&only, &none, &none], "once brought back").await;
    assert_eq!(
        mailbox.get(&host, &id).await["seen"],
        true,
        "other flags stay"
    );
    assert_eq!(
        mailbox.fetch(&host, &id).await,
        audio::speech(Encoding::ALaw)
    );
}

#[tokio::test]
async fn summary_counts_by_state() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::speech(Encoding::MuLaw);
    let (first, _second) = (
        mailbox.leave(&host, wav).await,
        mailbox.leave(&host, wav).await,
    );
    created_id(
        &mailbox
            .deposit(wav)
            .header("voicemail-urgent", "true")
            .send(&host)
            .await,
    );
    mailbox
        .patch(&host, &first, json!({ "seen": true, "saved": true }))
        .await;
    let summary = Call::get(format!("{}/summary", mailbox.path()))
        .send(&host)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&summary["new"], &summary["saved"], &summary["urgent"]),
        (&json!(2), &json!(1), &json!(1)),
        "{summary}"
    );
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let (_app, host, mailbox) = with_mailbox().await;
    let (kept, binned) = (
        mailbox.leave(&host, audio::long_speech()).await,
        mailbox.leave(&host, audio::speech(Encoding::Pcm8)).await,
    );
    mailbox.patch(&host, &kept, json!({ "seen": true })).await;
    Call::delete(mailbox.message(&binned))
        .send(&host)
        .await
        .expect_success();
    let before = mailbox.get(&host, &kept).await;

    let host = host.stop().await.start().await;
    assert_eq!(mailbox.get(&host, &kept).await, before);
    assert_eq!(mailbox.ids(&host, "trash").await, [binned]);
    assert_eq!(mailbox.fetch(&host, &kept).await, audio::long_speech());
}

// === Lists ===

#[tokio::test]
async fn list_is_newest_first_and_pages_without_gap_or_repeat() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::speech(Encoding::MuLaw);
    let mut expected = Vec::new();
    for minute in [3, 1, 4, 0, 5, 2, 6] {
        let at = format!("2026-01-31T09:3{minute}:00Z");
        let deposited = mailbox
            .deposit(wav)
            .header("voicemail-received-at", &at)
            .send(&host)
            .await;
        expected.push((minute, created_id(&deposited)));
    }
    expected.sort_by_key(|(minute, _)| std::cmp::Reverse(*minute));
    let expected: Vec<String> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(mailbox.ids(&host, "inbox").await, expected);

    let mut paged: Vec<Value> = Vec::new();
    let mut path = format!("{}?limit=3", mailbox.messages());
    let sizes: &mut Vec<usize> = &mut Vec::new();
    loop {
        let page = Call::get(&path).send(&host).await.expect(200).json();
        let messages = page["messages"].as_array().unwrap();
        sizes.push(messages.len());
        paged.extend(messages.iter().map(|message| message["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{}?limit=3&cursor={cursor}", mailbox.messages()),
            None => break,
        }
    }
    assert_eq!(*sizes, [3, 3, 1]);
    assert_eq!(paged, expected);
}

#[tokio::test]
async fn mailboxes_do_not_see_each_other() {
    let (_app, host, anna) = with_mailbox().await;
    let bob = Mailbox::create(&host, "bob").await;
    let id = anna.leave(&host, audio::speech(Encoding::Pcm16)).await;
    assert!(bob.ids(&host, "inbox").await.is_empty());
    for path in [bob.message(&id), bob.audio(&id)] {
        Call::get(path).send(&host).await.problem(404);
    }
    Call::delete(bob.message(&id))
        .send(&host)
        .await
        .problem(404);
    assert_eq!(anna.ids(&host, "inbox").await, [id]);
}

// === Audio over HTTP ===

#[tokio::test]
async fn audio_is_served_by_range() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::long_speech();
    let id = mailbox.leave(&host, wav).await;
    let end = wav.len();
    let check = async |range: &str, expected: std::ops::Range<usize>| {
        let part = Call::get(mailbox.audio(&id))
            .header("range", range)
            .send(&host)
            .await
            .expect(206);
        let told = format!("bytes {}-{}/{end}", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), told, "{range}");
        assert_eq!(
            part.header("content-length"),
            expected.len().to_string(),
            "{range}"
        );
        assert!(part.body == wav[expected], "{range} differs");
    };
    check("bytes=0-0", 0..1).await;
    check("bytes=44-1043", 44..1044).await;
    // Across the border of two stored chunks of 256 KiB, and both sides of it.
    check("bytes=262143-262144", 262_143..262_145).await;
    check("bytes=262144-262144", 262_144..262_145).await;
    check("bytes=0-262143", 0..262_144).await;
    check("bytes=480000-", 480_000..end).await;
    check("bytes=-100", end - 100..end).await;
    check("bytes=100-99999999", 100..end).await;

    let beyond = Call::get(mailbox.audio(&id))
        .header("range", "bytes=99999999-")
        .send(&host)
        .await;
    beyond.problem(416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{end}"));
    // RFC 9110, section 14.2: a range that cannot be understood counts as absent.
    let whole = Call::get(mailbox.audio(&id))
        .header("range", "rows=1-2")
        .send(&host)
        .await
        .expect(200);
    assert_eq!(whole.body.len(), end);
}

#[tokio::test]
async fn tag_is_of_the_bytes_whatever_a_client_says_of_them() {
    // Where the host digests what comes and sends what goes, and where the component does it itself.
    for app in [App::voicemail(), App::unaided_voicemail()] {
        let host = app.launch().start().await;
        let mailbox = Mailbox::create(&host, ANNA).await;
        let wav = audio::speech(Encoding::MuLaw);
        let forged = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
        let mut wire = Wire::open(host.address()).await;
        wire.send(format!(
            "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\ntrailer: content-digest\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n",
            mailbox.messages(),
            wav.len()
        ))
        .await;
        wire.send(wav).await;
        wire.send(format!("\r\n0\r\ncontent-digest: {forged}\r\n\r\n"))
            .await;
        assert_eq!(wire.status().await, Some(201));

        let whole = mailbox.leave(&host, wav).await;
        let messages = mailbox.list(&host, "inbox").await;
        assert_eq!(messages.len(), 2);
        let tag = format!("\"{}\"", starling_mailbox::Digest::of(wav));
        for message in messages {
            let id = message["id"].as_str().expect("an id");
            let audio = Call::get(mailbox.audio(id)).send(&host).await.expect(200);
            assert_eq!(audio.header("etag"), tag, "the whole one is {whole}");
            assert!(audio.body == wav, "{id} differs");
            assert!(!audio.headers.contains_key("starling-send"));
        }
    }
}

#[tokio::test]
async fn audio_is_not_sent_again_to_who_has_it() {
    let (_app, host, mailbox) = with_mailbox().await;
    let id = mailbox.leave(&host, audio::speech(Encoding::Pcm16)).await;
    let etag = Call::get(mailbox.audio(&id))
        .send(&host)
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    assert!(
        etag.starts_with('"') && etag.ends_with('"'),
        "a strong tag: {etag}"
    );

    let check = async |tags: &str, status: u16| {
        let answer = Call::get(mailbox.audio(&id))
            .header("if-none-match", tags)
            .send(&host)
            .await
            .expect(status);
        assert_eq!(answer.header("etag"), etag, "{tags}");
        assert_eq!(answer.body.is_empty(), status == 304, "{tags}");
    };
    check(&etag, 304).await;
    check(&format!("\"other\", {etag}"), 304).await;
    check(&format!("W/{etag}"), 304).await;
    check("*", 304).await;
    check("\"other\"", 200).await;

    let same = mailbox.leave(&host, audio::speech(Encoding::Pcm16)).await;
    let again = Call::get(mailbox.audio(&same))
        .send(&host)
        .await
        .expect(200);
    assert_eq!(again.header("etag"), etag, "the tag is of the bytes");
    let range = Call::get(mailbox.audio(&id))
        .header("range", "bytes=0-9")
        .header("if-range", &etag);
    assert_eq!(range.send(&host).await.expect(206).body.len(), 10);
    let range = Call::get(mailbox.audio(&id))
        .header("range", "bytes=0-9")
        .header("if-range", "\"other\"");
    assert!(range.send(&host).await.expect(200).body.len() > 10);
}

#[tokio::test]
async fn head_tells_what_get_would_and_sends_no_body() {
    let (_app, host, mailbox) = with_mailbox().await;
    let id = mailbox.leave(&host, audio::speech(Encoding::Pcm16)).await;
    let summary = format!("{}/summary", mailbox.path());
    for path in [
        mailbox.path(),
        summary,
        mailbox.messages(),
        mailbox.message(&id),
        mailbox.audio(&id),
    ] {
        let get = Call::get(&path).send(&host).await.expect(200);
        let head = Call::head(&path).send(&host).await.expect(200);
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "content-length", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        assert_eq!(
            get.header("content-length"),
            get.body.len().to_string(),
            "{path}"
        );
    }
    let missing = Call::head(mailbox.message("nothing"))
        .send(&host)
        .await
        .expect(404);
    assert!(missing.body.is_empty());
}

// === Deposits ===

#[tokio::test]
async fn form_deposits_like_a_raw_body() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::speech(Encoding::MuLaw);
    let form = |fields: &[(&str, &[u8])]| {
        let mut body = Vec::new();
        for (name, value) in fields {
            body.extend_from_slice(
                format!("--sep\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes(),
            );
            let more: &[u8] = match *name {
                "audio" => b"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n",
                _ => b"\r\n\r\n",
            };
            body.extend_from_slice(more);
            body.extend_from_slice(value);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--sep--\r\n");
        Call::post(mailbox.messages())
            .header("content-type", "multipart/form-data; boundary=sep")
            .body(body)
    };
    let whole = form(&[
        ("from", b"+15551239999"),
        ("audio", wav),
        ("urgent", b"true"),
        ("private", b""),
    ]);
    let id = created_id(&whole.send(&host).await);
    let message = mailbox.get(&host, &id).await;
    assert_eq!(
        (&message["from"], &message["urgent"], &message["private"]),
        (&json!("+15551239999"), &json!(true), &json!(false))
    );
    assert_eq!(mailbox.fetch(&host, &id).await, wav);

    form(&[("from", b"+15551239999")])
        .send(&host)
        .await
        .problem(422);
    let cut = Call::post(mailbox.messages())
        .header("content-type", "multipart/form-data; boundary=sep")
        .body(&b"--sep\r\nContent-Disposition: form-data; name=\"audio\"\r\n\r\nRIFF"[..]);
    cut.send(&host).await.problem(400);
}

#[tokio::test]
async fn recording_from_a_pipe_is_taken_with_its_real_length() {
    let (_app, host, mailbox) = with_mailbox().await;
    // A writer that cannot go back leaves the sizes in the header at their largest; sox does exactly this.
    let mut wav = audio::speech(Encoding::MuLaw).to_vec();
    let real = audio::duration_ms(&wav, Encoding::MuLaw);
    let data = wav.windows(4).position(|four| four == b"data").unwrap();
    wav[4..8].copy_from_slice(&0x7fff_f024_u32.to_le_bytes());
    wav[data + 4..data + 8].copy_from_slice(&0x7fff_f000_u32.to_le_bytes());
    let id = mailbox.leave(&host, wav.clone()).await;
    assert_eq!(mailbox.fetch(&host, &id).await, wav);
    let told = mailbox.get(&host, &id).await["duration_ms"]
        .as_u64()
        .unwrap();
    assert!(told.abs_diff(real) <= 1, "{told} ms instead of {real}");
}

#[tokio::test]
async fn retry_with_the_same_key_is_the_same_message() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::speech(Encoding::MuLaw);
    let first = created_id(&mailbox.deposit_once(wav, "call-17").send(&host).await);
    for _ in 0..3 {
        assert_eq!(
            created_id(&mailbox.deposit_once(wav, "call-17").send(&host).await),
            first
        );
    }
    assert_eq!(
        mailbox.ids(&host, "inbox").await,
        std::slice::from_ref(&first)
    );

    let other = created_id(&mailbox.deposit_once(wav, "call-18").send(&host).await);
    assert_ne!(other, first, "another key is another message");
    let bob = Mailbox::create(&host, "bob").await;
    let elsewhere = created_id(&bob.deposit_once(wav, "call-17").send(&host).await);
    assert_ne!(elsewhere, first, "a key counts within a mailbox");

    let problem = mailbox
        .deposit_once(audio::tagged(wav, 1), "call-17")
        .send(&host)
        .await
        .problem(422);
    assert_eq!(
        problem["type"],
        "urn:starling:problem:idempotency-key-reused"
    );
    assert_eq!(
        mailbox.fetch(&host, &first).await,
        wav,
        "the first audio stays"
    );

    let host = host.stop().await.start().await;
    assert_eq!(
        created_id(&mailbox.deposit_once(wav, "call-17").send(&host).await),
        first,
        "also after a restart"
    );
}

#[tokio::test]
async fn simultaneous_retries_make_one_message() {
    let (_app, host, mailbox) = with_mailbox().await;
    let wav = audio::speech(Encoding::MuLaw);
    let deposits = (0..16).map(|_| async {
        let answer = persist(&mut None, host.address(), &mailbox.deposit_once(wav, "one"))
            .await
            .unwrap();
        created_id(&answer)
    });
    let mut ids = join_all(deposits).await;
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(mailbox.ids(&host, "inbox").await, ids);
    assert_eq!(mailbox.fetch(&host, &ids[0]).await, wav);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_racing_on_one_mailbox_lose_nothing() {
    const CLIENTS: u64 = 50;
    const EACH: u64 = 3;
    let (_app, host, mailbox) = with_mailbox().await;
    let (wav, address) = (audio::speech(Encoding::MuLaw), host.address());
    let clients = (0..CLIENTS).map(|client| {
        let mailbox = mailbox.clone();
        tokio::spawn(async move {
            let mut connection: Option<Connection> = None;
            let mut left = Vec::new();
            for n in 0..EACH {
                let number = client * EACH + n;
                let audio = Bytes::from(audio::tagged(wav, number));
                let deposit = mailbox.deposit_once(audio, &format!("race-{number}"));
                let answer = persist(&mut connection, address, &deposit).await.unwrap();
                left.push((created_id(&answer), number));
            }
            left
        })
    });
    let mut left = Vec::new();
    for client in join_all(clients).await {
        left.extend(client.unwrap());
    }
    let mut listed = mailbox.ids(&host, "inbox").await;
    listed.sort();
    let mut expected: Vec<String> = left.iter().map(|(id, _)| id.clone()).collect();
    expected.sort();
    assert_eq!(listed, expected);
    for (id, number) in left {
        assert!(
            mailbox.fetch(&host, &id).await == audio::tagged(wav, number),
            "{number} differs"
        );
    }
}

#[tokio::test]
async fn full_mailbox_says_so_and_takes_messages_again_once_changed() {
    let (_app, host, mailbox) = with_mailbox().await;
    let settings = |quota: u32| Call::put(mailbox.path()).json(&json!({ "quota_messages": quota }));
    settings(2).send(&host).await.expect(200);
    let wav = audio::speech(Encoding::MuLaw);
    mailbox.leave(&host, wav).await;
    mailbox.leave(&host, wav).await;
    let problem = mailbox.deposit(wav).send(&host).await.problem(507);
    assert_eq!(problem["type"], "urn:starling:problem:mailbox-full");
    settings(3).send(&host).await.expect(200);
    mailbox.leave(&host, wav).await;
}

// === The API over HTTP ===

#[tokio::test]
async fn mailbox_is_created_once_and_shown() {
    let (_app, host, _) = with_mailbox().await;
    let bob = Mailbox::named("bob");
    Call::get(bob.path()).send(&host).await.problem(404);
    let created = Call::put(bob.path())
        .json(&json!({}))
        .send(&host)
        .await
        .expect(201);
    assert_eq!(created.header("location"), bob.path());
    let again = Call::put(bob.path())
        .json(&json!({}))
        .send(&host)
        .await
        .expect(200);
    assert_eq!(again.json(), created.json());
    assert_eq!(
        Call::get(bob.path()).send(&host).await.expect(200).json(),
        created.json()
    );
}

#[tokio::test]
async fn method_that_a_resource_lacks_is_refused_with_those_it_has() {
    let (_app, host, mailbox) = with_mailbox().await;
    let id = mailbox.leave(&host, audio::speech(Encoding::MuLaw)).await;
    for (method, path, allow) in [
        ("POST", mailbox.path(), "GET, HEAD, PUT, DELETE"),
        ("PUT", mailbox.messages(), "GET, HEAD, POST, PATCH, DELETE"),
        ("PUT", mailbox.message(&id), "GET, HEAD, PATCH, DELETE"),
        ("POST", mailbox.audio(&id), "GET, HEAD"),
        ("BREW", mailbox.audio(&id), "GET, HEAD"),
    ] {
        let answer = Call::new(method.parse().unwrap(), path).send(&host).await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), allow, "{method}");
    }
}

#[tokio::test]
async fn path_that_names_nothing_is_not_found() {
    let (_app, host, mailbox) = with_mailbox().await;
    for path in [
        "/v1".to_owned(),
        "/v1/nothing".to_owned(),
        format!("{}/", mailbox.path()),
        format!("{}/nothing", mailbox.path()),
        format!("{}/messages/", mailbox.path()),
    ] {
        Call::get(path).send(&host).await.problem(404);
    }
}

#[tokio::test]
async fn media_types_are_negotiated() {
    let (_app, host, mailbox) = with_mailbox().await;
    let id = mailbox.leave(&host, audio::speech(Encoding::MuLaw)).await;
    Call::get(mailbox.messages())
        .header("accept", "text/html")
        .send(&host)
        .await
        .problem(406);
    Call::get(mailbox.audio(&id))
        .header("accept", "audio/ogg")
        .send(&host)
        .await
        .problem(406);
    for accept in ["*/*", "audio/*", "text/html, audio/wav;q=0.1"] {
        Call::get(mailbox.audio(&id))
            .header("accept", accept)
            .send(&host)
            .await
            .expect(200);
    }
    let patch = || Call::patch(mailbox.message(&id)).body("seen=true");
    patch()
        .header("content-type", "application/x-www-form-urlencoded")
        .send(&host)
        .await
        .problem(415);
    let deposit = Call::post(mailbox.messages()).body(audio::speech(Encoding::MuLaw));
    deposit
        .header("content-type", "text/plain")
        .send(&host)
        .await
        .problem(415);
}

#[tokio::test]
async fn api_answers_alike_over_http2() {
    let (_app, host, mailbox) = with_mailbox().await;
    let id = created_id(
        &mailbox
            .deposit(audio::long_speech())
            .send_http2(&host)
            .await,
    );
    let fetched = Call::get(mailbox.audio(&id))
        .send_http2(&host)
        .await
        .expect(200);
    assert_eq!(fetched.body, audio::long_speech());
    let over_http1 = mailbox.get(&host, &id).await;
    assert_eq!(
        Call::get(mailbox.message(&id))
            .send_http2(&host)
            .await
            .json(),
        over_http1
    );
}
