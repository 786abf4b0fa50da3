//! Values of a store as the body of a response, sent by the host.
//!
//! A component that would only read values and write them again can leave that to the host, as applications behind
//! other servers do with a field `X-Sendfile` or `X-Accel-Redirect`: it names what is to be sent in place of a body. The
//! bytes do not go through the component, and are not copied on their way.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use starling_kv::Store;
use wasmtime_wasi_http::Error;

use crate::component::Grant;
use crate::figures::InFlight;

/// The field of a response that names a part of its body, once for each part, in their order. No client sees it.
///
/// Five words: the label of the store, the key of the value, how many bytes the value has, the first of them that is to
/// be sent, and how many are.
const FIELD: &str = "starling-send";

/// A part of a value.
pub(crate) struct Part {
    store: Arc<dyn Store>,
    key: String,
    value_bytes: u64,
    range: Range<u64>,
}

impl Part {
    /// Reads a field; `None` if it is malformed, or names a store that was not granted.
    fn parse(field: &HeaderValue, grant: &Grant) -> Option<Self> {
        let mut words = field.to_str().ok()?.split(' ');
        let store = grant.stores.get(words.next()?)?.clone();
        let key = words.next()?.to_owned();
        let mut number = || words.next()?.parse::<u64>().ok();
        let (value_bytes, first, bytes) = (number()?, number()?, number()?);
        let range = first..first.checked_add(bytes)?;
        let whole = words.next().is_none() && range.end <= value_bytes;
        whole.then_some(Self {
            store,
            key,
            value_bytes,
            range,
        })
    }

    async fn read(self) -> Result<Bytes, Error> {
        let failed = |why: String| Error::InternalError(Some(format!("{}: {why}", self.key)));
        let value = self.store.get(&self.key).await;
        let value = value.map_err(|error| failed(error.to_string()))?;
        let value = value.map(|entry| entry.value).unwrap_or_default();
        if value.len() as u64 != self.value_bytes {
            let why = format!("it has {} of {} bytes", value.len(), self.value_bytes);
            return Err(failed(why));
        }
        // Within what is there, so it fits.
        Ok(value.slice(self.range.start as usize..self.range.end as usize))
    }
}

/// What the head of a response names in place of a body, if it does, and takes that out of it.
///
/// # Errors
///
/// Where what is named makes no sense, or is not to be had.
pub(crate) fn named(head: &mut HeaderMap, grant: &Grant) -> Result<Option<VecDeque<Part>>, Error> {
    if !grant.send_values || !head.contains_key(FIELD) {
        return Ok(None);
    }
    let fields = head.get_all(FIELD).iter();
    let parts = fields.map(|field| {
        let malformed = || Error::InternalError(Some(format!("{FIELD}: {field:?}")));
        Part::parse(field, grant).ok_or_else(malformed)
    });
    let parts: VecDeque<Part> = parts.collect::<Result<_, _>>()?;
    head.remove(FIELD);
    let bytes: u64 = parts
        .iter()
        .map(|part| part.range.end - part.range.start)
        .sum();
    head.insert(CONTENT_LENGTH, bytes.into());
    Ok(Some(parts))
}

/// The body that consists of such parts. Each is read when the one before it has been taken.
pub(crate) struct Values {
    first: Option<Bytes>,
    parts: VecDeque<Part>,
    reading: Option<BoxFuture<'static, Result<Bytes, Error>>>,
    bytes_left: u64,
    in_flight: Option<InFlight>,
}

