//! The front door: accepts HTTP/1.1 and HTTP/2 (with prior knowledge, h2c), finds the component that a path belongs
//! to, hands it the request, and answers for it when it cannot.
//!
//! - [`Routes`] is the table of paths, after Spin's rules. Pure.
//! - [`Server`] listens, on one event loop for each core, and drains on request.
//! - [`Timer`] calls a component at intervals for as long as the server serves.
//! - [`ReadinessLatch`] says whether load balancers are to send traffic; [`Siblings`] take what this host cannot serve.
//! - [`PriorityRule`] says which requests go first when there are more than a host can serve, and [`Gates`] how many it takes.
//! - [`RequestObserver`] hears of each request.
//! - [`Admin`] is a second, small listener for those who run the host.
//! - [`Problem`] is every answer that the host gives by itself (RFC 9457).

mod activity;
mod addresses;
mod admin;
mod connection;
mod conversation;
mod drain;
mod gate;
mod headers;
mod limits;
mod listener;
mod observe;
mod patience;
mod problem;
mod protocol;
mod readiness;
mod received;
mod routes;
mod sent;
mod server;
mod siblings;
mod timer;
mod trace;

pub use admin::{Admin, Page, Pages};
pub use drain::{Drain, Draining, drain};
pub use gate::{Gates, InvalidRule, PriorityRule};
pub use limits::Limits;
pub use observe::{Answered, RequestObserver};
pub use problem::Problem;
pub use readiness::{LIVE, READY, Readiness, ReadinessLatch};
pub use routes::{Route, RouteError, RoutePattern, Routes};
pub use server::{ListenError, Server};
pub use siblings::{InvalidAddress, Sibling, Siblings};
pub use timer::{Timer, TimerError};
