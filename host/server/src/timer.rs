//! Calls a component at intervals, for work that no request asks for.
//!
//! A call is a `POST` without a body, straight to an instance: no listener is in between, so its path needs no route,
//! and can be reached from outside only if a route covers it. The next call comes a pause after the end of the one
//! before, so there are never two at once; after failures the pauses grow.

use std::time::Duration;
use std::{io, thread};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use starling_engine::{Instances, Versions};
use starling_telemetry::attribute;
use thiserror::Error;
use tokio::runtime;
use tokio::task::JoinSet;

use crate::drain::Draining;
use crate::problem::Problem;
use crate::trace::Trace;

/// The shortest interval: a call costs about what a request costs.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The longest interval.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// The longest pause after failures, unless the interval is longer.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// One component's timer.
#[derive(Clone, Debug)]
pub struct Timer {
    versions: Versions,
    uri: Uri,
    interval: Duration,
    back_off_max: Duration,
}

/// Why a timer cannot be.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TimerError {
    /// The path is not one.
    #[error("the timer's path `{0}` is not an absolute path, such as `/maintenance`")]
    Path(String),
    /// The interval is too short or too long.
    #[error("the timer's interval_ms is {0}; it can be 100 to 3600000")]
    Interval(u128),
}

impl Timer {
    /// Calls the version with the greatest share under `path`, every `interval`.
    ///
    /// # Errors
    /// When the path is not absolute, or the interval is not between 100 ms and an hour.
    pub fn new(versions: Versions, path: &str, interval: Duration) -> Result<Self, TimerError> {
        Ok(Self {
            versions,
            uri: uri(path)?,
            interval: checked(interval)?,
            back_off_max: BACK_OFF_MAX,
        })
    }

    /// Calls as often after a failure as after a success: for what has to notice at once that it works again.
    #[must_use]
    pub fn steady(mut self) -> Self {
        self.back_off_max = Duration::ZERO;
        self
    }

    /// Calls, and calls again, until the host goes. A call that has begun is finished.
    async fn run(self, mut draining: Draining) {
        let mut instances = None;
        let mut pace = Pace::new(self.interval, self.back_off_max);
        while !draining.noticed() {
            instances = self.versions.apart(instances);
            let pause = match &instances {
                Some(instances) => pace.after(self.call(instances, pace.last).await),
                None => self.interval,
            };
            tokio::select! {
                biased;
                () = draining.wait_noticed() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Calls once, and says in the log what is `last` no more.
    async fn call(&self, instances: &Instances, last: Outcome) -> Outcome {
        let trace = Trace::begin();
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        trace.pass_on(request.headers_mut());
        let (outcome, cause) = match instances.handle(request, 0).await {
            Ok(response) => {
                let status = response.status();
                match drained(response.into_body()).await {
                    Ok(()) if status.is_success() => (Outcome::Done, None),
                    Ok(()) => (Outcome::Answered(status), None),
                    Err(why) => (Outcome::Failed("response-incomplete"), Some(why)),
                }
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!("{cause:#}"));
                (Outcome::Failed(Problem::Component(error).name()), cause)
            }
        };
        if outcome == last {
            tracing::debug!(
                { attribute::COMPONENT } = self.versions.name(),
                ?outcome,
                "a timer's call ended as the one before"
            );
            return outcome;
        }
        match outcome {
            Outcome::Done => tracing::info!(
                { attribute::COMPONENT } = self.versions.name(),
                "the timer's calls succeed again"
            ),
            Outcome::Answered(status) => tracing::error!(
                { attribute::TRACE_ID } = %trace.id(),
                { attribute::COMPONENT } = self.versions.name(),
                { attribute::HTTP_RESPONSE_STATUS_CODE } = status.as_u16(),
                "the timer's calls fail"
            ),
            Outcome::Failed(kind) => tracing::error!(
                { attribute::TRACE_ID } = %trace.id(),
                { attribute::COMPONENT } = self.versions.name(),
                { attribute::ERROR_TYPE } = kind,
                cause,
                "the timer's calls fail"
            ),
        }
        outcome
    }
}

fn uri(path: &str) -> Result<Uri, TimerError> {
    let wrong = || TimerError::Path(path.to_owned());
    if !path.starts_with('/') || path.contains('#') {
        return Err(wrong());
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("localhost"));
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| wrong())?);
    Uri::from_parts(parts).map_err(|_| wrong())
}

fn checked(interval: Duration) -> Result<Duration, TimerError> {
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err(TimerError::Interval(interval.as_millis()))
    }
}

