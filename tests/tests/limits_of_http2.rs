//! What is known to bring HTTP/2 servers down: each ends the abuser's connection, or the one request, is counted, and leaves a
//! host that serves others.

use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::host::Host;
use starling_tests::http2::{CANCEL, Http2, flag, frame, get, get_block, kind};

use crate::limits::{reached, times_reached};

/// The setting that says how much of each body may be sent unasked (RFC 9113, section 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The error codes of RST_STREAM and GOAWAY (RFC 9113, section 7).
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn serves(host: &Host) {
    let hello = Call::get("/hello").send_http2(host).await;
    assert_eq!(hello.expect(200).text(), "hello\n");
}

fn code(payload: &[u8]) -> u32 {
    let bytes = payload.first_chunk().expect("an error code has four bytes");
    u32::from_be_bytes(*bytes)
}

/// Reads on until the connection ends, and answers the error code of its GOAWAY; none where it just ends.
async fn goodbye(http2: &mut Http2) -> Option<u32> {
    let mut said = None;
    while let Some(frame) = http2.next().await {
        if frame.is(kind::GOAWAY, 0) {
            said = Some(code(&frame.payload[4..]));
        }
    }
    said
}

async fn with(limits: &str) -> (App, Host) {
    let app = App::guest();
    let host = app
        .launch_with(&format!("[limits]\n{limits}\n"))
        .start()
        .await;
    (app, host)
}

// === Requests that are cancelled: CVE-2023-44487 ===

#[tokio::test]
async fn burst_of_cancelled_requests_ends_the_connection() {
    let (_app, host) = with("").await;
    let mut http2 = Http2::open(host.address(), &[]).await;
    let burst = (0..5_000).flat_map(|nth| {
        let stream = 2 * nth + 1;
        [
            get(stream, "/hello"),
            frame(kind::RST_STREAM, 0, stream, CANCEL),
        ]
        .concat()
    });
    http2.send(burst.collect::<Vec<u8>>()).await;
    http2.closed().await;
    reached(&host, "http2_flood_bytes_max").await;
    serves(&host).await;
}

#[tokio::test]
async fn requests_that_are_cancelled_one_by_one_end_the_connection() {
    let (_app, host) = with("http2_resets_max = 3").await;
    let mut http2 = Http2::open(host.address(), &[]).await;
    for stream in [1, 3, 5, 7] {
        assert_eq!(times_reached(&host, "http2_resets_max").await, 0);
        http2
            .send(get(stream, "/unframed?bytes=1000000000000"))
            .await;
        http2.wait_for(kind::HEADERS, stream).await;
        http2.send(frame(kind::RST_STREAM, 0, stream, CANCEL)).await;
    }
    http2.closed().await;
    assert_eq!(times_reached(&host, "http2_resets_max").await, 1);
    serves(&host).await;
}

#[tokio::test]
async fn client_may_cancel_as_many_requests_as_it_lets_end() {
    let (_app, host) = with("http2_resets_max = 1").await;
    let mut http2 = Http2::open(host.address(), &[]).await;
    for stream in (1..40).step_by(4) {
        http2
            .send(get(stream, "/unframed?bytes=1000000000000"))
            .await;
        http2.wait_for(kind::HEADERS, stream).await;
        http2.send(frame(kind::RST_STREAM, 0, stream, CANCEL)).await;
        // What had come of the body has to be given back before another fits in.
        http2
            .send(frame(
                kind::WINDOW_UPDATE,
                0,
                0,
                1_000_000_u32.to_be_bytes(),
            ))
            .await;
        http2.send(get(stream + 2, "/hello")).await;
        http2.wait_for(kind::DATA, stream + 2).await;
    }
    assert_eq!(times_reached(&host, "http2_resets_max").await, 0);
}

#[tokio::test]
async fn requests_past_the_most_at_once_are_refused() {
    let (_app, host) = with("http2_streams_max = 2").await;
    let mut http2 = Http2::open(host.address(), &[]).await;
    http2.wait_for(kind::SETTINGS, 0).await;
    for stream in [1, 3, 5] {
        http2.send(get(stream, "/sleep?ms=1000")).await;
    }
    let refused = http2.wait_for(kind::RST_STREAM, 5).await;
    assert_eq!(code(&refused.payload), REFUSED_STREAM);
    reached(&host, "http2_streams_max").await;
    // The other two are served, whichever is first.
    let mut left = vec![1, 3];
    while !left.is_empty() {
        let frame = http2.next().await.expect("both are served");
        left.retain(|stream| !frame.is(kind::DATA, *stream));
    }
}

// === Frames that belong to no request: CVE-2019-9512, -9515 ===

/// Sends the same frame until the connection ends.
async fn flooded(host: &Host, flood: Vec<u8>) {
    let mut http2 = Http2::open(host.address(), &[]).await;
    http2.send(get(1, "/hello")).await;
    http2.wait_for(kind::DATA, 1).await;
    let before = times_reached(host, "http2_flood_bytes_max").await;
    let flood = flood.repeat(100);
    while times_reached(host, "http2_flood_bytes_max").await == before {
        http2.send(&flood).await;
    }
    http2.closed().await;
    serves(host).await;
}

