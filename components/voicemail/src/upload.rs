//! Reading the body of a request, within a limit.

use bytes::{Buf, Bytes};
use futures::future::poll_fn;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body;

use crate::platform::UploadError;
use crate::problem::Problem;

/// Reads all of a body that may have up to `max_bytes`.
///
/// A body that says that it is larger is refused before it is read, any other as soon as it is.
pub(crate) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    max_bytes: usize,
) -> Result<Vec<u8>, Problem>
where
    B: Body<Data = Bytes, Error = UploadError>,
{
    let too_large = || Problem::BodyTooLarge { max_bytes };
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: u64| bytes > max_bytes as u64) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut body = std::pin::pin!(body);
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|error| match error {
            UploadError::TooLarge => too_large(),
            UploadError::Broken => Problem::BodyMalformed {
                detail: "the body did not arrive whole".into(),
            },
        })?;
        // Trailers mean nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.remaining() > max_bytes {
            return Err(too_large());
        }
        if bytes.is_empty() {
            if declared == Some(data.len() as u64) {
                // This is all of it, and need not be copied.
                bytes = data.into();
                continue;
            }
            bytes.reserve_exact(declared.map_or(0, |bytes| bytes as usize));
        }
        bytes.extend_from_slice(&data);
    }
    match declared {
        Some(declared) if declared != bytes.len() as u64 => Err(Problem::BodyMalformed {
            detail: format!(
                "the body has {} of the {declared} bytes announced",
                bytes.len()
            ),
        }),
        _ => Ok(bytes),
    }
}
