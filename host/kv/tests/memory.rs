//! The in-memory reference keeps the contract, alone and under every layer.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use starling_kv::{
    Limits, Memory, Store,
    conformance::Provider,
    layer::{Limit, Observe, Observer, Operation, Outcome, Timeout, Timeouts},
};

#[derive(Debug)]
struct Deaf;

impl Observer for Deaf {
    fn observe(&self, _: Operation, _: Duration, _: Outcome<'_>) {}
}

/// The reference as it is.
struct Plain;

#[async_trait]
impl Provider for Plain {
    async fn empty(&self) -> Arc<dyn Store> {
        Arc::new(Memory::new())
    }
}

/// The reference below all layers, in the host's order.
struct Layered;

#[async_trait]
impl Provider for Layered {
    async fn empty(&self) -> Arc<dyn Store> {
        let hour = Duration::from_secs(3600);
        let store = Timeout::new(
            Memory::new(),
            Timeouts {
                read: hour,
                write: hour,
            },
        );
        Arc::new(Observe::new(Limit::new(store, Limits::DEFAULT), Deaf))
    }
}

mod plain {
    starling_kv::conformance_tests!(super::Plain);
}

mod layered {
    starling_kv::conformance_tests!(super::Layered);
}
