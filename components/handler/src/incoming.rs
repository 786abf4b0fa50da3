//! A request as the host hands it over, as one of the `http` crate.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::{Frame, SizeHint};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult};
use spin_sdk::wasip3::{wit_bindgen, wit_future};

use crate::company::Company;

/// Bytes of a body that are asked for at once. Each read is a call to the host and back.
const READ_BYTES: usize = 64 << 10;

/// What is asked for behind the last byte that was announced: a read of nothing would not find the end.
const END_BYTES: usize = 64;

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
    let headers = header_map(request.get_headers())?;
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let mut incoming = Request::new(RequestBody {
        length,
        piece_bytes_max: READ_BYTES,
        state: BodyState::Unread(request),
    });
    *incoming.method_mut() = method;
    *incoming.uri_mut() = uri;
    *incoming.headers_mut() = headers;
    Ok(incoming)
}

fn header_map(fields: types::Fields) -> Result<HeaderMap, ErrorCode> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.copy_all() {
        let name = HeaderName::try_from(name).map_err(|_| ErrorCode::HttpProtocolError)?;
        let value = HeaderValue::try_from(value).map_err(|_| ErrorCode::HttpProtocolError)?;
        headers.append(name, value);
    }
    Ok(headers)
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
    piece_bytes_max: usize,
    state: BodyState,
}

impl RequestBody {
    /// The same body, in one piece if it says that it is no longer than this: it is put together where the host puts it
    /// anyway, and who wants all of it need not copy it. So much memory it takes from the first read on.
    #[must_use]
    pub fn whole_up_to(self, bytes_max: usize) -> Self {
        Self {
            piece_bytes_max: bytes_max.max(READ_BYTES),
            ..self
        }
    }

    /// How large a piece is to become before it is handed on, if it matters.
    fn whole_bytes(&self) -> Option<usize> {
        let length = usize::try_from(self.length?).ok()?;
        (length <= self.piece_bytes_max).then_some(length)
    }
}

enum BodyState {
    Unread(types::Request),
    Reading {
        step: Pin<Box<dyn Future<Output = Step>>>,
        /// Says to the host, at the end, that all is well.
        _verdict: FutureWriter<Result<(), ErrorCode>>,
        /// A body is mostly waited for, piece by piece.
        _company: Company,
    },
    Done,
}

/// What comes after the head, in two streams: the bytes, and what there is to say at their end.
struct Rest {
    bytes: StreamReader<u8>,
    /// Whether these have met their end, behind which they may not be read.
    has_ended: bool,
    trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
}

/// What one read has brought.
enum Step {
    Piece(Vec<u8>, Rest),
    End(Result<Option<HeaderMap>, ErrorCode>),
}

impl Rest {
    /// Reads on, until there are so many bytes if that is said.
    async fn read(mut self, whole_bytes: Option<usize>) -> Step {
        let mut piece = Vec::with_capacity(whole_bytes.unwrap_or(READ_BYTES).max(END_BYTES));
        while !self.has_ended {
            let (result, read) = self.bytes.read(piece).await;
            piece = read;
            match result {
                StreamResult::Complete(_) => {
                    if piece.len() >= whole_bytes.unwrap_or(0) {
                        return Step::Piece(piece, self);
                    }
                }
                StreamResult::Dropped | StreamResult::Cancelled => self.has_ended = true,
            }
        }
        if piece.is_empty() {
            let trailers = self.trailers.await;
            return Step::End(trailers.and_then(|fields| fields.map(header_map).transpose()));
        }
        // Less than was announced. The next step tells why.
        Step::Piece(piece, self)
    }
}

impl BodyState {
    /// The read that is under way, the first one if there was none yet.
    fn step(
        &mut self,
        whole_bytes: Option<usize>,
    ) -> Option<&mut Pin<Box<dyn Future<Output = Step>>>> {
        if let Self::Unread(_) = self
            && let Self::Unread(request) = std::mem::replace(self, Self::Done)
        {
            let (verdict, reader) = wit_future::new(|| Ok(()));
            let (bytes, trailers) = types::Request::consume_body(request, reader);
            let rest = Rest {
                bytes,
                has_ended: false,
                trailers,
            };
            let company = Company::default();
            wit_bindgen::spawn(company.companion());
            *self = Self::Reading {
                step: Box::pin(rest.read(whole_bytes)),
                _verdict: verdict,
                _company: company,
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
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = self.get_mut();
        let whole_bytes = this.whole_bytes();
        let Some(step) = this.state.step(whole_bytes) else {
            return Poll::Ready(None);
        };
        match ready!(step.as_mut().poll(context)) {
            Step::Piece(piece, rest) => {
                // What was announced has come; only the end is to be found.
                *step = Box::pin(rest.read(whole_bytes.map(|_| 0)));
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
            Step::End(ended) => {
                this.state = BodyState::Done;
                Poll::Ready(
                    ended
                        .map(|trailers| trailers.map(Frame::trailers))
                        .transpose(),
                )
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
