//! Cases about what a store remembers. For providers that outlive the process.

use bytes::Bytes;

use super::{Reopen, bytes, strings, values};
use crate::{Result, Swap};

/// Small and large values, one by one and in batches, are there afterwards.
pub async fn written_keys_are_there_after_reopening(provider: &dyn Reopen) -> Result<()> {
    let store = provider.empty().await;
    let audio = Bytes::from((0..300_000).map(|n| (n % 253) as u8).collect::<Vec<_>>());
    store.set("slot/a", bytes("one")).await?;
    store
        .set_many(vec![("audio/a/0".into(), audio.clone())])
        .await?;
    assert!(matches!(
        store.compare_and_swap("slot/b", None, Bytes::new()).await?,
        Swap::Swapped(_)
    ));
    let store = provider.reopen(store).await;
    let read = store
        .get_many(&strings(["slot/a", "audio/a/0", "slot/b", "slot/c"]))
        .await?;
    assert!(values(read) == [Some(bytes("one")), Some(audio), Some(Bytes::new()), None]);
    let mut listed = store.list("slot/", None, 10).await?.keys;
    listed.sort();
    assert_eq!(listed, ["slot/a", "slot/b"]);
    Ok(())
}

/// A deletion is remembered too.
pub async fn deleted_keys_are_missing_after_reopening(provider: &dyn Reopen) -> Result<()> {
    let store = provider.empty().await;
    store.set("slot/a", bytes("one")).await?;
    let store = provider.reopen(store).await;
    store.delete("slot/a").await?;
    let store = provider.reopen(store).await;
    assert_eq!(store.get("slot/a").await?, None);
    Ok(())
}

/// An entry keeps its version, and later writes have greater ones.
pub async fn versions_stay_and_only_grow_after_reopening(provider: &dyn Reopen) -> Result<()> {
    let mut store = provider.empty().await;
    let mut last = store.set("slot/a", bytes("one")).await?;
    for _ in 0..5 {
        store = provider.reopen(store).await;
        assert_eq!(
            store
                .get("slot/a")
                .await?
                .expect("the key is there")
                .version,
            last
        );
        let version = store.set("slot/a", bytes("one")).await?;
        assert!(version > last, "{version:?} follows {last:?}");
        last = version;
    }
    Ok(())
}

/// A version does not come back after deletion, reopening and creation in any order.
pub async fn old_version_never_matches_after_reopening(provider: &dyn Reopen) -> Result<()> {
    let store = provider.empty().await;
    let first = store.set("slot/a", bytes("one")).await?;
    store.delete("slot/a").await?;
    let store = provider.reopen(store).await;
    let second = store.set("slot/a", bytes("one")).await?;
    assert!(second > first);
    let lost = store
        .compare_and_swap("slot/a", Some(first), bytes("two"))
        .await?;
    assert!(matches!(lost, Swap::Lost(Some(_))), "{lost:?}");

    store.delete("slot/a").await?;
    let store = provider.reopen(store).await;
    let store = provider.reopen(store).await;
    store.set("slot/a", bytes("one")).await?;
    for old in [first, second] {
        let lost = store
            .compare_and_swap("slot/a", Some(old), bytes("two"))
            .await?;
        assert!(matches!(lost, Swap::Lost(Some(_))), "{lost:?}");
    }
    Ok(())
}

/// A store that is opened again and again, without a write between, stays as it is.
pub async fn reopening_often_changes_nothing(provider: &dyn Reopen) -> Result<()> {
    let mut store = provider.empty().await;
    let version = store.set("slot/a", bytes("one")).await?;
    for _ in 0..5 {
        store = provider.reopen(store).await;
    }
    let entry = store.get("slot/a").await?.expect("the key is there");
    assert_eq!((entry.value, entry.version), (bytes("one"), version));
    Ok(())
}
