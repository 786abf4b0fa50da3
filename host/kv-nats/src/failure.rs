//! What NATS answers, as errors of a store: which are worth another try, and which are not.

use async_nats::StatusCode;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{
    DirectGetError, DirectGetErrorKind, LastRawMessageError, LastRawMessageErrorKind,
};
use starling_kv::Error;

/// How a publication failed.
#[derive(Debug)]
pub(crate) enum PublishFailure {
    /// The stream, or the subject, is not at the sequence that was expected.
    WrongLastSequence,
    /// Anything else, as a store says it.
    Store(Error),
}

impl PublishFailure {
    /// As a store's error, where no sequence was expected.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Store(error) => error,
            Self::WrongLastSequence => {
                Error::other("a sequence was expected that nobody asked for")
            }
        }
    }
}

impl From<PublishError> for PublishFailure {
    fn from(error: PublishError) -> Self {
        let store = match error.kind() {
            PublishErrorKind::WrongLastSequence => return Self::WrongLastSequence,
            PublishErrorKind::TimedOut => Error::Timeout,
            // Nobody listens to the subject: JetStream is not up yet, or the stream is gone.
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending => Error::unavailable(error),
            PublishErrorKind::Other => match api_code(&error) {
                // The same as above, of a server since 2.12 and of a stream whose leader has just changed.
                Some(10164) => return Self::WrongLastSequence,
                Some(code) => of_code(code, error),
                None => Error::unavailable(error),
            },
            PublishErrorKind::WrongLastMessageId | PublishErrorKind::MaxPayloadExceeded => {
                Error::other(error)
            }
        };
        Self::Store(store)
    }
}

/// The code of the JetStream error among the causes of another.
fn api_code(error: &(dyn std::error::Error + 'static)) -> Option<u64> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<async_nats::jetstream::Error>() {
            return Some(error.error_code().0);
        }
        cause = error.source();
    }
    None
}

fn of_code(code: u64, error: impl Into<starling_kv::BoxError>) -> Error {
    match ErrorCode(code) {
        ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::STREAM_STORE_FAILED => Error::Full,
        ErrorCode::STREAM_NOT_FOUND
        | ErrorCode::CLUSTER_NOT_AVAILABLE
        | ErrorCode::CLUSTER_NOT_LEADER
        | ErrorCode::CLUSTER_INCOMPLETE => Error::unavailable(error),
        _ => Error::other(error),
    }
}

/// `Ok` where the answer is that there is no message.
pub(crate) fn direct_get(error: DirectGetError) -> Result<(), Error> {
    match error.kind() {
        DirectGetErrorKind::NotFound => Ok(()),
        DirectGetErrorKind::TimedOut => Err(Error::Timeout),
        // No responders: the stream is gone, or JetStream is not up yet.
        DirectGetErrorKind::Request | DirectGetErrorKind::Other => Err(Error::unavailable(error)),
        DirectGetErrorKind::ErrorResponse(StatusCode::NO_RESPONDERS, _) => {
            Err(Error::unavailable(error))
        }
        DirectGetErrorKind::ErrorResponse(..) | DirectGetErrorKind::InvalidSubject => {
            Err(Error::other(error))
        }
    }
}

/// `Ok` where the answer is that there is no message.
pub(crate) fn leader_get(error: LastRawMessageError) -> Result<(), Error> {
    match error.kind() {
        LastRawMessageErrorKind::NoMessageFound => Ok(()),
        LastRawMessageErrorKind::JetStream(ref source) => {
            Err(of_code(source.error_code().0, error.to_string()))
        }
        LastRawMessageErrorKind::Other => Err(Error::unavailable(error)),
        LastRawMessageErrorKind::InvalidSubject => Err(Error::other(error)),
    }
}
