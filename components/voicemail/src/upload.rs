//! Reading the body of a request, within a limit.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes};
use futures::future::poll_fn;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use starling_mailbox::Digest;

use crate::platform::UploadError;
use crate::problem::Problem;

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) bytes: Vec<u8>,
    /// Its digest, where the host has told it.
    pub(crate) digest: Option<Digest>,
}

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
    Ok(read_digested(headers, body, max_bytes).await?.bytes)
}

/// The same, and its digest.
pub(crate) async fn read_digested<B>(
    headers: &HeaderMap,
    body: B,
    max_bytes: usize,
) -> Result<Uploaded, Problem>
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
    let mut digest = None;
    let mut body = std::pin::pin!(body);
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|error| match error {
            UploadError::TooLarge => too_large(),
            UploadError::Broken => Problem::BodyMalformed {
                detail: "the body did not arrive whole".into(),
            },
        })?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                digest = frame.trailers_ref().and_then(told_digest);
                continue;
            }
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
        _ => Ok(Uploaded { bytes, digest }),
    }
}

/// The digest of a body in its trailers, as a host writes it (RFC 9530, section 2).
fn told_digest(trailers: &HeaderMap) -> Option<Digest> {
    let told = trailers.get("content-digest")?.to_str().ok()?;
    let base64 = told.strip_prefix("sha-256=:")?.strip_suffix(':')?;
    let digest = BASE64_STANDARD.decode(base64).ok()?;
    Some(Digest::from_bytes(digest.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::stream;
    use http::{HeaderName, HeaderValue};
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn read_with(trailers: &[(&'static str, &'static str)]) -> Uploaded {
        let trailers = trailers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let frames = [
            Frame::data(Bytes::from_static(b"hel")),
            Frame::data(Bytes::from_static(b"lo")),
            Frame::trailers(trailers.collect()),
        ];
        let body = StreamBody::new(stream::iter(frames.map(Ok)));
        block_on(read_digested(&HeaderMap::new(), body, 5)).expect("it is whole")
    }

    #[test]
    fn digest_is_what_the_host_tells() {
        let told = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
        let uploaded = read_with(&[("content-digest", told)]);
        assert_eq!(uploaded.bytes, b"hello");
        assert_eq!(uploaded.digest, Some(Digest::of(b"hello")));
    }

    #[test]
    fn what_no_host_writes_is_no_digest() {
        for told in [
            "sha-512=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:",
            "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmC==:",
            "sha-256=:LPJNug==:",
            "sha-256=",
            "",
        ] {
            assert_eq!(
                read_with(&[("content-digest", told)]).digest,
                None,
                "{told}"
            );
        }
        assert_eq!(read_with(&[("etag", "\"hello\"")]).digest, None);
    }
}
