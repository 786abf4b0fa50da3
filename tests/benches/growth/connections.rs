//! More and more connections to one host, all but one of them quiet.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use starling_tests::app::App;
use starling_tests::flat::{median, quantile};
use starling_tests::host::PATIENCE;
use starling_tests::random::Random;
use starling_tests::usage::mib;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::report::{Curve, Subject, Unit, progress};

const HELLOS: usize = 2_000;

/// Connections from one address: there may be a bound on those.
const CONNECTIONS_OF_ADDRESS: usize = 50;

/// As many as wanted may be open, and quiet for as long as it takes.
const LIMITS: &str = "[limits]\nconnections_max = 20000\nheader_timeout_ms = 600000\n";

pub(crate) async fn measure(quick: bool) -> Subject {
    let (sizes, hellos): (&[usize], usize) = if quick {
        (&[1, 10, 100, 1_000], 200)
    } else {
        (&[1, 10, 100, 1_000, 10_000], HELLOS)
    };
    let app = App::guest();
    // The first start compiles, which takes memory that a host in service never needs.
    let compiled = app.launch_with(LIMITS).start().await;
    let host = compiled.stop().await.start().await;
    let mut random = Random::new(1);
    let mut open = vec![connect(host.address(), 0).await];
    // Instances are made and caches fill before anything is compared.
    for _ in 0..hellos {
        hello(&mut open[0]).await;
    }
    let with_one = host.resident_bytes();
    let mut p50 = Curve::new("hello, p50", Unit::Milliseconds);
    let mut p99 = Curve::new("hello, p99", Unit::Milliseconds);
    let mut connecting = Curve::new("connect and hello, p50", Unit::Milliseconds);
    let mut resident = Curve::new("RSS", Unit::Mib);
    let mut of_each = Curve::new("RSS of one more connection", Unit::Kib);
    for &size in sizes {
        progress(&format!("{size} connections"));
        let mut times = Vec::new();
        while open.len() < size {
            let begun = Instant::now();
            let mut stream = connect(host.address(), open.len()).await;
            hello(&mut stream).await;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            open.push(stream);
        }
        let size = size as f64;
        if size > 1.0 {
            connecting.points.push((size, median(&times)));
            let more = host.resident_bytes().saturating_sub(with_one) as f64;
            of_each.points.push((size, more / 1024.0 / (size - 1.0)));
        }
        let mut times = Vec::new();
        for _ in 0..hellos {
            let index = random.below(open.len() as u64);
            let index = usize::try_from(index).expect("below a length");
            let begun = Instant::now();
            hello(&mut open[index]).await;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        p50.points.push((size, median(&times)));
        p99.points.push((size, quantile(&times, 0.99)));
        resident.points.push((size, mib(host.resident_bytes())));
    }
    Subject {
        name: "connections",
        title: "Open connections, of which one is in use",
        of: "connections",
        curves: vec![p50, p99, connecting, resident, of_each],
    }
}

/// Connects from one of the many addresses that a machine has for itself (127.0.0.0/8).
async fn connect(host: SocketAddr, number: usize) -> TcpStream {
    let [high, low] = u16::try_from(number / CONNECTIONS_OF_ADDRESS)
        .expect("there are fewer addresses")
        .to_be_bytes();
    let from = Ipv4Addr::new(127, 1 + high, low, 1);
    let socket = TcpSocket::new_v4().expect("a descriptor is left: see `ulimit -n`");
    socket
        .bind((from, 0).into())
        .expect("an address of this machine");
    let stream = socket.connect(host).await.expect("the host accepts");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

/// One request and its answer, with next to no work on this side.
async fn hello(stream: &mut TcpStream) {
    const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: growth.test\r\n\r\n";
    const BODY: &[u8] = b"\r\n\r\nhello\n";
    stream.write_all(REQUEST).await.expect("the host reads");
    let (mut answer, mut length) = ([0; 2048], 0);
    while !answer[..length].ends_with(BODY) {
        let read = timeout(PATIENCE, stream.read(&mut answer[length..])).await;
        let read = read.expect("an answer in time").expect("an answer");
        assert!(read > 0, "closed: {}", String::from_utf8_lossy(&answer));
        length += read;
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer[..length])
    );
}
