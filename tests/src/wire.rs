//! Bytes on a TCP connection, for what no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::host::PATIENCE;

/// A connection that sends and reads bytes as they are.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    ///
    /// Where nobody listens.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        Self { stream }
    }

    /// Sends. That the other side has closed meanwhile is no failure: it may not like what it read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
    }

    /// Ends the sending half, as a client does that goes away in the middle.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads until the other side closes, or until `quiet` passes without a byte.
    pub async fn read_all(&mut self, quiet: Duration) -> String {
        let mut read = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(Ok(length @ 1..)) = timeout(quiet, self.stream.read(&mut piece)).await {
            read.extend_from_slice(&piece[..length]);
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads exactly this many bytes, or fewer where the connection ends.
    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut read = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match timeout(PATIENCE, self.stream.read(&mut read[filled..])).await {
                Ok(Ok(more @ 1..)) => filled += more,
                _ => break,
            }
        }
        read.truncate(filled);
        read
    }

    /// Reads the head of an answer and returns its status; none where the connection ends first.
    pub async fn status(&mut self) -> Option<u16> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.stream.read_u8()).await.ok()?.ok()?;
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head);
        head.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Sends `bytes` to `address` on a connection of their own and returns the status of the first answer; none where the
/// connection ends without one.
pub async fn status_of(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<u16> {
    let mut wire = Wire::open(address).await;
    wire.send(bytes).await;
    wire.status().await
}
