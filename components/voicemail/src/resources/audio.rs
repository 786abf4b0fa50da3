//! `/v1/mailboxes/{mailbox}/messages/{message}/audio`: what the caller said, whole or in part; and every
//! other recording that is played.
//!
//! Only the pieces that the range touches are read, each when the one before is on its way. The
//! first is read before the status is decided: a store that does not answer is a 503 that can be
//! retried, not a body that breaks off. Where the host sends values by itself, it is left to it.

use std::ops::Range;

use bytes::{Buf, Bytes};
use futures::stream::{self, StreamExt};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;
use starling_mailbox::audio::{AudioError, Container, Decoder, Format, POINTS_MAX, Peaks};
use starling_mailbox::{Audio, MailboxId, MessageId, Region, keys};

use crate::negotiate::{accepts, names};
use crate::platform::{Platform, Store, StoreError};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::ranges::{Selection, select};
use crate::response::{self, Body};
use crate::slots::{Slots, unavailable};

/// The audio of a message never changes, so whoever may keep it at all may keep it for a year.
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// Names a value that the host is to send ([`Platform::sends_values`]).
const SEND: HeaderName = HeaderName::from_static("starling-send");

/// Serves the audio of a message, wherever it was deposited. A message in the trash can still be
/// listened to.
pub(crate) async fn get<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    method: &Method,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    let header = slots.message(id, &mailbox, message)?.header;
    let recording = Recording {
        audio: &header.audio,
        region: &header.region,
        name: &format!("message-{message}"),
        keep: KEEP,
    };
    serve(slots, recording, method, headers, query).await
}

/// Serves what was said in front of a forwarded message.
pub(crate) async fn comment<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    method: &Method,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mailbox = slots.mailbox(id).await?;
    let header = slots.message(id, &mailbox, message)?.header;
    let forwarded = header.forwarded.as_ref();
    let comment = forwarded.and_then(|forwarded| forwarded.comment.as_ref());
    let recording = Recording {
        audio: comment.ok_or(Problem::CommentNotFound)?,
        region: &header.region,
        name: &format!("comment-{message}"),
        keep: KEEP,
    };
    serve(slots, recording, method, headers, query).await
}

/// A recording to serve.
pub(crate) struct Recording<'a> {
    pub(crate) audio: &'a Audio,
    /// Where it lies.
    pub(crate) region: &'a Region,
    /// What a client that saves it is told to call it, without the ending.
    pub(crate) name: &'a str,
    /// For how long a client may keep it.
    pub(crate) keep: HeaderValue,
}

/// Serves a recording.
pub(crate) async fn serve<P: Platform>(
    slots: &Slots<'_, P>,
    recording: Recording<'_>,
    method: &Method,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mut wanted = None;
    for (name, value) in Query::of(query) {
        match (name.as_str(), value.as_str()) {
            ("format", "wav") => wanted = Some(Wanted::Wav),
            ("format", "original") => wanted = Some(Wanted::Original),
            ("format", _) => {
                return Err(query::invalid(
                    &name,
                    "it is neither original nor wav".into(),
                ));
            }
            _ => return Err(query::unknown(&name, "format")),
        }
    }
    let format = recording.audio.format;
    let asks_for_wav = || !format.plays_in_browsers() && names(headers, "audio/wav");
    match wanted {
        Some(Wanted::Wav) if !is_plain_wav(format) => {
            serve_decoded(slots, recording, method, headers).await
        }
        None if asks_for_wav() => serve_decoded(slots, recording, method, headers).await,
        _ => serve_original(slots, recording, method, headers).await,
    }
}

/// In what form a client wants to have a recording.
enum Wanted {
    /// As it was left.
    Original,
    /// As WAV that everything plays.
    Wav,
}

