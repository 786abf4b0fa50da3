//! Whether a host may be given traffic: what a load balancer reads at `/ready`.
//!
//! A host that is not ready serves all the same: whoever is still sent to it, or comes back to it, is answered. `/live`
//! says that the process runs, and nothing else.

use std::sync::{Arc, PoisonError, RwLock};

/// The path at which a load balancer asks whether to send traffic.
pub const READY: &str = "/ready";

/// The path at which a supervisor asks whether the process runs.
pub const LIVE: &str = "/live";

/// Whether, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: the host has begun, and does not know yet what it is to serve.
    #[default]
    Starting,
    /// It may be given traffic.
    Ready,
    /// Its clients would be served badly, for this reason.
    Degraded(String),
    /// An operator takes it out of the traffic, or it is about to go.
    Draining,
}

/// The readiness of one host, as it is now. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct ReadinessLatch(Arc<RwLock<Readiness>>);

impl ReadinessLatch {
    /// A host that is ready from the start: nobody steers it.
    pub fn ready() -> Self {
        Self(Arc::new(RwLock::new(Readiness::Ready)))
    }

    /// What it is now.
    pub fn get(&self) -> Readiness {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it, and says so in the log if it is a change.
    pub fn set(&self, readiness: Readiness) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if *current == readiness {
            return;
        }
        match &readiness {
            Readiness::Degraded(reason) => {
                tracing::warn!(reason, "not ready: load balancers are told to keep away");
            }
            other => tracing::info!(readiness = ?other, "the host's readiness has changed"),
        }
        *current = readiness;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_latch_are_one() {
        let latch = ReadinessLatch::default();
        let other = latch.clone();
        assert_eq!(latch.get(), Readiness::Starting);
        other.set(Readiness::Degraded("the store does not answer".to_owned()));
        assert_eq!(latch.get(), other.get());
        assert_eq!(ReadinessLatch::ready().get(), Readiness::Ready);
    }
}
