//! What one request may ask of its component's stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use starling_telemetry::{Limit, LimitCounts};
use thiserror::Error;

use crate::limits::Limits;

/// A request has used up its budget. What it asks of its stores from now on is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Exhausted {
    /// It has asked too often.
    #[error("the request has done as many store operations as one request may")]
    Operations,
    /// It has read and written too many bytes.
    #[error("the request has moved as many bytes from and to stores as one request may")]
    Bytes,
}

impl Exhausted {
    fn limit(self) -> Limit {
        match self {
            Self::Operations => Limit::StoreOperations,
            Self::Bytes => Limit::StoreBytes,
        }
    }
}

/// What the current request of an instance has left. It is one thread's at a time; its numbers are atomic only because a
/// store of wasmtime may move between threads.
#[derive(Debug)]
pub(crate) struct Budget {
    operations_max: u64,
    bytes_max: u64,
    operations: AtomicU64,
    bytes: AtomicU64,
    /// Whether the current request has been refused something; it counts once.
    refused: AtomicBool,
    lifted: AtomicBool,
    reached: Arc<LimitCounts>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits, reached: Arc<LimitCounts>) -> Self {
        Self {
            operations_max: limits.store_operations_max,
            bytes_max: limits.store_bytes_max,
            operations: AtomicU64::new(limits.store_operations_max),
            bytes: AtomicU64::new(limits.store_bytes_max),
            refused: AtomicBool::new(false),
            lifted: AtomicBool::new(false),
            reached,
        }
    }

    /// A request begins.
    pub(crate) fn renew(&self) {
        self.operations.store(self.operations_max, Relaxed);
        self.bytes.store(self.bytes_max, Relaxed);
        self.refused.store(false, Relaxed);
    }

    /// Refuses nothing from now on: the instance does what the host asks, and at the host's pace.
    pub(crate) fn lift(&self) {
        self.lifted.store(true, Relaxed);
    }

    /// Takes `operations` out of the budget.
    ///
    /// # Errors
    /// When less is left. Nothing is taken then.
    pub(crate) fn operations(&self, operations: usize) -> Result<(), Exhausted> {
        self.take(&self.operations, operations, Exhausted::Operations)
    }

    /// Takes `bytes` out of the budget.
    ///
    /// # Errors
    /// When less is left. Nothing is taken then.
    pub(crate) fn bytes(&self, bytes: usize) -> Result<(), Exhausted> {
        self.take(&self.bytes, bytes, Exhausted::Bytes)
    }

    fn take(&self, left: &AtomicU64, amount: usize, exhausted: Exhausted) -> Result<(), Exhausted> {
        match left.load(Relaxed).checked_sub(amount as u64) {
            Some(rest) => left.store(rest, Relaxed),
            None if self.lifted.load(Relaxed) => {}
            None => {
                if !self.refused.swap(true, Relaxed) {
                    self.reached.count(exhausted.limit());
                }
                return Err(exhausted);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(operations: u64, bytes: u64) -> Budget {
        let limits = Limits {
            store_operations_max: operations,
            store_bytes_max: bytes,
            ..Limits::default()
        };
        Budget::new(&limits, Arc::default())
    }

    #[test]
    fn what_is_past_the_budget_is_refused_and_counted_once_a_request() {
        let budget = budget(2, 10);
        assert_eq!(budget.operations(2), Ok(()));
        assert_eq!(budget.operations(1), Err(Exhausted::Operations));
        assert_eq!(budget.operations(1), Err(Exhausted::Operations));
        assert_eq!(budget.reached.get(Limit::StoreOperations), 1);
        assert_eq!(budget.bytes(10), Ok(()));
    }

    #[test]
    fn what_is_too_much_takes_nothing() {
        let budget = budget(2, 10);
        assert_eq!(budget.bytes(11), Err(Exhausted::Bytes));
        assert_eq!(budget.bytes(10), Ok(()));
        assert_eq!(budget.reached.get(Limit::StoreBytes), 1);
    }

    #[test]
    fn each_request_has_its_own() {
        let budget = budget(1, 1);
        for requests in 1..=3 {
            budget.renew();
            assert_eq!(budget.operations(1), Ok(()));
            assert_eq!(budget.operations(1), Err(Exhausted::Operations));
            assert_eq!(budget.reached.get(Limit::StoreOperations), requests);
        }
    }

    #[test]
    fn a_lifted_one_refuses_nothing() {
        let budget = budget(1, 1);
        budget.lift();
        budget.renew();
        assert_eq!(budget.operations(100), Ok(()));
        assert_eq!(budget.bytes(100), Ok(()));
        assert_eq!(budget.reached.get(Limit::StoreOperations), 0);
    }
}
