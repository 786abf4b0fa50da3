//! Cases about one key at a time.

use bytes::Bytes;

use super::{Provider, bytes};
use crate::{Error, Limits, Measure, Result, Store, layer::Limit};

/// A read after an acknowledged write sees it.
pub async fn acknowledged_write_is_read(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let version = store.set("slot/a", bytes("one")).await?;
    let entry = store.get("slot/a").await?.expect("the key is there");
    assert_eq!(entry.value, "one");
    assert_eq!(entry.version, version);
    Ok(())
}

/// A key never written reads as none.
pub async fn missing_key_reads_as_none(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store.set("slot/a", bytes("one")).await?;
    assert_eq!(store.get("slot/b").await?, None);
    assert_eq!(store.get("slot/").await?, None);
    Ok(())
}

/// The second write of a key replaces the first.
pub async fn overwrite_replaces_the_value(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store.set("slot/a", bytes("a long first value")).await?;
    store.set("slot/a", bytes("two")).await?;
    assert_eq!(
        store.get("slot/a").await?.expect("the key is there").value,
        "two"
    );
    Ok(())
}

/// Each write of a key has a greater version, also after a deletion.
pub async fn versions_of_a_key_only_grow(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let mut last = store.set("slot/a", bytes("0")).await?;
    for round in 1..20 {
        if round % 5 == 0 {
            store.delete("slot/a").await?;
        }
        let version = store.set("slot/a", bytes("same")).await?;
        assert!(version > last, "{version:?} follows {last:?}");
        last = version;
    }
    Ok(())
}

/// Deleting what is not there is no error, however often.
pub async fn delete_of_a_missing_key_succeeds(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store.delete("slot/a").await?;
    store.set("slot/a", bytes("one")).await?;
    store.delete("slot/a").await?;
    store.delete("slot/a").await
}

/// A deleted key is gone, and may be written again.
pub async fn deleted_key_is_missing(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store.set("slot/a", bytes("one")).await?;
    store.delete("slot/a").await?;
    assert_eq!(store.get("slot/a").await?, None);
    store.set("slot/a", bytes("two")).await?;
    assert_eq!(
        store.get("slot/a").await?.expect("the key is back").value,
        "two"
    );
    Ok(())
}

/// `exists` agrees with what was written and deleted.
pub async fn exists_follows_the_key(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    assert!(!store.exists("slot/a").await?);
    store.set("slot/a", Bytes::new()).await?;
    assert!(store.exists("slot/a").await?);
    store.delete("slot/a").await?;
    assert!(!store.exists("slot/a").await?);
    Ok(())
}

/// Values are bytes: zeroes, line ends and broken UTF-8 come back as they were.
pub async fn any_bytes_are_a_value(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let every_byte: Vec<u8> = (0..=u8::MAX).chain((0..=u8::MAX).rev()).collect();
    for value in [every_byte, b"\r\n\0\xff\xfe".to_vec(), vec![0; 4096]] {
        store.set("slot/a", value.clone().into()).await?;
        assert_eq!(
            store.get("slot/a").await?.expect("the key is there").value,
            value
        );
    }
    Ok(())
}

/// A key with an empty value is there.
pub async fn empty_value_is_not_a_missing_key(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    store.set("slot/a", Bytes::new()).await?;
    assert_eq!(
        store.get("slot/a").await?.expect("the key is there").value,
        Bytes::new()
    );
    Ok(())
}

/// The longest value that is allowed comes back whole.
pub async fn value_at_the_limit_is_kept(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let value: Vec<u8> = (0..Limits::DEFAULT.value_bytes_max)
        .map(|n| (n % 251) as u8)
        .collect();
    store.set("audio/a/0", value.clone().into()).await?;
    let read = store
        .get("audio/a/0")
        .await?
        .expect("the key is there")
        .value;
    assert!(
        read == value,
        "a value of {} bytes came back as {}",
        value.len(),
        read.len()
    );
    Ok(())
}

