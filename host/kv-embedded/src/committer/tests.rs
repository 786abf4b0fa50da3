//! What the committer makes of a batch, driven step by step without a clock.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use starling_kv::Swap;
use tempfile::TempDir;

use super::*;
use crate::queue::Queue;

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Outcome>> + 'a>>;

fn committer(directory: &TempDir) -> (Queue, Committer, Arc<Shared>) {
    let config = Config::new(directory.path());
    let opened = open::open(&config).expect("a new store opens");
    let (queue, requests) = Queue::new(config.queue_bytes_max);
    let (committer, shared) = Committer::new(config, opened, requests);
    (queue, committer, shared)
}

/// Queues a write without waiting for it.
fn queued(queue: &Queue, write: Write) -> Waiting<'_> {
    let mut waiting: Waiting<'_> = Box::pin(queue.submit(write));
    assert!(poll(&mut waiting).is_pending(), "nobody can have answered");
    waiting
}

fn poll(waiting: &mut Waiting<'_>) -> Poll<Result<Outcome>> {
    waiting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs the committer until it has done what is queued, and returns the outcomes.
fn run(queue: &Queue, committer: Committer, waiting: Vec<Waiting<'_>>) -> Vec<Result<Outcome>> {
    queue.close();
    thread::spawn(|| committer.run())
        .join()
        .expect("the committer ends");
    let ready = |mut waiting| match poll(&mut waiting) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a queued write was not answered"),
    };
    waiting.into_iter().map(ready).collect()
}

fn put(key: String, value: &'static str) -> Write {
    Write::Put(vec![(key, Bytes::from_static(value.as_bytes()))])
}

#[test]
fn writers_that_wait_together_share_one_sync() {
    let directory = TempDir::new().expect("a directory");
    let (queue, committer, shared) = committer(&directory);
    let waiting: Vec<_> = (0..64)
        .map(|n| queued(&queue, put(format!("key/{n}"), "value")))
        .collect();
    let outcomes = run(&queue, committer, waiting);
    assert_eq!(outcomes.len(), 64);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(Outcome::Put(Some(_)))))
    );
    assert_eq!(shared.commits.load(Ordering::Relaxed), 1);
    assert_eq!(shared.requests.load(Ordering::Relaxed), 64);
}

#[test]
fn swaps_in_one_batch_have_one_winner_and_the_others_see_its_value() {
    let directory = TempDir::new().expect("a directory");
    let (queue, committer, shared) = committer(&directory);
    let swap = |n: usize| Write::Swap {
        key: "slot/a".to_owned(),
        expected: None,
        value: Bytes::from(n.to_string()),
    };
    let waiting: Vec<_> = (0..32).map(|n| queued(&queue, swap(n))).collect();
    let outcomes = run(&queue, committer, waiting);
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(Outcome::Swap(Swap::Swapped(_))) => assert_eq!(n, 0, "the first one wins"),
            Ok(Outcome::Swap(Swap::Lost(Some(now)))) => assert_eq!(now.value, "0"),
            other => panic!("swap {n} ended as {other:?}"),
        }
    }
    assert_eq!(shared.commits.load(Ordering::Relaxed), 1);
}

#[test]
fn requests_that_change_nothing_cost_no_sync() {
    let directory = TempDir::new().expect("a directory");
    let (queue, committer, shared) = committer(&directory);
    let waiting = vec![
        queued(&queue, Write::Delete(vec!["missing".to_owned()])),
        queued(&queue, Write::Put(Vec::new())),
    ];
    assert!(run(&queue, committer, waiting).iter().all(Result::is_ok));
    assert_eq!(shared.commits.load(Ordering::Relaxed), 0);
}

#[test]
fn batch_ends_in_the_state_that_its_writes_in_order_would() {
    let directory = TempDir::new().expect("a directory");
    let (queue, committer, _) = committer(&directory);
    let waiting = vec![
        queued(&queue, put("a".to_owned(), "1")),
        queued(&queue, Write::Delete(vec!["a".to_owned()])),
        queued(&queue, put("b".to_owned(), "1")),
        queued(&queue, put("b".to_owned(), "2")),
        queued(&queue, put("c".to_owned(), "1")),
        queued(&queue, Write::Delete(vec!["c".to_owned()])),
        queued(&queue, put("c".to_owned(), "3")),
    ];
    assert!(run(&queue, committer, waiting).iter().all(Result::is_ok));

    let opened = open::open(&Config::new(directory.path())).expect("opens again");
    let value = |key| {
        opened
            .engine
            .get(key)
            .expect("reads")
            .map(|entry| entry.value)
    };
    assert_eq!(value("a"), None);
    assert_eq!(value("b"), Some(Bytes::from_static(b"2")));
    assert_eq!(value("c"), Some(Bytes::from_static(b"3")));
    assert_eq!(opened.last, 7, "each write and deletion has a number");
}

#[test]
fn writers_without_room_wait_outside_the_queue() {
    let (queue, requests) = Queue::new(1024);
    let value = Bytes::from(vec![0; 600]);
    let write = || Write::Put(vec![("key".to_owned(), value.clone())]);
    let _first = queued(&queue, write());
    let mut second = queued(&queue, write());
    assert_eq!(
        requests.try_iter().count(),
        1,
        "the first, whose room comes back"
    );
    assert!(poll(&mut second).is_pending());
    assert_eq!(requests.try_iter().count(), 1, "the second");

    let over = Write::Put(vec![("key".to_owned(), Bytes::from(vec![0; 1024]))]);
    let mut over: Waiting<'_> = Box::pin(queue.submit(over));
    assert!(matches!(
        poll(&mut over),
        Poll::Ready(Err(Error::TooLarge { .. }))
    ));
}

#[test]
fn closed_queue_refuses_writes_and_those_that_wait_for_room() {
    let (queue, _requests) = Queue::new(1024);
    let write = || Write::Put(vec![("key".to_owned(), Bytes::from(vec![0; 600]))]);
    let _first = queued(&queue, write());
    let mut second = queued(&queue, write());
    queue.close();
    assert!(matches!(poll(&mut second), Poll::Ready(Err(Error::Closed))));
    let mut third: Waiting<'_> = Box::pin(queue.submit(write()));
    assert!(matches!(poll(&mut third), Poll::Ready(Err(Error::Closed))));
}
