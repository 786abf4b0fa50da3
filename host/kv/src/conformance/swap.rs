//! Cases about compare-and-swap, and what is built on it.

use std::error::Error as _;

use bytes::Bytes;

use super::{Provider, RACERS, bytes, race};
use crate::{CounterError, Error, Result, StoreExt, Swap, Version};

fn swapped(swap: Swap) -> Version {
    match swap {
        Swap::Swapped(version) => version,
        Swap::Lost(now) => panic!("the swap was lost to {now:?}"),
    }
}

/// A swap that expects what is there writes, and its version serves the next one.
pub async fn swap_with_the_current_version_wins(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let first = swapped(store.compare_and_swap("slot/a", None, bytes("one")).await?);
    let second = swapped(
        store
            .compare_and_swap("slot/a", Some(first), bytes("two"))
            .await?,
    );
    assert!(second > first);
    let entry = store.get("slot/a").await?.expect("the key is there");
    assert_eq!((entry.value, entry.version), (bytes("two"), second));
    Ok(())
}

/// A swap that lost wrote nothing.
pub async fn lost_swap_keeps_first_value(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let old = store.set("slot/a", bytes("zero")).await?;
    swapped(
        store
            .compare_and_swap("slot/a", Some(old), bytes("one"))
            .await?,
    );
    let lost = store
        .compare_and_swap("slot/a", Some(old), bytes("two"))
        .await?;
    assert!(matches!(lost, Swap::Lost(_)), "{lost:?}");
    assert_eq!(
        store.get("slot/a").await?.expect("the key is there").value,
        "one"
    );
    Ok(())
}

/// A lost swap returns the entry that made it lose, good for the next attempt.
pub async fn lost_swap_hands_back_what_is_there(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let old = store.set("slot/a", bytes("one")).await?;
    store.set("slot/a", bytes("two")).await?;
    let Swap::Lost(Some(now)) = store
        .compare_and_swap("slot/a", Some(old), bytes("x"))
        .await?
    else {
        panic!("the key had another version");
    };
    assert_eq!(now.value, "two");
    swapped(
        store
            .compare_and_swap("slot/a", Some(now.version), bytes("three"))
            .await?,
    );
    Ok(())
}

/// A version cannot be expected of a key that is missing.
pub async fn swap_on_a_missing_key_with_a_version_is_lost(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let version = store.set("slot/a", bytes("one")).await?;
    store.delete("slot/a").await?;
    let swap = store
        .compare_and_swap("slot/a", Some(version), bytes("two"))
        .await?;
    assert_eq!(swap, Swap::Lost(None));
    assert_eq!(store.get("slot/a").await?, None);
    Ok(())
}

/// A creation expects the key to be missing and loses where it is not, even with an empty value.
pub async fn creation_of_a_present_key_is_lost(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let version = store.set("slot/a", Bytes::new()).await?;
    let Swap::Lost(Some(now)) = store.compare_and_swap("slot/a", None, bytes("x")).await? else {
        panic!("the key was there");
    };
    assert_eq!((now.value, now.version), (Bytes::new(), version));
    Ok(())
}

/// Of many tasks that create one key, one does.
pub async fn racing_creations_have_one_winner(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let swaps = race(&store, |store, number| async move {
        let value = Bytes::from(number.to_string());
        store.compare_and_swap("slot/new", None, value).await
    })
    .await;
    one_winner(&*store, "slot/new", swaps).await
}

/// Of many tasks that replace one version, one does.
pub async fn racing_swaps_have_one_winner(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let old = store.set("slot/a", bytes("before")).await?;
    let swaps = race(&store, |store, number| async move {
        let value = Bytes::from(number.to_string());
        store.compare_and_swap("slot/a", Some(old), value).await
    })
    .await;
    one_winner(&*store, "slot/a", swaps).await
}

