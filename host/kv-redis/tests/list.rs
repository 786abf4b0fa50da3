//! Listings while the server's table changes its size, and beside the keys of others.

use std::collections::BTreeSet;

use bytes::Bytes;
use starling_kv::{Error, Page, Store};
use starling_kv_redis::{Config, RedisStore};
use starling_test_servers::RedisServer;

fn open(server: &RedisServer, namespace: &str) -> RedisStore {
    let mut config = Config::new(server.address().to_string());
    config.namespace = namespace.to_owned();
    RedisStore::open(&config).unwrap()
}

async fn fill(store: &dyn Store, keys: &[String]) {
    for keys in keys.chunks(500) {
        let entries = keys.iter().map(|key| (key.clone(), Bytes::new()));
        store.set_many(entries.collect()).await.unwrap();
    }
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

/// A page with none over its limit.
async fn page(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Page {
    let page = store.list(prefix, after, limit).await.unwrap();
    assert!(page.keys.len() <= limit, "{} of {limit}", page.keys.len());
    let cursor = page.next.as_deref().unwrap_or_default();
    assert!(cursor.len() <= 512, "a cursor of {} bytes", cursor.len());
    page
}

/// The table grows to a multiple between pages, and shrinks again; what stays is listed.
#[tokio::test]
async fn keys_that_stay_are_listed_while_the_table_is_resized() {
    let server = RedisServer::start().await;
    let store = open(&server, "a");
    let stay = numbered("stay/", 300);
    let come_and_go = numbered("go/", 6_000);
    for limit in [1, 3, 17, 50, 200] {
        fill(&store, &stay).await;
        let mut listed = BTreeSet::new();
        let mut after = None;
        for round in 0_usize.. {
            assert!(round < 5_000, "the listing does not end");
            let next = page(&store, "stay/", after.as_deref(), limit).await;
            listed.extend(next.keys);
            after = next.next;
            if after.is_none() {
                break;
            }
            match round % 8 {
                0 | 1 if round < 40 => fill(&store, &come_and_go[..3_000 * (round % 8 + 1)]).await,
                3 | 4 if round < 40 => {
                    for keys in come_and_go.chunks(1_000) {
                        store.delete_many(keys).await.unwrap();
                    }
                }
                _ => {}
            }
        }
        let expected: BTreeSet<String> = stay.iter().cloned().collect();
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

/// Pages are full, and each key comes once, whatever the size of a page.
#[tokio::test]
async fn a_quiet_store_is_listed_in_full_pages_without_repetition() {
    let server = RedisServer::start().await;
    let store = open(&server, "a");
    let keys = numbered("k/", 2_500);
    fill(&store, &keys).await;
    for limit in [1, 2, 9, 40, 41, 100, 999, 1_000] {
        let (mut listed, mut after, mut pages) = (Vec::new(), None, Vec::new());
        loop {
            let next = page(&store, "", after.as_deref(), limit).await;
            pages.push(next.keys.len());
            listed.extend(next.keys);
            after = next.next;
            if after.is_none() {
                break;
            }
        }
        let distinct: BTreeSet<&String> = listed.iter().collect();
        assert_eq!(
            (listed.len(), distinct.len()),
            (2_500, 2_500),
            "pages of {limit}"
        );
        let (_, full) = pages.split_last().unwrap();
        assert!(
            full.iter().all(|keys| *keys == limit),
            "pages of {limit}: {pages:?}"
        );
    }
}

#[tokio::test]
async fn stores_of_other_namespaces_are_neither_seen_nor_in_the_way() {
    let server = RedisServer::start().await;
    let (one, other) = (open(&server, "a"), open(&server, "a.a"));
    fill(&other, &numbered("k/", 3_000)).await;
    fill(&one, &numbered("k/", 2)).await;
    let mut listed = page(&one, "", None, 10).await;
    listed.keys.sort();
    assert_eq!((listed.keys, listed.next), (numbered("k/", 2), None));
    one.delete("k/0").await.unwrap();
    assert!(other.exists("k/0").await.unwrap());
}

#[tokio::test]
async fn a_made_up_cursor_is_refused() {
    let server = RedisServer::start().await;
    let store = open(&server, "a");
    for after in ["k/0", "", "1", "1.x"] {
        let error = store.list("", Some(after), 10).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidKey { .. }),
            "{after}: {error:?}"
        );
    }
}
