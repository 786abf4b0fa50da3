//! Cases about several keys in one operation.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use super::{Provider, bytes, strings, values};
use crate::{Error, Limits, Measure, Result, Store, layer::Limit};

/// Answers stand in the order of the keys, missing ones among them.
pub async fn reads_have_the_order_of_the_keys(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store
        .set_many(vec![("b".into(), bytes("2")), ("a".into(), bytes("1"))])
        .await?;
    let read = store.get_many(&strings(["c", "b", "missing", "a"])).await?;
    assert_eq!(
        values(read),
        [None, Some(bytes("2")), None, Some(bytes("1"))]
    );
    Ok(())
}

/// A key that is asked for twice is answered twice.
pub async fn read_of_a_key_twice_answers_twice(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let version = store.set("a", bytes("1")).await?;
    let read = store.get_many(&strings(["a", "a"])).await?;
    assert!(
        read.iter().flatten().all(|entry| entry.version == version),
        "{read:?}"
    );
    assert_eq!(values(read), [Some(bytes("1")), Some(bytes("1"))]);
    Ok(())
}

/// Nothing is asked, nothing is done, and that is no error.
pub async fn empty_batches_do_nothing(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    assert_eq!(store.get_many(&[]).await?, []);
    store.set_many(Vec::new()).await?;
    store.delete_many(&[]).await?;
    assert_eq!(store.list("", None, 10).await?.keys, Vec::<String>::new());
    Ok(())
}

/// The later of two values for one key in one batch wins.
pub async fn last_value_of_a_repeated_key_stays(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let entries = ["1", "2", "3"].map(|value| ("a".to_owned(), bytes(value)));
    store.set_many(entries.to_vec()).await?;
    assert_eq!(store.get("a").await?.expect("the key is there").value, "3");
    Ok(())
}

/// A write in a batch is a write: it has a new version and makes old ones lose.
pub async fn batch_writes_give_new_versions(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let old = store.set("a", bytes("1")).await?;
    store.set_many(vec![("a".into(), bytes("1"))]).await?;
    assert!(store.get("a").await?.expect("the key is there").version > old);
    Ok(())
}

/// A batch of deletions takes what is there and does not mind what is not.
pub async fn deletes_take_present_and_missing_keys(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store
        .set_many(["a", "b", "c"].map(|key| (key.into(), bytes(key))).to_vec())
        .await?;
    store
        .delete_many(&strings(["c", "missing", "a", "a"]))
        .await?;
    assert_eq!(store.list("", None, 10).await?.keys, ["b"]);
    Ok(())
}

/// One bad entry and nothing of the batch is written.
pub async fn invalid_entry_refuses_the_whole_batch(provider: &dyn Provider) -> Result<()> {
    let store = Limit::new(provider.empty().await, Limits::DEFAULT);
    let over = Bytes::from(vec![0; Limits::DEFAULT.value_bytes_max + 1]);
    for bad in [
        ("".to_owned(), bytes("x")),
        ("b\n".to_owned(), bytes("x")),
        ("b".into(), over),
    ] {
        let refused = store.set_many(vec![("a".into(), bytes("1")), bad]).await;
        assert!(refused.is_err());
        assert_eq!(store.get("a").await?, None);
    }
    assert!(store.get_many(&strings(["a", ""])).await.is_err());
    assert!(store.delete_many(&strings(["a", ""])).await.is_err());
    Ok(())
}

/// Batches have a limit in entries and one in bytes.
pub async fn batch_over_the_limit_is_refused(provider: &dyn Provider) -> Result<()> {
    let store = Limit::new(provider.empty().await, Limits::DEFAULT);
    let max = Limits::DEFAULT.batch_entries_max;
    let keys: Vec<String> = (0..=max).map(|number| format!("key/{number}")).collect();
    let entries = |keys: &[String]| keys.iter().map(|key| (key.clone(), bytes("1"))).collect();
    let over = |result| {
        matches!(
            result,
            Err(Error::TooLarge {
                what: Measure::BatchEntries,
                ..
            })
        )
    };
    assert!(over(store.set_many(entries(&keys)).await));
    assert!(over(store.delete_many(&keys).await));
    assert!(over(store.get_many(&keys).await.map(drop)));

    store.set_many(entries(&keys[..max])).await?;
    assert!(
        store
            .get_many(&keys[..max])
            .await?
            .iter()
            .all(Option::is_some)
    );
    store.delete_many(&keys[..max]).await?;
    assert!(
        store
            .get_many(&keys[..max])
            .await?
            .iter()
            .all(Option::is_none)
    );

    let value = Bytes::from(vec![0; Limits::DEFAULT.value_bytes_max]);
    let heavy = Limits::DEFAULT.batch_bytes_max / value.len() + 1;
    let entries = keys[..heavy]
        .iter()
        .map(|key| (key.clone(), value.clone()))
        .collect();
    let refused = store.set_many(entries).await;
    assert!(matches!(
        refused,
        Err(Error::TooLarge {
            what: Measure::BatchBytes,
            ..
        })
    ));
    Ok(())
}

/// While one task writes a pair of keys over and over, a reader of both never sees them differ.
pub async fn batch_is_seen_whole_or_not_at_all(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    if !store.capabilities().atomic_batches {
        return Ok(());
    }
    let keys: Vec<String> = (0..8).map(|number| format!("key/{number}")).collect();
    let writes = {
        let (store, keys) = (Arc::clone(&store), keys.clone());
        async move {
            for round in 0..200 {
                let value = Bytes::from(format!("round {round}"));
                let entries = keys
                    .iter()
                    .map(|key| (key.clone(), value.clone()))
                    .collect();
                store.set_many(entries).await?;
            }
            Ok(())
        }
    };
    while_writing(&store, &keys, writes, |read| {
        let seen: HashSet<Option<Bytes>> = values(read).into_iter().collect();
        assert_eq!(seen.len(), 1, "a batch was seen in part: {seen:?}");
    })
    .await
}

/// While one task writes and deletes a pair of keys, a reader sees both or none.
pub async fn batch_delete_is_seen_whole_or_not_at_all(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    if !store.capabilities().atomic_batches {
        return Ok(());
    }
    let keys: Vec<String> = (0..8).map(|number| format!("key/{number}")).collect();
    let writes = {
        let (store, keys) = (Arc::clone(&store), keys.clone());
        async move {
            for _ in 0..100 {
                store
                    .set_many(keys.iter().map(|key| (key.clone(), bytes("1"))).collect())
                    .await?;
                store.delete_many(&keys).await?;
            }
            Ok(())
        }
    };
    while_writing(&store, &keys, writes, |read| {
        let present = read.iter().flatten().count();
        assert!(
            present == 0 || present == read.len(),
            "{present} of {} keys",
            read.len()
        );
    })
    .await
}

/// Runs `writes` on its own task and checks what is read meanwhile.
async fn while_writing(
    store: &Arc<dyn Store>,
    keys: &[String],
    writes: impl Future<Output = Result<()>> + Send + 'static,
    check: impl Fn(Vec<Option<crate::Entry>>),
) -> Result<()> {
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            let result = writes.await;
            done.store(true, Ordering::Release);
            result
        })
    };
    while !done.load(Ordering::Acquire) {
        check(store.get_many(keys).await?);
        tokio::task::yield_now().await;
    }
    check(store.get_many(keys).await?);
    writer.await.expect("the writer does not panic")
}
