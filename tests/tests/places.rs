//! An instance serves one request until the whole of its answer has left, and its place among those that may be busy
//! is free exactly then: whoever hangs up early, or never reads, neither keeps a place nor makes one up.

use std::time::Duration;

use rustix::process::Signal;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::host::{Host, Launch, PATIENCE};
use starling_tests::wire::Wire;
use tokio::time::timeout;

const BIG: usize = 50_000_000;

/// A host with one event loop, so that all requests share its instances.
fn one_loop(app: &App, limits: &str) -> Launch {
    app.launch_with(&format!("[limits]\n{limits}\n"))
        .arg("--event-loops")
        .arg("1")
}

/// Asks for much, reads the head of the answer, and then nothing.
async fn stuck_reader(host: &Host) -> Wire {
    let mut wire = Wire::open(host.address()).await;
    wire.send(format!(
        "GET /big?bytes={BIG} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.status().await, Some(200));
    wire
}

/// Asks until the answer is 200. Until then it may only be that the host is busy.
async fn served_in_the_end(host: &Host) {
    let served = async {
        loop {
            let answer = Call::get("/hello").send(host).await;
            match answer.status.as_u16() {
                200 => return,
                503 => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => panic!("{}: {}", answer.status, answer.text()),
            }
        }
    };
    timeout(PATIENCE, served)
        .await
        .expect("the host is free again in the end");
}

#[tokio::test]
async fn download_is_not_cut_by_what_others_ask() {
    let app = App::guest();
    let host = one_loop(&app, "").start().await;
    let mut download = stuck_reader(&host).await;
    for path in ["/count", "/panic", "/count", "/exit", "/count"] {
        Call::get(path).send(&host).await;
    }
    let mut read = 0;
    while read < BIG {
        let piece = download.read((BIG - read).min(1 << 20)).await;
        assert!(!piece.is_empty(), "cut off after {read} of {BIG} bytes");
        read += piece.len();
    }
}

#[tokio::test]
async fn reader_that_never_reads_does_not_keep_its_place() {
    let app = App::guest();
    let host = one_loop(
        &app,
        "instances_max = 2\nresponse_timeout_ms = 500\nqueue_timeout_ms = 50",
    )
    .start()
    .await;
    let _stuck = [stuck_reader(&host).await, stuck_reader(&host).await];
    served_in_the_end(&host).await;
}

#[tokio::test]
async fn client_that_hangs_up_does_not_free_a_place_still_in_use() {
    let app = App::guest();
    let host = one_loop(&app, "instances_max = 2\nqueue_timeout_ms = 50")
        .start()
        .await;
    for _ in 0..6 {
        let mut wire = Wire::open(host.address()).await;
        wire.send("GET /sleep?ms=1500 HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        drop(wire);
    }
    served_in_the_end(&host).await;
}

#[tokio::test]
async fn client_that_takes_nothing_is_given_up_on() {
    let app = App::guest();
    let host = one_loop(&app, "write_timeout_ms = 300").start().await;
    let mut stuck = stuck_reader(&host).await;
    // The host has given up once what it had sent by then is all that is left to read.
    tokio::time::sleep(Duration::from_millis(900)).await;
    let rest = stuck.read_all(PATIENCE).await;
    assert!(rest.len() < BIG, "all of it was sent in the end");
}

/// Instances that wasmtime makes ahead once filled the pool, and turned away requests that had a place in it.
#[tokio::test]
async fn nobody_who_waits_in_line_is_turned_away() {
    let app = App::guest();
    let host = app
        .launch_with("[limits]\ninstances_max = 64\nqueue_timeout_ms = 60000\n")
        .arg("--event-loops")
        .arg("2")
        .start()
        .await;
    for round in 0..10 {
        // All at once: connected, then asking, while the host stands still.
        host.signal(Signal::STOP);
        let mut waiting = Vec::new();
        for _ in 0..300 {
            let mut wire = Wire::open(host.address()).await;
            wire.send("GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .await;
            waiting.push(wire);
        }
        host.signal(Signal::CONT);
        for (index, wire) in waiting.iter_mut().enumerate() {
            let status = wire.status().await;
            assert_eq!(status, Some(200), "round {round}, connection {index}");
        }
    }
}
