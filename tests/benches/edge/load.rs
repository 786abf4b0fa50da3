//! The load: so many connections that send requests, and what came of them.
//!
//! In a *closed* loop each connection sends its next request when it has the answer to the last: that finds out how much
//! a server can do. In an *open* loop requests are due at fixed times, whatever became of those before: that finds out what
//! clients wait at a given rate. A request that is due while all connections wait for answers is late, and the time that it
//! waited counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_tests::schedule::Schedule;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::measured::{Cost, Measured, Window};

/// Slices that a load is cut into when several are measured in turn.
const SLICES: u32 = 6;

/// What does not count, unless said.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

/// Longest wait for answers after the end. Never a measurement: it only ends a benchmark that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// When the last was answered.
    Closed,
    /// At fixed times.
    Open {
        per_second: f64,
        /// How late a request may be sent. Later than that, the load lets go all that is past.
        late_max: Duration,
    },
}

/// A load to be run.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// Sent in turn.
    pub(crate) requests: Arc<[Vec<u8>]>,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// What comes first and does not count.
    pub(crate) warm_up: Duration,
    /// How long it goes on after the warm-up.
    pub(crate) duration: Duration,
}

/// Loads in turn, a slice of each at a time: what slows the machine down meanwhile slows all.
///
/// # Panics
///
/// Where a request failed.
pub(crate) async fn in_turn<const N: usize>(loads: [Load; N]) -> [Measured; N] {
    let mut measured = std::array::from_fn(|_| Measured::default());
    for _ in 0..SLICES {
        for (load, measured) in loads.iter().zip(&mut measured) {
            measured.merge(load.lasting(load.duration / SLICES).run().await);
        }
    }
    measured.iter().for_each(Measured::expect_no_failure);
    measured
}

impl Load {
    /// The same for another time.
    pub(crate) fn lasting(&self, duration: Duration) -> Self {
        Self {
            duration,
            ..self.clone()
        }
    }

    /// The same at fixed times.
    pub(crate) fn paced(&self, per_second: f64, late_max: Duration) -> Self {
        let pace = Pace::Open {
            per_second,
            late_max,
        };
        Self {
            pace,
            ..self.clone()
        }
    }

    /// The times of an open loop that begins now.
    fn timetable(&self, begun: Instant) -> Option<Timetable> {
        let Pace::Open {
            per_second,
            late_max,
        } = self.pace
        else {
            return None;
        };
        let schedule = Schedule::new(per_second, self.warm_up + self.duration, late_max);
        Some(Timetable {
            begun,
            schedule: Mutex::new(schedule),
        })
    }

    /// Runs it.
    ///
    /// # Panics
    ///
    /// Where the server hangs.
    pub(crate) async fn run(self) -> Measured {
        let (begun, cost) = (Instant::now(), Cost::begin());
        let start = begun + self.warm_up;
        let window = Window {
            start,
            end: start + self.duration,
        };
        let timetable = self.timetable(begun).map(Arc::new);
        let clients = (0..self.connections).map(|number| Client {
            connection: Connection::new(self.address, number),
            requests: self.requests.clone(),
            first: number,
            window,
        });
        let running: Vec<_> = clients
            .map(|client| match &timetable {
                None => tokio::spawn(client.closed()),
                Some(timetable) => tokio::spawn(client.open(timetable.clone())),
            })
            .collect();
        let mut measured = Measured::default();
        for client in running {
            let left = PATIENCE + (window.end - begun);
            let ended = timeout(left, client).await.expect("the server answers");
            measured.merge(ended.expect("a client does not panic"));
        }
        measured.elapsed = self.duration;
        measured.add_cost(cost);
        measured
    }
}

/// One connection, and what it sends.
struct Client {
    connection: Connection,
    requests: Arc<[Vec<u8>]>,
    /// Where among the requests it begins.
    first: usize,
    window: Window,
}

impl Client {
    /// Sends requests one after another. Counts what is answered in the window: so much came out, whenever it went in.
    async fn closed(mut self) -> Measured {
        let mut measured = Measured::default();
        for number in self.first.. {
            let sent = Instant::now();
            if sent >= self.window.end {
                break;
            }
            let request = &self.requests[number % self.requests.len()];
            let outcome = self.connection.ask(request).await;
            let answered = Instant::now();
            let counts = self.window.contains(answered);
            measured.note(outcome, (sent, answered), self.window, counts);
        }
        measured
    }

    /// Sends requests when they are due. Counts those that are due in the window, and waits for their answers.
    async fn open(mut self, timetable: Arc<Timetable>) -> Measured {
        let mut measured = Measured::default();
        for number in self.first.. {
            let Some(due) = timetable.next().await else {
                break;
            };
            let request = &self.requests[number % self.requests.len()];
            let outcome = self.connection.ask(request).await;
            let counts = self.window.contains(due);
            measured.note(outcome, (due, Instant::now()), self.window, counts);
        }
        measured
    }
}

/// The schedule of an open loop, from which idle connections take the next time, one after another.
struct Timetable {
    begun: Instant,
    schedule: Mutex<Schedule>,
}

impl Timetable {
    /// Waits until the next request is due. Nothing at the end.
    ///
    /// Who waits, waits with the schedule locked, so that the others need not look at the clock. It waits awake, since timers
    /// round up to a millisecond: an open loop takes the whole of its core.
    async fn next(&self) -> Option<Instant> {
        let mut schedule = self.schedule.lock().await;
        let due = self.begun + schedule.take(self.begun.elapsed())?;
        while Instant::now() < due {
            yield_now().await;
        }
        Some(due)
    }
}
