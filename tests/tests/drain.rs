//! SIGTERM and SIGINT: nothing new is accepted, everything begun is finished, the exit code is 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use starling_tests::app::App;
use starling_tests::audio::{self, Encoding};
use starling_tests::client::{Call, Connection, Lost};
use starling_tests::mailbox::{Mailbox, created_id};
use starling_tests::wire::Wire;
use tokio::net::TcpStream;

const CLIENTS: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_drops_no_request() {
    let app = App::voicemail();
    let mut host = app.launch().start().await;
    let mailbox = Mailbox::create(&host, "anna").await;
    let (address, wav) = (host.address(), audio::speech(Encoding::MuLaw));
    let answered = Arc::new(AtomicU64::new(0));

    // Each keeps its connection for as long as it may, and ends once nobody accepts connections any more.
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (mailbox, answered) = (mailbox.clone(), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                loop {
                    let mut connection = match Connection::open(address).await {
                        Ok(connection) => connection,
                        Err(Lost::NotConnected(_)) => return acknowledged,
                        Err(lost) => panic!("client {client}: {lost:?}"),
                    };
                    let (mut closes, mut accepted) = (false, false);
                    while !closes {
                        let call = if client % 4 == 0 {
                            mailbox.deposit(wav)
                        } else {
                            Call::get(mailbox.messages())
                        };
                        match connection.send(call).await {
                            Ok(answer) => {
                                closes = answer.closes();
                                if client % 4 == 0 && answer.status != 503 {
                                    acknowledged.push(created_id(&answer));
                                } else if client % 4 != 0 {
                                    answer.expect(200);
                                }
                                accepted = true;
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            // The system completes connections ahead of the host. One that the host had not accepted
                            // when it closed its listener was never its own, and the system tells the client so.
                            Err(_) if !accepted => return acknowledged,
                            Err(lost) => panic!("client {client} was dropped: {lost:?}"),
                        }
                    }
                }
            })
        })
        .collect();

    while answered.load(Ordering::Relaxed) < 10 * CLIENTS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    host.signal(Signal::TERM);
    let status = host.exited().await;
    assert_eq!(status.code(), Some(0));
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.expect("no client is dropped"));
    }

    let host = app.launch().start().await;
    let mut listed = mailbox.ids(&host, "inbox").await;
    listed.sort();
    acknowledged.sort();
    assert_eq!(listed, acknowledged);
}

#[tokio::test]
async fn request_in_flight_is_finished_by_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let app = App::guest();
        let mut host = app.launch().start().await;
        let address = host.address();
        let slow =
            tokio::spawn(async move { Call::get("/sleep?ms=1500").try_send_to(address).await });
        let mut kept = Connection::open(address).await.unwrap();
        kept.send(Call::get("/print?text=before"))
            .await
            .unwrap()
            .expect(200);
        // The sleeper was sent first; its host has read it when it has answered a later one.
        host.logged("before").await;
        host.signal(signal);
        host.logged("stopping").await;

        let last = kept
            .send(Call::get("/hello"))
            .await
            .expect("an open connection is told before it closes");
        assert!(last.closes(), "{:?}", last.headers);
        let slow = slow.await.unwrap().expect("what was begun is finished");
        assert_eq!(slow.text(), "slept 1500 ms\n");
        assert_eq!(host.exited().await.code(), Some(0), "{signal:?}");
        assert!(
            TcpStream::connect(address).await.is_err(),
            "nobody listens any more"
        );
    }
}

#[tokio::test]
async fn client_that_never_ends_its_request_cannot_hold_the_host_for_ever() {
    let app = App::guest();
    let mut host = app
        .launch_with("[limits]\ndrain_timeout_ms = 1500\n")
        .start()
        .await;
    let mut stuck = Wire::open(host.address()).await;
    stuck
        .send("POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf")
        .await;
    let mut idle = Wire::open(host.address()).await;
    idle.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(idle.status().await, Some(200));

    host.signal(Signal::TERM);
    assert_eq!(host.exited().await.code(), Some(0));
}

#[tokio::test]
async fn second_signal_ends_the_host_at_once() {
    let app = App::guest();
    let mut host = app.launch().start().await;
    let mut stuck = Wire::open(host.address()).await;
    stuck
        .send("POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf")
        .await;
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
    host.signal(Signal::TERM);
    host.logged("stopping").await;
    host.signal(Signal::TERM);
    assert_eq!(host.exited().await.code(), Some(1));
}

#[tokio::test]
async fn state_directory_is_free_again_after_a_drain() {
    let app = App::guest();
    let mut launch = app.launch();
    for round in 0..3 {
        let host = launch.start().await;
        let text = format!("round {round}");
        Call::put("/kv/default/round")
            .body(text.clone())
            .send(&host)
            .await
            .expect(200);
        launch = host.stop().await;
        let host = launch.start().await;
        assert_eq!(
            Call::get("/kv/default/round").send(&host).await.text(),
            text
        );
        launch = host.stop().await;
    }
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_at_sigterm_are_served() {
    const WAITING: usize = 300;

    let app = App::guest();
    // They come all at once: none is to be told that the host is busy, however slow the machine.
    let mut host = app
        .launch_with("[limits]\nqueue_timeout_ms = 60000\n")
        .start()
        .await;
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
    // While the host stands still, the system completes connections for it.
    host.signal(Signal::STOP);
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut wire = Wire::open(host.address()).await;
        wire.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
        waiting.push(wire);
    }
    host.signal(Signal::TERM);
    host.signal(Signal::CONT);
    for (index, wire) in waiting.iter_mut().enumerate() {
        assert_eq!(wire.status().await, Some(200), "connection {index}");
    }
    assert_eq!(host.exited().await.code(), Some(0));
}

#[tokio::test]
async fn host_whose_log_nobody_reads_any_more_drains_like_any_other() {
    let app = App::guest();
    let mut host = app
        .launch()
        .through(["bash", "-c", r#"exec "$0" "$@" 2> >(exec true)"#])
        .start()
        .await;
    Call::get("/print?text=unread")
        .send(&host)
        .await
        .expect(200);
    Call::get("/panic").send(&host).await.problem(500);
    host.signal(Signal::TERM);
    assert_eq!(host.exited().await.code(), Some(0));
}
