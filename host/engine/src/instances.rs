//! The instances of one component on one event loop: made when needed, reused one request after another, replaced
//! when idle, worn or broken.
//!
//! An instance serves one request at a time. Requests that share an instance would share its fate: a panic of one
//! would fail the others, and a loop would stall them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut, WasmBacktrace};
use wasmtime_wasi_http::Error as HttpError;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, InstantiationError, ProxyHandler, ShouldAccept, WorkerExpiration,
    WorkerState, WorkerStatus,
};

use crate::component::Component;
use crate::error::RequestError;
use crate::figures::{Figures, InFlight};
use crate::guard::{Guard, Stop};
use crate::limits::Limits;
use crate::request::{Body, Progress, Response, bounded, empty_body};
use crate::state::State;

/// The longest that an instance past its time goes unnoticed.
const EXPIRY_RESOLUTION_MAX: Duration = Duration::from_millis(500);

/// How long a request that has a place waits for an instance that is about to be free.
const POOL_PAUSE: Duration = Duration::from_millis(1);

/// What a request and the instance that takes it learn of each other.
#[derive(Debug, Default)]
struct Ticket {
    /// The guard of the instance: tells afterwards why there was no response.
    guard: OnceLock<Arc<Guard>>,
    /// How the request's body is coming.
    progress: Arc<Progress>,
    /// The request's place among those under way. It passes to the instance that takes the request, so that a client
    /// that goes away does not free a place that is still in use, nor one that stays keep a place that is not.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Ticket {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit: Mutex::new(Some(permit)),
            ..Self::default()
        }
    }

    fn take_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.permit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Runs requests in instances of one component, on the event loop that calls it. Cheap to clone.
#[derive(Clone)]
pub struct Instances {
    handler: ProxyHandler<Factory>,
    /// Where their requests are counted, if they are clients'.
    figures: Option<Arc<Figures>>,
    free: Arc<Semaphore>,
    queue_timeout: Duration,
}

impl Instances {
    /// For clients' requests. Each busy one takes a place of `free`.
    pub(crate) fn new(component: Component, free: Arc<Semaphore>) -> Self {
        let figures = component.figures().clone();
        Self {
            figures: Some(figures),
            ..Self::apart(component, free)
        }
    }

    /// For what the host itself asks, which says nothing of how clients are served.
    pub(crate) fn apart(component: Component, free: Arc<Semaphore>) -> Self {
        Self {
            figures: None,
            free,
            queue_timeout: component.0.limits.queue_timeout,
            handler: ProxyHandler::new(Factory { component }),
        }
    }

    /// The component that these are instances of.
    pub fn component(&self) -> &Component {
        &self.handler.state().component
    }

    /// Hands a request to an instance and answers with its response, whose body may still be under way.
    ///
    /// The request's URI is absolute: scheme and authority reach the guest. Of its body, the guest gets at most
    /// `body_bytes_max` bytes.
    ///
    /// # Errors
    /// When no instance is free in time, or the guest fails, refuses or is stopped. The request may have had
    /// effects in all cases but [`RequestError::Busy`].
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        body_bytes_max: u64,
    ) -> Result<Response, RequestError>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let began = Instant::now();
        let ticket = Arc::new(Ticket::new(self.permit().await?));
        let mut in_flight = self.figures.as_ref().map(|figures| figures.begin(began));
        let request = request.map(|body| {
            if body.is_end_stream() {
                empty_body()
            } else {
                bounded(body, body_bytes_max, ticket.progress.clone())
            }
        });
        let answered = self.instantiated(ticket.clone(), request).await;
        let guard = ticket.guard.get();
        let answered = answered.map_err(|error| request_error(error, guard));
        if let Some(in_flight) = &mut in_flight {
            let memory_bytes = guard.map_or(0, |guard| guard.memory_bytes());
            in_flight.answered(is_failure(&answered), memory_bytes);
        }
        answered.map(|response| {
            response.map(|body| {
                Answering {
                    body,
                    guard: guard.cloned(),
                    in_flight,
                }
                .boxed_unsync()
            })
        })
    }

    /// Hands a request on until there is an instance for it.
    ///
    /// Who has a permit has a place in the pool, but wasmtime may have filled it with an instance that it made ahead,
    /// and that is about to say that it is free.
    async fn instantiated(
        &self,
        mut ticket: Arc<Ticket>,
        mut request: http::Request<Body>,
    ) -> Result<Response, wasmtime::Error> {
        let deadline = Instant::now() + self.queue_timeout;
        loop {
            let error = match self.handler.handle(ticket, request).await {
                Ok(response) => return Ok(response),
                Err(error) if !is_pool_full(&error) || Instant::now() >= deadline => {
                    return Err(error);
                }
                Err(error) => error,
            };
            let failed: InstantiationError<Arc<Ticket>> = error.downcast()?;
            ticket = failed.request_data;
            request = failed
                .request
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            sleep(POOL_PAUSE).await;
        }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, RequestError> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Ok(permit);
        }
        match tokio::time::timeout(self.queue_timeout, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(RequestError::Busy),
        }
    }
}

