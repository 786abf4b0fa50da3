//! HTTP/2 frames on a TCP connection (RFC 9113), for what no client library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::host::PATIENCE;

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    /// A piece of a body.
    pub const DATA: u8 = 0;
    /// The head of a request or response.
    pub const HEADERS: u8 = 1;
    /// The end of a stream, by an error.
    pub const RST_STREAM: u8 = 3;
    /// What one side tells the other about itself.
    pub const SETTINGS: u8 = 4;
    /// Is the other side there?
    pub const PING: u8 = 6;
    /// The end of the connection.
    pub const GOAWAY: u8 = 7;
    /// More may be sent.
    pub const WINDOW_UPDATE: u8 = 8;
    /// The rest of a head.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// The last frame of its stream; of SETTINGS and PING, that it answers one.
    pub const END_STREAM: u8 = 1;
    /// The head is complete.
    pub const END_HEADERS: u8 = 4;
}

/// `CANCEL`, as an error code of RST_STREAM.
pub const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Whether it belongs to this stream and is of this type.
    #[must_use]
    pub fn is(&self, kind: u8, stream: u32) -> bool {
        self.kind == kind && self.stream == stream
    }
}

/// The bytes of a frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a frame is short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a GET with these further headers. Nothing of it is compressed (RFC 7541, section 6.2.2).
#[must_use]
pub fn get_block<'a>(
    path: &'a str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<u8> {
    // `:method: GET` and `:scheme: http` are entries of the static table.
    let mut block = vec![0x82, 0x86];
    let names = [(":path", path), (":authority", "a")];
    for (name, value) in names.into_iter().chain(headers) {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    const PREFIX_MAX: usize = 127;
    if length < PREFIX_MAX {
        return block.push(length.to_le_bytes()[0]);
    }
    block.push(0x7f);
    let mut rest = length - PREFIX_MAX;
    while rest >= 128 {
        block.push((rest % 128).to_le_bytes()[0] | 0x80);
        rest /= 128;
    }
    block.push(rest.to_le_bytes()[0]);
}

/// A GET without a body as one frame.
#[must_use]
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = flag::END_HEADERS | flag::END_STREAM;
    frame(kind::HEADERS, flags, stream, get_block(path, []))
}

/// A connection on which frames are sent and read as they are.
#[derive(Debug)]
pub struct Http2 {
    stream: TcpStream,
}

impl Http2 {
    /// Connects, and says that it speaks HTTP/2 with these settings, each an identifier and a value.
    ///
    /// # Panics
    ///
    /// Where nobody listens.
    pub async fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        let mut connection = Self { stream };
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend(identifier.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let settings = frame(kind::SETTINGS, 0, 0, payload);
        connection.send([PREFACE, &settings].concat()).await;
        connection
    }

    /// Sends. That the other side has closed meanwhile is no failure: it may not like what it read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
    }

    /// The next frame; none where the connection has ended. Settings of the other side are acknowledged.
    ///
    /// # Panics
    ///
    /// Where none comes for [`PATIENCE`].
    pub async fn next(&mut self) -> Option<Frame> {
        let next = timeout(PATIENCE, self.read()).await;
        let frame = next.expect("the other side says something, or closes")?;
        if frame.is(kind::SETTINGS, 0) && frame.flags == 0 {
            self.send(self::frame(kind::SETTINGS, 1, 0, [])).await;
        }
        Some(frame)
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("a length is small")];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Reads on until there is such a frame.
    ///
    /// # Panics
    ///
    /// Where the connection ends first.
    pub async fn wait_for(&mut self, kind: u8, stream: u32) -> Frame {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|| {
                panic!("the connection ends before a frame of type {kind} on stream {stream}")
            });
            if frame.is(kind, stream) {
                return frame;
            }
        }
    }

    /// Reads on until the connection ends.
    pub async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}
