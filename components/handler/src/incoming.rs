//! A request as the host hands it over, as one of the `http` crate.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::{Frame, SizeHint};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult};
use spin_sdk::wasip3::wit_future;

/// Bytes of a body that are asked for at once. Each read is a call to the host and back.
const READ_BYTES: usize = 64 << 10;

/// A request, of whose body nothing has been read.
///
/// Its URI is the path and the query.
///
/// # Errors
/// When the host passes on what is no HTTP.
pub fn incoming(request: types::Request) -> Result<Request<RequestBody>, ErrorCode> {
    let path = request.get_path_with_query().unwrap_or_default();
    let uri: Uri = match path.as_str() {
        "" => Uri::from_static("/"),
        _ => path
            .try_into()
            .map_err(|_| ErrorCode::HttpRequestUriInvalid)?,
    };
    let method = method(request.get_method())?;
    let mut headers = HeaderMap::new();
    for (name, value) in request.get_headers().copy_all() {
        let name = HeaderName::try_from(name).map_err(|_| ErrorCode::HttpProtocolError)?;
        let value = HeaderValue::try_from(value).map_err(|_| ErrorCode::HttpProtocolError)?;
        headers.append(name, value);
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let mut incoming = Request::new(RequestBody {
        length,
        state: BodyState::Unread(request),
    });
    *incoming.method_mut() = method;
    *incoming.uri_mut() = uri;
    *incoming.headers_mut() = headers;
    Ok(incoming)
}

fn method(method: types::Method) -> Result<Method, ErrorCode> {
    Ok(match method {
        types::Method::Get => Method::GET,
        types::Method::Head => Method::HEAD,
        types::Method::Post => Method::POST,
        types::Method::Put => Method::PUT,
        types::Method::Delete => Method::DELETE,
        types::Method::Connect => Method::CONNECT,
        types::Method::Options => Method::OPTIONS,
        types::Method::Trace => Method::TRACE,
        types::Method::Patch => Method::PATCH,
        types::Method::Other(name) => {
            let method = Method::from_bytes(name.as_bytes());
            method.map_err(|_| ErrorCode::HttpRequestMethodInvalid)?
        }
    })
}

/// The body of a request. The host is asked for it when it is read first.
///
/// Its error is the host's: [`ErrorCode::HttpRequestBodySize`] where the client sent more than it may,
/// [`ErrorCode::ConnectionTerminated`] where it did not finish.
pub struct RequestBody {
    length: Option<u64>,
    state: BodyState,
}

enum BodyState {
    Unread(types::Request),
    Reading {
        step: Pin<Box<dyn Future<Output = Step>>>,
        /// Says to the host, at the end, that all is well.
        _verdict: FutureWriter<Result<(), ErrorCode>>,
    },
    Done,
}

/// What comes after the head, in two streams: the bytes, and what there is to say at their end.
struct Rest {
    bytes: StreamReader<u8>,
    trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
}

/// What one read has brought.
enum Step {
    Piece(Vec<u8>, Rest),
    End(Result<(), ErrorCode>),
}

impl Rest {
    /// Reads on. Trailers are read past: nothing here is sent in them.
    async fn read(mut self) -> Step {
        let (result, piece) = self.bytes.read(Vec::with_capacity(READ_BYTES)).await;
        match result {
            StreamResult::Complete(_) => Step::Piece(piece, self),
            StreamResult::Dropped | StreamResult::Cancelled => {
                Step::End(self.trailers.await.map(drop))
            }
        }
    }
}

impl BodyState {
    /// The read that is under way, the first one if there was none yet.
    fn step(&mut self) -> Option<&mut Pin<Box<dyn Future<Output = Step>>>> {
        if let Self::Unread(_) = self
            && let Self::Unread(request) = std::mem::replace(self, Self::Done)
        {
            let (verdict, reader) = wit_future::new(|| Ok(()));
            let (bytes, trailers) = types::Request::consume_body(request, reader);
            *self = Self::Reading {
                step: Box::pin(Rest { bytes, trailers }.read()),
                _verdict: verdict,
            };
        }
        match self {
            Self::Reading { step, .. } => Some(step),
            Self::Unread(_) | Self::Done => None,
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let Some(step) = self.state.step() else {
            return Poll::Ready(None);
        };
        match ready!(step.as_mut().poll(context)) {
            Step::Piece(piece, rest) => {
                *step = Box::pin(rest.read());
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
            Step::End(ended) => {
                self.state = BodyState::Done;
                Poll::Ready(ended.err().map(Err))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, BodyState::Done)
    }

    fn size_hint(&self) -> SizeHint {
        // No lower bound: a client may send less than it said, which is an error at the end.
        let mut hint = SizeHint::default();
        if let Some(length) = self.length {
            hint.set_upper(length);
        }
        hint
    }
}
