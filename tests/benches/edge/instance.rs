//! What a new instance costs: a host that makes one for each request, against one that reuses them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use starling_tests::aim::Aim;
use starling_tests::app::App;
use starling_tests::latencies::Latencies;

use crate::connection::{Connection, get};
use crate::machine::Cores;
use crate::report::{Report, Row};
use crate::stage::Stage;

/// Requests that go to one host before the other has its turn.
const BLOCK: u32 = 60;

/// The first of them, which find the processor's caches full of the other's work.
const WARM_UP: u32 = 10;

/// Pairs of blocks for each second that a load may take. One takes tens of milliseconds, in which a machine changes little.
const PAIRS_PER_SECOND: u64 = 20;

/// Measures pairs of blocks. Of each pair the medians are compared, and the median of the differences is what counts: what
/// slows the machine down for a while slows both of a pair, or spoils few pairs.
pub(crate) async fn measure(report: &mut Report, duration: Duration, stage: &Stage) {
    report.progress("instantiation");
    let app = App::hello();
    let fresh = app.launch_with("[limits]\ninstance_requests_max = 1\n");
    let fresh = fresh.through(Cores::First.wrapper()).start().await;
    let mut fresh = OneConnection::to(fresh.address());
    let mut reused = OneConnection::to(stage.guest.address());
    let mut differences = Vec::new();
    for _ in 0..duration.as_secs() * PAIRS_PER_SECOND {
        differences.push(fresh.median_us().await - reused.median_us().await);
    }
    differences.sort_by(f64::total_cmp);
    let median = differences.get(differences.len() / 2);
    let name = "a new instance, on top of a request";
    match median {
        Some(median) => {
            report.add(Row::smaller_is_better(name, *median, "µs", None).aim(Aim::AtMost(30.0)))
        }
        None => report.note(format!("{name}: no time to measure")),
    }
}

struct OneConnection {
    connection: Connection,
    request: Vec<u8>,
}

impl OneConnection {
    fn to(server: SocketAddr) -> Self {
        Self {
            connection: Connection::new(server, 0),
            request: get("/hello"),
        }
    }

    /// The median time of a block of requests, in microseconds.
    async fn median_us(&mut self) -> f64 {
        let mut times = Latencies::default();
        for number in 0..BLOCK {
            let sent = Instant::now();
            let answer = self.connection.ask(&self.request).await.expect("an answer");
            assert!(answer.is_success(), "status {}", answer.status);
            if number >= WARM_UP {
                times.push(sent.elapsed());
            }
        }
        let median = times.quantile(0.5).expect("there were requests");
        median.as_secs_f64() * 1e6
    }
}