async fn serve_original<P: Platform>(
    slots: &Slots<'_, P>,
    recording: Recording<'_>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let audio = recording.audio;
    if !accepts(headers, audio.format.container().media_types()) {
        return Err(Problem::NotAcceptable {
            offered: audio.format.media_type(),
        });
    }

    let etag = format!("\"{}\"", audio.digest);
    let (status, bytes) = match select(method, headers, &etag, audio.size_bytes) {
        Selection::NotModified => {
            return Ok(described(StatusCode::NOT_MODIFIED, &etag, recording.keep));
        }
        Selection::Unsatisfiable => {
            return Err(Problem::RangeNotSatisfiable {
                size_bytes: audio.size_bytes,
            });
        }
        Selection::Whole => (StatusCode::OK, 0..audio.size_bytes),
        Selection::Part(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
    };

    let mut response = described(status, &etag, recording.keep);
    let fields = response.headers_mut();
    let media_type = audio.format.media_type().into_owned();
    fields.extend(response::header(CONTENT_TYPE, media_type));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    fields.extend(disposition(
        recording.name,
        audio.format.container().ending(),
    ));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!(
            "bytes {}-{}/{}",
            bytes.start,
            bytes.end - 1,
            audio.size_bytes
        );
        fields.extend(response::header(CONTENT_RANGE, range));
    }
    if *method == Method::HEAD {
        return Ok(response);
    }
    if slots.platform().sends_values() {
        // The host says how long what it sends is.
        let fields = response.headers_mut();
        fields.remove(CONTENT_LENGTH);
        leave_to_the_host(fields, slots, recording.region, audio, bytes).await?;
    } else {
        *response.body_mut() = content(slots, recording.region, audio, bytes).await?;
    }
    Ok(response)
}

/// Serves a recording decoded into WAV, while it is being read.
async fn serve_decoded<P: Platform>(
    slots: &Slots<'_, P>,
    recording: Recording<'_>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let audio = recording.audio;
    if !accepts(headers, Container::Wav.media_types()) {
        return Err(Problem::NotAcceptable {
            offered: "audio/wav".into(),
        });
    }
    let etag = format!("\"{}-wav\"", audio.digest);
    // Always the whole: where a range begins in the original is not known before it is decoded.
    if let Selection::NotModified = select(&Method::HEAD, headers, &etag, 1) {
        return Ok(described(StatusCode::NOT_MODIFIED, &etag, recording.keep));
    }
    let decoder = Decoder::new(audio.format, audio.duration_ms, audio.size_bytes);
    let decoder = decoder.ok_or_else(|| Problem::NotDecodable {
        media_type: audio.format.media_type().into_owned(),
    })?;
    let mut response = described(StatusCode::OK, &etag, recording.keep);
    let fields = response.headers_mut();
    fields.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    fields.extend(disposition(recording.name, "wav"));
    if *method == Method::HEAD {
        return Ok(response);
    }
    let store = slots.store_of(recording.region).await?;
    let mut decoding = Decoding {
        pieces: Pieces::of(store, audio, 0..audio.size_bytes),
        piece: Bytes::new(),
        decoder: Some(decoder),
    };
    let first = decoding.step().await;
    let first = first.map_err(|error| error.problem(slots.platform(), audio))?;
    let length = decoding.decoder.as_ref().and_then(Decoder::wav_bytes);
    let rest = stream::unfold(decoding, |mut decoding| async move {
        let step = decoding.step().await.transpose()?;
        if step.is_err() {
            decoding.decoder = None;
        }
        Some((step.map_err(PieceError::into_store_error), decoding))
    });
    let first = stream::iter(first.map(Ok));
    let pieces = first.chain(rest).boxed_local();
    *response.body_mut() = match length {
        Some(length) => Body::pieces(pieces, length),
        None => Body::produced(pieces),
    };
    let fields = response.headers_mut();
    fields.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
    Ok(response)
}

/// A recording on its way through the decoder.
struct Decoding<S> {
    pieces: Pieces<S>,
    /// What has been read and not been decoded yet.
    piece: Bytes,
    /// `None` at the end.
    decoder: Option<Decoder>,
}

impl<S: Store> Decoding<S> {
    /// Some more of the WAV; `None` at the end.
    async fn step(&mut self) -> Result<Option<Bytes>, PieceError> {
        while let Some(decoder) = &mut self.decoder {
            if !self.piece.is_empty() {
                let mut wav = Vec::new();
                let taken = decoder.push(&self.piece, &mut wav)?;
                self.piece.advance(taken);
                if !wav.is_empty() {
                    return Ok(Some(wav.into()));
                }
            } else if !self.pieces.bytes.is_empty() {
                self.piece = self.pieces.next().await?;
            } else if let Some(decoder) = self.decoder.take() {
                decoder.finish()?;
            }
        }
        Ok(None)
    }
}

