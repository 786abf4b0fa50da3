//! The instances of one component on one event loop: made when needed, reused one request after another, replaced
//! when idle, worn or broken.
//!
//! By default an instance serves one request at a time. Requests that share an instance share its fate: a panic of one
//! fails the others, and a loop stalls them. [`Isolation`] says how far requests are kept apart.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::channel::oneshot;
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use crate::answering::{Answering, Serving, Source};
use crate::component::Component;
use crate::error::RequestError;
use crate::figures::Figures;
use crate::guard::{Guard, Stop};
use crate::pool::{Places, Pool};
use crate::request::{Body, Progress, Response, bounded, empty_body};
use crate::shared::Crew;
use crate::values::{self, Values};
use crate::worker::{Answer, Phase, Worker};

/// How long a request that has a place waits for an instance that is about to be free.
const POOL_PAUSE: Duration = Duration::from_millis(1);

/// Runs requests in instances of one component, on the event loop that calls it. Cheap to clone.
#[derive(Clone)]
pub struct Instances {
    pool: Arc<Pool>,
    /// Where requests share instances.
    crew: Option<Arc<Crew>>,
    /// Where their requests are counted, if they are clients'.
    figures: Option<Arc<Figures>>,
}

impl Instances {
    /// For clients' requests. Each busy one takes one of the places.
    pub(crate) fn new(component: Component, places: Arc<Places>) -> Self {
        let figures = component.figures().clone();
        Self {
            figures: Some(figures),
            ..Self::with_budget(component, places, true)
        }
    }

    /// For what the host itself asks, which says nothing of how clients are served.
    pub(crate) fn apart(component: Component, places: Arc<Places>) -> Self {
        // What the host itself asks may take what it takes.
        Self::with_budget(component, places, false)
    }

    fn with_budget(component: Component, places: Arc<Places>, budgeted: bool) -> Self {
        let crew = component.is_shared().then(|| Crew::new(component.clone()));
        Self {
            figures: None,
            crew: crew.map(Arc::new),
            pool: Pool::new(component, places, budgeted),
        }
    }

    /// The component that these are instances of.
    pub fn component(&self) -> &Component {
        &self.pool.component
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
        let patience = self.component().0.limits.queue_timeout;
        let reached = &self.component().0.reached;
        let place = self.pool.places.take(patience, reached).await;
        let place = place.ok_or(RequestError::Busy)?;
        let mut in_flight = self.figures.as_ref().map(|figures| figures.begin(began));
        let mut progress = None;
        let digest = self.component().0.grant().content_digest;
        let request = request.map(|body| {
            if body.is_end_stream() {
                return empty_body();
            }
            let coming = Arc::<Progress>::default();
            progress = Some(coming.clone());
            bounded(body, body_bytes_max, coming, digest)
        });
        let coming = progress.clone();
        let answered = match &self.crew {
            None => self.answer(request, began, coming, place).await,
            Some(crew) => match crew.answer(request, coming, place).await {
                Ok((answer, seat)) => answered(answer, Source::Shared(seat)),
                Err(error) => Err(not_instantiated(error)),
            },
        };
        if let Some(in_flight) = &mut in_flight {
            let failed = match &answered {
                Ok((response, ..)) => is_failure(response),
                // It was the client that let it wait.
                Err(RequestError::TimedOut) if progress.is_some_and(|body| body.is_awaited()) => {
                    false
                }
                Err(error) => is_fault(error),
            };
            let memory_bytes = answered
                .as_ref()
                .map_or(0, |(_, source)| source.guard().memory_bytes());
            in_flight.answered(failed, memory_bytes);
        }
        let (response, source) = answered?;
        let (mut head, body) = response.into_parts();
        let failed = |error: wasmtime_wasi_http::Error| RequestError::Failed(error.into());
        if let Some(parts) =
            values::named(&mut head.headers, self.component().0.grant()).map_err(failed)?
        {
            // There is nothing more to come of the instance.
            let mut answering = Answering::new(body, source, None);
            let _ = poll_fn(|cx| Poll::Ready(answering.take_early(cx))).await;
            drop(answering);
            let values = Values::begin(parts, in_flight).await.map_err(failed)?;
            return Ok(Response::from_parts(head, values.boxed_unsync()));
        }
        let mut answering = Answering::new(body, source, in_flight);
        poll_fn(|cx| Poll::Ready(answering.take_early(cx)))
            .await
            .map_err(failed)?;
        answering.bound(self.component().0.limits.response_timeout);
        Ok(Response::from_parts(head, answering.boxed_unsync()))
    }

