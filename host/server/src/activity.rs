//! What one connection is doing, and whether it may go on.
//!
//! The connection's stream, its requests and their bodies tell; [`Activity::outstayed`] looks now and then, and takes no
//! time of day on the way of a request. All of it happens on one event loop. The numbers are atomic only because bodies
//! have to be able to move between threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::Version;
use starling_admission::Arrival;
use starling_telemetry::Limit;
use tokio::sync::Notify;

use crate::limits::Bounds;

/// How long a connection is not listened to after a refusal. Its client was told to wait for a second at least, and one that
/// obeys does not notice. Up to as much again is added, for each connection another part: those that were refused together
/// do not come back together.
const PAUSE: Duration = Duration::from_millis(250);

/// Its multiples, of which only the fraction counts, are spread evenly, however many there are.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

/// How soon a connection is looked at that may be at rest, and how seldom at last: one that is in steady use need not be
/// looked at often, and most others have one request and rest.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_MAX: Duration = Duration::from_millis(320);

/// The doings of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    bounds: Arc<Bounds>,
    http2: AtomicBool,
    /// Requests under way.
    requests: AtomicU32,
    /// Requests that have begun or ended.
    changes: AtomicU64,
    /// Whether the head of a request is owed: some of it has come, or it is the first.
    head_owed: AtomicBool,
    /// Bytes that have come since the last one that belonged to a request, as far as is known.
    stray_bytes: AtomicU64,
    /// Requests that the client may cancel yet.
    resets_left: AtomicU32,
    abused: Notify,
    /// How often the stream took nothing, for the client takes nothing.
    blocked: AtomicU64,
    /// Whether something waits for the client to take it.
    unsent: AtomicBool,
    last_frame: AtomicU8,
    /// Whether a refusal is still to be followed by a pause.
    pause_owed: AtomicBool,
    /// The part of a pause that is added to it: from 0, below 1.
    spread: f64,
    /// Whether what the last request began with had come during a pause.
    late: AtomicBool,
}

/// How the last look at a response's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LastFrame {
    /// Nobody has looked.
    None = 0,
    /// There was a frame, which is to be sent now.
    Taken = 1,
    /// There is none yet, or none any more.
    Awaited = 2,
}

/// What has to stay the same for a connection to be called idle.
type State = (u64, bool);

impl Activity {
    pub(crate) fn new(bounds: Arc<Bounds>) -> Self {
        let number = bounds.connections.fetch_add(1, Relaxed);
        Self {
            spread: (f64::from(number) * GOLDEN_RATIO).fract(),
            http2: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            changes: AtomicU64::new(0),
            head_owed: AtomicBool::new(true),
            stray_bytes: AtomicU64::new(0),
            resets_left: AtomicU32::new(bounds.limits.http2_resets_max),
            abused: Notify::new(),
            blocked: AtomicU64::new(0),
            unsent: AtomicBool::new(false),
            last_frame: AtomicU8::new(LastFrame::None as u8),
            pause_owed: AtomicBool::new(false),
            late: AtomicBool::new(false),
            bounds,
        }
    }