impl Values {
    /// Reads the first part: what cannot be sent at all is no response.
    ///
    /// # Errors
    ///
    /// Where it is not there as it was named.
    pub(crate) async fn begin(
        mut parts: VecDeque<Part>,
        in_flight: Option<InFlight>,
    ) -> Result<Self, Error> {
        let bytes_left = parts
            .iter()
            .map(|part| part.range.end - part.range.start)
            .sum();
        let first = match parts.pop_front() {
            Some(part) => Some(part.read().await?),
            None => None,
        };
        Ok(Self {
            first,
            parts,
            reading: None,
            bytes_left,
            in_flight,
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.reading.is_none() {
            self.reading = self.parts.pop_front().map(|part| part.read().boxed());
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let read = ready!(reading.poll_unpin(cx));
        self.reading = None;
        if read.is_err() {
            // Nothing may follow a gap.
            self.parts.clear();
            if let Some(in_flight) = &self.in_flight {
                in_flight.broke_off();
            }
        }
        Poll::Ready(Some(read))
    }
}

impl http_body::Body for Values {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(read) = ready!(this.poll_next(cx)) else {
            this.in_flight = None;
            return Poll::Ready(None);
        };
        Poll::Ready(Some(read.map(|bytes| {
            this.bytes_left -= bytes.len() as u64;
            Frame::data(bytes)
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use http_body_util::BodyExt as _;
    use starling_kv::Memory;

    /// A component that was granted a store with two values, under the label `default`.
    fn granted() -> Grant {
        let store = Memory::new();
        block_on(async {
            store.set("a", "hello".into()).await.unwrap();
            store.set("b", "world".into()).await.unwrap();
        });
        Grant {
            stores: [("default".to_owned(), Arc::new(store) as Arc<dyn Store>)].into(),
            send_values: true,
            ..Grant::default()
        }
    }

    fn head(fields: &[&'static str]) -> HeaderMap {
        let fields = fields.iter().copied().map(HeaderValue::from_static);
        let mut head = HeaderMap::new();
        for field in fields {
            head.append(FIELD, field);
        }
        head
    }

    fn sent(fields: &[&'static str]) -> Result<(HeaderMap, Vec<Result<Bytes, Error>>), Error> {
        let mut head = head(fields);
        let parts = named(&mut head, &granted())?.expect("something is named");
        let mut values = block_on(Values::begin(parts, None))?;
        let mut sent = Vec::new();
        while let Some(frame) = block_on(values.frame()) {
            sent.push(frame.map(|frame| frame.into_data().unwrap()));
        }
        Ok((head, sent))
    }

    #[test]
    fn parts_come_in_their_order_and_their_length_is_said() {
        let (head, sent) =
            sent(&["default a 5 1 4", "default b 5 0 5", "default a 5 0 1"]).unwrap();
        let sent: Vec<Bytes> = sent.into_iter().map(Result::unwrap).collect();
        assert_eq!(sent.concat(), b"elloworldh");
        assert_eq!(head[CONTENT_LENGTH], "10");
        assert!(!head.contains_key(FIELD));
    }

    #[test]
    fn what_is_not_as_it_was_named_is_no_response() {
        for field in ["default c 5 0 5", "default a 6 0 5", "default a 4 0 4"] {
            assert!(sent(&[field]).is_err(), "{field}");
        }
    }

    #[test]
    fn what_is_missing_later_breaks_off_and_nothing_follows() {
        let (_, sent) = sent(&["default a 5 0 5", "default c 5 0 5", "default b 5 0 5"]).unwrap();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0].as_ref().unwrap(), "hello");
        assert!(sent[1].is_err());
    }

    #[test]
    fn what_makes_no_sense_or_was_not_granted_is_refused() {
        for field in [
            "",
            "default",
            "default a 5 0",
            "default a 5 0 5 6",
            "default a 5 0 6",
            "default a 5 1 18446744073709551615",
            "default a five 0 5",
            "other a 5 0 5",
        ] {
            assert!(named(&mut head(&[field]), &granted()).is_err(), "{field:?}");
        }
    }

    #[test]
    fn who_was_not_allowed_to_has_a_field_like_any_other() {
        let grant = Grant {
            send_values: false,
            ..granted()
        };
        let mut head = head(&["default a 5 0 5"]);
        assert!(named(&mut head, &grant).unwrap().is_none());
        assert!(head.contains_key(FIELD));
    }
}