impl std::fmt::Debug for Instances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instances")
            .field("component", &self.handler.state().component)
            .finish_non_exhaustive()
    }
}

/// Whether a request failed by the component's doing. A client's mistake is none, nor a host that is too busy.
fn is_failure(answered: &Result<Response, RequestError>) -> bool {
    match answered {
        // Not 501 and 507: those are about the one request, or the one mailbox.
        Ok(response) => matches!(response.status().as_u16(), 500 | 502 | 503 | 504),
        Err(error) => match error {
            RequestError::Busy | RequestError::BodyTooLarge | RequestError::BodyIncomplete => false,
            RequestError::TimedOut
            | RequestError::CpuExhausted
            | RequestError::OutOfMemory
            | RequestError::Failed(_)
            | RequestError::Refused(_) => true,
        },
    }
}

/// Why there is no instance, if that is what the error is about. It is wrapped, for it may be that of many requests.
fn not_instantiated(error: &wasmtime::Error) -> Option<&wasmtime::Error> {
    let failed = error.downcast_ref::<InstantiationError<Arc<Ticket>>>()?;
    Some(&failed.error)
}

fn is_pool_full(error: &wasmtime::Error) -> bool {
    not_instantiated(error).is_some_and(|error| error.is::<wasmtime::PoolConcurrencyLimitError>())
}

/// Says why there is no response: by what the guard noted, else by what the guest answered.
fn request_error(error: wasmtime::Error, guard: Option<&Arc<Guard>>) -> RequestError {
    if is_pool_full(&error) {
        return RequestError::Busy;
    }
    let stop = match not_instantiated(&error) {
        Some(error) => error.downcast_ref::<Stop>().copied(),
        None => guard.and_then(|guard| guard.stopped()),
    };
    match stop {
        Some(Stop::TimedOut) => RequestError::TimedOut,
        Some(Stop::CpuExhausted) => RequestError::CpuExhausted,
        Some(Stop::OutOfMemory) => RequestError::OutOfMemory,
        None => refusal(error),
    }
}

/// Tells a guest that passes on what is wrong with the request from one that fails.
fn refusal(error: wasmtime::Error) -> RequestError {
    use wasmtime_wasi_http::{p2::bindings::http::types as p2, p3::bindings::http::types as p3};

    let too_large = matches!(
        error.downcast_ref(),
        Some(p3::ErrorCode::HttpRequestBodySize(_))
    ) || matches!(
        error.downcast_ref(),
        Some(p2::ErrorCode::HttpRequestBodySize(_))
    );
    let incomplete = matches!(
        error.downcast_ref(),
        Some(p3::ErrorCode::ConnectionTerminated)
    ) || matches!(
        error.downcast_ref(),
        Some(p2::ErrorCode::ConnectionTerminated)
    );
    let refused = error.is::<p3::ErrorCode>() || error.is::<p2::ErrorCode>();
    match (too_large, incomplete, refused) {
        (true, ..) => RequestError::BodyTooLarge,
        (_, true, _) => RequestError::BodyIncomplete,
        (_, _, true) => RequestError::Refused(error),
        _ => RequestError::Failed(error),
    }
}

/// A response body that does not pass the end of a failed guest for its own.
struct Answering {
    body: Body,
    guard: Option<Arc<Guard>>,
    in_flight: Option<InFlight>,
}

impl Answering {
    fn cut_off(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.failed())
    }
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            // To wasi-http, a guest that is gone looks like one that has said all.
            None if self.cut_off() => {
                if let Some(in_flight) = &self.in_flight {
                    in_flight.broke_off();
                }
                let why = "the component failed before the end of its response".to_owned();
                Poll::Ready(Some(Err(HttpError::InternalError(Some(why)))))
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.cut_off()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Makes instances.
struct Factory {
    component: Component,
}

impl HandlerState for Factory {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let linked = &self.component.0;
        let proxy = linked.proxy();
        let guard = Arc::new(Guard::new(&linked.limits));
        let mut store = Store::new(engine(proxy), linked.state(guard.clone()));
        store.limiter(|state| state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| store.data().guard.on_tick());
        let instance = tokio::time::timeout(
            linked.limits.request_timeout,
            proxy.instantiate_async(&mut store),
        );
        let proxy = match instance.await {
            Ok(proxy) => proxy?,
            Err(_) => return Err(Stop::TimedOut.into()),
        };
        self.component.figures().instance_made();
        Ok(Instance {
            store,
            proxy,
            view: State::http_view,
            expiration: Expiration::new(&linked.limits, guard.clone()),
            state: Worker {
                component: self.component.clone(),
                guard,
            },
        })
    }
}