/// How many points an outline has unless the client says so.
const POINTS_DEFAULT: u16 = 200;

/// Shows the outline of a message's sound, to be drawn: the least and the greatest sample of each
/// stretch of it.
pub(crate) async fn peaks<P: Platform>(
    slots: &Slots<'_, P>,
    id: &MailboxId,
    message: MessageId,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let mut points = POINTS_DEFAULT;
    for (name, value) in Query::of(query) {
        match name.as_str() {
            "points" => {
                let given = query::within(&name, &value, usize::from(POINTS_MAX))?;
                points = u16::try_from(given).unwrap_or(POINTS_MAX);
            }
            _ => return Err(query::unknown(&name, "points")),
        }
    }
    let mailbox = slots.mailbox(id).await?;
    let header = slots.message(id, &mailbox, message)?.header;
    let audio = &header.audio;
    let peaks = Peaks::new(audio.format, audio.duration_ms, audio.size_bytes, points);
    let mut peaks = peaks.ok_or_else(|| Problem::NotDecodable {
        media_type: audio.format.media_type().into_owned(),
    })?;
    let store = slots.store_of(&header.region).await?;
    let mut pieces = Pieces::of(store, audio, 0..audio.size_bytes);
    let found = async {
        while !pieces.bytes.is_empty() {
            let mut piece = pieces.next().await?;
            while !piece.is_empty() {
                let taken = peaks.push(&piece)?;
                piece.advance(taken);
            }
        }
        Ok(peaks.finish()?)
    };
    let found: Result<_, PieceError> = found.await;
    let found = found.map_err(|error| error.problem(slots.platform(), audio))?;
    let mut response = response::json(
        StatusCode::OK,
        &PeaksJson {
            bits: 16,
            duration_ms: audio.duration_ms,
            points: found.len(),
            data: found.iter().flat_map(|peak| [peak.min, peak.max]).collect(),
        },
    );
    response.headers_mut().insert(CACHE_CONTROL, KEEP);
    Ok(response)
}

/// Whether a recording is what it would be decoded into, as far as any player is concerned.
fn is_plain_wav(format: Format) -> bool {
    format.container() == Container::Wav && format.plays_in_browsers()
}

/// To be played, or else saved under a name that is made of ids alone (RFC 6266).
fn disposition(name: &str, ending: &str) -> Option<(http::HeaderName, HeaderValue)> {
    let value = format!("inline; filename=\"{name}.{ending}\"");
    response::header(CONTENT_DISPOSITION, value)
}

