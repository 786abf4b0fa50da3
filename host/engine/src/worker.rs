//! One instance at work: its store, the request that it serves, and what ends it.
//!
//! A worker has no task of its own. Whoever waits for its answer drives it, in the same task that reads from the client
//! and writes to it, so that a request crosses no queue and wakes nobody on its way through the guest.

use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::channel::oneshot;
use starling_telemetry::Limit;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use wasmtime::component::{Func, ResourceTableError};
use wasmtime::{AsContextMut as _, Store, WasmBacktrace};
use wasmtime_wasi_http::handler::{Prepared, Proxy, ProxyPre};

use crate::component::Component;
use crate::figures::Alive;
use crate::guard::{Guard, Stop};
use crate::limits::Limits;
use crate::request::{Body, Progress, Response};
use crate::state::State;

/// The longest that an instance past its time goes unnoticed.
const EXPIRY_RESOLUTION_MAX: Duration = Duration::from_millis(500);

/// What comes of a request in its instance.
pub(crate) type Answer = Result<Response, wasmtime::Error>;

/// A request on its way into a store, and where its answer goes.
pub(crate) type Job = (http::Request<Body>, oneshot::Sender<Answer>);

/// What an instance is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing. It takes a request.
    #[default]
    Idle,
    /// It works on a request whose response has not begun.
    Request,
    /// The head of the response is out; its body, or what the guest does after it, is not done.
    PostReturn,
    /// It is gone.
    Ended,
}

/// Where whoever drives a store leaves a request for it, and sees how far it is.
#[derive(Default)]
struct Desk(Mutex<(Phase, Option<Job>)>);

impl Desk {
    fn lock(&self) -> MutexGuard<'_, (Phase, Option<Job>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> Phase {
        self.lock().0
    }

    fn set(&self, phase: Phase) {
        self.lock().0 = phase;
    }

    fn put(&self, job: Job) {
        *self.lock() = (Phase::Request, Some(job));
    }

    /// Waits for a request. It needs no waker: who leaves one polls the store next.
    async fn job(&self) -> Job {
        poll_fn(|_| self.lock().1.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

/// An instance, and what is needed to drive it.
pub(crate) struct Worker {
    /// The store at work; nothing once it has ended.
    serving: Option<Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>>,
    desk: Arc<Desk>,
    guard: Arc<Guard>,
    component: Component,
    /// How the body of the current request is coming, if it has one.
    progress: Option<Arc<Progress>>,
    phase: Phase,
    /// The begin of the phase.
    since: Instant,
    /// One coarse timer for the life of the instance is cheaper than an exact one for each request.
    wake: Pin<Box<Sleep>>,
    resolution: Duration,
    requests: usize,
    /// The place of the current request among those under way. It is given up once the instance is free or gone.
    permit: Option<OwnedSemaphorePermit>,
    _alive: Alive,
}

impl Worker {
    /// Makes an instance, in which what one request asks of its stores is bounded or not.
    ///
    /// # Errors
    /// When the pool is full, or the guest fails at its start or takes too long for it.
    pub(crate) async fn new(component: &Component, budgeted: bool) -> wasmtime::Result<Self> {
        let limits = &component.0.limits;
        let guard = Arc::new(Guard::new(limits, component.0.reached.clone()));
        if !budgeted {
            guard.budget().lift();
        }
        let (store, proxy) = instantiate(component, guard.clone()).await?;
        let desk = Arc::new(Desk::default());
        // A panic in what the host does for a guest is that guest's end, and nobody else's.
        let serving = AssertUnwindSafe(serve(store, proxy, desk.clone()))
            .catch_unwind()
            .map(|ended| ended.unwrap_or_else(|_| Err(wasmtime::format_err!("the host panicked"))));
        let resolution = resolution(limits);
        Ok(Self {
            serving: Some(Box::pin(serving)),
            desk,
            guard,
            component: component.clone(),
            progress: None,
            phase: Phase::Idle,
            since: Instant::now(),
            wake: Box::pin(sleep(resolution)),
            resolution,
            requests: 0,
            permit: None,
            _alive: Alive::new(component.figures().clone()),
        })
    }

    /// Gives it a request, which has this place and whose body comes like this. It is idle.
    pub(crate) fn begin(
        &mut self,
        job: Job,
        now: Instant,
        progress: Option<Arc<Progress>>,
        permit: OwnedSemaphorePermit,
    ) {
        debug_assert_eq!(self.phase, Phase::Idle);
        self.guard.occupy();
        self.desk.put(job);
        self.progress = progress;
        (self.phase, self.since) = (Phase::Request, now);
        self.requests += 1;
        self.permit = Some(permit);
    }

    /// Lets the guest go on, and says what it is doing then. The task is woken when there is more to do for it, or its
    /// time is up.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Phase {
        let Some(serving) = &mut self.serving else {
            return Phase::Ended;
        };
        if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
            self.ended(ended);
            return Phase::Ended;
        }
        self.guard.on_pending();
        let phase = self.desk.phase();
        if phase != self.phase {
            (self.phase, self.since) = (phase, Instant::now());
        }
        if phase != Phase::Idle
            && let Poll::Ready(limit) = self.expire(cx)
        {
            self.guard.record(Stop::TimedOut, limit);
            self.ended(Err(Stop::TimedOut.into()));
        }
        self.phase
    }

    /// What it was doing when it was last driven.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The guard of its store.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// How long it has had nothing to do.
    pub(crate) fn idle_for(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether it is not to serve another request.
    pub(crate) fn is_worn(&self) -> bool {
        let limits = &self.component.0.limits;
        self.requests >= limits.requests_of_an_instance()
            || self.guard.memory_bytes() > limits.instance_memory_kept_max
            || self.guard.stopped().is_some()
    }

    /// Ends it: its response has taken too long.
    pub(crate) fn time_out(mut self) {
        self.guard.record(Stop::TimedOut, Limit::ResponseTimeout);
        self.ended(Err(Stop::TimedOut.into()));
    }

    /// Gives up the place of the request that is done. The instance is where others find it, or gone.
    pub(crate) fn leave(&mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.take()
    }

    /// Lets the instance go. What is left is its timer.
    pub(crate) fn let_go(self) -> Pin<Box<Sleep>> {
        self.wake
    }

    /// Goes on with the timer of an instance before it: to set one that runs costs less than to start another, which
    /// wakes the event loop.
    pub(crate) fn take_over(&mut self, timer: Pin<Box<Sleep>>) {
        self.wake = timer;
    }

    /// Ready, with the limit, once it has been too long in one phase.
    fn expire(&mut self, cx: &mut Context<'_>) -> Poll<Limit> {
        loop {
            ready!(self.wake.as_mut().poll(cx));
            let limits = &self.component.0.limits;
            let reached = match self.phase {
                Phase::PostReturn => {
                    let over = self.since.elapsed() >= limits.response_timeout;
                    over.then_some(Limit::ResponseTimeout)
                }
                Phase::Request => limits.request_over(self.since, self.progress.as_deref()),
                Phase::Idle | Phase::Ended => None,
            };
            if let Some(limit) = reached {
                return Poll::Ready(limit);
            }
            let next = tokio::time::Instant::now() + self.resolution;
            self.wake.as_mut().reset(next);
        }
    }

    fn ended(&mut self, how: wasmtime::Result<()>) {
        self.phase = Phase::Ended;
        if let Err(error) = &how {
            self.guard.record_failure();
            tell(&self.component, error, self.guard.stopped());
        }
        self.guard.note_end(how.err());
        // The pool's place is free before the request's is.
        self.serving = None;
    }
}

/// Says in the log that an instance has failed, and counts the limit, if that was why and nobody has counted it yet.
pub(crate) fn tell(component: &Component, error: &wasmtime::Error, stop: Option<Stop>) {
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        component.0.reached.count(Limit::Handles);
    }
    let component = component.name();
    let error_text = format!("{error:#}");
    if stop.is_some() || error.is::<WasmBacktrace>() {
        tracing::error!(
            component,
            ?stop,
            error = error_text,
            "an instance has ended"
        );
    } else {
        tracing::debug!(component, error = error_text, "an instance was let go");
    }
}

