//! Real servers for tests, and a network between that can fail.
//!
//! [`NatsServer`], [`RedisServer`] and [`RegistryServer`] start a server on a free port of the loopback interface, with its data in a
//! temporary folder, and end it when they are dropped, or when the test's process dies. A test can kill one, stop its
//! clock, start it again where it was, and throw its data away. What a server logs is kept, and printed when a test
//! fails. [`Proxy`] stands between a client and a server, and cuts, stalls or delays what passes.
//!
//! ```no_run
//! # async fn example() {
//! use starling_test_servers::{NatsServer, Proxy};
//!
//! let server = NatsServer::start().await;
//! let proxy = Proxy::start(server.address()).await;
//! // A client of `proxy.address()` is now in the middle of something.
//! proxy.stall();
//! server.kill();
//! server.restart().await;
//! proxy.heal();
//! # }
//! ```
//!
//! The programs are those that `cargo xtask servers` provides; [`programs`] tells where they are looked for. Nothing in
//! here is part of what is shipped.

mod certificates;
mod nats;
mod process;
pub mod programs;
mod proxy;
mod redis;
mod registry;

use std::time::Duration;

pub use certificates::{Certificates, Identity};
pub use nats::{NatsOptions, NatsServer};
pub use process::Process;
pub use proxy::{Direction, Proxy};
pub use redis::{RedisOptions, RedisServer};
pub use registry::{RegistryOptions, RegistryServer};

/// Longest wait for a server to answer or to exit. Never a measurement: it only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);