fn engine(proxy: &wasmtime_wasi_http::handler::ProxyPre<State>) -> &wasmtime::Engine {
    match proxy {
        wasmtime_wasi_http::handler::ProxyPre::P2(proxy) => proxy.engine(),
        wasmtime_wasi_http::handler::ProxyPre::P3(service) => service.engine(),
    }
}

/// Decides what one instance takes on.
struct Worker {
    component: Component,
    guard: Arc<Guard>,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = Arc<Ticket>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        let limits = &self.component.0.limits;
        let worn = total >= limits.instance_requests_max
            || self.guard.memory_bytes() > limits.instance_memory_kept_max
            || self.guard.stopped().is_some();
        match (worn, concurrent) {
            (true, _) => ShouldAccept::Never,
            // A request no longer counts here once the head of its response is out; its body may be under way.
            (false, 0) if !self.guard.is_occupied() => ShouldAccept::Yes,
            (false, _) => ShouldAccept::No,
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        ticket: Arc<Ticket>,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        let _ = ticket.guard.set(self.guard.clone());
        self.guard
            .occupy(ticket.progress.clone(), ticket.take_permit());
        // With one request at a time, the end of the request's time is the end of the instance's: `Expiration` sees
        // to it, also when the guest does not give the event loop of its store back.
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            // Before the store goes, and with it the channels of a response under way.
            self.guard.record_failure();
            let component = self.component.name();
            let stop = self.guard.stopped();
            let error_text = format!("{error:#}");
            if stop.is_some() || std::thread::panicking() || error.is::<WasmBacktrace>() {
                tracing::error!(
                    component,
                    ?stop,
                    error = error_text,
                    "an instance has ended"
                );
            } else {
                // An event loop that ends lets its idle instances go, which wasmtime reports as an error too.
                tracing::debug!(component, error = error_text, "an instance was let go");
            }
        }
        // The pool's place is free before the next request is let in.
        drop(store);
        self.component.figures().instance_gone();
        self.guard.release();
    }
}

/// Ends an instance that has been too long in one state.
struct Expiration {
    request_timeout: Duration,
    upload_timeout: Duration,
    response_timeout: Duration,
    idle: Duration,
    resolution: Duration,
    guard: Arc<Guard>,
    wake: Pin<Box<Sleep>>,
}

impl Expiration {
    fn new(limits: &Limits, guard: Arc<Guard>) -> Self {
        let shortest = limits
            .request_timeout
            .min(limits.response_timeout)
            .min(limits.instance_idle);
        let resolution = (shortest / 4)
            .min(EXPIRY_RESOLUTION_MAX)
            .max(Duration::from_millis(1));
        Self {
            request_timeout: limits.request_timeout,
            upload_timeout: limits.upload_timeout,
            response_timeout: limits.response_timeout,
            idle: limits.instance_idle,
            resolution,
            guard,
            wake: Box::pin(sleep(resolution)),
        }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        self.guard.on_pending();
        if status == WorkerStatus::Idle && self.guard.rest() {
            // It was asked whether it accepts another request before it was known to be idle: to be asked again, and
            // to come by here after that.
            cx.waker().wake_by_ref();
        }
        // One coarse timer for the life of the instance is cheaper than an exact one for each request.
        loop {
            ready!(self.wake.as_mut().poll(cx));
            let expired = match status {
                WorkerStatus::Idle => since.elapsed() >= self.idle,
                WorkerStatus::PostReturn => since.elapsed() >= self.response_timeout,
                WorkerStatus::Requests => {
                    let last = self.guard.progress().map_or(since, |last| last.max(since));
                    last.elapsed() >= self.request_timeout || since.elapsed() >= self.upload_timeout
                }
            };
            if expired {
                if status != WorkerStatus::Idle {
                    self.guard.record(Stop::TimedOut);
                }
                return Poll::Ready(());
            }
            let next = tokio::time::Instant::now() + self.resolution;
            self.wake.as_mut().reset(next);
        }
    }
}
