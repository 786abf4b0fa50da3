//! The front door: accepts HTTP/1.1 and HTTP/2 (with prior knowledge, h2c), finds the component that a path belongs
//! to, hands it the request, and answers for it when it cannot.
//!
//! - [`Routes`] is the table of paths, after Spin's rules. Pure.
//! - [`Server`] listens, on one event loop for each core, and drains on request.
//! - [`Timer`] calls a component at intervals for as long as the server serves.
//! - [`Admin`] is a second, small listener for those who run the host.
//! - [`Problem`] is every answer that the host gives by itself (RFC 9457).

mod admin;
mod connection;
mod drain;
mod headers;
mod limits;
mod patience;
mod problem;
mod routes;
mod server;
mod timer;
mod trace;

pub use admin::{Admin, Page, Pages};
pub use drain::{Drain, Draining, drain};
pub use limits::Limits;
pub use problem::Problem;
pub use routes::{Route, RouteError, RoutePattern, Routes};
pub use server::{ListenError, Server};
pub use timer::{Timer, TimerError};
