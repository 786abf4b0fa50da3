//! A world for the API to live in: regions whose stores lie in memory, which lose races and fail on
//! demand.
//!
//! Every operation of a store first gives way a random number of times, so that requests that run
//! at once take turns in a different order with each seed.

#![expect(dead_code, reason = "each test file uses its own part of this")]

pub(crate) mod contract;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use contract::{Contract, Got, Sent};
use futures::executor::block_on;
use futures::future::{join_all, poll_fn};
use futures::stream;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;
use voicemail::{
    PROBLEM_TYPE_PREFIX, Platform, Store, StoreError, Swap, Swapped, UploadError, Variable, respond,
};

/// The clock of a world that nobody set: 2026-01-01T00:00:00Z.
pub(crate) const NOON: u64 = 1_767_225_600_000;

/// What a store holds.
pub(crate) type Values = BTreeMap<String, Vec<u8>>;

/// One region's view of the world.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) region: &'static str,
    pub(crate) regions: &'static str,
    pub(crate) now_ms: Rc<Cell<u64>>,
    instance: u8,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    stores: RefCell<BTreeMap<String, Rc<RefCell<Values>>>>,
    unreachable: RefCell<BTreeSet<String>>,
    log: RefCell<Vec<String>>,
    random: Cell<u64>,
    operations: Cell<usize>,
    fault: Cell<Option<Fault>>,
    unguarded_creation: Cell<bool>,
    always_lose: Cell<bool>,
    reads: RefCell<Vec<String>>,
    variables: RefCell<BTreeMap<String, String>>,
    sent: RefCell<Vec<Request<Vec<u8>>>>,
    answers: RefCell<VecDeque<Result<StatusCode, String>>>,
    hang_ms: Cell<u64>,
    spool: Cell<bool>,
    spool_operations: Cell<usize>,
    spool_fault: Cell<Option<Fault>>,
    hangs_from: Cell<Option<usize>>,
    slow_ms: Cell<u64>,
    sends_values: Cell<bool>,
}

/// From which operation of a store on everything fails, counted from 1.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) from: usize,
    /// Whether the first operation that fails takes effect nevertheless: the answer was lost, not
    /// the request.
    pub(crate) with_effect: bool,
}

impl World {
    /// A world of one region.
    pub(crate) fn local() -> Self {
        Self::of("local", "local")
    }

    pub(crate) fn of(region: &'static str, regions: &'static str) -> Self {
        let shared = Rc::new(Shared::default());
        shared.random.set(1);
        Self {
            region,
            regions,
            now_ms: Rc::new(Cell::new(NOON)),
            instance: 1,
            shared,
        }
    }

    /// The same world, seen from another region, with a clock of its own.
    pub(crate) fn from(&self, region: &'static str) -> Self {
        Self {
            region,
            now_ms: Rc::new(Cell::new(NOON)),
            ..self.clone()
        }
    }

    /// The same world, seen by another instance in the same region.
    pub(crate) fn another_instance(&self) -> Self {
        Self {
            instance: self.instance + 1,
            ..self.from(self.region)
        }
    }

    /// A world with a mailbox `anna`.
    pub(crate) fn with_mailbox() -> Self {
        let world = Self::local();
        world
            .put("/v1/mailboxes/anna")
            .send()
            .expect(StatusCode::CREATED);
        world
    }

    /// Has the host send values that an answer names.
    pub(crate) fn send_values(&self) {
        self.shared.sends_values.set(true);
    }

    /// The bytes that an answer names, as the host reads them.
    fn named(&self, headers: &HeaderMap) -> Option<Vec<u8>> {
        let mut fields = headers.get_all("starling-send").iter().peekable();
        fields.peek()?;
        let mut sent = Vec::new();
        for field in fields {
            let words: Vec<_> = field.to_str().expect("ASCII").split(' ').collect();
            let [label, key, size, first, length] = words[..] else {
                panic!("five words: {words:?}");
            };
            let number = |word: &str| word.parse::<usize>().expect("a number");
            let region = label.strip_prefix("default@");
            assert!(region.is_some() || label == "default", "{label}");
            let values = self.values(region.unwrap_or(self.region));
            let values = values.borrow();
            let value = values.get(key).expect("it is there");
            assert_eq!(value.len(), number(size), "{key}");
            sent.extend(&value[number(first)..][..number(length)]);
            self.shared.reads.borrow_mut().push(key.to_owned());
        }
        Some(sent)
    }

