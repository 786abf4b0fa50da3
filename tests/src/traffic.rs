//! What stands in front of a fleet: a traffic manager that asks every host whether it is ready, and clients that go where it
//! sends them and retry elsewhere.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::client::Call;

/// How often a host is asked.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How long it may take to answer.
pub const POLL_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a client waits for one host, before it retries with another.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// A host as a traffic manager knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where clients are sent.
    pub front: SocketAddr,
    /// Where it tells whether it is ready.
    pub health: SocketAddr,
}

/// Sends clients to hosts that are ready.
#[derive(Debug)]
pub struct TrafficManager {
    ready: Arc<Mutex<Vec<SocketAddr>>>,
    polls: Vec<JoinHandle<()>>,
}

impl TrafficManager {
    /// Begins with all of them, and asks each from now on.
    #[must_use]
    pub fn start(backends: &[Backend]) -> Self {
        let fronts = backends.iter().map(|backend| backend.front).collect();
        let ready = Arc::new(Mutex::new(fronts));
        let polls = backends
            .iter()
            .map(|backend| tokio::spawn(poll(*backend, Arc::clone(&ready))))
            .collect();
        Self { ready, polls }
    }

    /// Where clients are sent now.
    #[must_use]
    pub fn ready(&self) -> Vec<SocketAddr> {
        lock(&self.ready).clone()
    }

    /// Sends `clients` clients, each of which has something to ask every `pause`.
    pub fn clients(
        &self,
        clients: u64,
        pause: Duration,
        call: impl Fn(u64) -> Call + Send + Sync + 'static,
    ) -> Crowd {
        let shared = Arc::new(Shared::default());
        let call = Arc::new(call);
        let clients = (0..clients)
            .map(|client| {
                let (ready, shared, call) = (self.ready.clone(), shared.clone(), call.clone());
                tokio::spawn(async move {
                    // Spread over the pause, and each with hosts in turn.
                    sleep(pause.mul_f64(client as f64 / 97.0 % 1.0)).await;
                    let mut ticks = interval(pause);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    let mut turn = client;
                    while !shared.stop.load(Ordering::Relaxed) {
                        ticks.tick().await;
                        let number = shared.asked.fetch_add(1, Ordering::Relaxed);
                        shared.ask(&ready, &mut turn, &call(number)).await;
                    }
                })
            })
            .collect();
        Crowd { shared, clients }
    }
}

impl Drop for TrafficManager {
    fn drop(&mut self) {
        self.polls.iter().for_each(JoinHandle::abort);
    }
}

async fn poll(backend: Backend, ready: Arc<Mutex<Vec<SocketAddr>>>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = Call::get("/ready").try_send_to(backend.health);
        let answer = timeout(POLL_TIMEOUT, asked).await;
        let is_ready = matches!(answer, Ok(Ok(answer)) if answer.status.is_success());
        let mut ready = lock(&ready);
        ready.retain(|front| *front != backend.front);
        if is_ready {
            ready.push(backend.front);
        }
    }
}

/// Clients that retry until they are served.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    asked: AtomicU64,
    served: AtomicU64,
    /// When attempts failed.
    errors: Mutex<Vec<Instant>>,
}

impl Shared {
    /// Asks until there is an answer of success, each time another host.
    async fn ask(&self, ready: &Mutex<Vec<SocketAddr>>, turn: &mut u64, call: &Call) {
        loop {
            let known = lock(ready).clone();
            *turn = turn.wrapping_add(1);
            let host = usize::try_from(*turn).unwrap_or(0) % known.len().max(1);
            if let Some(host) = known.get(host) {
                let attempt = timeout(ATTEMPT_TIMEOUT, call.clone().try_send_to(*host));
                if matches!(attempt.await, Ok(Ok(answer)) if answer.status.is_success()) {
                    self.served.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            } else {
                sleep(Duration::from_millis(20)).await;
            }
            lock(&self.errors).push(Instant::now());
        }
    }
}

impl Crowd {
    /// What has been served so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// When attempts failed after `since`, as times from it.
    #[must_use]
    pub fn errors_since(&self, since: Instant) -> Vec<Duration> {
        let errors = lock(&self.shared.errors);
        errors
            .iter()
            .filter_map(|at| at.checked_duration_since(since))
            .collect()
    }

    /// Lets each client be served once more, and answers how many requests there were; all have been served.
    ///
    /// # Panics
    ///
    /// Where a client panicked.
    pub async fn stop(self) -> u64 {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client does not panic");
        }
        let asked = self.shared.asked.load(Ordering::Relaxed);
        assert_eq!(asked, self.shared.served.load(Ordering::Relaxed));
        asked
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