#[tokio::test]
async fn floods_of_frames_end_the_connection() {
    let (_app, host) = with("http2_flood_bytes_max = 20000").await;
    flooded(&host, frame(kind::PING, 0, 0, [0; 8])).await;
    flooded(&host, frame(kind::SETTINGS, 0, 0, [])).await;
    flooded(&host, frame(kind::SETTINGS, 0, 0, [0, 4, 0, 0, 0, 1])).await;
    flooded(&host, frame(kind::WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes())).await;
    // Of a type that nobody knows, to be ignored (RFC 9113, section 5.5).
    flooded(&host, frame(0xbb, 0, 0, [0; 100])).await;
}

#[tokio::test]
async fn connection_that_only_pings_is_idle() {
    let (_app, host) = with("idle_timeout_ms = 300").await;
    let mut http2 = Http2::open(host.address(), &[]).await;
    http2.send(get(1, "/hello")).await;
    http2.wait_for(kind::DATA, 1).await;
    let mut said = None;
    loop {
        http2.send(frame(kind::PING, 0, 0, [0; 8])).await;
        match http2.next().await {
            Some(frame) if frame.is(kind::GOAWAY, 0) => said = Some(code(&frame.payload[4..])),
            // The host asks whether the client has heard, and closes once it has.
            Some(ping) if ping.is(kind::PING, 0) && ping.flags == 0 => {
                http2.send(frame(kind::PING, 1, 0, ping.payload)).await;
            }
            Some(_) => {}
            None => break,
        }
    }
    assert_eq!(said, Some(0), "it is told, and not of an error");
    assert_eq!(times_reached(&host, "idle_timeout_ms").await, 1);
}

// === Heads: CVE-2024-27316 ===

#[tokio::test]
async fn head_without_end_ends_the_connection() {
    let (_app, host) = with("").await;
    let mut http2 = Http2::open(host.address(), &[]).await;
    http2
        .send(frame(kind::HEADERS, 0, 1, get_block("/hello", [])))
        .await;
    // A field without name indexing, again and again.
    let field = [0, 1, b'x', 1, b'y'];
    let more = frame(kind::CONTINUATION, 0, 1, field);
    http2.send(more.repeat(10_000)).await;
    let said = goodbye(&mut http2).await;
    assert!(matches!(said, None | Some(ENHANCE_YOUR_CALM)), "{said:?}");
    reached(&host, "http2_flood_bytes_max").await;
    serves(&host).await;
}

#[tokio::test]
async fn list_of_headers_that_is_too_long_is_refused() {
    let (_app, host) = with("").await;
    let long = "y".repeat(15_000);
    let names = ["x-1", "x-2", "x-3"];
    let call = Call::get("/hello");
    let call = names
        .iter()
        .fold(call, |call, name| call.header(name, &long));
    call.send_http2(&host).await.expect(431);
    assert_eq!(times_reached(&host, "header_bytes_max").await, 1);

    // It is the request that is refused, and not the client.
    let mut http2 = Http2::open(host.address(), &[]).await;
    let block = get_block("/hello", names.map(|name| (name, long.as_str())));
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    http2
        .send(frame(kind::HEADERS, flag::END_STREAM, 1, pieces[0]))
        .await;
    http2.send(frame(kind::CONTINUATION, 0, 1, pieces[1])).await;
    http2
        .send(frame(kind::CONTINUATION, flag::END_HEADERS, 1, pieces[2]))
        .await;
    let refused = http2.wait_for(kind::HEADERS, 1).await;
    assert_ne!(refused.flags & flag::END_STREAM, 0, "it has no body");
    http2.send(get(3, "/hello")).await;
    let hello = http2.wait_for(kind::DATA, 3).await;
    assert_eq!(hello.payload, b"hello\n");
}

// === Windows: CVE-2019-9511, -9517 ===

#[tokio::test]
async fn response_whose_window_stays_shut_is_given_up() {
    let (_app, host) =
        with("write_timeout_ms = 300\ninstances_max = 1\nqueue_timeout_ms = 60000").await;
    let mut http2 = Http2::open(host.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    http2.send(get(1, "/unframed?bytes=1000000000")).await;
    http2.wait_for(kind::HEADERS, 1).await;
    http2.wait_for(kind::RST_STREAM, 1).await;
    assert_eq!(times_reached(&host, "write_timeout_ms").await, 1);
    // It had the only instance. The connection goes on, for whoever opens a window.
    http2.send(get(3, "/hello")).await;
    http2.wait_for(kind::HEADERS, 3).await;
    let window = frame(kind::WINDOW_UPDATE, 0, 3, 100_u32.to_be_bytes());
    http2.send(window).await;
    let hello = http2.wait_for(kind::DATA, 3).await;
    assert_eq!(hello.payload, b"hello\n");
}