    /// Gives the host a spool.
    pub(crate) fn grant_spool(&self) {
        self.shared.spool.set(true);
    }

    /// What lies in the spool.
    pub(crate) fn spool(&self) -> Rc<RefCell<Values>> {
        self.values("spool")
    }

    /// The same as [`set_fault`](Self::set_fault), of the spool.
    pub(crate) fn set_spool_fault(&self, fault: Option<Fault>) {
        self.shared.spool_operations.set(0);
        self.shared.spool_fault.set(fault);
    }

    /// How many operations of the spool there were since the last fault of it was set.
    pub(crate) fn spool_operations(&self) -> usize {
        self.shared.spool_operations.get()
    }

    /// Makes the region's store answer nothing any more from an operation on, counted from 1.
    pub(crate) fn hang_from(&self, from: Option<usize>) {
        self.shared.operations.set(0);
        self.shared.hangs_from.set(from);
    }

    /// Lets the region's store take so long for each operation.
    pub(crate) fn slow_ms(&self, ms: u64) {
        self.shared.slow_ms.set(ms);
    }

    pub(crate) fn seed(&self, seed: u64) {
        self.shared.random.set(seed | 1);
    }

    /// Makes compare-and-swap behave as stock Spin's: a missing value is not guarded.
    pub(crate) fn leave_creation_unguarded(&self) {
        self.shared.unguarded_creation.set(true);
    }

    /// Makes somebody else faster at every compare-and-swap.
    pub(crate) fn lose_every_race(&self) {
        self.shared.always_lose.set(true);
    }

    pub(crate) fn set_unreachable(&self, region: &str, unreachable: bool) {
        let mut regions = self.shared.unreachable.borrow_mut();
        if unreachable {
            regions.insert(region.to_owned())
        } else {
            regions.remove(region)
        };
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.shared.operations.set(0);
        self.shared.fault.set(fault);
    }

    /// How many operations of stores there were since the last fault was set.
    pub(crate) fn operations(&self) -> usize {
        self.shared.operations.get()
    }

