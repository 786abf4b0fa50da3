//! The load: so many connections, each sending one request after another, and the time that each took.
//!
//! It writes prepared bytes and reads no more of an answer than its length, so that it is cheaper than what it
//! measures; a client library would be the bottleneck.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Slices that a load is cut into when two are measured in turn.
const SLICES: u32 = 6;

/// What does not count: requests at the start meet cold instances and cold caches.
const WARM_UP: Duration = Duration::from_millis(200);

/// A load to be run.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// Sent in turn.
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
}

/// What came of a load.
#[derive(Default)]
pub(crate) struct Measured {
    /// Time of each answer, ascending.
    times: Vec<Duration>,
    elapsed: Duration,
}

/// Two loads in turn, a slice of each at a time: what slows the machine down meanwhile slows both.
pub(crate) async fn in_turn(ours: Load, base: Load) -> (Measured, Measured) {
    let (mut measured, mut baseline) = (Measured::default(), Measured::default());
    for _ in 0..SLICES {
        baseline.add(base.slice().run().await);
        measured.add(ours.slice().run().await);
    }
    (measured, baseline)
}

impl Load {
    fn slice(&self) -> Self {
        Self {
            duration: self.duration / SLICES,
            ..self.clone()
        }
    }

    /// Runs it, after a warm-up that does not count.
    ///
    /// # Panics
    ///
    /// At any answer that is not one of success.
    pub(crate) async fn run(self) -> Measured {
        let start = Instant::now() + WARM_UP;
        let connections = (0..self.connections).map(|index| {
            let mut requests = self.requests.clone();
            let places = requests.len();
            requests.rotate_left(index % places);
            tokio::spawn(connection(self.address, requests, start, self.duration))
        });
        let mut times = Vec::new();
        for connection in connections.collect::<Vec<_>>() {
            times.extend(connection.await.expect("a connection ends well"));
        }
        times.sort_unstable();
        Measured {
            times,
            elapsed: self.duration,
        }
    }
}

impl Measured {
    fn add(&mut self, more: Self) {
        self.times.extend(more.times);
        self.times.sort_unstable();
        self.elapsed += more.elapsed;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time that this part of the answers stayed below, in microseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an index into what was counted"
    )]
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        let last = self
            .times
            .len()
            .checked_sub(1)
            .expect("there was an answer");
        let index = (last as f64 * quantile).round() as usize;
        self.times[index].as_secs_f64() * 1e6
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: edge.test\r\n\r\n").into_bytes()
}

/// A request with one.
pub(crate) fn post(path: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: edge.test\r\ncontent-type: {media_type}\r\n\
         content-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

async fn connection(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    start: Instant,
    duration: Duration,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server accepts");
    stream.set_nodelay(true).expect("a TCP option");
    let mut buffer = vec![0; 64 << 10];
    let mut times = Vec::new();
    for request in requests.iter().cycle() {
        let sent = Instant::now();
        if sent >= start + duration {
            break;
        }
        stream.write_all(request).await.expect("the server reads");
        answer(&mut stream, &mut buffer).await;
        if sent >= start {
            times.push(sent.elapsed());
        }
    }
    times
}

/// Reads one answer to its end.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    let (head, length) = loop {
        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(read > 0, "the server closed the connection");
        filled += read;
        if let Some(head) = head(&buffer[..filled]) {
            break head;
        }
    };
    let mut left = (head + length).saturating_sub(filled);
    while left > 0 {
        let room = left.min(buffer.len());
        let read = stream.read(&mut buffer[..room]).await.expect("an answer");
        assert!(read > 0, "the server closed the connection");
        left -= read;
    }
}

/// The length of an answer's head and of its body, once the head is complete.
fn head(answer: &[u8]) -> Option<(usize, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head of ASCII");
    assert!(head.starts_with("HTTP/1.1 2"), "{head}");
    let length = head
        .lines()
        .find_map(|line| {
            line.strip_prefix("content-length: ")
                .or_else(|| line.strip_prefix("Content-Length: "))
        })
        .unwrap_or_else(|| panic!("no length in {head}"));
    Some((end, length.parse().expect("a length")))
}