/// How often an instance is asked whether its time is up.
pub(crate) fn resolution(limits: &Limits) -> Duration {
    let shortest = limits.request_timeout.min(limits.response_timeout);
    (shortest / 4)
        .min(EXPIRY_RESOLUTION_MAX)
        .max(Duration::from_millis(1))
}

/// A store of the component, and its instance in it.
pub(crate) async fn instantiate(
    component: &Component,
    guard: Arc<Guard>,
) -> wasmtime::Result<(Store<State>, Proxy)> {
    let linked = &component.0;
    let proxy = linked.proxy();
    let mut store = Store::new(engine(proxy), linked.state(guard));
    store.limiter(|state| state);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| store.data().guard.on_tick());
    let instance = proxy.instantiate_async(&mut store);
    match tokio::time::timeout(linked.limits.request_timeout, instance).await {
        Ok(proxy) => Ok((store, proxy?)),
        Err(_) => Err(Stop::TimedOut.into()),
    }
}

fn engine(proxy: &ProxyPre<State>) -> &wasmtime::Engine {
    match proxy {
        ProxyPre::P2(proxy) => proxy.engine(),
        ProxyPre::P3(service) => service.engine(),
    }
}

/// The function of an instance that handles requests.
pub(crate) fn handler(proxy: &Proxy) -> Func {
    match proxy {
        Proxy::P2(proxy) => *proxy.wasi_http_incoming_handler().func_handle().func(),
        Proxy::P3(service) => *service.wasi_http_handler().func_handle().func(),
    }
}

/// Serves one request after another, until the guest cannot take another one.
async fn serve(mut store: Store<State>, proxy: Proxy, desk: Arc<Desk>) -> wasmtime::Result<()> {
    let handler = handler(&proxy);
    store
        .run_concurrent(async |accessor| {
            loop {
                let (request, answer) = desk.job().await;
                let prepared = accessor.with(|mut access| {
                    let mut store = access.as_context_mut();
                    // What has passed while the instance was idle does not count.
                    store.set_epoch_deadline(1);
                    Prepared::new(store, &proxy, request, State::http_view, answer)
                })?;
                prepared.run(accessor, pending()).await?;
                desk.set(Phase::PostReturn);
                poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                let free = poll_fn(|cx| {
                    Poll::Ready(
                        accessor
                            .poll_ready_for_concurrent_call(handler, cx)
                            .is_ready(),
                    )
                });
                if !free.await {
                    return Ok(());
                }
                desk.set(Phase::Idle);
            }
        })
        .await?
}