    pub(crate) fn values(&self, region: &str) -> Rc<RefCell<Values>> {
        self.shared
            .stores
            .borrow_mut()
            .entry(region.to_owned())
            .or_default()
            .clone()
    }

    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let values = self.values(self.region);
        let values = values.borrow();
        values
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.log.take()
    }

    /// Sets a variable of the application.
    pub(crate) fn set(&self, variable: &str, value: &str) {
        let mut variables = self.shared.variables.borrow_mut();
        variables.insert(variable.into(), value.into());
    }

    /// What other servers were sent since the last time.
    pub(crate) fn sent(&self) -> Vec<Request<Vec<u8>>> {
        self.shared.sent.take()
    }

    /// How other servers are going to answer, one request after another; 204 when none is left.
    pub(crate) fn answers(&self, answers: impl IntoIterator<Item = Result<StatusCode, String>>) {
        self.shared.answers.borrow_mut().extend(answers);
    }

    /// Lets other servers take so long to answer.
    pub(crate) fn hang_ms(&self, ms: u64) {
        self.shared.hang_ms.set(ms);
    }

    /// Does the chores once.
    pub(crate) fn maintain(&self) -> Value {
        self.post("/maintenance")
            .send()
            .expect(StatusCode::OK)
            .json()
    }

    /// The keys that were read since the last time.
    pub(crate) fn reads(&self) -> Vec<String> {
        self.shared.reads.take()
    }

    fn next_random(&self) -> u64 {
        // Marsaglia, "Xorshift RNGs" (2003).
        let mut x = self.shared.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.shared.random.set(x);
        x
    }

    /// Lets others go first, a few times.
    async fn give_way(&self) {
        Self::wait_turns(self.next_random() % 4).await;
    }

    async fn wait_turns(mut turns: u64) {
        poll_fn(|context| {
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Counts an operation: whether it takes effect, and whether it is answered.
    async fn operate(&self, on_spool: bool) -> (bool, Result<(), StoreError>) {
        self.give_way().await;
        let shared = &self.shared;
        let (operations, fault) = match on_spool {
            false => (&shared.operations, &shared.fault),
            true => (&shared.spool_operations, &shared.spool_fault),
        };
        let n = operations.get() + 1;
        operations.set(n);
        if !on_spool {
            if shared.hangs_from.get().is_some_and(|from| n >= from) {
                std::future::pending::<()>().await;
            }
            self.now_ms.set(self.now_ms.get() + shared.slow_ms.get());
        }
        match fault.get() {
            Some(fault) if n >= fault.from => {
                let effect = fault.with_effect && n == fault.from;
                (
                    effect,
                    Err(StoreError::Failed("the disk is on fire".into())),
                )
            }
            _ => (true, Ok(())),
        }
    }
}

impl Platform for World {
    type Store = MemoryStore;

    async fn open(&self, label: &str) -> Result<MemoryStore, StoreError> {
        let on_spool = label == "spool";
        let region = match label.split_once('@') {
            None if on_spool && self.shared.spool.get() => "spool",
            None if on_spool => return Err(StoreError::NoSuchStore),
            None => self.region,
            Some((_, region)) => region,
        };
        if self.shared.unreachable.borrow().contains(region) {
            return Err(StoreError::NoSuchStore);
        }
        let read_only = label.contains('@');
        Ok(MemoryStore {
            on_spool,
            world: self.clone(),
            values: self.values(region),
            read_only,
        })
    }

    async fn variable(&self, name: &str) -> Variable {
        match name {
            "region" => Variable::Set(self.region.into()),
            "regions" => Variable::Set(self.regions.into()),
            _ => match self.shared.variables.borrow().get(name) {
                Some(value) => Variable::Set(value.clone()),
                None => Variable::Unset,
            },
        }
    }

    fn sends_values(&self) -> bool {
        self.shared.sends_values.get()
    }

    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    fn random_bits(&self) -> [u8; 16] {
        let halves = [self.next_random(), self.next_random()].map(u64::to_be_bytes);
        halves.as_flattened().try_into().expect("16 bytes")
    }

    fn instance(&self) -> [u8; 16] {
        [self.instance; 16]
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<StatusCode, String> {
        self.give_way().await;
        self.now_ms
            .set(self.now_ms.get() + self.shared.hang_ms.get());
        self.shared.sent.borrow_mut().push(request);
        let answer = self.shared.answers.borrow_mut().pop_front();
        answer.unwrap_or(Ok(StatusCode::NO_CONTENT))
    }

    async fn pause(&self, ms: u64) {
        // As many turns as milliseconds: who does something meanwhile is done long before, unless it hangs.
        Self::wait_turns(ms).await;
        self.now_ms.set(self.now_ms.get() + ms);
        self.give_way().await;
    }

    fn log(&self, line: &str) {
        self.shared.log.borrow_mut().push(line.to_owned());
    }
}

pub(crate) struct MemoryStore {
    world: World,
    values: Rc<RefCell<Values>>,
    read_only: bool,
    on_spool: bool,
}

impl MemoryStore {
    async fn write(&self, effect: impl FnOnce(&mut Values)) -> Result<(), StoreError> {
        assert!(!self.read_only, "only the own region's store is written");
        let (takes_effect, answer) = self.world.operate(self.on_spool).await;
        if takes_effect {
            effect(&mut self.values.borrow_mut());
        }
        answer
    }
}

impl Store for MemoryStore {
    type Swap = MemorySwap;

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.world.operate(self.on_spool).await.1?;
        self.world.shared.reads.borrow_mut().push(key.to_owned());
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.world.operate(self.on_spool).await.1?;
        Ok(self.values.borrow().contains_key(key))
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(|values| drop(values.insert(key.to_owned(), value.to_vec())))
            .await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.write(|values| drop(values.remove(key))).await
    }

    async fn increment(&self, key: &str) -> Result<i64, StoreError> {
        let mut count = 0;
        self.write(|values| {
            let stored = values.entry(key.to_owned()).or_insert_with(|| vec![0; 8]);
            count = i64::from_le_bytes(stored[..].try_into().expect("a counter")) + 1;
            *stored = count.to_le_bytes().to_vec();
        })
        .await?;
        Ok(count)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        assert!(self.on_spool, "no region's store is listed");
        self.world.operate(self.on_spool).await.1?;
        // In no order of any use.
        Ok(self.values.borrow().keys().rev().cloned().collect())
    }

    async fn begin_swap(&self, key: &str) -> Result<MemorySwap, StoreError> {
        assert!(!self.on_spool, "the spool needs no compare-and-swap");
        self.world.operate(self.on_spool).await.1?;
        Ok(MemorySwap::of(
            self.world.clone(),
            self.values.clone(),
            key.to_owned(),
        ))
    }
}

pub(crate) struct MemorySwap {
    world: World,
    values: Rc<RefCell<Values>>,
    key: String,
    read: Option<Bytes>,
}

impl MemorySwap {
    fn of(world: World, values: Rc<RefCell<Values>>, key: String) -> Self {
        let read = values.borrow().get(&key).cloned().map(Bytes::from);
        Self {
            world,
            values,
            key,
            read,
        }
    }
}

impl Swap for MemorySwap {
    fn current(&self) -> Option<&Bytes> {
        self.read.as_ref()
    }

    async fn swap(self, value: Vec<u8>) -> Result<Swapped<Self>, StoreError> {
        let (takes_effect, answer) = self.world.operate(false).await;
        let unguarded = self.read.is_none() && self.world.shared.unguarded_creation.get();
        let lost = self.world.shared.always_lose.get();
        let unchanged = || {
            let values = self.values.borrow();
            values.get(&self.key).map(Vec::as_slice) == self.read.as_deref()
        };
        let matches = !lost && (unguarded || unchanged());
        if takes_effect && matches {
            self.values.borrow_mut().insert(self.key.clone(), value);
        }
        answer?;
        Ok(if matches {
            Swapped::Won
        } else {
            Swapped::Lost(Self::of(self.world, self.values, self.key))
        })
    }
}

// === Requests ===

/// A request to a world.
pub(crate) struct Call {
    world: World,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Payload,
}

enum Payload {
    Whole(Vec<u8>),
    /// Pieces, and then perhaps an error.
    Pieces(Vec<Vec<u8>>, Option<UploadError>),
}

/// An answer of a world.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether it is an answer to a request that may have changed a mailbox.
    pub(crate) touched: bool,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Why the body broke off, if it did.
    pub(crate) broken: Option<StoreError>,
}

impl World {
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let body = Payload::Whole(Vec::new());
        Call {
            world: self.clone(),
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str, json: &str) -> Call {
        self.call(Method::PATCH, path).json(json)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// A deposit of this WAV into `anna`.
    pub(crate) fn deposit(&self, audio: &[u8]) -> Call {
        self.post("/v1/mailboxes/anna/messages")
            .header("content-type", "audio/wav")
            .body(audio)
    }

    /// The messages of a folder of `anna`.
    pub(crate) fn messages(&self, folder: &str) -> Vec<Value> {
        let path = format!("/v1/mailboxes/anna/messages?limit=100&folder={folder}");
        let list = self.get(&path).send().expect(StatusCode::OK).json();
        list["messages"].as_array().expect("messages").clone()
    }
}

impl Call {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a header");
        self.headers.append(name, value);
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = Payload::Whole(body.to_vec());
        self
    }

    pub(crate) fn pieces(mut self, pieces: Vec<Vec<u8>>, end: Option<UploadError>) -> Self {
        self.body = Payload::Pieces(pieces, end);
        self
    }

    pub(crate) fn json(self, json: &str) -> Self {
        self.header("content-type", "application/json")
            .body(json.as_bytes())
    }

    pub(crate) fn send(self) -> Answer {
        block_on(self.run())
    }

    pub(crate) async fn run(self) -> Answer {
        let (method, headers) = (self.method.clone(), self.headers.clone());
        let request = Request::builder().method(self.method).uri(&self.path);
        let mut request = request.body(()).expect("a request");
        *request.headers_mut() = self.headers;
        let sent_body = match &self.body {
            Payload::Whole(body) => Some(body.clone()),
            Payload::Pieces(..) => None,
        };
        let response = match self.body {
            Payload::Whole(body) => {
                if !body.is_empty() {
                    request
                        .headers_mut()
                        .insert("content-length", body.len().into());
                }
                let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
                respond(&self.world, request.map(|()| body)).await
            }
            Payload::Pieces(pieces, end) => {
                let pieces = pieces
                    .into_iter()
                    .map(|piece| Ok(Frame::data(Bytes::from(piece))));
                let body = StreamBody::new(stream::iter(pieces.chain(end.map(Err))));
                respond(&self.world, request.map(|()| body)).await
            }
        };
        let named = self.world.named(response.headers());
        let (mut parts, mut body) = response.into_parts();
        if let Some(named) = &named {
            assert!(parts.headers.remove("content-length").is_none());
            parts.headers.remove("starling-send");
            parts.headers.insert("content-length", named.len().into());
        }
        let (mut content, mut broken) = (named.unwrap_or_default(), None);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => content.extend(frame.into_data().expect("data")),
                Err(error) => broken = Some(error),
            }
        }
        let answer = Answer {
            touched: parts.extensions.get::<voicemail::Touched>().is_some(),
            status: parts.status,
            headers: parts.headers,
            body: content.into(),
            broken,
        };
        let sent = Sent {
            method: &method,
            target: &self.path,
            headers: &headers,
            body: sent_body.as_deref(),
        };
        // What browsers ask beforehand is the Fetch standard's, and not of the API.
        if method != Method::OPTIONS || !answer.status.is_success() {
            Contract::get().check(&sent, &answer.got());
        }
        answer
    }
}

