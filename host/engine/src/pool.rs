//! The idle instances of one component on one event loop, and the places for busy ones.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use starling_telemetry::{Limit, LimitCounts};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::component::Component;
use crate::worker::{Phase, Worker};

/// How many times an instance without work is looked at before its time is up.
const LOOKS: u32 = 4;

/// The places for requests under way on one event loop, which the versions of a component share.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    pools: Mutex<Vec<Weak<Pool>>>,
}

impl Places {
    /// So many.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(places)),
            pools: Mutex::default(),
        })
    }

    /// A place, once there is one; nothing where there is none for so long.
    pub(crate) async fn take(
        &self,
        patience: Duration,
        reached: &LimitCounts,
    ) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(permit);
        }
        reached.count(Limit::Instances);
        let permit = timeout(patience, self.free.clone().acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok);
        if permit.is_none() {
            reached.count(Limit::QueueTimeout);
        }
        permit
    }

    /// Lets an idle instance of any version go, to make room for one of another. Answers whether there was one.
    pub(crate) fn make_room(&self) -> bool {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pools = pools.iter().filter_map(Weak::upgrade);
        pools.any(|pool| {
            let oldest = pool.idle().pop_front();
            oldest.is_some()
        })
    }

    fn register(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }
}

/// The idle instances of one component.
pub(crate) struct Pool {
    pub(crate) component: Component,
    pub(crate) places: Arc<Places>,
    /// Whether what one request asks of its stores is bounded.
    budgeted: bool,
    /// The one that has been idle for the longest is first. The last is taken first: what it needs is in the caches still.
    idle: Mutex<VecDeque<Box<Worker>>>,
    /// Whether somebody looks after those that have been idle for too long.
    swept: AtomicBool,
}

impl Pool {
    pub(crate) fn new(component: Component, places: Arc<Places>, budgeted: bool) -> Arc<Self> {
        let pool = Arc::new(Self {
            component,
            places,
            budgeted,
            idle: Mutex::default(),
            swept: AtomicBool::new(false),
        });
        pool.places.register(&pool);
        pool
    }

    /// A new instance. Who asks for one has a place.
    ///
    /// # Errors
    /// When there is no room for one, or the guest fails at its start or takes too long for it.
    pub(crate) async fn make(&self) -> wasmtime::Result<Box<Worker>> {
        let worker = Worker::new(&self.component, self.budgeted).await?;
        Ok(Box::new(worker))
    }

    /// An instance that has nothing to do, if there is one.
    pub(crate) fn take(&self) -> Option<Box<Worker>> {
        self.idle().pop_back()
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Box<Worker>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an instance back, at once or when its guest has done what it is still at.
    pub(crate) fn give_back(self: &Arc<Self>, mut worker: Box<Worker>) {
        match worker.phase() {
            Phase::Ended => {}
            Phase::Idle if worker.is_worn() => self.replace(worker),
            Phase::Idle => {
                let place = worker.leave();
                self.keep(worker, place);
            }
            Phase::Request | Phase::PostReturn => {
                // Without a runtime the event loop has ended, and its instances with it.
                let Ok(runtime) = Handle::try_current() else {
                    return;
                };
                let pool = Arc::downgrade(self);
                runtime.spawn(async move {
                    poll_fn(|cx| match worker.drive(cx) {
                        Phase::Idle | Phase::Ended => Poll::Ready(()),
                        Phase::Request | Phase::PostReturn => Poll::Pending,
                    })
                    .await;
                    if let Some(pool) = pool.upgrade() {
                        pool.give_back(worker);
                    }
                });
            }
        }
    }

    /// Lets an instance go that has served all it may, and makes another in its stead, which the next request finds
    /// ready: neither is on any request's way.
    fn replace(self: &Arc<Self>, mut worker: Box<Worker>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let pool = Arc::downgrade(self);
        runtime.spawn(async move {
            // The response is written first.
            yield_now().await;
            let place = worker.leave();
            let timer = worker.let_go();
            let Some(pool) = pool.upgrade() else {
                return;
            };
            // Whoever comes next meets what is wrong, if this did.
            if let Ok(mut fresh) = pool.make().await {
                fresh.take_over(timer);
                pool.keep(fresh, place);
            }
        });
    }

    fn keep(self: &Arc<Self>, worker: Box<Worker>, place: Option<OwnedSemaphorePermit>) {
        self.idle().push_back(worker);
        // Whoever gets the place finds the instance.
        drop(place);
        if !self.swept.swap(true, Relaxed)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(sweep(
                Arc::downgrade(self),
                self.component.0.limits.instance_idle,
            ));
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("component", &self.component)
            .field("idle", &self.idle().len())
            .finish_non_exhaustive()
    }
}

/// Lets instances go that have been idle for too long, for as long as there are any.
async fn sweep(pool: Weak<Pool>, idle_max: Duration) {
    loop {
        sleep((idle_max / LOOKS).max(Duration::from_millis(1))).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let mut idle = pool.idle();
        while idle
            .front()
            .is_some_and(|worker| worker.idle_for() >= idle_max)
        {
            idle.pop_front();
        }
        if idle.is_empty() {
            pool.swept.store(false, Relaxed);
            return;
        }
    }
}
