//! What each layer adds.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use starling_kv::{
    Capabilities, Entry, Error, Memory, Page, Result, Store, Swap, Version,
    layer::{Observe, Observer, Operation, Outcome, ReadOnly, Timeout, Timeouts},
};

/// A store that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Store for Silent {
    async fn get(&self, _: &str) -> Result<Option<Entry>> {
        std::future::pending().await
    }
    async fn set(&self, _: &str, _: Bytes) -> Result<Version> {
        std::future::pending().await
    }
    async fn delete(&self, _: &str) -> Result<()> {
        std::future::pending().await
    }
    async fn exists(&self, _: &str) -> Result<bool> {
        std::future::pending().await
    }
    async fn compare_and_swap(&self, _: &str, _: Option<Version>, _: Bytes) -> Result<Swap> {
        std::future::pending().await
    }
    async fn get_many(&self, _: &[String]) -> Result<Vec<Option<Entry>>> {
        std::future::pending().await
    }
    async fn set_many(&self, _: Vec<(String, Bytes)>) -> Result<()> {
        std::future::pending().await
    }
    async fn delete_many(&self, _: &[String]) -> Result<()> {
        std::future::pending().await
    }
    async fn list(&self, _: &str, _: Option<&str>, _: usize) -> Result<Page> {
        std::future::pending().await
    }
    fn capabilities(&self) -> Capabilities {
        Memory::new().capabilities()
    }
}

/// Remembers what it was told, as text.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Observer for Notes {
    fn observe(&self, operation: Operation, _: Duration, outcome: Outcome<'_>) {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Lost => "lost",
            Outcome::Failed(error) => error.name(),
            Outcome::Abandoned => "abandoned",
        };
        self.0
            .lock()
            .expect("no poison")
            .push(format!("{} {outcome}", operation.name()));
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no poison"))
    }
}

// The clock is paused: tokio moves it to the next timer as soon as nothing else can run.
#[tokio::test(start_paused = true)]
async fn silent_store_times_out_by_the_kind_of_operation() {
    let (read, write) = (Duration::from_secs(1), Duration::from_secs(30));
    let store = Timeout::new(Silent, Timeouts { read, write });
    let begun = tokio::time::Instant::now();
    assert!(matches!(store.get("a").await, Err(Error::Timeout)));
    assert!(matches!(store.list("", None, 1).await, Err(Error::Timeout)));
    assert_eq!(begun.elapsed(), 2 * read);
    assert!(matches!(
        store.set("a", Bytes::new()).await,
        Err(Error::Timeout)
    ));
    assert_eq!(begun.elapsed(), 2 * read + write);
}

#[tokio::test]
async fn observer_hears_how_each_operation_ended() {
    let notes = Notes::default();
    let store = Observe::new(ReadOnly::new(Memory::new()), notes.clone());
    assert!(store.get("a").await.is_ok());
    assert!(store.set("a", Bytes::new()).await.is_err());
    assert_eq!(notes.take(), ["get done", "set access-denied"]);

    let store = Observe::new(Memory::new(), notes.clone());
    let absent = Some(Version::new(7));
    assert!(
        store
            .compare_and_swap("a", absent, Bytes::new())
            .await
            .is_ok()
    );
    assert!(
        store
            .compare_and_swap("a", None, Bytes::new())
            .await
            .is_ok()
    );
    assert_eq!(
        notes.take(),
        ["compare-and-swap lost", "compare-and-swap done"]
    );
}

#[test]
fn observer_hears_of_a_caller_that_went_away() {
    let notes = Notes::default();
    let store = Observe::new(Silent, notes.clone());
    {
        let mut get = pin!(store.get("a"));
        assert!(
            get.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    assert_eq!(notes.take(), ["get abandoned"]);
}

#[tokio::test]
async fn read_only_view_follows_the_store_and_denies_every_write() {
    let inner = Arc::new(Memory::new());
    let view = ReadOnly::new(Arc::clone(&inner));
    inner
        .set("a", Bytes::from_static(b"1"))
        .await
        .expect("memory takes it");
    assert_eq!(
        view.get("a")
            .await
            .expect("reads pass")
            .expect("it is there")
            .value,
        "1"
    );
    assert!(view.exists("a").await.expect("reads pass"));
    assert_eq!(
        view.list("", None, 10).await.expect("reads pass").keys,
        ["a"]
    );

    let keys = ["a".to_owned()];
    let entries = vec![("a".to_owned(), Bytes::new())];
    for denied in [
        view.set("a", Bytes::new()).await.map(drop),
        view.delete("a").await,
        view.compare_and_swap("a", None, Bytes::new())
            .await
            .map(drop),
        view.set_many(entries).await,
        view.delete_many(&keys).await,
    ] {
        assert!(matches!(denied, Err(Error::AccessDenied)));
    }
    assert_eq!(
        inner
            .get("a")
            .await
            .expect("memory answers")
            .expect("it is there")
            .value,
        "1"
    );
}