/// Reads a response's body to its end: the guest may still be at work until then.
async fn drained(mut body: starling_engine::Body) -> Result<(), String> {
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// How a call ended, as far as the log tells one end from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// With a status of success.
    Done,
    /// With another status.
    Answered(StatusCode),
    /// Without a whole response.
    Failed(&'static str),
}

/// When the next call is due.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    back_off_max: Duration,
    /// Since the last success.
    failures: u32,
    last: Outcome,
}

impl Pace {
    fn new(interval: Duration, back_off_max: Duration) -> Self {
        Self {
            interval,
            back_off_max,
            failures: 0,
            last: Outcome::Done,
        }
    }

    /// The pause after a call that ended like this.
    fn after(&mut self, outcome: Outcome) -> Duration {
        self.failures = match outcome {
            Outcome::Done => 0,
            Outcome::Answered(_) | Outcome::Failed(_) => self.failures.saturating_add(1),
        };
        self.last = outcome;
        pause(self.interval, self.back_off_max, self.failures)
    }
}

/// The interval, doubled for each failure since the last success.
fn pause(interval: Duration, back_off_max: Duration, failures: u32) -> Duration {
    let times = 2_u32.saturating_pow(failures);
    interval
        .saturating_mul(times)
        .min(back_off_max.max(interval))
}

/// Runs all timers on one thread of their own until the host goes. Calls in flight have `drain_timeout` to end then.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn start(
    timers: Vec<Timer>,
    draining: &Draining,
    drain_timeout: Duration,
) -> io::Result<Option<thread::JoinHandle<()>>> {
    if timers.is_empty() {
        return Ok(None);
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut draining = draining.clone();
    let run = async move {
        let mut running = JoinSet::new();
        for timer in timers {
            running.spawn(timer.run(draining.clone()));
        }
        draining.wait_noticed().await;
        let ended = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(drain_timeout, ended).await.is_err() {
            tracing::warn!("a timer's call was cut off: its time to end was up");
        }
    };
    thread::Builder::new()
        .name("timers".to_owned())
        .spawn(move || runtime.block_on(run))
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_call_follows_the_last_by_the_interval() {
        let mut pace = Pace::new(SECOND, BACK_OFF_MAX);
        for _ in 0..3 {
            assert_eq!(pace.after(Outcome::Done), SECOND);
        }
    }

    #[test]
    fn failures_double_the_pause_up_to_its_end_and_success_restores_it() {
        let mut pace = Pace::new(SECOND, BACK_OFF_MAX);
        let failed = Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE);
        let pauses: Vec<u64> = (0..8).map(|_| pace.after(failed).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 10, 10, 10, 10, 10]);
        assert_eq!(pace.after(Outcome::Done), SECOND);
        assert_eq!(pace.after(Outcome::Failed("component-failed")), 2 * SECOND);
    }

    #[test]
    fn a_steady_pace_has_no_longer_pauses() {
        let mut pace = Pace::new(SECOND, Duration::ZERO);
        for _ in 0..5 {
            assert_eq!(pace.after(Outcome::Failed("component-failed")), SECOND);
        }
    }

    #[test]
    fn no_pause_is_shorter_than_the_interval() {
        for failures in [0, 1, 31, 32, 1_000, u32::MAX] {
            assert_eq!(pause(INTERVAL_MAX, BACK_OFF_MAX, failures), INTERVAL_MAX);
            assert!(pause(INTERVAL_MIN, BACK_OFF_MAX, failures) >= INTERVAL_MIN);
            assert!(pause(INTERVAL_MIN, BACK_OFF_MAX, failures) <= BACK_OFF_MAX);
        }
    }

    #[test]
    fn a_call_is_to_an_absolute_uri() {
        assert_eq!(uri("/maintenance").unwrap(), "http://localhost/maintenance");
        for path in ["", "maintenance", "http://h/maintenance", "/a b", "/a#b"] {
            assert_eq!(uri(path), Err(TimerError::Path(path.to_owned())));
        }
    }

    #[test]
    fn an_interval_has_bounds() {
        for good in [INTERVAL_MIN, SECOND, INTERVAL_MAX] {
            assert_eq!(checked(good), Ok(good));
        }
        for bad in [Duration::ZERO, SECOND / 11, INTERVAL_MAX + SECOND] {
            assert_eq!(checked(bad), Err(TimerError::Interval(bad.as_millis())));
        }
    }
}
