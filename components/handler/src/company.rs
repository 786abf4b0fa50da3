//! Company for a task that waits, so that the executor does not come back in vain.
//!
//! wit-bindgen runs the tasks of a request in a `FuturesUnordered`. That one, once it has polled every task it has, and the
//! last of them waits, asks to be polled again at once. So the executor yields: the host calls the guest, which
//! finds nothing to do, and only then waits in earnest, for each single wait of a task that is alone. With a task beside it that
//! was not polled, the executor waits at once.

use std::cell::{Cell, RefCell};
use std::future::{Ready, ready};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Keeps a [`companion`](Self::companion) there until it is let go.
#[derive(Default)]
pub(crate) struct Company(Rc<Attended>);

#[derive(Default)]
struct Attended {
    is_over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Company {
    /// A task to be spawned, that does nothing until this is let go. It serves for the waits after the next.
    pub(crate) fn companion(&self) -> impl Future<Output = ()> + 'static {
        let attended = self.0.clone();
        std::future::poll_fn(move |context| {
            if attended.is_over.get() {
                return Poll::Ready(());
            }
            *attended.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        self.0.is_over.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

/// A task to be spawned after one that is about to wait. It is done when it is polled, and that is after the other: so that one
/// is not the last, and nobody asks.
pub(crate) fn follower() -> Ready<()> {
    ready(())
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::{Context, Wake};

    use futures::stream::{FuturesUnordered, StreamExt as _};

    use super::*;

    type Tasks = FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>>;

    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Wake for Asked {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// Polls the tasks as wit-bindgen does, until they wait. Answers how often they asked to be polled again.
    fn run(tasks: &mut Tasks) -> usize {
        let asked = Arc::new(Asked::default());
        let waker = asked.clone().into();
        let mut context = Context::from_waker(&waker);
        while let Poll::Ready(Some(())) = tasks.poll_next_unpin(&mut context) {
            asked.0.store(0, Relaxed);
        }
        asked.0.load(Relaxed)
    }

    /// Waits a second time once it is woken.
    fn waits_twice(woken: Rc<RefCell<Option<Waker>>>) -> impl Future<Output = ()> {
        std::future::poll_fn(move |context| {
            *woken.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
    }

    #[test]
    fn a_task_that_is_alone_asks_in_vain() {
        let mut tasks = Tasks::new();
        tasks.push(Box::pin(pending()));
        assert_eq!(run(&mut tasks), 1);
    }

    #[test]
    fn a_task_that_is_followed_waits_at_once() {
        let mut tasks = Tasks::new();
        tasks.push(Box::pin(pending()));
        tasks.push(Box::pin(follower()));
        assert_eq!(run(&mut tasks), 0);
    }

    #[test]
    fn a_task_in_company_waits_again_at_once() {
        let (mut tasks, woken) = (Tasks::new(), Rc::default());
        let company = Company::default();
        tasks.push(Box::pin(waits_twice(Rc::clone(&woken))));
        tasks.push(Box::pin(company.companion()));
        tasks.push(Box::pin(follower()));
        assert_eq!(run(&mut tasks), 0);
        woken.take().expect("it was polled").wake();
        assert_eq!(run(&mut tasks), 0);
        assert!(woken.borrow().is_some(), "it was polled again");
    }

    #[test]
    fn company_ends_when_it_is_let_go() {
        let mut tasks = Tasks::new();
        let company = Company::default();
        tasks.push(Box::pin(company.companion()));
        run(&mut tasks);
        drop(company);
        run(&mut tasks);
        assert!(tasks.is_empty());
    }
}