    /// The answer of an instance that has nothing else to do.
    async fn answer(
        &self,
        request: http::Request<Body>,
        began: Instant,
        progress: Option<Arc<Progress>>,
        place: OwnedSemaphorePermit,
    ) -> Result<(Response, Source), RequestError> {
        let worker = self.instance().await.map_err(not_instantiated)?;
        let mut serving = Serving::new(worker, self.pool.clone());
        let (answer, coming) = oneshot::channel();
        serving.with(|worker| worker.begin((request, answer), began, progress, place));
        let answer = answer_of(&mut serving, coming).await;
        answered(answer, Source::Driven(serving))
    }

    /// An instance that has nothing to do.
    ///
    /// Who has a place finds one, or has room for one, unless instances of another version fill the pool.
    async fn instance(&self) -> Result<Box<Worker>, wasmtime::Error> {
        let mut deadline = None;
        loop {
            if let Some(worker) = self.pool.take() {
                return Ok(worker);
            }
            let now = Instant::now();
            let deadline = *deadline.get_or_insert(now + self.component().0.limits.queue_timeout);
            match self.pool.make().await {
                Ok(worker) => return Ok(worker),
                Err(error) if !is_pool_full(&error) || now >= deadline => {
                    return Err(error);
                }
                Err(_) => {}
            }
            if !self.pool.places.make_room() {
                sleep(POOL_PAUSE).await;
            }
        }
    }
}

impl std::fmt::Debug for Instances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instances")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// What came of a request, with what keeps its response coming; or why nothing did.
fn answered(answer: Answer, source: Source) -> Result<(Response, Source), RequestError> {
    match answer {
        Ok(response) => Ok((response, source)),
        Err(error) => Err(request_error(error, source.guard())),
    }
}

/// Drives an instance until it has answered.
async fn answer_of(serving: &mut Serving, mut coming: oneshot::Receiver<Answer>) -> Answer {
    poll_fn(|cx| {
        let phase = serving.drive(cx);
        match coming.poll_unpin(cx) {
            Poll::Ready(Ok(answer)) => Poll::Ready(answer),
            Poll::Pending if phase != Phase::Ended => Poll::Pending,
            _ => Poll::Ready(Err(serving.guard().end())),
        }
    })
    .await
}

/// Whether a response says that the component failed.
fn is_failure(response: &Response) -> bool {
    // Not 501 and 507: those are about the one request, or the one mailbox.
    matches!(response.status().as_u16(), 500 | 502 | 503 | 504)
}

/// Whether there is no response by the component's doing. A client's mistake is none, nor a host that is too busy.
fn is_fault(error: &RequestError) -> bool {
    match error {
        RequestError::Busy | RequestError::BodyTooLarge | RequestError::BodyIncomplete => false,
        RequestError::TimedOut
        | RequestError::CpuExhausted
        | RequestError::OutOfMemory
        | RequestError::Failed(_)
        | RequestError::Refused(_) => true,
    }
}

fn is_pool_full(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::PoolConcurrencyLimitError>()
}

/// Says why there is no instance.
fn not_instantiated(error: wasmtime::Error) -> RequestError {
    if is_pool_full(&error) {
        return RequestError::Busy;
    }
    match error.downcast_ref::<Stop>() {
        Some(stop) => (*stop).into(),
        None => refusal(error),
    }
}

/// Says why there is no response: by what the guard noted, else by what the guest answered.
fn request_error(error: wasmtime::Error, guard: &Guard) -> RequestError {
    match guard.stopped().or_else(|| error.downcast_ref().copied()) {
        Some(stop) => Stop::into(stop),
        None => refusal(error),
    }
}

impl From<Stop> for RequestError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TimedOut => Self::TimedOut,
            Stop::CpuExhausted => Self::CpuExhausted,
            Stop::OutOfMemory => Self::OutOfMemory,
        }
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
