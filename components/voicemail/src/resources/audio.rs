//! `/v1/mailboxes/{mailbox}/messages/{message}/audio`: what the caller said, whole or in part.
//!
//! Only the pieces that the range touches are read, each when the one before is on its way. The
//! first is read before the status is decided: a store that does not answer is a 503 that can be
//! retried, not a body that breaks off.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use starling_mailbox::{Audio, MailboxId, MessageId, keys};

use crate::negotiate::accepts;
use crate::platform::{Platform, Store, StoreError};
use crate::problem::Problem;
use crate::ranges::{Selection, select};
use crate::response::{self, Body};
use crate::slots::{Slots, unavailable};

/// Audio never changes, so whoever may keep it at all may keep it for a year.
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// Serves the audio of a message, wherever it was deposited. A message in the trash can still be
/// listened to.
pub(crate) async fn get<P: Platform>(
    slots: Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    let not_found = || Problem::MessageNotFound {
        message: message.to_string(),
    };
    let header = mailbox.message(message).ok_or_else(not_found)?.header;
    let audio = &header.audio;
    if !accepts(headers, audio.format.container().media_types()) {
        return Err(Problem::NotAcceptable {
            offered: audio.format.media_type(),
        });
    }

    let etag = format!("\"{}\"", audio.digest);
    let (status, bytes) = match select(method, headers, &etag, audio.size_bytes) {
        Selection::NotModified => return Ok(described(StatusCode::NOT_MODIFIED, &etag)),
        Selection::Unsatisfiable => {
            return Err(Problem::RangeNotSatisfiable {
                size_bytes: audio.size_bytes,
            });
        }
        Selection::Whole => (StatusCode::OK, 0..audio.size_bytes),
        Selection::Part(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
    };

    let mut response = described(status, &etag);
    let fields = response.headers_mut();
    let media_type = audio.format.media_type().into_owned();
    fields.extend(response::header(CONTENT_TYPE, media_type));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    // What a caller sent is what its type says, whatever a browser may think of it.
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!(
            "bytes {}-{}/{}",
            bytes.start,
            bytes.end - 1,
            audio.size_bytes
        );
        fields.extend(response::header(CONTENT_RANGE, range));
    }
    if *method != Method::HEAD {
        *response.body_mut() = content(slots, message, header.region.clone(), audio, bytes).await?;
    }
    Ok(response)
}

/// An answer with the headers that 200, 206 and 304 have in common (RFC 9110, section 15.4.5).
fn described(status: StatusCode, etag: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(response::header(ETAG, etag.to_owned()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, KEEP);
    response
}

/// These bytes of the audio; at least one.
async fn content<P: Platform>(
    slots: Slots<'_, P>,
    message: MessageId,
    region: starling_mailbox::Region,
    audio: &Audio,
    bytes: Range<u64>,
) -> Result<Body, Problem> {
    let platform = slots.platform();
    let store = slots.into_store_of(&region).await?;
    let length = bytes.end - bytes.start;
    let mut pieces = Pieces {
        store,
        message,
        audio: audio.clone(),
        bytes,
    };
    let first = match pieces.next().await {
        Ok(piece) => piece,
        Err(PieceError::Store(error)) => {
            return Err(unavailable(
                platform,
                &format!("read audio of {message}"),
                &error,
            ));
        }
        Err(PieceError::Damaged(key)) => {
            platform.log(&format!("read {key}: it is missing or has the wrong size"));
            return Err(Problem::StoredDataDamaged);
        }
    };
    if first.len() as u64 == length {
        return Ok(Body::from(first));
    }
    let rest = stream::unfold(pieces, |mut pieces| async move {
        if pieces.bytes.is_empty() {
            return None;
        }
        let piece = pieces.next().await.map_err(|error| match error {
            PieceError::Store(error) => error,
            PieceError::Damaged(key) => StoreError::Failed(format!("{key} is damaged")),
        });
        if piece.is_err() {
            // Nothing may follow a gap.
            pieces.bytes = 0..0;
        }
        Some((piece, pieces))
    });
    Ok(Body::pieces(
        stream::once(async { Ok(first) }).chain(rest).boxed_local(),
        length,
    ))
}

/// What is still to be read of a message's audio.
struct Pieces<S> {
    store: S,
    message: MessageId,
    audio: Audio,
    bytes: Range<u64>,
}

/// Why a piece could not be read.
enum PieceError {
    Store(StoreError),
    /// The piece under this key is missing, or of another size than it was written with.
    Damaged(String),
}

impl<S: Store> Pieces<S> {
    /// The part of the next piece that lies in the range, and moves the range behind it.
    async fn next(&mut self) -> Result<Bytes, PieceError> {
        let piece_bytes = u64::from(self.audio.chunk_bytes.get());
        let n = self.bytes.start / piece_bytes;
        let piece_start = n * piece_bytes;
        let piece_end = self.audio.size_bytes.min(piece_start + piece_bytes);

        let key = keys::audio_chunk(self.message, &self.audio, n);
        let piece = self.store.get(&key).await.map_err(PieceError::Store)?;
        let piece = piece.filter(|piece| piece.len() as u64 == piece_end - piece_start);
        let piece = Bytes::from(piece.ok_or(PieceError::Damaged(key))?);

        let end = self.bytes.end.min(piece_end);
        let wanted = (self.bytes.start - piece_start) as usize..(end - piece_start) as usize;
        self.bytes.start = end;
        Ok(piece.slice(wanted))
    }
}
