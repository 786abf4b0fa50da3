//! The socket that connections come to.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that the kernel completes before the host has accepted them.
const BACKLOG: i32 = 1024;

/// Listens on `address`, without waiting in the calls that accept.
pub(crate) fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // Connections of an earlier host that are still closing do not stop the next one.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an error of accepting concerns a connection that is gone already, and not the socket.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}
