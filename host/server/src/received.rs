//! The body of a request as it comes from a client, who may be slow, but not for ever.
//!
//! A client has a while to begin, and then has to send so many bytes for each second that the host waits for it. Time in
//! which the guest reads nothing is not the client's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use starling_telemetry::Limit;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::activity::Activity;
use crate::limits::Limits;

/// Why a body breaks off.
#[derive(Debug, Error)]
pub(crate) enum ReceiveError {
    /// The client went away, or sent nonsense.
    #[error("the body cannot be read")]
    Broken(#[source] hyper::Error),
    /// The client is too slow.
    #[error("the client sends the body too slowly")]
    TooSlow,
}

/// A body that tells its connection's [`Activity`] how it comes.
#[derive(Debug)]
pub(crate) struct Received<B = Incoming> {
    body: B,
    activity: Arc<Activity>,
    bytes: u64,
    pace: Option<Pace>,
}

/// How much longer a client may be waited for.
#[derive(Debug)]
struct Pace {
    grace: Duration,
    bytes_per_second_min: u64,
    waited: Duration,
    /// Since when it is waited for, if it is.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    too_slow: Arc<AtomicBool>,
}

/// Tells of a body that is somewhere else whether its client was too slow.
#[derive(Clone, Debug)]
pub(crate) struct Slowness(Option<Arc<AtomicBool>>);

impl Slowness {
    /// Whether it was.
    pub(crate) fn is_excessive(&self) -> bool {
        self.0.as_ref().is_some_and(|slow| slow.load(Relaxed))
    }
}

impl<B: Body> Received<B> {
    pub(crate) fn new(body: B, activity: Arc<Activity>) -> Self {
        let pace = (!body.is_end_stream()).then(|| Pace::new(&activity.bounds().limits));
        Self {
            body,
            activity,
            bytes: 0,
            pace: pace.flatten(),
        }
    }

    /// What tells later whether the client was too slow.
    pub(crate) fn slowness(&self) -> Slowness {
        Slowness(self.pace.as_ref().map(|pace| pace.too_slow.clone()))
    }

    /// Takes note of a piece. Whoever reads refuses what is too long.
    fn note(&mut self, length: usize) {
        let bounds = self.activity.bounds();
        let bytes_max = bounds.limits.body_bytes_max;
        let was_within = self.bytes <= bytes_max;
        self.bytes += length as u64;
        if was_within && self.bytes > bytes_max {
            bounds.reached.count(Limit::RequestBodyBytes);
        }
    }
}

impl Pace {
    fn new(limits: &Limits) -> Option<Self> {
        (limits.upload_bytes_per_second_min > 0).then(|| Self {
            grace: limits.upload_grace,
            bytes_per_second_min: limits.upload_bytes_per_second_min,
            waited: Duration::ZERO,
            since: None,
            timer: None,
            too_slow: Arc::default(),
        })
    }

    /// A piece has come, or the end.
    fn stop(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing has come, and so many bytes have before. Ready once that has been so for too long.
    fn poll_wait(&mut self, cx: &mut Context<'_>, bytes: u64) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            let earned =
                Duration::from_millis(bytes.saturating_mul(1_000) / self.bytes_per_second_min);
            let until = now + (self.grace + earned).saturating_sub(self.waited);
            self.since = Some(now);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(until),
                None => self.timer = Some(Box::pin(sleep_until(until))),
            }
        }
        let timer = self.timer.as_mut().expect("it is set with `since`");
        ready!(timer.as_mut().poll(cx));
        self.too_slow.store(true, Relaxed);
        Poll::Ready(())
    }
}

impl<B> Body for Received<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = ReceiveError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReceiveError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let Some(pace) = &mut this.pace else {
                return Poll::Pending;
            };
            ready!(pace.poll_wait(cx, this.bytes));
            this.activity.bounds().reached.count(Limit::UploadRate);
            return Poll::Ready(Some(Err(ReceiveError::TooSlow)));
        };
        if let Some(pace) = &mut this.pace {
            pace.stop();
        }
        this.activity.progress();
        if let Some(Ok(frame)) = &frame {
            this.note(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(ReceiveError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::limits::Bounds;

    const SECOND: Duration = Duration::from_secs(1);

    /// A body that brings `pieces`, each of so many bytes, one a second.
    struct Dripping {
        pieces: u32,
        bytes: usize,
        pause: Pin<Box<Sleep>>,
    }

    impl Body for Dripping {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            ready!(self.pause.as_mut().poll(cx));
            if self.pieces == 0 {
                return Poll::Ready(None);
            }
            self.pieces -= 1;
            self.pause.as_mut().reset(Instant::now() + SECOND);
            let piece = Bytes::from(vec![0; self.bytes]);
            Poll::Ready(Some(Ok(Frame::data(piece))))
        }
    }

    fn dripping(pieces: u32, bytes: usize) -> Received<Dripping> {
        let bounds = Bounds {
            limits: Limits {
                upload_grace: 5 * SECOND,
                upload_bytes_per_second_min: 100,
                body_bytes_max: 1_000,
                ..Limits::default()
            },
            ..Bounds::default()
        };
        let pause = Box::pin(sleep_until(Instant::now() + SECOND));
        let body = Dripping {
            pieces,
            bytes,
            pause,
        };
        Received::new(body, Arc::new(Activity::new(Arc::new(bounds))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_the_pace_may_take_for_ever() {
        let body = dripping(1_000, 100);
        let slowness = body.slowness();
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 100_000);
        assert!(!slowness.is_excessive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_below_the_pace_has_its_grace_and_no_more() {
        let mut body = dripping(1_000, 50);
        let (slowness, activity) = (body.slowness(), body.activity.clone());
        let begun = Instant::now();
        let error = loop {
            match body.frame().await.expect("it does not end") {
                Ok(_) => assert!(!slowness.is_excessive()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReceiveError::TooSlow));
        assert!(slowness.is_excessive());
        // Each second costs one and earns half of one.
        let after = begun.elapsed();
        assert!((9 * SECOND..=11 * SECOND).contains(&after), "{after:?}");
        assert_eq!(activity.bounds().reached.get(Limit::UploadRate), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_reads_is_not_the_client_s() {
        let mut body = dripping(20, 50);
        let slowness = body.slowness();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
            // The next piece is there when it is asked for.
            tokio::time::sleep(60 * SECOND).await;
        }
        assert!(!slowness.is_excessive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_past_its_size_is_counted_once() {
        let body = dripping(30, 100);
        let activity = body.activity.clone();
        body.collect().await.unwrap();
        assert_eq!(activity.bounds().reached.get(Limit::RequestBodyBytes), 1);
    }
}
