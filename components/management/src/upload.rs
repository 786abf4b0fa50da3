//! Reading the body of a request: piece by piece, or all of a small one.

use std::pin::Pin;

use bytes::Bytes;
use futures::future::poll_fn;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body;

use crate::platform::UploadError;
use crate::problem::Problem;
use crate::response::JSON;

/// The largest JSON body that is taken.
pub(crate) const JSON_BYTES_MAX: u64 = 64 * 1024;

/// A body that may have so many bytes, and has as many as its request announced, if it did.
pub(crate) struct Upload<B> {
    body: Pin<Box<B>>,
    bytes_max: u64,
    bytes_declared: Option<u64>,
    bytes_read: u64,
}

impl<B: Body<Data = Bytes, Error = UploadError>> Upload<B> {
    /// Takes the body of a request with these headers, unless they say that it is too large.
    pub(crate) fn of(headers: &HeaderMap, body: B, bytes_max: u64) -> Result<Self, Problem> {
        let declared = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if declared.is_some_and(|bytes: u64| bytes > bytes_max) {
            return Err(Problem::BodyTooLarge { bytes_max });
        }
        Ok(Self {
            body: Box::pin(body),
            bytes_max,
            bytes_declared: declared,
            bytes_read: 0,
        })
    }

    /// The next piece; `None` at the end of a body that arrived whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let bytes_max = self.bytes_max;
        loop {
            let Some(frame) = poll_fn(|context| self.body.as_mut().poll_frame(context)).await
            else {
                let whole = self
                    .bytes_declared
                    .is_none_or(|bytes| bytes == self.bytes_read);
                return if whole { Ok(None) } else { Err(cut_off()) };
            };
            let frame = frame.map_err(|error| match error {
                UploadError::TooLarge => Problem::BodyTooLarge { bytes_max },
                UploadError::Broken => cut_off(),
            })?;
            // Trailers mean nothing here.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.bytes_read += data.len() as u64;
            if self.bytes_read > bytes_max {
                return Err(Problem::BodyTooLarge { bytes_max });
            }
            return Ok(Some(data));
        }
    }
}

/// Reads a JSON body, which may be empty where everything in it may be left out.
pub(crate) async fn json<B>(headers: &HeaderMap, body: B) -> Result<Vec<u8>, Problem>
where
    B: Body<Data = Bytes, Error = UploadError>,
{
    let mut upload = Upload::of(headers, body, JSON_BYTES_MAX)?;
    let mut bytes = Vec::new();
    while let Some(piece) = upload.next().await? {
        bytes.extend_from_slice(&piece);
    }
    if !bytes.is_empty() && !is_of_type(headers, JSON) {
        return Err(Problem::MediaTypeUnsupported { expected: JSON });
    }
    Ok(bytes)
}

/// Whether the body is declared to be of this type, whatever its parameters.
pub(crate) fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = declared.and_then(|declared| declared.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

fn cut_off() -> Problem {
    Problem::BodyMalformed {
        detail: "the body did not arrive whole".into(),
    }
}
