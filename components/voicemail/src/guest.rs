//! The component: the world of [`Platform`] as Spin and Starling offer it, and the way in from
//! `wasi:http`.
//!
//! What waits goes through the asynchronous `spin:key-value`; compare-and-swap and counting exist
//! only in the synchronous `wasi:keyvalue`, where a call holds up the whole instance, so little
//! else is asked of that: the keys of the host's own spool, which come in pages there, and one by one in
//! the other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::Either;
use http_body::{Body as HttpBody, Frame, SizeHint};
use spin_sdk::experimental::wasi::keyvalue::{atomics, store as buckets};
use spin_sdk::http::FullBody;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::random::random::get_random_u64;
use spin_sdk::{key_value, variables};
use starling_handler::RequestBody;
use starling_mailbox::MESSAGE_BYTES_MAX;

use crate::access::OPEN_HEADER;
use crate::form::FORM_OVERHEAD_BYTES_MAX;
use crate::maintenance::after;
use crate::platform::{Platform, Store, StoreError, Swap, Swapped, UploadError, Variable};
use crate::respond::{Touched, respond};
use crate::response::Body;

starling_handler::handle_with!(super::handle);

async fn handle(request: http::Request<RequestBody>) -> http::Response<Body> {
    // Whatever is uploaded is needed whole, and nothing is larger than a form with a recording.
    let bytes_max = MESSAGE_BYTES_MAX + FORM_OVERHEAD_BYTES_MAX;
    let request = request.map(|body| Upload(body.whole_up_to(bytes_max)));
    let answer = respond(&Host, request).await;
    if answer.headers().contains_key(OPEN_HEADER) && !OPENNESS_TOLD.replace(true) {
        Host.log("the API is open to anybody: there is no session_key");
    }
    if let Some(touched) = answer.extensions().get::<Touched>().cloned() {
        // Behind the answer, so that nobody waits for it.
        spin_sdk::wit_bindgen::spawn(async move { after(&Host, &touched.0).await });
    }
    answer
}

/// How long a webhook may take to answer.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);

/// The host around this component.
#[derive(Clone)]
struct Host;

/// What was asked for, by name.
type Known<T> = RefCell<BTreeMap<String, T>>;

thread_local! {
    // An instance serves many requests, and for as long as it lives neither its variables change
    // nor what it may open: it is asked for once.
    static VARIABLES: Known<String> = const { RefCell::new(BTreeMap::new()) };
    // The operator is told once by each instance, and the client in each answer.
    static OPENNESS_TOLD: Cell<bool> = const { Cell::new(false) };
    static INSTANCE: Cell<Option<[u8; 16]>> = const { Cell::new(None) };
    static STORES: Known<Rc<key_value::Store>> = const { RefCell::new(BTreeMap::new()) };
}

impl Platform for Host {
    type Store = HostStore;

    async fn open(&self, label: &str) -> Result<HostStore, StoreError> {
        let label = label.to_owned();
        if let Some(store) = STORES.with_borrow(|stores| stores.get(&label).cloned()) {
            return Ok(HostStore { label, store });
        }
        let store = Rc::new(key_value::Store::open(&label).await?);
        STORES.with_borrow_mut(|stores| stores.insert(label.clone(), Rc::clone(&store)));
        Ok(HostStore { label, store })
    }

    async fn variable(&self, name: &str) -> Variable {
        if let Some(value) = VARIABLES.with_borrow(|variables| variables.get(name).cloned()) {
            return Variable::Set(value);
        }
        match variables::get(name).await {
            Ok(value) => {
                let known = (name.to_owned(), value.clone());
                VARIABLES.with_borrow_mut(|variables| variables.extend([known]));
                Variable::Set(value)
            }
            Err(variables::Error::Undefined(_)) => Variable::Unset,
            Err(error) => Variable::Unreadable(error.to_string()),
        }
    }

    fn now_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn random_bits(&self) -> [u8; 16] {
        let halves = [get_random_u64(), get_random_u64()].map(u64::to_be_bytes);
        let mut bits = [0; 16];
        bits.copy_from_slice(halves.as_flattened());
        bits
    }

    fn sends_values(&self) -> bool {
        std::env::var("STARLING_SEND_VALUES").is_ok_and(|how| how == "header")
    }