    /// The limits that it is held to.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The head of a request has come. The request is under way until what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        self.http2.store(version == Version::HTTP_2, Relaxed);
        let requests = self.requests.load(Relaxed) + 1;
        self.requests.store(requests, Relaxed);
        self.change();
        self.head_owed.store(false, Relaxed);
        self.progress();
        if version == Version::HTTP_2 && requests == self.bounds.limits.http2_streams_max {
            self.bounds.reached.count(Limit::Http2Streams);
        }
        UnderWay {
            activity: self.clone(),
            whole: false,
        }
    }

    fn end(&self, whole: bool) {
        self.requests
            .store(self.requests.load(Relaxed) - 1, Relaxed);
        self.change();
        if !self.http2.load(Relaxed) {
            return;
        }
        let left = self.resets_left.load(Relaxed);
        match (whole, left) {
            (true, left) if left < self.bounds.limits.http2_resets_max => {
                self.resets_left.store(left + 1, Relaxed);
            }
            (true, _) => {}
            (false, 0) => self.abused.notify_one(),
            (false, left) => self.resets_left.store(left - 1, Relaxed),
        }
    }

    fn change(&self) {
        self.changes.store(self.changes.load(Relaxed) + 1, Relaxed);
    }

    /// Something has come, or gone, that belongs to a request.
    pub(crate) fn progress(&self) {
        self.stray_bytes.store(0, Relaxed);
    }

    /// These many bytes have come.
    ///
    /// # Errors
    /// When too many have come that belong to no request.
    pub(crate) fn received(&self, bytes: usize) -> io::Result<()> {
        if !self.http2.load(Relaxed) && self.requests.load(Relaxed) == 0 {
            self.head_owed.store(true, Relaxed);
        }
        let stray = self.stray_bytes.load(Relaxed) + bytes as u64;
        self.stray_bytes.store(stray, Relaxed);
        if stray <= self.bounds.limits.http2_flood_bytes_max {
            return Ok(());
        }
        self.bounds.reached.count(Limit::Http2Flood);
        Err(io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "the client sends too much that belongs to no request",
        ))
    }

    /// The client does not take what is sent to it, for now.
    pub(crate) fn blocked(&self) {
        self.blocked.store(self.blocked.load(Relaxed) + 1, Relaxed);
        self.note_unsent(true);
    }

    /// Something that was written is left to send, or is not.
    pub(crate) fn note_unsent(&self, unsent: bool) {
        self.unsent.store(unsent, Relaxed);
    }

    /// A request was refused for want of room. In HTTP/1.1 the connection is not listened to for a while: else a client
    /// that asks again at once costs as much as one that is served.
    ///
    /// What came during such a pause is refused without another, so that what follows was certainly sent after it.
    pub(crate) fn refused(&self) {
        if !self.http2.load(Relaxed) && !self.late.load(Relaxed) {
            self.pause_owed.store(true, Relaxed);
        }
    }

    /// How long the connection is not to be listened to from now on, if it is not. It is told once.
    pub(crate) fn take_pause(&self) -> Option<Duration> {
        if !self.pause_owed.load(Relaxed) {
            return None;
        }
        self.pause_owed.store(false, Relaxed);
        Some(PAUSE.mul_f64(1.0 + self.spread))
    }

    /// What is read now had come during a pause, or had not. It counts for the request that begins with it.
    pub(crate) fn note_late(&self, late: bool) {
        if self.requests.load(Relaxed) == 0 {
            self.late.store(late, Relaxed);
        }
    }

    /// How the request that began last has come.
    pub(crate) fn arrival(&self) -> Arrival {
        if self.late.load(Relaxed) {
            Arrival::Late
        } else {
            Arrival::Fresh
        }
    }

    /// How often it has not.
    pub(crate) fn times_blocked(&self) -> u64 {
        self.blocked.load(Relaxed)
    }

    /// Somebody has looked at a response's body.
    pub(crate) fn note_frame(&self, frame: LastFrame) {
        self.last_frame.store(frame as u8, Relaxed);
    }

    /// How the last look since this was asked before has ended.
    pub(crate) fn take_frame(&self) -> LastFrame {
        match self.last_frame.swap(LastFrame::None as u8, Relaxed) {
            1 => LastFrame::Taken,
            2 => LastFrame::Awaited,
            _ => LastFrame::None,
        }
    }

    /// Waits until the connection is to be closed, and says at which limit.
    pub(crate) async fn outstayed(&self) -> Limit {
        tokio::select! {
            biased;
            () = self.abused.notified() => Limit::Http2Resets,
            limit = self.overslept() => limit,
        }
    }

    async fn overslept(&self) -> Limit {
        let limits = &self.bounds.limits;
        let step = limits.header_timeout.min(limits.idle_timeout) / 2;
        let step = step.max(Duration::from_millis(1));
        let (mut seen, mut unchanged) = (self.state(), Duration::ZERO);
        loop {
            tokio::time::sleep(step).await;
            let state = self.state();
            if state != seen || self.requests.load(Relaxed) > 0 {
                (seen, unchanged) = (state, Duration::ZERO);
                continue;
            }
            unchanged += step;
            let (limit, allowed) = match state {
                (_, true) => (Limit::HeaderTimeout, limits.header_timeout),
                _ if self.bounds.crowded.load(Relaxed) => (
                    Limit::IdleTimeout,
                    limits.idle_timeout.min(limits.header_timeout),
                ),
                _ => (Limit::IdleTimeout, limits.idle_timeout),
            };
            if unchanged >= allowed {
                return limit;
            }
        }
    }

    /// Waits until the connection has been at rest for a moment: nothing is under way, owed or left to send.
    pub(crate) async fn rested(&self) {
        let (mut seen, mut next) = (self.state(), LOOK);
        loop {
            tokio::time::sleep(next).await;
            let state = self.state();
            let (_, head_owed) = state;
            let busy = self.requests.load(Relaxed) > 0 || self.unsent.load(Relaxed);
            if state == seen && !head_owed && !busy {
                return;
            }
            seen = state;
            next = (next * 2).min(LOOK_MAX);
        }
    }

    fn state(&self) -> State {
        (self.changes.load(Relaxed), self.head_owed.load(Relaxed))
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct UnderWay {
    activity: Arc<Activity>,
    whole: bool,
}

impl UnderWay {
    /// The connection that it came over.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// All of its response has been taken. One that ends without has been cancelled.
    pub(crate) fn is_whole(&mut self) {
        self.whole = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.end(self.whole);
    }
}

#[cfg(test)]
mod tests;
