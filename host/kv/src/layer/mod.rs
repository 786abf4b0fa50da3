//! Stores around a store. Each adds one behaviour and passes everything else on.
//!
//! They compose in the order in which a request should meet them. The host's is
//! `Observe(Limit(Timeout(provider)))`: refusals are counted, and what is refused waits for nobody.
//! As [`Store`](crate::Store) gives no method for free, a layer that forgets one does not compile.

mod limit;
mod observe;
mod read_only;
mod timeout;

pub use limit::Limit;
pub use observe::{Observe, Observer, Operation, Outcome};
pub use read_only::ReadOnly;
pub use timeout::{Timeout, Timeouts};
