//! The service around the messages, on a real host: recordings of every format, a webhook that is told also after its host
//! was killed, a disk that gets its space back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use starling_access::WebhookSecret;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::host::PATIENCE;
use starling_tests::mailbox::{Mailbox, created_id};
use starling_tests::paths;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// A recording of the domain's tests, made by sox and its like.
fn recording(name: &str) -> Vec<u8> {
    let folder = paths::root().join("components/mailbox/tests/fixtures/audio");
    std::fs::read(folder.join(name)).expect("the fixture is readable")
}

#[tokio::test]
async fn every_common_format_is_taken_and_what_browsers_lack_is_decoded() {
    let app = App::voicemail();
    let host = app.launch().start().await;
    let mailbox = Mailbox::create(&host, "formats").await;
    for (file, declared, stored, decoded) in [
        ("speech.wav", "audio/wav", "audio/wav", true),
        ("mulaw.wav", "audio/wav", "audio/wav", true),
        ("alaw.wav", "audio/x-wav", "audio/wav", true),
        ("gsm.wav", "audio/wav", "audio/wav", true),
        ("float32.wav", "audio/wav", "audio/wav", true),
        ("pcm24.wav", "audio/wav", "audio/wav", true),
        ("opus.ogg", "audio/ogg", "audio/ogg", false),
        ("vorbis.ogg", "application/ogg", "audio/ogg", false),
        ("speech.amr", "audio/amr", "audio/AMR", true),
        ("speech.awb", "audio/AMR-WB", "audio/AMR-WB", true),
        ("cbr.mp3", "audio/mpeg", "audio/mpeg", false),
        ("vbr.mp3", "audio/mp3", "audio/mpeg", false),
        ("speech.flac", "audio/flac", "audio/flac", false),
    ] {
        let audio = recording(file);
        let deposit = Call::post(mailbox.messages())
            .header("content-type", declared)
            .body(audio.clone());
        let answer = deposit.send(&host).await.expect(201);
        let message = answer.json();
        assert_eq!(message["media_type"], stored, "{file}");
        assert!(
            message["duration_ms"].as_u64() >= Some(100),
            "{file}: {message}"
        );
        let path = mailbox.audio(&created_id(&answer));
        let original = Call::get(&path).send(&host).await.expect(200);
        assert_eq!(original.body, audio, "{file} comes back as it was");
        let wav = Call::get(format!("{path}?format=wav")).send(&host).await;
        let peaks = Call::get(format!("{path}/peaks?points=10"))
            .send(&host)
            .await;
        if decoded {
            let wav = wav.expect(200);
            assert_eq!(wav.header("content-type"), "audio/wav", "{file}");
            assert!(wav.body.starts_with(b"RIFF"), "{file}");
            let outline = peaks.expect(200).json();
            assert_eq!(outline["data"].as_array().map(Vec::len), Some(20), "{file}");
        } else {
            wav.problem(406);
            peaks.problem(406);
        }
    }
    // Sound without a container is what it is declared to be.
    for (declared, duration_ms) in [
        ("audio/basic", 1000),
        ("audio/PCMA;rate=16000", 500),
        ("audio/L16;rate=8000;channels=1", 500),
    ] {
        let deposit = Call::post(mailbox.messages())
            .header("content-type", declared)
            .body(vec![0xd5; 8000]);
        let message = deposit.send(&host).await.expect(201).json();
        assert_eq!(message["duration_ms"], duration_ms, "{declared}");
    }
    host.stop().await;
}

#[tokio::test]
async fn open_api_says_that_it_is_open() {
    let app = App::voicemail();
    let host = app.launch().start().await;
    let answer = Call::get("/v1/openapi.json").send(&host).await.expect(200);
    assert_eq!(answer.header("voicemail-access"), "open");
    host.logged("there is no session_key").await;
    host.stop().await;

    let app = App::guarded_voicemail();
    let host = app.launch().start().await;
    let answer = Call::get("/v1/openapi.json").send(&host).await.expect(200);
    assert!(!answer.headers.contains_key("voicemail-access"));
    host.stop().await;
}

