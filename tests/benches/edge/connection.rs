//! One connection of a load, which writes prepared bytes and reads no more of an answer than its head and its length, so
//! that it is cheaper than what it measures.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use starling_tests::answer::Head;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Addresses of this machine that connections come from: a host may limit what comes from one.
const CLIENT_ADDRESSES: u8 = 100;

/// A connection that is opened when it is first needed, and again when the server has closed it.
#[derive(Debug)]
pub(crate) struct Connection {
    server: SocketAddr,
    client: Ipv4Addr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// The connection of this number to `server`.
    pub(crate) fn new(server: SocketAddr, number: usize) -> Self {
        let address = number % usize::from(CLIENT_ADDRESSES) + 1;
        let last = u8::try_from(address).expect("below 256");
        Self {
            server,
            client: Ipv4Addr::new(127, 0, 0, last),
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// Sends a request and reads its answer to the end.
    ///
    /// # Errors
    ///
    /// Where there is no whole answer; the next request goes on a new connection.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Head> {
        // Not put back before the end: what is left of a broken exchange is not for the next.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        self.buffer.resize(64 << 10, 0);
        stream.write_all(request).await?;
        let head = answer(&mut stream, &mut self.buffer).await?;
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(head)
    }

    /// Whether it is open as far as is known here: nothing has come since the last answer, and no end.
    pub(crate) fn is_idle(&self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Gives back the memory that answers are read into, while it waits.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddrV4::new(self.client, 0).into())?;
        let stream = socket.connect(self.server).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Reads one answer to its end.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Head> {
    let mut filled = 0;
    let head = loop {
        filled += some(stream, &mut buffer[filled..]).await?;
        let head = Head::parse(&buffer[..filled]);
        if let Some(head) = head.map_err(io::Error::other)? {
            break head;
        }
    };
    let mut left = (head.head_bytes + head.body_bytes).saturating_sub(filled);
    while left > 0 {
        let room = left.min(buffer.len());
        left -= some(stream, &mut buffer[..room]).await?;
    }
    Ok(head)
}

/// Reads something, where the end of the connection (or a head that does not fit) is an error.
async fn some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: edge.test\r\n\r\n").into_bytes()
}

/// A request with one.
pub(crate) fn post(path: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: edge.test\r\ncontent-type: {media_type}\r\n\
         content-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}
