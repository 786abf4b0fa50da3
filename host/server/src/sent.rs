//! The body of a response on its way to a client, and what gives up on a client that takes none of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use starling_engine::Body;
use starling_telemetry::Limit;
use tokio::time::{Instant, Sleep, sleep};

use crate::activity::{Activity, LastFrame, UnderWay};

/// A response's body, with which its request ends.
#[derive(Debug)]
pub(crate) struct Sent {
    body: Body,
    request: UnderWay,
}

impl Sent {
    pub(crate) fn new(body: Body, request: UnderWay) -> Self {
        let mut sent = Self { body, request };
        sent.look_at_end();
        sent
    }

    fn look_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.request.is_whole();
        }
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let activity = self.request.activity();
        match &frame {
            Poll::Ready(Some(Ok(_))) => {
                activity.note_frame(LastFrame::Taken);
                activity.progress();
                self.look_at_end();
            }
            Poll::Ready(None) => {
                activity.note_frame(LastFrame::Awaited);
                self.request.is_whole();
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => activity.note_frame(LastFrame::Awaited),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project_lite::pin_project! {
    /// hyper's side of one HTTP/2 request: it calls the service and sends the response.
    ///
    /// HTTP/1.1 sends to the stream, which gives up by itself. In HTTP/2 a client that opens no window for a response
    /// stops that response alone, and neither stream nor body hears of it: hyper asks the body for nothing. So this looks
    /// whether the last frame that was taken is still what hyper is at.
    pub(crate) struct Sending<F> {
        #[pin]
        request: F,
        activity: Arc<Activity>,
        stalled: Option<Stalled>,
    }
}

/// A frame that is not sent.
struct Stalled {
    timer: Pin<Box<Sleep>>,
    /// How often the whole connection had been blocked. While it is, one response waits for others.
    times_blocked: u64,
}

impl<F> Sending<F> {
    pub(crate) fn new(request: F, activity: Arc<Activity>) -> Self {
        Self {
            request,
            activity,
            stalled: None,
        }
    }
}

impl<F: Future<Output = ()>> Future for Sending<F> {
    type Output = ();

    /// Ready with the request, or once its client has taken nothing for too long. To drop hyper's side of a request
    /// resets its stream.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.activity.take_frame();
        if this.request.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let timeout = this.activity.bounds().limits.write_timeout;
        let times_blocked = this.activity.times_blocked();
        let stalled = match (this.activity.take_frame(), &mut *this.stalled) {
            (LastFrame::Awaited, stalled) => {
                *stalled = None;
                return Poll::Pending;
            }
            (LastFrame::None, None) => return Poll::Pending,
            (LastFrame::None, Some(stalled)) => stalled,
            (LastFrame::Taken, Some(stalled)) => {
                stalled.timer.as_mut().reset(Instant::now() + timeout);
                stalled.times_blocked = times_blocked;
                stalled
            }
            (LastFrame::Taken, none) => none.insert(Stalled {
                timer: Box::pin(sleep(timeout)),
                times_blocked,
            }),
        };
        loop {
            ready!(stalled.timer.as_mut().poll(cx));
            if stalled.times_blocked == times_blocked {
                this.activity.bounds().reached.count(Limit::WriteTimeout);
                return Poll::Ready(());
            }
            stalled.times_blocked = times_blocked;
            stalled.timer.as_mut().reset(Instant::now() + timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::time::Duration;

    use super::*;
    use crate::limits::{Bounds, Limits};

    const SECOND: Duration = Duration::from_secs(1);

    fn activity() -> Arc<Activity> {
        let limits = Limits {
            write_timeout: 5 * SECOND,
            ..Limits::default()
        };
        Arc::new(Activity::new(Arc::new(Bounds {
            limits,
            ..Bounds::default()
        })))
    }

    /// Whether a request that looks at its response's body once, in this way, is given up within some minutes.
    async fn is_given_up(activity: &Arc<Activity>, frame: LastFrame) -> bool {
        let looked = activity.clone();
        let request = async move {
            looked.note_frame(frame);
            pending().await
        };
        let sending = Sending::new(request, activity.clone());
        tokio::time::timeout(600 * SECOND, sending).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_nobody_takes_is_given_up() {
        let activity = activity();
        assert!(is_given_up(&activity, LastFrame::Taken).await);
        assert_eq!(activity.bounds().reached.get(Limit::WriteTimeout), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_is_waited_for() {
        let activity = activity();
        assert!(!is_given_up(&activity, LastFrame::Awaited).await);
        assert!(!is_given_up(&activity, LastFrame::None).await);
        assert_eq!(activity.bounds().reached.get(Limit::WriteTimeout), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_is_taken_slowly_is_sent() {
        let activity = activity();
        let looked = activity.clone();
        let mut pause = Box::pin(sleep(SECOND));
        let mut frames = 100;
        let request = poll_fn(move |cx| {
            while pause.as_mut().poll(cx).is_ready() {
                frames -= 1;
                if frames == 0 {
                    return Poll::Ready(());
                }
                looked.note_frame(LastFrame::Taken);
                pause.as_mut().reset(Instant::now() + 4 * SECOND);
            }
            Poll::Pending
        });
        Sending::new(request, activity.clone()).await;
        assert_eq!(activity.bounds().reached.get(Limit::WriteTimeout), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_whole_connection_is_blocked_no_response_is_given_up() {
        let activity = activity();
        let blocked = async {
            loop {
                activity.blocked();
                tokio::time::sleep(SECOND).await;
            }
        };
        tokio::select! {
            given_up = is_given_up(&activity, LastFrame::Taken) => assert!(!given_up),
            () = blocked => unreachable!("it does not end"),
        }
    }
}
