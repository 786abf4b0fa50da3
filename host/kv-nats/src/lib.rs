//! The `nats` provider: a store on NATS JetStream, one independent system for each region, and the replicas that each
//! region keeps of all others.
//!
//! - [`System`] is the connection to one region's system, [`Regions`] are those of a deployment;
//! - [`Replicated`] is one store on all of them: this region's own bucket, which this region alone writes, and its
//!   replicas of the others' ([`NatsStore`] is either);
//! - the rest is private: keys as subjects, buckets as streams, the cache and who keeps it true, the replicator, and
//!   the keeper, which compares a bucket with its replicas before it is written.
//!
//! What a replica holds is always a prefix of its origin ([`course`]); so whatever was written first is visible first,
//! everywhere.
//!
//! # What differs from other providers
//!
//! - Reads are served from this host's memory where possible. They see every write that this host acknowledged; one
//!   that another host of the region acknowledged a moment ago, they may not see yet. Compare-and-swap is exact.
//! - A batch is not atomic; its entries are written side by side.
//! - Listings come in the order of the last writes.
//! - Whether an acknowledgement means the disk, only the operator of the servers knows: see
//!   [`StoreConfig::sync_always`].

mod bucket;
mod cache;
mod comparison;
mod config;
mod course;
mod failure;
mod follower;
mod geo;
mod keeper;
mod pump;
mod random;
mod regions;
mod replicator;
mod status;
mod store;
mod subject;
mod system;
mod tail;
mod tasks;

pub use bucket::Difference;
pub use config::{Acks, StoreConfig, SystemConfig};
pub use regions::{OpenError, Regions, RegionsError, Replicated, StoreReport};
pub use status::{OriginReport, Regression};
pub use store::NatsStore;
pub use system::{System, SystemError};
