//! Listings: complete, in pages, whatever keys look like.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use starling_kv::{Error, Store};

use crate::support::{World, bytes, eventually, keys, read, write_all};

#[tokio::test(flavor = "multi_thread")]
async fn long_listing_beside_writes_is_complete() {
    const STABLE: usize = 1_300;
    let world = World::of(&["eu"]).await;
    let (host, other) = (world.host("eu").await, world.host("eu").await);
    write_all(&host.own(), "stable", STABLE).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (own, stop) = (other.own(), stop.clone());
        async move {
            let mut n = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                // One that is listed, one that comes, and one that comes and goes.
                let stable = format!("stable/{}", n * 7 % STABLE);
                own.set(&stable, bytes("again")).await.unwrap();
                own.set(&format!("hot/{n}"), bytes("")).await.unwrap();
                own.set("gone", bytes("")).await.unwrap();
                own.delete("gone").await.unwrap();
            }
        }
    });
    let mut expected: Vec<_> = (0..STABLE).map(|n| format!("stable/{n}")).collect();
    expected.sort();
    for limit in [1_000, 170] {
        assert_eq!(keys(&host.own(), "stable/", limit).await.unwrap(), expected);
        let mut all = keys(&host.own(), "", limit).await.unwrap();
        all.retain(|key| key.starts_with("stable/"));
        assert_eq!(all, expected);
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

/// Each is a key of its own, in this region and in its replicas.
#[tokio::test(flavor = "multi_thread")]
async fn unusual_keys_are_kept_apart_everywhere() {
    let world = World::of(&["eu", "us"]).await;
    let (eu, us) = (world.host("eu").await, world.host("us").await);
    let long = "x".repeat(256);
    let mut unusual = [
        "_gap",
        "_kv",
        "a",
        "a/",
        "/a",
        "/",
        "//",
        "a//b",
        "a/b",
        "a.b",
        "a.",
        ".a",
        ".",
        "..",
        "a b",
        " ",
        "*",
        ">",
        "a/*",
        "a/>",
        "$KV",
        "=",
        "=41",
        "A",
        "ü",
        "日本語/鍵",
        "🦜",
        "\u{7f}",
        "\t",
        "a\nb",
        "+15551230001",
        "slot/+15551230001",
        "%2F",
        "\\",
        "\"",
        &long,
    ]
    .map(str::to_owned)
    .to_vec();
    for key in &unusual {
        eu.own().set(key, bytes(key)).await.unwrap();
    }
    unusual.sort();
    assert_eq!(keys(&eu.own(), "", 7).await.unwrap(), unusual);
    let replica = us.replica("eu");
    eventually("all are there", async || {
        keys(&replica, "", 100)
            .await
            .is_ok_and(|keys| keys == unusual)
    })
    .await;
    for key in &unusual {
        for store in [&eu.own(), &replica] {
            let value = read(store, key).await.unwrap();
            assert_eq!(value.as_deref(), Some(key.as_str()), "{key:?}");
        }
    }
    for key in &unusual {
        eu.own().delete(key).await.unwrap();
        assert_eq!(read(&eu.own(), key).await.unwrap(), None, "{key:?}");
    }
    assert!(keys(&eu.own(), "", 100).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn prefix_selects_by_bytes_not_by_parts() {
    let world = World::of(&["eu"]).await;
    let eu = world.host("eu").await;
    for key in [
        "a", "a/b", "a/bc", "a/b/c", "ab", "a.b", "b/a", "/a", "ä/1", "ä/2",
    ] {
        eu.own().set(key, bytes("")).await.unwrap();
    }
    let selections: [(&str, &[&str]); 9] = [
        ("a", &["a", "a.b", "a/b", "a/b/c", "a/bc", "ab"]),
        ("a/", &["a/b", "a/b/c", "a/bc"]),
        ("a/b", &["a/b", "a/b/c", "a/bc"]),
        ("a/b/", &["a/b/c"]),
        ("a.", &["a.b"]),
        ("/", &["/a"]),
        ("ä/", &["ä/1", "ä/2"]),
        ("c", &[]),
        ("a/b/c/d", &[]),
    ];
    for (prefix, expected) in selections {
        for limit in [1, 100] {
            let listed = keys(&eu.own(), prefix, limit).await.unwrap();
            assert_eq!(listed, expected, "{prefix:?} by {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_goes_on_only_from_what_it_gave() {
    let world = World::of(&["eu"]).await;
    let eu = world.host("eu").await;
    eu.own().set("key", bytes("")).await.unwrap();
    for after in ["key", "", "-1", "1.5", "99999999999999999999999"] {
        let refused = eu.own().list("", Some(after), 10).await;
        assert!(
            matches!(refused, Err(Error::InvalidKey { .. })),
            "{refused:?}"
        );
    }
    // Beyond the end, and before the beginning.
    let page = eu.own().list("", Some("1000000"), 10).await.unwrap();
    assert_eq!((page.keys.len(), page.next), (0, None));
    let page = eu.own().list("", Some("0"), 10).await.unwrap();
    assert_eq!((page.keys.len(), page.next), (1, None));
}
