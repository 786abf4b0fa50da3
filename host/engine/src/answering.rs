//! The body of a response on its way out of an instance, which it drives until the guest is done.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use wasmtime_wasi_http::Error;

use crate::figures::InFlight;
use crate::guard::Guard;
use crate::pool::Pool;
use crate::request::Body;
use crate::shared::Seat;
use crate::worker::{Phase, Worker};

/// Bodies up to this many bytes are taken out of the guest before the head of their response is sent, if the guest has
/// them ready: its instance is free at once, and the client gets one piece.
const EARLY_BYTES_MAX: u64 = 64 << 10;

/// Pieces that are taken early: the data of a short body, and what ends it.
const EARLY_PIECES: usize = 2;

/// An instance that works for somebody. Let go, it finishes what it is at, and goes back to its pool.
pub(crate) struct Serving {
    /// It is here until this is let go, or its time is up.
    worker: Arc<Mutex<Option<Box<Worker>>>>,
    guard: Arc<Guard>,
    pool: Arc<Pool>,
    /// Sees to it that a client who reads nothing does not keep the instance: nobody drives it then, and it cannot see
    /// for itself that its time is up.
    watch: Option<AbortHandle>,
}

impl Serving {
    pub(crate) fn new(worker: Box<Worker>, pool: Arc<Pool>) -> Self {
        Self {
            guard: worker.guard().clone(),
            worker: Arc::new(Mutex::new(Some(worker))),
            pool,
            watch: None,
        }
    }

    /// Does this with the instance, if it is still there.
    pub(crate) fn with<T>(&mut self, work: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        lock(&self.worker).as_deref_mut().map(work)
    }

    /// Lets the guest go on, and says what it is doing then.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Phase {
        self.with(|worker| worker.drive(cx)).unwrap_or(Phase::Ended)
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    fn phase(&self) -> Phase {
        let worker = lock(&self.worker);
        worker
            .as_ref()
            .map_or(Phase::Ended, |worker| worker.phase())
    }

    /// Ends the instance if it is still at it after so long.
    fn bound(&mut self, timeout: Duration) {
        let worker = Arc::downgrade(&self.worker);
        let watch = tokio::spawn(async move {
            sleep(timeout).await;
            if let Some(worker) = worker.upgrade()
                && let Some(worker) = lock(&worker).take()
            {
                worker.time_out();
            }
        });
        self.watch = Some(watch.abort_handle());
    }
}

fn lock(worker: &Mutex<Option<Box<Worker>>>) -> MutexGuard<'_, Option<Box<Worker>>> {
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        if let Some(worker) = lock(&self.worker).take() {
            self.pool.give_back(worker);
        }
    }
}

/// What keeps a response coming.
pub(crate) enum Source {
    /// An instance of its own, which goes on when it is driven.
    Driven(Serving),
    /// A seat in one that goes on by itself.
    Shared(Seat),
}

impl Source {
    /// The guard of the instance.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        match self {
            Self::Driven(serving) => serving.guard(),
            Self::Shared(seat) => seat.guard(),
        }
    }

    /// Lets the guest go on, and says what it is doing then.
    fn drive(&mut self, cx: &mut Context<'_>) -> Phase {
        match self {
            Self::Driven(serving) => serving.drive(cx),
            Self::Shared(seat) if seat.guard().failed() => Phase::Ended,
            Self::Shared(_) => Phase::PostReturn,
        }
    }

    /// Whether the guest has ended in the middle of what it did for this response.
    fn has_failed(&self) -> bool {
        match self {
            // Idle, it has done all; what it does for others afterwards is nothing to this response.
            Self::Driven(serving) => serving.phase() == Phase::Ended && self.guard().failed(),
            Self::Shared(seat) => seat.guard().failed(),
        }
    }
}

type Piece = Result<Frame<Bytes>, Error>;

/// A response's body. It does not pass the end of a failed guest for its own.
pub(crate) struct Answering {
    /// What has left the guest before it was asked for.
    early: [Option<Piece>; EARLY_PIECES],
    /// What follows; nothing once it has ended.
    body: Option<Body>,
    /// The instance, until it has nothing left to do.
    source: Option<Source>,
    in_flight: Option<InFlight>,
}

impl Answering {
    pub(crate) fn new(body: Body, source: Source, in_flight: Option<InFlight>) -> Self {
        Self {
            early: [None, None],
            body: Some(body),
            source: Some(source),
            in_flight,
        }
    }

    /// Takes what the guest has ready, if it is not much. A guest that fails before anything is sent has given no
    /// response.
    pub(crate) fn take_early(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let length = self.body.as_ref().and_then(|body| body.size_hint().exact());
        if length.is_some_and(|length| length > EARLY_BYTES_MAX) {
            return Ok(());
        }
        for place in 0..EARLY_PIECES {
            match self.poll_piece(cx) {
                Poll::Ready(Some(piece)) => self.early[place] = Some(Ok(piece?)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Bounds the time that what is not taken yet may need.
    pub(crate) fn bound(&mut self, timeout: Duration) {
        if let Some(Source::Driven(serving)) = &mut self.source {
            serving.bound(timeout);
        }
    }

    /// The next piece from the guest.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        loop {
            let Some(body) = &mut self.body else {
                self.finish(cx);
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(piece)) => return Poll::Ready(Some(piece)),
                Poll::Ready(None) => {
                    self.body = None;
                    // To wasi-http, a guest that is gone looks like one that has said all.
                    if let Some(cut_off) = self.cut_off() {
                        return Poll::Ready(Some(Err(cut_off)));
                    }
                }
                Poll::Pending => {
                    let Some(source) = &mut self.source else {
                        return Poll::Pending;
                    };
                    match source.drive(cx) {
                        // The guest has said all: the next look at the body shows it.
                        Phase::Idle => self.source = None,
                        Phase::Ended => {}
                        Phase::Request | Phase::PostReturn => {
                            let body = self.body.as_mut().expect("it has not ended");
                            return Pin::new(body).poll_frame(cx);
                        }
                    }
                }
            }
        }
    }

    /// Gives the instance back after the last piece. What the guest still does is nothing to the client.
    fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(mut source) = self.source.take() {
            source.drive(cx);
        }
        self.in_flight = None;
    }

    /// Why the body has not really ended, if it has not.
    fn cut_off(&self) -> Option<Error> {
        if !self.source.as_ref()?.has_failed() {
            return None;
        }
        if let Some(in_flight) = &self.in_flight {
            in_flight.broke_off();
        }
        let why = "the component failed before the end of its response".to_owned();
        Some(Error::InternalError(Some(why)))
    }
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.early.iter_mut().find_map(Option::take) {
            Some(piece) => Poll::Ready(Some(piece)),
            None => self.poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none() && self.early.iter().all(Option::is_none)
    }

    fn size_hint(&self) -> SizeHint {
        let early = self.early.iter().flatten().flatten();
        let early = early
            .filter_map(Frame::data_ref)
            .map(|data| data.len() as u64);
        let early: u64 = early.sum();
        let Some(body) = &self.body else {
            return SizeHint::with_exact(early);
        };
        let rest = body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + early);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + early);
        }
        hint
    }
}
