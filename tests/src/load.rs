//! Clients that send requests all the while something else happens, and what became of their requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Answer, Call};
use crate::deployment::try_call;

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    hurt: Mutex<BTreeMap<String, u64>>,
}

/// What became of the requests.
#[derive(Clone, Debug)]
pub struct Toll {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that failed, by how.
    pub hurt: BTreeMap<String, u64>,
}

impl Toll {
    /// The share of the requests that failed.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.hurt.values().sum::<u64>() as f64 / self.sent.max(1) as f64
    }

    /// Checks that there were requests, and that none failed.
    ///
    /// # Panics
    ///
    /// Otherwise.
    pub fn is_clean(&self) {
        assert!(self.sent > 100, "{self:?}");
        assert!(self.hurt.is_empty(), "{self:?}");
    }
}

impl Load {
    /// One client for each address, which sends what `call` gives every `pause`, on a connection of its own each time.
    ///
    /// A request is hurt if there is no answer, the status is not one of success, or it takes longer than `patience`.
    pub fn start(
        addresses: &[SocketAddr],
        pause: Duration,
        patience: Duration,
        call: impl Fn(u64) -> Call + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let call = Arc::new(call);
        let clients = addresses
            .iter()
            .map(|address| {
                let (shared, call, address) = (shared.clone(), call.clone(), *address);
                tokio::spawn(async move {
                    let mut ticks = interval(pause);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    while !shared.stop.load(Ordering::Relaxed) {
                        ticks.tick().await;
                        let number = shared.sent.fetch_add(1, Ordering::Relaxed);
                        let begun = Instant::now();
                        let answer = try_call(address, &call(number)).await;
                        if let Some(how) = hurt(answer.as_ref(), begun.elapsed(), patience) {
                            shared.note(how);
                        }
                    }
                })
            })
            .collect();
        Self { shared, clients }
    }

    /// What became of the requests so far.
    #[must_use]
    pub fn toll(&self) -> Toll {
        Toll {
            sent: self.shared.sent.load(Ordering::Relaxed),
            hurt: self
                .shared
                .hurt
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// Lets the clients finish what they have sent, and tells what became of it.
    ///
    /// # Panics
    ///
    /// Where a client panicked.
    pub async fn stop(mut self) -> Toll {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in std::mem::take(&mut self.clients) {
            client.await.expect("a client does not panic");
        }
        self.toll()
    }
}

impl Shared {
    fn note(&self, how: String) {
        let mut hurt = self.hurt.lock().unwrap_or_else(PoisonError::into_inner);
        *hurt.entry(how).or_default() += 1;
    }
}

fn hurt(answer: Option<&Answer>, elapsed: Duration, patience: Duration) -> Option<String> {
    match answer {
        None => Some("no answer".to_owned()),
        Some(answer) if !answer.status.is_success() => Some(answer.status.to_string()),
        Some(_) if elapsed > patience => Some("slow".to_owned()),
        Some(_) => None,
    }
}
