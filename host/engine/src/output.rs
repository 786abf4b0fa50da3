//! What a guest prints: each line becomes a log event that names the component and the stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A longer line is cut into pieces, so that a guest cannot make the host hold one without end.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Which of a guest's two output streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// One output stream of one instance.
pub(crate) struct Output {
    pub(crate) component: Arc<str>,
    pub(crate) stream: Stream,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines {
            component: self.component.clone(),
            stream: self.stream,
            line: Vec::new(),
        })
    }
}

struct Lines {
    component: Arc<str>,
    stream: Stream,
    line: Vec<u8>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.line.len();
            let piece = &bytes[..bytes.len().min(room)];
            let (taken, ended) = match piece.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (piece.len(), piece.len() == room),
            };
            self.line.extend_from_slice(&piece[..taken]);
            bytes = &bytes[taken..];
            if ended {
                self.emit();
            }
        }
    }

    fn emit(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        let text = text.trim_end_matches(['\n', '\r']);
        let component = &*self.component;
        if !text.is_empty() {
            match self.stream {
                Stream::Stdout => {
                    tracing::info!(target: "component", component, stream = "stdout", "{text}");
                }
                Stream::Stderr => {
                    tracing::warn!(target: "component", component, stream = "stderr", "{text}");
                }
            }
        }
        self.line.clear();
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.emit();
    }
}
