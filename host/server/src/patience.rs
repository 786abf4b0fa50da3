//! A stream that tells its connection's [`Activity`] what comes, gives up on a client who takes nothing of what is sent to
//! it, and listens to none for a while who was refused: hyper does nothing of this.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use starling_telemetry::Limit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::activity::Activity;

/// Bytes that are read ahead: a request's head, most often.
const AHEAD_BYTES: usize = 1 << 10;

/// A stream whose writes fail once they have made no progress for some time.
pub(crate) struct Patience<S> {
    stream: S,
    activity: Arc<Activity>,
    /// What was read from the stream, and is to be read again.
    unread: Bytes,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing is read.
    pausing: Option<Pin<Box<Sleep>>>,
}

impl<S> Patience<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            unread: Bytes::new(),
            waiting: None,
            pausing: None,
        }
    }

    /// What has been read ahead.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Gives back what was read and is of no use now: it is read again.
    pub(crate) fn give_back(&mut self, bytes: Bytes) {
        debug_assert!(
            self.unread.is_empty(),
            "nothing is read past what was given back"
        );
        self.unread = bytes;
    }

    /// Ready once the stream may be read again, with whether it just might not.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let Some(pause) = self.activity.take_pause() {
            self.pausing = Some(Box::pin(sleep(pause)));
        }
        let Some(pausing) = &mut self.pausing else {
            return Poll::Ready(false);
        };
        ready!(pausing.as_mut().poll(cx));
        self.pausing = None;
        Poll::Ready(true)
    }

    /// Passes on how a write went, unless it has waited for too long.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        self.activity.blocked();
        let timeout = self.activity.bounds().limits.write_timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(timeout)));
        match waiting.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                waiting.as_mut().reset(Instant::now() + timeout);
                self.activity.bounds().reached.count(Limit::WriteTimeout);
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes nothing of what is sent to it",
                )))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Patience<S> {
    /// Waits until there is something to read, and answers whether there is, or will ever be.
    pub(crate) async fn has_more(&mut self) -> io::Result<bool> {
        Ok(!self.unread.is_empty() || self.read_ahead().await?)
    }

    /// Waits for bytes, and keeps them for who reads next. Answers whether there were any.
    pub(crate) async fn read_ahead(&mut self) -> io::Result<bool> {
        let more = poll_fn(|cx| {
            // Not a part of the future, which is kept for as long as the connection.
            let mut space = [MaybeUninit::uninit(); AHEAD_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = self.poll_stream(cx, &mut buffer);
            read.map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
        })
        .await?;
        let is_some = !more.is_empty();
        self.unread = if self.unread.is_empty() {
            more
        } else {
            [&self.unread[..], &more[..]].concat().into()
        };
        Ok(is_some)
    }

    /// Reads what nobody has read yet.
    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let paused = ready!(self.poll_pause(cx));
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if paused || read.is_ready() {
            self.activity.note_late(paused && read.is_ready());
        }
        ready!(read)?;
        let bytes = buffer.filled().len() - before;
        Poll::Ready(match bytes {
            0 => Ok(()),
            bytes => self.activity.received(bytes),
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return self.poll_stream(cx, buffer);
        }
        let bytes = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // TLS takes bytes before it can send them.
        self.activity.note_unsent(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Version;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What takes bytes, and sends them some time.
    struct Buffered {
        sends: bool,
    }

    impl AsyncWrite for Buffered {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.sends {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_does_not_rest_before_all_is_sent() {
        let activity = Arc::new(Activity::new(Arc::default()));
        let mut stream = Patience::new(Buffered { sends: false }, activity.clone());
        drop(activity.begin(Version::HTTP_11));
        stream.write_all(b"an answer").await.unwrap();
        let minute = Duration::from_secs(60);
        let flushed = tokio::time::timeout(minute, stream.flush()).await;
        assert!(flushed.is_err(), "it waits");
        let rested = tokio::time::timeout(minute, activity.rested()).await;
        assert!(rested.is_err(), "something is left to send");
        stream.stream.sends = true;
        stream.flush().await.unwrap();
        activity.rested().await;
    }
}