// === Webhooks ===

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A server that hands on what it is sent, and answers 204.
async fn receiver() -> (SocketAddr, mpsc::UnboundedReceiver<http::Request<Bytes>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let sender = sender.clone();
            let receive = service_fn(move |request: http::Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.expect("a whole body").to_bytes();
                    let _ = sender.send(http::Request::from_parts(parts, body));
                    let answer = http::Response::builder().status(204);
                    Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).expect("an answer"))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), receive));
        }
    });
    (address, received)
}

async fn with_webhook(host: &starling_tests::host::Host, url: &str) -> Mailbox {
    let mailbox = Mailbox::create(host, "anna").await;
    let settings = json!({ "webhooks": [{ "url": url, "secret": SECRET }] });
    let put = Call::put(mailbox.path()).json(&settings);
    put.send(host).await.expect(200);
    mailbox
}

#[tokio::test]
async fn webhook_is_told_also_when_the_host_that_owes_it_was_killed() {
    let (address, mut received) = receiver().await;
    let app = App::voicemail();
    let allowed = format!("http://{address}");
    let launch = app.launch().env("SPIN_VARIABLE_WEBHOOK_HOST", allowed);
    let host = launch.start().await;
    let mailbox = with_webhook(&host, &format!("http://{address}/hook")).await;
    mailbox.leave(&host, recording("speech.wav")).await;
    let host = host.kill().await.start().await;
    let call = timeout(PATIENCE, received.recv()).await.expect("a call");
    let call = call.expect("a call");
    let header = |name: &str| call.headers()[name].to_str().expect("text").to_owned();
    let secret: WebhookSecret = SECRET.parse().expect("a secret");
    let timestamp_s = header("webhook-timestamp").parse().expect("a number");
    let signed = secret.sign(&header("webhook-id"), timestamp_s, call.body());
    assert_eq!(header("webhook-signature"), signed);
    let event: Value = serde_json::from_slice(call.body()).expect("JSON");
    assert_eq!(
        (&event["data"]["mailbox"], &event["data"]["new"]),
        (&json!("anna"), &json!(1))
    );
    host.stop().await;
}

#[tokio::test]
async fn webhook_that_the_manifest_does_not_allow_is_not_called_and_stops_nothing() {
    let (address, mut received) = receiver().await;
    let app = App::voicemail();
    let host = app.launch().start().await;
    let mailbox = with_webhook(&host, &format!("http://{address}/hook")).await;
    mailbox.leave(&host, recording("speech.wav")).await;
    host.logged("a webhook was not reached").await;
    mailbox.leave(&host, recording("speech.wav")).await;
    assert!(received.try_recv().is_err());
    host.stop().await;
}

// === Space ===

fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        // A file may be gone by now.
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

#[tokio::test]
async fn disk_use_returns_after_a_purge() {
    const MESSAGES: usize = 10;
    let app = App::voicemail();
    let launch = app.launch();
    let host = launch.start().await;
    let mailbox = Mailbox::create(&host, "full").await;
    let audio = {
        let mut wav = recording("speech.wav");
        // Nine minutes of telephone speech, no two alike.
        let body: Vec<u8> = (0..9_000_000_u32)
            .map(|n| (n ^ n >> 8 ^ n >> 16) as u8)
            .collect();
        wav.truncate(44);
        wav[4..8].copy_from_slice(&(36 + body.len() as u32).to_le_bytes());
        wav[40..44].copy_from_slice(&(body.len() as u32).to_le_bytes());
        wav.extend(body);
        wav
    };
    for _ in 0..MESSAGES {
        mailbox.leave(&host, audio.clone()).await;
    }
    let stores = launch.state().join("stores");
    let full = disk_bytes(&stores);
    let audio_bytes = (MESSAGES * audio.len()) as u64;
    assert!(full > audio_bytes, "{full} bytes");
    Call::delete(mailbox.path()).send(&host).await.expect(204);
    let begun = Instant::now();
    loop {
        let now = disk_bytes(&stores);
        // The journal stays as large as it is, and the last bit waits until there is more of it.
        if now + audio_bytes / 2 < full {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{now} of {full} bytes are left");
        sleep(Duration::from_millis(100)).await;
    }
    host.stop().await;
}