/// Checks that one racer swapped, that its value stays, and that the others were told of it.
async fn one_winner(store: &dyn crate::Store, key: &str, swaps: Vec<Result<Swap>>) -> Result<()> {
    let now = store.get(key).await?.expect("somebody won");
    let mut winners = Vec::new();
    for (number, swap) in swaps.into_iter().enumerate() {
        match swap? {
            Swap::Swapped(version) => winners.push((Bytes::from(number.to_string()), version)),
            Swap::Lost(seen) => assert_eq!(seen.as_ref(), Some(&now), "what racer {number} saw"),
        }
    }
    assert_eq!(winners, [(now.value, now.version)]);
    Ok(())
}

/// A version from before a deletion does not match the key that was created after it.
pub async fn old_version_never_matches_after_delete_and_creation(
    provider: &dyn Provider,
) -> Result<()> {
    let store = provider.empty().await;
    let old = store.set("slot/a", bytes("one")).await?;
    store.delete("slot/a").await?;
    store.set("slot/a", bytes("one")).await?;
    let swap = store
        .compare_and_swap("slot/a", Some(old), bytes("two"))
        .await?;
    assert!(matches!(swap, Swap::Lost(Some(_))), "{swap:?}");
    assert_eq!(
        store.get("slot/a").await?.expect("the key is there").value,
        "one"
    );
    Ok(())
}

/// Versions tell writes apart, not values: writing the same bytes again is a change.
pub async fn old_version_never_matches_the_same_value(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let old = store.set("slot/a", bytes("one")).await?;
    store.set("slot/a", bytes("two")).await?;
    store.set("slot/a", bytes("one")).await?;
    let swap = store
        .compare_and_swap("slot/a", Some(old), bytes("three"))
        .await?;
    assert!(matches!(swap, Swap::Lost(Some(_))), "{swap:?}");
    Ok(())
}

/// Increments that race add up.
pub async fn racing_increments_lose_nothing(provider: &dyn Provider) -> Result<()> {
    const ROUNDS: usize = 8;
    let store = provider.empty().await;
    let done = race(&store, |store, _| async move {
        let mut done = 0;
        for _ in 0..ROUNDS {
            loop {
                // A bounded number of attempts may be spent where many race; nothing is added then.
                match store.increment("count", 1).await {
                    Ok(_) => break,
                    Err(Error::Contended { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            done += 1;
        }
        Ok(done)
    })
    .await;
    let mut sum = 0;
    for count in done {
        sum += count?;
    }
    assert_eq!(sum, RACERS * ROUNDS);
    assert_eq!(store.increment("count", 0).await?, (RACERS * ROUNDS) as i64);
    Ok(())
}

/// A missing counter is 0; deltas have either sign; the form is stated.
pub async fn increment_counts_up_and_down_from_zero(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    assert_eq!(store.increment("count", 5).await?, 5);
    assert_eq!(store.increment("count", -7).await?, -2);
    let stored = store
        .get("count")
        .await?
        .expect("the counter is there")
        .value;
    assert_eq!(stored, (-2_i64).to_le_bytes().as_slice());
    Ok(())
}

/// A value of another length is left alone.
pub async fn increment_refuses_what_is_no_counter(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store.set("count", bytes("seven")).await?;
    let error = store
        .increment("count", 1)
        .await
        .expect_err("5 bytes are no counter");
    assert_eq!(counter_error(&error), Some(CounterError::Size { size: 5 }));
    assert_eq!(
        store.get("count").await?.expect("the key is there").value,
        "seven"
    );
    Ok(())
}

/// A sum that does not fit is refused and leaves the counter.
pub async fn increment_refuses_to_overflow(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    assert_eq!(store.increment("count", i64::MAX).await?, i64::MAX);
    let error = store.increment("count", 1).await.expect_err("no sum fits");
    assert_eq!(counter_error(&error), Some(CounterError::Overflow));
    assert_eq!(store.increment("count", 0).await?, i64::MAX);
    Ok(())
}

fn counter_error(error: &Error) -> Option<CounterError> {
    error.source()?.downcast_ref().copied()
}
