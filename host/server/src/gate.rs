//! The gate of an event loop: which requests it takes when there are too many of them.
//!
//! Which go first is said of each route by [`PriorityRule`]s. How many are taken is found out by [`starling_admission`].

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::Method;
use starling_admission::{Admission, Arrival, Config, Kind, Permit, Priority, Resource, Snapshot};
use thiserror::Error;

use crate::problem::Problem;

/// How a method and a shape of path are said: a space between them, `*` for any one segment.
const ANY_SEGMENT: &str = "*";

/// Requests that go before others, or after them: `POST /v1/mailboxes/*/messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityRule {
    method: Method,
    segments: Vec<String>,
    priority: Priority,
}

/// What is not the method and path of a [`PriorityRule`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no method and path such as \"POST /v1/mailboxes/*/messages\"")]
pub struct InvalidRule(String);

impl PriorityRule {
    /// Requests as `text` says have this priority.
    ///
    /// # Errors
    /// When `text` is not a method and a path.
    pub fn new(text: &str, priority: Priority) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule(text.to_owned());
        let (method, path) = text.split_once(' ').ok_or_else(invalid)?;
        let path = path.strip_prefix('/').ok_or_else(invalid)?;
        // hyper takes any token for a method; a rule for one that no client sends is a slip of the pen.
        let known = method.bytes().all(|byte| byte.is_ascii_uppercase());
        let method = Method::from_str(method).map_err(|_| invalid())?;
        if !known || path.contains([' ', '?', '#']) {
            return Err(invalid());
        }
        Ok(Self {
            method,
            segments: path.split('/').map(str::to_owned).collect(),
            priority,
        })
    }

    fn covers(&self, method: &Method, path: &str) -> bool {
        if self.method != method {
            return false;
        }
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
        let alike = self.segments.iter().all(|wanted| {
            let segment = segments.next();
            segment.is_some_and(|segment| wanted == ANY_SEGMENT || wanted == segment)
        });
        alike && segments.next().is_none()
    }
}

/// What the gates of a server's event loops are doing. Clones are one.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<Vec<Admission>>>);

impl Gates {
    /// The state of each, in no order.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().map(Admission::snapshot).collect()
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates").finish_non_exhaustive()
    }
}

/// The gate of one event loop.
pub(crate) struct Gate(Admission);

impl Gate {
    pub(crate) fn new(config: Config, gates: &Gates) -> Self {
        let admission = Admission::new(config);
        let mut gates = gates.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.push(admission.clone());
        Self(admission)
    }

    /// Takes a request for the route with this number, or refuses it at once.
    pub(crate) fn admit(
        &self,
        route: usize,
        rules: &[PriorityRule],
        method: &Method,
        path: &str,
        arrival: Arrival,
        now: Instant,
    ) -> Result<Permit, Problem> {
        let priority = rules
            .iter()
            .find(|rule| rule.covers(method, path))
            .map_or(Priority::Normal, |rule| rule.priority);
        self.0
            .admit(priority, kind(route, priority, method), arrival, now)
            .map_err(|refused| Problem::Overloaded {
                retry_after: refused.retry_after,
            })
    }
}

/// Requests that take about as long as each other. What changes something waits for the store to have it on the disk.
fn kind(route: usize, priority: Priority, method: &Method) -> Kind {
    let resource = if method.is_safe() {
        Resource::Loop
    } else {
        Resource::Store
    };
    let rank = match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High | Priority::Critical => 2,
    };
    // Routes past the last number share one: a baseline is a mean.
    let index = u8::try_from(route * 3 + rank).unwrap_or(u8::MAX);
    Kind { resource, index }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(rule: &str, method: Method, path: &str) -> bool {
        let rule = PriorityRule::new(rule, Priority::High).unwrap();
        rule.covers(&method, path)
    }

    #[test]
    fn a_rule_covers_one_method_and_one_shape_of_path() {
        let deposits = "POST /v1/mailboxes/*/messages";
        assert!(covers(
            deposits,
            Method::POST,
            "/v1/mailboxes/anna/messages"
        ));
        assert!(!covers(
            deposits,
            Method::GET,
            "/v1/mailboxes/anna/messages"
        ));
        assert!(!covers(deposits, Method::POST, "/v1/mailboxes/anna"));
        assert!(!covers(
            deposits,
            Method::POST,
            "/v1/mailboxes/anna/messages/1"
        ));
        assert!(!covers(
            deposits,
            Method::POST,
            "/v1/mailboxes/anna/messages/"
        ));
        assert!(covers("GET /", Method::GET, "/"));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_an_example() {
        for text in [
            "",
            "POST",
            "POST v1",
            "post /v1",
            "POST /v1?x",
            "/v1",
            "PO ST /v1",
        ] {
            let error = PriorityRule::new(text, Priority::Low).unwrap_err();
            assert!(error.to_string().contains("POST /v1/"), "{error}");
        }
    }

    #[test]
    fn work_of_a_kind_is_of_one_route_priority_and_resource() {
        let read = kind(0, Priority::Normal, &Method::GET);
        assert_eq!(read.resource, Resource::Loop);
        assert_eq!(
            kind(0, Priority::Normal, &Method::PUT).resource,
            Resource::Store
        );
        assert_ne!(read.index, kind(0, Priority::Low, &Method::GET).index);
        assert_ne!(read.index, kind(1, Priority::Normal, &Method::GET).index);
        assert_eq!(kind(999, Priority::Low, &Method::GET).index, u8::MAX);
    }
}