/// Runs calls at once.
pub(crate) fn at_once(calls: impl IntoIterator<Item = Call>) -> Vec<Answer> {
    wait(join_all(calls.into_iter().map(Call::run)))
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    block_on(future)
}

impl Answer {
    /// As the contract sees it.
    fn got(&self) -> Got<'_> {
        Got {
            status: self.status.as_u16(),
            headers: &self.headers,
            body: &self.body,
            whole: self.broken.is_none(),
        }
    }

    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// The problem's type, without what all types begin with.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let document: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(document["status"], self.status.as_u16());
        assert!(
            document["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        assert!(
            document["detail"]
                .as_str()
                .is_some_and(|detail| detail.ends_with('.')),
            "{document}"
        );
        let name = document["type"]
            .as_str()
            .expect("a type")
            .strip_prefix(PROBLEM_TYPE_PREFIX);
        name.expect("a type of ours").to_owned()
    }

    /// What the problem tells this caller.
    #[track_caller]
    pub(crate) fn detail(&self) -> String {
        let document: Value = serde_json::from_slice(&self.body).expect("JSON");
        document["detail"].as_str().expect("a detail").to_owned()
    }
}

/// A WAV file of so many bytes of telephone speech (16 bit, 8 kHz: 16 to the millisecond), no two
/// alike in content.
pub(crate) fn wav(bytes: usize, content: u8) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    file.extend((bytes as u32).to_le_bytes());
    file.extend((0..bytes).map(|n| (n / 251) as u8 ^ (n % 251) as u8 ^ content));
    file
}
