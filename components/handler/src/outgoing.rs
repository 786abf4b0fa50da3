//! A response of the `http` crate, as the host takes it.

use std::future::poll_fn;
use std::pin::pin;

use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureWriter, StreamWriter};
use spin_sdk::wasip3::{wit_bindgen, wit_future, wit_stream};

use crate::company::{Company, follower};

/// A body up to so many bytes most likely comes in one piece.
const PIECE_BYTES: u64 = 64 << 10;

/// The response, whose body is written once the host reads it.
///
/// A body without a byte has no stream either: the answer to HEAD states the length of a body that does not follow, and
/// a host would take the end of a stream for a body cut off.
///
/// # Errors
/// When the host does not take a header, or the status.
pub fn outgoing<B>(response: Response<B>) -> Result<types::Response, ErrorCode>
where
    B: Body<Data: Into<Vec<u8>>, Error: std::fmt::Display> + 'static,
{
    let (head, body) = response.into_parts();
    let headers = fields(&head.headers)?;
    let (end, trailers) = wit_future::new(|| Ok(None));
    let response = if body.is_end_stream() {
        types::Response::new(headers, None, trailers).0
    } else {
        let (bytes, contents) = wit_stream::new();
        let response = types::Response::new(headers, Some(contents), trailers).0;
        // More than one piece, or nobody knows.
        let long = body
            .size_hint()
            .upper()
            .is_none_or(|length| length > PIECE_BYTES);
        let company = long.then(Company::default);
        let companion = company.as_ref().map(Company::companion);
        wit_bindgen::spawn(async move {
            write(body, bytes, end).await;
            drop(company);
        });
        if let Some(companion) = companion {
            wit_bindgen::spawn(companion);
        }
        wit_bindgen::spawn(follower());
        response
    };
    if head.status != StatusCode::OK {
        let accepted = response.set_status_code(head.status.as_u16());
        accepted.map_err(|()| internal(&format!("status {}", head.status)))?;
    }
    Ok(response)
}

fn fields(headers: &HeaderMap) -> Result<Fields, ErrorCode> {
    let list: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
        .collect();
    Fields::from_list(&list).map_err(|error| internal(&format!("{error:?}")))
}

/// Writes the body; a client that has gone ends it, and an error of the body goes to the host in its place.
async fn write<B>(
    body: B,
    mut bytes: StreamWriter<u8>,
    end: FutureWriter<Result<Option<Trailers>, ErrorCode>>,
) where
    B: Body<Data: Into<Vec<u8>>, Error: std::fmt::Display>,
{
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => {
                if !bytes.write_all(data.into()).await.is_empty() {
                    return;
                }
            }
            // Nothing here has trailers.
            Ok(Err(_)) => {}
            Err(error) => {
                drop(bytes);
                let _ = end.write(Err(internal(&error.to_string()))).await;
                return;
            }
        }
    }
}

fn internal(why: &str) -> ErrorCode {
    ErrorCode::InternalError(Some(why.to_owned()))
}
