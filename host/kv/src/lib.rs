//! The key-value interface: what a store promises, how it fails, and how it is proven.
//!
//! - [`Store`] is the contract that a provider implements; [`StoreExt`] is comfort built on it.
//! - [`Error`] names the failures that a caller can act on.
//! - [`Limits`] are the bounds that hold for every provider alike.
//! - [`layer`] holds stores around a store: limits, timeouts, observation, read-only views.
//! - [`Memory`] is the reference: exact, and gone with the process.
//! - `conformance` (a feature) is the suite that every provider runs.
//!
//! This crate knows no provider and no guest. A provider depends on it and on its own engine; the
//! host depends on it alone and receives an `Arc<dyn Store>`.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod extension;
pub mod layer;
mod limits;
mod memory;
mod store;

pub use error::{BoxError, Error, Measure, Result};
pub use extension::{CounterError, StoreExt};
pub use limits::Limits;
pub use memory::Memory;
pub use store::{Capabilities, Entry, Page, Store, Swap, Version};
