//! Connections are bounded: how many there are, how many from one address, and how long each may be slow or silent.

use std::net::SocketAddr;
use std::time::Duration;

use starling_tests::app::App;
use starling_tests::client::{Call, Connection};
use starling_tests::host::PATIENCE;
use starling_tests::wire::Wire;

use crate::limits::{reached, times_reached};

const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";

/// A connection that has been served once, and has nothing to say.
async fn idle(address: SocketAddr) -> Connection {
    let mut connection = Connection::open(address).await.expect("somebody listens");
    let answer = connection.send(Call::get("/hello")).await;
    answer.expect("it is served").expect(200);
    connection
}

/// Waits until the other side has closed it.
async fn closed(connection: &Connection) {
    let closed = async {
        while !connection.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let closed = tokio::time::timeout(PATIENCE, closed).await;
    assert!(closed.is_ok(), "the connection stays open");
}

// === How many ===

#[tokio::test]
async fn connection_past_the_last_waits_for_a_place() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nconnections_max = 1\n")
        .arg("--event-loops")
        .arg("1")
        .start()
        .await;
    let first = idle(host.address()).await;
    let mut second = Wire::open(host.address()).await;
    second.send(HELLO).await;
    reached(&host, "connections_max").await;
    drop(first);
    assert_eq!(second.status().await, Some(200));
}

#[tokio::test]
async fn in_a_crowd_who_is_idle_makes_room() {
    let app = App::guest();
    let host = app
        .launch_with(
            "[limits]\nconnections_max = 1\nheader_timeout_ms = 200\nidle_timeout_ms = 3600000\n",
        )
        .arg("--event-loops")
        .arg("1")
        .start()
        .await;
    let first = idle(host.address()).await;
    let mut second = Wire::open(host.address()).await;
    second.send(HELLO).await;
    assert_eq!(second.status().await, Some(200));
    closed(&first).await;
    assert_eq!(times_reached(&host, "idle_timeout_ms").await, 1);
}

#[tokio::test]
async fn address_has_so_many_connections() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nconnections_per_address_max = 2\n")
        .start()
        .await;
    let first = idle(host.address()).await;
    let second = idle(host.address()).await;
    let mut third = Wire::open(host.address()).await;
    third.send(HELLO).await;
    assert_eq!(third.status().await, None, "it is closed without an answer");
    assert_eq!(times_reached(&host, "connections_per_address_max").await, 1);

    // Another address has its own, and this one gets back what it gives up.
    let elsewhere = tokio::net::TcpSocket::new_v4().expect("a socket");
    elsewhere
        .bind(([127, 0, 0, 2], 0).into())
        .expect("all of 127/8 is this machine");
    elsewhere
        .connect(host.address())
        .await
        .expect("it is accepted");
    drop(first);
    let again = async {
        loop {
            let mut wire = Wire::open(host.address()).await;
            wire.send(HELLO).await;
            if wire.status().await == Some(200) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("there is a place again");
    drop(second);
}

// === How long ===

#[tokio::test]
async fn head_that_dribbles_ends_its_connection_and_an_idle_one_goes_on() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nheader_timeout_ms = 300\n")
        .start()
        .await;
    let mut quiet = idle(host.address()).await;
    let mut wire = Wire::open(host.address()).await;
    wire.send(HELLO).await;
    assert_eq!(wire.status().await, Some(200));
    let dribble = async {
        for byte in "GET /hello HTTP/1.1\r\nx: "
            .bytes()
            .chain(std::iter::repeat(b'y'))
        {
            wire.send([byte]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if times_reached(&host, "header_timeout_ms").await > 0 {
                return;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, dribble).await;
    assert!(ended.is_ok(), "it is listened to for ever");
    assert!(!wire.read_all(PATIENCE).await.contains("HTTP/1.1 200"));
    // The other one has been silent for longer than a head may take.
    quiet
        .send(Call::get("/hello"))
        .await
        .expect("it is served")
        .expect(200);
}

#[tokio::test]
async fn idle_connection_is_closed() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nidle_timeout_ms = 300\n")
        .start()
        .await;
    let first = idle(host.address()).await;
    let slow = Call::get("/sleep?ms=1500").send(&host);
    assert_eq!(
        slow.await.status,
        200,
        "who waits for an answer is not idle"
    );
    closed(&first).await;
    reached(&host, "idle_timeout_ms").await;
}

/// Sends an upload of `/length` in pieces of 10 bytes, without an end, and returns what comes of it.
async fn dribble(address: SocketAddr) -> String {
    let mut wire = Wire::open(address).await;
    wire.send("POST /length HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let mut answer = String::new();
    let pieces = async {
        while answer.is_empty() {
            wire.send("a\r\n0123456789\r\n").await;
            answer = wire.read_all(Duration::from_millis(20)).await;
        }
    };
    let answered = tokio::time::timeout(PATIENCE, pieces).await;
    assert!(answered.is_ok(), "it is listened to for ever");
    answer
}

#[tokio::test]
async fn body_that_dribbles_is_refused() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nupload_grace_ms = 500\nupload_bytes_per_second_min = 100000\n")
        .start()
        .await;
    let answer = dribble(host.address()).await;
    // The tests' component has an answer of its own to a body that breaks off, and the host one that says why.
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(times_reached(&host, "upload_bytes_per_second_min").await, 1);
    let quick = Call::post("/length").body("x".repeat(1_000_000));
    assert_eq!(quick.send(&host).await.text(), "1000000");
}

#[tokio::test]
async fn caller_who_dribbles_is_told_what_is_wrong() {
    let app = App::voicemail();
    let host = app
        .launch_with("[limits]\nupload_grace_ms = 500\n")
        .start()
        .await;
    let mailbox = starling_tests::mailbox::Mailbox::create(&host, "anna").await;
    let mut wire = Wire::open(host.address()).await;
    wire.send(format!(
        "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\ncontent-length: 1000\r\n\r\nRIFF",
        mailbox.messages()
    ))
    .await;
    assert_eq!(wire.status().await, Some(408));
    let problem = wire.read_all(PATIENCE).await;
    assert!(
        problem.contains("\"urn:starling:problem:body-too-slow\""),
        "{problem}"
    );
    assert!(mailbox.ids(&host, "inbox").await.is_empty());
}

#[tokio::test]
async fn upload_that_takes_too_long_is_cut_off_however_steady() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\nupload_timeout_ms = 500\n")
        .start()
        .await;
    let answer = dribble(host.address()).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(times_reached(&host, "upload_timeout_ms").await, 1);
}

#[tokio::test]
async fn client_that_reads_nothing_is_given_up() {
    let app = App::guest();
    let host = app
        .launch_with(
            "[limits]\nwrite_timeout_ms = 300\ninstances_max = 1\nqueue_timeout_ms = 60000\n",
        )
        .start()
        .await;
    let mut wire = Wire::open(host.address()).await;
    wire.send("GET /big?bytes=1000000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    reached(&host, "write_timeout_ms").await;
    // It had the only instance.
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
}

#[tokio::test]
async fn head_that_is_too_long_is_counted() {
    let app = App::guest();
    let host = app.launch().start().await;
    let mut wire = Wire::open(host.address()).await;
    let long = "y".repeat(100_000);
    wire.send(format!(
        "GET /hello HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.status().await, Some(431));
    reached(&host, "header_bytes_max").await;
}
