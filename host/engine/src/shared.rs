//! Instances that serve several requests at once: the least isolation, for components that wait much and compute little.
//!
//! Such an instance runs in a task of its own, for no one request drives it. Its requests share its fate: what traps
//! ends all of them, and what loops stalls all of them until it is stopped, and then ends them.

use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use starling_telemetry::Limit;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::handler::{Prepared, Proxy};

use crate::component::Component;
use crate::figures::Alive;
use crate::guard::{Guard, Stop};
use crate::limits::Limits;
use crate::request::{Body, Progress};
use crate::state::State;
use crate::worker::{Answer, Job, instantiate, resolution, tell};

/// The instances of one component on one event loop that several requests share.
pub(crate) struct Crew {
    component: Component,
    members: Mutex<Vec<Arc<Member>>>,
}

/// One of them, as its requests see it.
struct Member {
    guard: Arc<Guard>,
    state: Mutex<MemberState>,
    seats_taken: AtomicUsize,
}

struct MemberState {
    /// Where its requests go; nothing once it takes no more.
    jobs: Option<mpsc::UnboundedSender<Job>>,
    requests: usize,
    /// When it was closed, or had its last request.
    since: Instant,
}

impl Member {
    fn state(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more requests. What has begun may end.
    fn close(&self) {
        let mut state = self.state();
        if state.jobs.take().is_some() {
            state.since = Instant::now();
        }
    }

    /// A seat for one more request, where it has one.
    fn seat(&self, limits: &Limits) -> Option<mpsc::UnboundedSender<Job>> {
        let mut state = self.state();
        let worn = state.requests >= limits.instance_requests_max
            || self.guard.memory_bytes() > limits.instance_memory_kept_max
            || self.guard.stopped().is_some();
        if worn {
            state.jobs = None;
        }
        if self.seats_taken.load(Relaxed) >= limits.instance_concurrency_max {
            return None;
        }
        let jobs = state.jobs.clone().filter(|jobs| !jobs.is_closed())?;
        self.seats_taken.fetch_add(1, Relaxed);
        self.guard.occupy();
        state.requests += 1;
        Some(jobs)
    }

    /// Whether its time is up: idle for too long, or closed and still not done.
    fn look_after(&self, limits: &Limits) -> Poll<()> {
        let mut state = self.state();
        let idle = self.seats_taken.load(Relaxed) == 0;
        if idle && state.jobs.is_some() && state.since.elapsed() >= limits.instance_idle {
            state.jobs = None;
            state.since = Instant::now();
        }
        let left = limits.request_timeout + limits.response_timeout;
        if state.jobs.is_none() && state.since.elapsed() >= left {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// The seat of a request in an instance that it shares, to the last byte of its response.
pub(crate) struct Seat {
    member: Arc<Member>,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    /// The guard of the instance.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.member.guard
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.member.state().since = Instant::now();
        self.member.seats_taken.fetch_sub(1, Relaxed);
    }
}

impl Crew {
    pub(crate) fn new(component: Component) -> Self {
        Self {
            component,
            members: Mutex::default(),
        }
    }

    /// Hands a request, which has this place and whose body comes like this, to an instance, and waits for its answer.
    ///
    /// # Errors
    /// When there is no instance.
    pub(crate) async fn answer(
        &self,
        request: http::Request<Body>,
        progress: Option<Arc<Progress>>,
        place: OwnedSemaphorePermit,
    ) -> wasmtime::Result<(Answer, Seat)> {
        let (answer, coming) = oneshot::channel();
        let (member, jobs) = self.seat().await?;
        let seat = Seat {
            member,
            _place: place,
        };
        // An instance that ends meanwhile drops the request, and with it where its answer goes.
        let _ = jobs.unbounded_send((request, answer));
        drop(jobs);
        let limits = &self.component.0.limits;
        let answer = match select(coming, pin!(too_late(limits, progress))).await {
            Either::Left((Ok(answer), _)) => answer,
            Either::Left((Err(_), _)) => Err(seat.guard().end()),
            Either::Right((limit, _)) => {
                self.component.0.reached.count(limit);
                // What it waits for may never come, and nothing but the end of the instance ends it.
                seat.member.close();
                Err(Stop::TimedOut.into())
            }
        };
        Ok((answer, seat))
    }

    async fn seat(&self) -> wasmtime::Result<(Arc<Member>, mpsc::UnboundedSender<Job>)> {
        let limits = &self.component.0.limits;
        if let Some(seat) = self.free_seat(limits) {
            return Ok(seat);
        }
        let guard = Arc::new(Guard::new(limits, self.component.0.reached.clone()));
        let (store, proxy) = instantiate(&self.component, guard.clone()).await?;
        let (jobs, coming) = mpsc::unbounded();
        let member = Arc::new(Member {
            guard,
            state: Mutex::new(MemberState {
                jobs: Some(jobs.clone()),
                requests: 1,
                since: Instant::now(),
            }),
            seats_taken: AtomicUsize::new(1),
        });
        self.members().push(member.clone());
        tokio::spawn(live(
            self.component.clone(),
            member.clone(),
            store,
            proxy,
            coming,
        ));
        Ok((member, jobs))
    }

    fn free_seat(&self, limits: &Limits) -> Option<(Arc<Member>, mpsc::UnboundedSender<Job>)> {
        let mut members = self.members();
        members.retain(|member| member.state().jobs.is_some());
        let mut members = members.iter();
        members.find_map(|member| Some((member.clone(), member.seat(limits)?)))
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when a request has had its time, with the limit.
async fn too_late(limits: &Limits, progress: Option<Arc<Progress>>) -> Limit {
    let began = Instant::now();
    loop {
        sleep(resolution(limits)).await;
        if let Some(limit) = limits.request_over(began, progress.as_deref()) {
            return limit;
        }
    }
}

/// The life of an instance.
async fn live(
    component: Component,
    member: Arc<Member>,
    store: Store<State>,
    proxy: Proxy,
    jobs: mpsc::UnboundedReceiver<Job>,
) {
    let _alive = Alive::new(component.figures().clone());
    let limits = &component.0.limits;
    let mut serving = pin!(AssertUnwindSafe(serve(store, proxy, jobs)).catch_unwind());
    let serving = poll_fn(|cx| {
        let ended = serving.as_mut().poll(cx);
        member.guard.on_pending();
        ended
    });
    let overdue = async {
        while member.look_after(limits).is_pending() {
            sleep(resolution(limits)).await;
        }
    };
    let ended = match select(pin!(serving), pin!(overdue)).await {
        Either::Left((Ok(ended), _)) => ended,
        Either::Left((Err(_), _)) => Err(wasmtime::format_err!("the host panicked")),
        Either::Right(_) => {
            member.guard.record(Stop::TimedOut, Limit::ResponseTimeout);
            Err(Stop::TimedOut.into())
        }
    };
    member.close();
    if let Err(error) = &ended {
        member.guard.record_failure();
        tell(&component, error, member.guard.stopped());
    }
    member.guard.note_end(ended.err());
}

/// Serves what comes until nothing more will.
async fn serve(
    mut store: Store<State>,
    proxy: Proxy,
    mut jobs: mpsc::UnboundedReceiver<Job>,
) -> wasmtime::Result<()> {
    store
        .run_concurrent(async |accessor| {
            let mut running = FuturesUnordered::new();
            let mut open = true;
            poll_fn(|cx| {
                while open && let Poll::Ready(next) = jobs.poll_next_unpin(cx) {
                    let Some((request, answer)) = next else {
                        open = false;
                        break;
                    };
                    let prepared = accessor.with(|mut access| {
                        let mut store = access.as_context_mut();
                        store.set_epoch_deadline(1);
                        Prepared::new(store, &proxy, request, State::http_view, answer)
                    })?;
                    running.push(prepared.run(accessor, pending()));
                }
                while let Poll::Ready(Some(done)) = running.poll_next_unpin(cx) {
                    done?;
                }
                let busy = open || !running.is_empty();
                if busy || accessor.poll_no_interesting_tasks(cx).is_pending() {
                    return Poll::Pending;
                }
                Poll::Ready(Ok(()))
            })
            .await
        })
        .await?
}