/// An answer with the headers that 200, 206 and 304 have in common (RFC 9110, section 15.4.5).
fn described(status: StatusCode, etag: &str, keep: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(response::header(ETAG, etag.to_owned()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, keep);
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// These bytes of the audio; at least one.
async fn content<P: Platform>(
    slots: &Slots<'_, P>,
    region: &Region,
    audio: &Audio,
    bytes: Range<u64>,
) -> Result<Body, Problem> {
    let platform = slots.platform();
    let store = slots.store_of(region).await?;
    let length = bytes.end - bytes.start;
    let mut pieces = Pieces::of(store, audio, bytes);
    let first = pieces.next().await;
    let first = first.map_err(|error| error.problem(platform, audio))?;
    if first.len() as u64 == length {
        return Ok(Body::from(first));
    }
    let rest = stream::unfold(pieces, |mut pieces| async move {
        if pieces.bytes.is_empty() {
            return None;
        }
        let piece = pieces.next().await.map_err(PieceError::into_store_error);
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

/// Names these bytes of the audio, at least one, for the host to send.
async fn leave_to_the_host<P: Platform>(
    fields: &mut HeaderMap,
    slots: &Slots<'_, P>,
    region: &Region,
    audio: &Audio,
    bytes: Range<u64>,
) -> Result<(), Problem> {
    let (platform, label) = (slots.platform(), slots.label_of(region));
    let store = slots.store_of(region).await?;
    let mut pieces = Pieces::of(store, audio, bytes);
    let mut is_first = true;
    while let Some(Piece { key, bytes, wanted }) = pieces.step() {
        // What is not there is to be said while it can be.
        if std::mem::take(&mut is_first) {
            let exists = pieces.store.exists(&key).await;
            let found = match exists {
                Ok(true) => Ok(()),
                Ok(false) => Err(PieceError::Damaged(key.clone())),
                Err(error) => Err(PieceError::Store(error)),
            };
            found.map_err(|error| error.problem(platform, audio))?;
        }
        let (first, length) = (wanted.start, wanted.end - wanted.start);
        let named = format!("{label} {key} {bytes} {first} {length}");
        if let Some((name, value)) = response::header(SEND, named) {
            fields.append(name, value);
        }
    }
    Ok(())
}

/// What is still to be read of a message's audio.
struct Pieces<S> {
    store: S,
    audio: Audio,
    bytes: Range<u64>,
}

/// A stored piece of audio.
struct Piece {
    key: String,
    /// How many it has.
    bytes: u64,
    /// Those that are wanted of it; at least one.
    wanted: Range<u64>,
}

/// Why a piece could not be read, or not be decoded.
enum PieceError {
    Store(StoreError),
    /// The piece under this key is missing, or of another size than it was written with.
    Damaged(String),
    /// It is not what it was recognised as when it was deposited.
    Undecodable(AudioError),
}

impl From<AudioError> for PieceError {
    fn from(error: AudioError) -> Self {
        Self::Undecodable(error)
    }
}

impl PieceError {
    /// What the client is told while it has heard nothing yet.
    fn problem(self, platform: &impl Platform, audio: &Audio) -> Problem {
        let what = format!("read audio {}", audio.id);
        match self {
            Self::Store(error) => unavailable(platform, &what, &error),
            Self::Damaged(key) => {
                platform.log(&format!("read {key}: it is missing or has the wrong size"));
                Problem::StoredDataDamaged
            }
            Self::Undecodable(error) => {
                platform.log(&format!("{what}: {error}"));
                Problem::StoredDataDamaged
            }
        }
    }

    /// What breaks the answer off once it has begun.
    fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Damaged(key) => StoreError::Failed(format!("{key} is damaged")),
            Self::Undecodable(error) => StoreError::Failed(error.to_string()),
        }
    }
}

/// An outline (after the JSON data format of the audiowaveform program).
#[derive(Serialize)]
struct PeaksJson {
    bits: u8,
    duration_ms: u64,
    points: usize,
    data: Vec<i16>,
}

impl<S: Store> Pieces<S> {
    fn of(store: S, audio: &Audio, bytes: Range<u64>) -> Self {
        Self {
            store,
            audio: audio.clone(),
            bytes,
        }
    }

    /// The next piece that lies in the range, which is moved behind it; `None` at its end.
    fn step(&mut self) -> Option<Piece> {
        if self.bytes.is_empty() {
            return None;
        }
        let piece_bytes = u64::from(self.audio.chunk_bytes.get());
        let n = self.bytes.start / piece_bytes;
        let piece_start = n * piece_bytes;
        let piece_end = self.audio.size_bytes.min(piece_start + piece_bytes);
        let end = self.bytes.end.min(piece_end);
        let wanted = self.bytes.start - piece_start..end - piece_start;
        self.bytes.start = end;
        Some(Piece {
            key: keys::audio_chunk(&self.audio, n),
            bytes: piece_end - piece_start,
            wanted,
        })
    }

    /// What is wanted of the next piece; nothing at the end of the range.
    async fn next(&mut self) -> Result<Bytes, PieceError> {
        let Some(Piece { key, bytes, wanted }) = self.step() else {
            return Ok(Bytes::new());
        };
        let piece = self.store.get(&key).await.map_err(PieceError::Store)?;
        let piece = piece.filter(|piece| piece.len() as u64 == bytes);
        let piece = Bytes::from(piece.ok_or(PieceError::Damaged(key))?);
        Ok(piece.slice(wanted.start as usize..wanted.end as usize))
    }
}