/// The longest key that is allowed can be written, read, listed and deleted.
pub async fn key_at_the_limit_is_kept(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let key = "k".repeat(Limits::DEFAULT.key_bytes_max);
    store.set(&key, bytes("one")).await?;
    assert!(store.exists(&key).await?);
    assert_eq!(store.list("k", None, 10).await?.keys, [key.as_str()]);
    store.delete(&key).await?;
    assert!(!store.exists(&key).await?);
    Ok(())
}

/// One byte more than allowed is refused and leaves what was there.
pub async fn value_over_the_limit_is_refused(provider: &dyn Provider) -> Result<()> {
    let store = Limit::new(provider.empty().await, Limits::DEFAULT);
    store.set("slot/a", bytes("one")).await?;
    let max = Limits::DEFAULT.value_bytes_max;
    let error = store
        .set("slot/a", vec![0; max + 1].into())
        .await
        .expect_err("one over");
    assert!(
        matches!(error, Error::TooLarge { what: Measure::ValueBytes, size, max: limit }
            if size == max + 1 && limit == max),
        "{error:?}"
    );
    assert_eq!(
        store.get("slot/a").await?.expect("the key is there").value,
        "one"
    );
    Ok(())
}

/// Empty keys, keys too long and keys with control characters are refused by every operation.
pub async fn invalid_keys_are_refused(provider: &dyn Provider) -> Result<()> {
    let store = Limit::new(provider.empty().await, Limits::DEFAULT);
    let long = "k".repeat(Limits::DEFAULT.key_bytes_max + 1);
    for key in [
        "",
        "a\0b",
        "a\nb",
        "tab\t",
        "\u{7f}",
        "\u{85}",
        long.as_str(),
    ] {
        let refused = |error: &Error| {
            matches!(
                error,
                Error::InvalidKey { .. }
                    | Error::TooLarge {
                        what: Measure::KeyBytes,
                        ..
                    }
            )
        };
        assert!(
            store.get(key).await.is_err_and(|error| refused(&error)),
            "get {key:?}"
        );
        assert!(
            store.exists(key).await.is_err_and(|error| refused(&error)),
            "exists {key:?}"
        );
        assert!(
            store.delete(key).await.is_err_and(|error| refused(&error)),
            "delete {key:?}"
        );
        let set = store.set(key, bytes("one")).await;
        assert!(set.is_err_and(|error| refused(&error)), "set {key:?}");
        let swap = store.compare_and_swap(key, None, bytes("one")).await;
        assert!(swap.is_err_and(|error| refused(&error)), "swap {key:?}");
    }
    assert_eq!(store.list("", None, 10).await?.keys, Vec::<String>::new());
    Ok(())
}

/// Keys are UTF-8 in any script, not only letters that a wire format likes.
pub async fn any_script_is_a_key(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let keys = [
        "slot/+15551230001",
        "slot/büro@münchen",
        "slot/留守番電話",
        "slot/صوت",
        "slot/📼 tape #1",
        "a b*c?d>e.f..g{h}i%2f\\j\"k'",
        "$KV._kv/:=",
    ];
    for key in keys {
        store.set(key, bytes(key)).await?;
    }
    for key in keys {
        assert_eq!(
            store.get(key).await?.expect(key).value,
            key.as_bytes(),
            "{key}"
        );
    }
    let mut listed = store.list("", None, 100).await?.keys;
    listed.sort();
    let mut expected = keys;
    expected.sort_unstable();
    assert_eq!(listed, expected);
    Ok(())
}

/// Keys are compared byte for byte: no case folding, no normal forms, no separators that melt.
pub async fn keys_differ_by_every_byte(provider: &dyn Provider) -> Result<()> {
    let store = provider.empty().await;
    let keys = [
        "a", "A", "a ", " a", "a/", "/a", "a//", "a.", "\u{e9}", "e\u{301}",
    ];
    for key in keys {
        store.set(key, bytes(key)).await?;
    }
    for key in keys {
        assert_eq!(
            store.get(key).await?.expect(key).value,
            key.as_bytes(),
            "{key:?}"
        );
    }
    Ok(())
}
