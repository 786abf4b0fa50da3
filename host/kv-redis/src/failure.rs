//! What goes wrong when a store is opened, and what the server's errors mean to a caller.

use std::io;
use std::path::PathBuf;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use starling_kv::{BoxError, Error};
use thiserror::Error as ThisError;

/// Why a store does not open.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is not of the form `host:port`.
    #[error("`{0}` is no address: it takes the form host:port")]
    Address(String),
    /// The namespace holds something special.
    #[error("`{0}` is no namespace: it takes letters, digits, `-`, `_` and `.`")]
    Namespace(String),
    /// A file of the TLS settings cannot be used.
    #[error("{} cannot be used for TLS", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BoxError,
    },
    /// The TLS settings contradict themselves.
    #[error("the TLS settings cannot be used: {0}")]
    Tls(&'static str),
    /// The server cannot be reached, or does not let this host in.
    #[error("the server at {address} does not take the connection")]
    Connect {
        /// The server.
        address: String,
        /// What happened.
        source: BoxError,
    },
    /// The server cannot keep what the store promises.
    #[error("the server at {address} will not do: {reason}")]
    Unfit {
        /// The server.
        address: String,
        /// Why not, with what to change.
        reason: String,
    },
    /// The system did not give a thread.
    #[error("no thread for the connection")]
    Thread(#[source] io::Error),
}

/// The error of the store for an error of the server, or of the connection to it.
pub(crate) fn failure(error: RedisError) -> Error {
    if error.is_timeout() {
        return Error::Timeout;
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => Error::unavailable(error),
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::ReadOnly | ServerErrorKind::NoPerm => Error::AccessDenied,
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown => Error::unavailable(error),
            // Redis 6 wraps what stopped a script in an error of its own.
            _ if holds(&error, "OOM command not allowed") => Error::Full,
            _ if holds(&error, "READONLY ") => Error::AccessDenied,
            _ => Error::other(error),
        },
        _ => match error.code() {
            Some("OOM") => Error::Full,
            // A script is too long at it, the disk failed, or too few replicas listen.
            Some("BUSY" | "MISCONF" | "NOREPLICAS") => Error::unavailable(error),
            _ => Error::other(error),
        },
    }
}

fn holds(error: &RedisError, text: &str) -> bool {
    error.detail().is_some_and(|detail| detail.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_errors_are_told_apart() {
        let check = |reply: &str, name: &str, retryable: bool| {
            let value = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes());
            let error = value.unwrap().extract_error().unwrap_err();
            let error = failure(error);
            assert_eq!(
                (error.name(), error.is_retryable()),
                (name, retryable),
                "{reply}"
            );
        };
        check(
            "LOADING Redis is loading the dataset in memory",
            "unavailable",
            true,
        );
        check(
            "MISCONF Errors writing to the AOF file: No space left on device",
            "unavailable",
            true,
        );
        check("BUSY Redis is busy running a script", "unavailable", true);
        check("MASTERDOWN Link with MASTER is down", "unavailable", true);
        check(
            "OOM command not allowed when used memory > 'maxmemory'.",
            "full",
            false,
        );
        check(
            "ERR Error running script (call to f_1): @user_script:1: OOM command not allowed when used memory > 'maxmemory'.",
            "full",
            false,
        );
        check(
            "READONLY You can't write against a read only replica.",
            "access-denied",
            false,
        );
        check(
            "NOPERM this user has no permissions",
            "access-denied",
            false,
        );
        check("NOAUTH Authentication required.", "other", false);
        check("WRONGPASS invalid username-password pair", "other", false);
        check(
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "other",
            false,
        );
    }

    #[test]
    fn a_broken_connection_may_come_back() {
        let of = |kind: io::ErrorKind| failure(RedisError::from(io::Error::from(kind)));
        assert_eq!(of(io::ErrorKind::BrokenPipe).name(), "unavailable");
        assert_eq!(of(io::ErrorKind::TimedOut).name(), "timeout");
    }
}