    async fn pause(&self, ms: u64) {
        spin_sdk::time::sleep(Duration::from_millis(ms)).await;
    }

    fn log(&self, line: &str) {
        eprintln!("{line}");
    }

    fn instance(&self) -> [u8; 16] {
        if let Some(bits) = INSTANCE.get() {
            return bits;
        }
        let bits = self.random_bits();
        INSTANCE.set(Some(bits));
        bits
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::StatusCode, String> {
        let request = request.map(|body| FullBody::new(Bytes::from(body)));
        let sent = std::pin::pin!(spin_sdk::http::send(request));
        let timeout = std::pin::pin!(self.pause(SEND_TIMEOUT.as_millis() as u64));
        match futures::future::select(sent, timeout).await {
            Either::Left((Ok(response), _)) => Ok(response.status()),
            Either::Left((Err(error), _)) => Err(format!("{error:?}")),
            Either::Right(_) => Err("it did not answer in time".into()),
        }
    }
}

/// A store, open in the asynchronous interface, and to be opened by its label in the other when
/// that is needed.
struct HostStore {
    label: String,
    store: Rc<key_value::Store>,
}

impl HostStore {
    fn bucket(&self) -> Result<buckets::Bucket, StoreError> {
        Ok(buckets::open(&self.label)?)
    }
}

impl Store for HostStore {
    type Swap = HostSwap;

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.store.get(key).await?)
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.store.exists(key).await?)
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        Ok(self.store.set(key, value).await?)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        Ok(self.store.delete(key).await?)
    }

    async fn increment(&self, key: &str) -> Result<i64, StoreError> {
        Ok(atomics::increment(&self.bucket()?, key, 1)?)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let bucket = self.bucket()?;
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let page = bucket.list_keys(cursor.as_deref())?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn begin_swap(&self, key: &str) -> Result<HostSwap, StoreError> {
        HostSwap::of(atomics::Cas::new(&self.bucket()?, key)?)
    }
}

/// A compare-and-swap handle with the value that it compares with.
struct HostSwap {
    handle: atomics::Cas,
    current: Option<Bytes>,
}

impl HostSwap {
    fn of(handle: atomics::Cas) -> Result<Self, StoreError> {
        let current = handle.current()?.map(Bytes::from);
        Ok(Self { handle, current })
    }
}

impl Swap for HostSwap {
    fn current(&self) -> Option<&Bytes> {
        self.current.as_ref()
    }

    async fn swap(self, value: Vec<u8>) -> Result<Swapped<Self>, StoreError> {
        match atomics::swap(self.handle, &value) {
            Ok(()) => Ok(Swapped::Won),
            Err(atomics::CasError::CasFailed(fresh)) => Ok(Swapped::Lost(Self::of(fresh)?)),
            Err(atomics::CasError::StoreError(error)) => Err(error.into()),
        }
    }
}

impl From<key_value::Error> for StoreError {
    fn from(error: key_value::Error) -> Self {
        match error {
            key_value::Error::NoSuchStore | key_value::Error::AccessDenied => Self::NoSuchStore,
            key_value::Error::StoreTableFull => Self::Failed("too many stores are open".into()),
            key_value::Error::Other(why) => Self::Failed(why),
        }
    }
}

impl From<buckets::Error> for StoreError {
    fn from(error: buckets::Error) -> Self {
        match error {
            buckets::Error::NoSuchStore | buckets::Error::AccessDenied => Self::NoSuchStore,
            buckets::Error::Other(why) => Self::Failed(why),
        }
    }
}

/// Whether the digest in a request's trailers is the host's. Elsewhere it is what a client says.
fn host_tells_digests() -> bool {
    std::env::var("STARLING_CONTENT_DIGEST").is_ok_and(|where_to| where_to == "trailer")
}

/// The body of the request, with the host's errors told apart as far as they matter, and with trailers only where
/// they can be believed.
struct Upload(RequestBody);

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        if matches!(&frame, Some(Ok(frame)) if frame.is_trailers()) && !host_tells_digests() {
            return Poll::Ready(None);
        }
        let frame = frame.map(|frame| {
            frame.map_err(|error| match error {
                types::ErrorCode::HttpRequestBodySize(_) => UploadError::TooLarge,
                _ => UploadError::Broken,
            })
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
