//! What a timer calls: work that notes that it was asked for, takes its time, or fails for a while.
//!
//! Each keeps what it notes in the store of the label, where other paths read it.

use spin_sdk::http::{Request, StatusCode};
use spin_sdk::key_value::{Error, Store};

use crate::answer::{Answer, text};
use crate::{query, reflect};

/// Keeps what request arrived.
pub(crate) async fn note(request: Request, label: &str, key: &str) -> Answer {
    let noted = reflect::told(request).await.to_string();
    answered(async { Store::open(label).await?.set(key, noted.into_bytes()).await }.await)
}

/// Notes `begun`, waits, and notes `done`; notes `twice` where it finds another at work.
pub(crate) async fn shift(request: &Request, label: &str) -> Answer {
    let ms = query::number(request, "ms");
    let work = async {
        let store = Store::open(label).await?;
        if store.exists("at-work").await? {
            store.set("twice", b"").await?;
        }
        store.set("at-work", b"").await?;
        add_one(&store, "begun").await?;
        spin_sdk::time::sleep(std::time::Duration::from_millis(ms)).await;
        add_one(&store, "done").await?;
        store.delete("at-work").await
    };
    answered(work.await)
}

/// Succeeds once the key is there.
pub(crate) async fn gate(label: &str, key: &str) -> Answer {
    match async { Store::open(label).await?.exists(key).await }.await {
        Ok(false) => text(StatusCode::SERVICE_UNAVAILABLE, "shut\n"),
        opened => answered(opened.map(drop)),
    }
}

async fn add_one(store: &Store, key: &str) -> Result<(), Error> {
    let count = store.get(key).await?.unwrap_or_default();
    let count: u64 = String::from_utf8_lossy(&count).parse().unwrap_or(0);
    store.set(key, (count + 1).to_string().into_bytes()).await
}

fn answered(outcome: Result<(), Error>) -> Answer {
    match outcome {
        Ok(()) => text(StatusCode::OK, "done\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}\n")),
    }
}
