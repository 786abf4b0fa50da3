//! The proxy passes, cuts, stalls and delays as it says.

use std::time::{Duration, Instant};

use starling_test_servers::{Direction, PATIENCE, Proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server that sends back what it is sent, behind a proxy.
async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Proxy::start(address).await
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// Sends a word and waits until it is back.
async fn ask(stream: &mut TcpStream, word: &[u8]) {
    stream.write_all(word).await.unwrap();
    back(stream, word).await;
}

async fn back(stream: &mut TcpStream, word: &[u8]) {
    let mut answer = vec![0; word.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .expect("an answer comes")
        .unwrap();
    assert_eq!(answer, word);
}

/// Whether the other side closes, or breaks, the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = timeout(PATIENCE, stream.read(&mut byte))
        .await
        .expect("something happens");
    matches!(read, Ok(0) | Err(_))
}

#[tokio::test]
async fn what_is_sent_arrives_and_the_end_too() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"hello").await;
    let long: Vec<u8> = (0..3_000_000).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = stream.split();
    let mut answer = Vec::new();
    let send = async {
        to.write_all(&long).await?;
        to.shutdown().await
    };
    let (sent, read) = tokio::join!(send, from.read_to_end(&mut answer));
    sent.unwrap();
    read.unwrap();
    assert!(answer == long);
}

#[tokio::test]
async fn a_cut_closes_old_and_new_connections_until_it_is_healed() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"before").await;
    proxy.cut();
    assert!(is_closed(&mut stream).await);
    assert!(is_closed(&mut connect(&proxy).await).await);
    proxy.heal();
    ask(&mut connect(&proxy).await, b"after").await;
}

#[tokio::test]
async fn a_cut_that_is_healed_at_once_closes_connections_all_the_same() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"before").await;
    proxy.cut();
    proxy.heal();
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_stall_keeps_what_is_sent_until_it_is_healed() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"before").await;
    proxy.stall();
    stream.write_all(b"meanwhile").await.unwrap();
    let mut late = connect(&proxy).await;
    late.write_all(b"late").await.unwrap();
    // That nothing comes can be seen only by waiting a while. A slow machine makes this pass, not fail.
    let mut byte = [0];
    let while_stalled = timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
    assert!(while_stalled.is_err(), "{while_stalled:?}");
    proxy.heal();
    back(&mut stream, b"meanwhile").await;
    back(&mut late, b"late").await;
}

#[tokio::test]
async fn a_delay_is_added_each_way_and_leaves_order_and_throughput() {
    const DELAY: Duration = Duration::from_millis(40);
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"before").await;

    proxy.delay(Direction::ToServer, DELAY);
    let begun = Instant::now();
    ask(&mut stream, b"one way").await;
    assert!(begun.elapsed() >= DELAY);
    proxy.delay(Direction::ToClient, DELAY);
    let begun = Instant::now();
    ask(&mut stream, b"both ways").await;
    assert!(begun.elapsed() >= 2 * DELAY);

    // One after another these would take 300 × 80 ms = 24 s.
    let begun = Instant::now();
    let (mut from, mut to) = stream.split();
    let send = async {
        for number in 0..300_u32 {
            to.write_all(&number.to_be_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        for number in 0..300_u32 {
            assert_eq!(from.read_u32().await.unwrap(), number);
        }
    };
    tokio::join!(send, read);
    assert!(begun.elapsed() < Duration::from_secs(12));
}

#[tokio::test]
async fn a_delay_that_ends_ends_for_what_is_under_way() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"before").await;
    proxy.delay(Direction::ToServer, Duration::from_secs(3600));
    stream.write_all(b"under way").await.unwrap();
    proxy.delay(Direction::ToServer, Duration::ZERO);
    back(&mut stream, b"under way").await;
}

#[tokio::test]
async fn a_proxy_that_is_dropped_closes_its_connections() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    ask(&mut stream, b"before").await;
    drop(proxy);
    assert!(is_closed(&mut stream).await);
}
