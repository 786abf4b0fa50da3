//! Tells an observer of each request when it has been answered. Metrics live with the observer, not here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

/// Hears of every request when the head of its response is there. Called on an event loop: it must not block.
pub trait RequestObserver: Send + Sync + fmt::Debug + 'static {
    /// A request was answered.
    fn observe(&self, request: &Answered<'_>);
}

/// A request, and how it was answered.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The route that matched, as the manifest writes it; `None` where none did.
    pub route: Option<&'a Arc<str>>,
    /// The status of its response.
    pub status: StatusCode,
    /// What kind of problem the host answered with, if it did in place of a component.
    pub problem: Option<&'static str>,
    /// The time from its head to that of its response.
    pub elapsed: Duration,
}
