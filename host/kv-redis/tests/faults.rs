//! What callers are told when the server goes away, hangs or refuses, and that all is well when it is back.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use starling_kv::layer::{Timeout, Timeouts};
use starling_kv::{Error, Store, Swap};
use starling_kv_redis::{Config, OpenError, RedisStore};
use starling_test_servers::{PATIENCE, Proxy, RedisServer};

/// As the host bounds what it waits for, but shorter.
const SOON: Timeouts = Timeouts {
    read: Duration::from_millis(300),
    write: Duration::from_millis(300),
};

fn open(config: &Config) -> Timeout<RedisStore> {
    Timeout::new(RedisStore::open(config).unwrap(), SOON)
}

fn config(server: &RedisServer) -> Config {
    Config::new(server.address().to_string())
}

fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Reads until there is an answer. Every other outcome on the way is one that a client may retry after.
async fn recovered(store: &dyn Store, key: &str) -> Option<Bytes> {
    let begun = Instant::now();
    loop {
        match store.get(key).await {
            Ok(entry) => return entry.map(|entry| entry.value),
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "the store does not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A multi-threaded runtime, since opening a store blocks and the proxy needs a thread meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_found_again_with_what_it_acknowledged() {
    let server = RedisServer::start().await;
    let store = open(&config(&server));
    let before = store.set("slot/a", value("one")).await.unwrap();
    server.kill();
    // The connection's end may be noticed by this request or before it.
    let error = store.set("slot/a", value("lost")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    server.restart().await;
    assert_eq!(recovered(&store, "slot/a").await, Some(value("one")));
    // The scripts are gone from a new server, and are brought there again.
    let swap = store
        .compare_and_swap("slot/a", Some(before), value("two"))
        .await
        .unwrap();
    assert!(
        matches!(swap, Swap::Swapped(after) if after > before),
        "{swap:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_requests_fail_at_once() {
    let server = RedisServer::start().await;
    let store = open(&config(&server));
    store.set("slot/a", value("one")).await.unwrap();
    server.kill();
    let _ = store.get("slot/a").await;
    let begun = Instant::now();
    for _ in 0..1_000 {
        let error = store.get("slot/a").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
    // A thousand waits of any kind would take longer.
    assert!(begun.elapsed() < Duration::from_secs(5));
    let error = store.get("slot/a").await.unwrap_err();
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains(&server.address().to_string()), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_server_makes_timeouts_and_no_wedge() {
    let server = RedisServer::start().await;
    let store = open(&config(&server));
    store.set("slot/a", value("one")).await.unwrap();
    server.pause();
    let large = Bytes::from(vec![7; 900_000]);
    // More than the buffers between take, so that some cannot even be sent.
    let writes = (0..64).map(|number| {
        let (store, large) = (&store, large.clone());
        async move { store.set(&format!("audio/{number}"), large).await }
    });
    for outcome in join_all(writes).await {
        assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");
    }
    server.resume();
    assert_eq!(recovered(&store, "slot/a").await, Some(value("one")));
    store.set("slot/a", value("two")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_on_counts_as_away() {
    let server = RedisServer::start().await;
    let store = open(&config(&server));
    store.set("slot/a", value("one")).await.unwrap();
    server.pause();
    let begun = Instant::now();
    while !matches!(store.get("slot/a").await, Err(Error::Unavailable(_))) {
        assert!(begun.elapsed() < PATIENCE, "requests wait for ever");
    }
    server.resume();
    assert_eq!(recovered(&store, "slot/a").await, Some(value("one")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_network_is_unavailable_until_it_is_healed() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.address()).await;
    let store = open(&Config::new(proxy.address().to_string()));
    store.set("slot/a", value("one")).await.unwrap();
    proxy.cut();
    let error = store.get("slot/a").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    proxy.heal();
    assert_eq!(recovered(&store, "slot/a").await, Some(value("one")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_network_makes_timeouts_until_it_is_healed() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.address()).await;
    let store = open(&Config::new(proxy.address().to_string()));
    store.set("slot/a", value("one")).await.unwrap();
    proxy.stall();
    let error = store.get("slot/a").await.unwrap_err();
    assert!(matches!(error, Error::Timeout), "{error:?}");
    proxy.heal();
    assert_eq!(recovered(&store, "slot/a").await, Some(value("one")));
}

#[tokio::test]
async fn a_server_that_is_not_there_does_not_open() {
    let server = RedisServer::start().await;
    let config = config(&server);
    server.kill();
    let error = RedisStore::open(&config).unwrap_err();
    assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
}

/// An error and all its causes, printed in both ways.
fn printed(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error:?}");
    let mut cause = Some(error);
    while let Some(error) = cause {
        text.push_str(&format!("\n{error}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_password_lets_in_and_a_wrong_one_is_not_printed() {
    let server = RedisServer::options().password("s3cret").start().await;
    let mut config = config(&server);
    config.password = Some("s3cret".into());
    let store = RedisStore::open(&config).unwrap();
    store.set("slot/a", value("one")).await.unwrap();
    assert!(!format!("{store:?}").contains("s3cret"));

    for (username, password) in [
        (None, None),
        (None, Some("wr0ng")),
        (Some("edge"), Some("wr0ng")),
    ] {
        config.username = username.map(str::to_owned);
        config.password = password.map(Into::into);
        let error = RedisStore::open(&config).unwrap_err();
        assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
        let text = printed(&error);
        assert!(!text.contains("wr0ng"), "{text}");
    }
}

#[tokio::test]
async fn a_user_with_the_commands_that_are_used_is_enough() {
    let rule =
        "user edge on >s3cret ~starling:* +@read +@write +@scripting +time +ping +select +client";
    let server = RedisServer::options().extra(rule).start().await;
    let mut config = config(&server);
    config.username = Some("edge".to_owned());
    config.password = Some("s3cret".into());
    let store = RedisStore::open(&config).unwrap();
    store.set("slot/a", value("one")).await.unwrap();
    assert_eq!(store.list("", None, 10).await.unwrap().keys, ["slot/a"]);
    // It may not read the configuration, so nothing is promised.
    assert!(!store.capabilities().durable);
    config.namespace = "other".to_owned();
    let store = RedisStore::open(&config).unwrap();
    let error = store.set("slot/a", value("one")).await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied), "{error:?}");
}

#[tokio::test]
async fn durability_is_what_the_server_is_configured_for() {
    let durable = async |server: RedisServer| {
        let store = RedisStore::open(&config(&server)).unwrap();
        store.capabilities().durable
    };
    let options = RedisServer::options;
    assert!(durable(RedisServer::start().await).await);
    assert!(!durable(options().volatile().start().await).await);
    assert!(!durable(options().extra("appendfsync everysec").start().await).await);
    assert!(
        !durable(
            options()
                .extra("no-appendfsync-on-rewrite yes")
                .start()
                .await
        )
        .await
    );
}

#[tokio::test]
async fn a_full_server_refuses_writes_and_goes_on_reading() {
    let server = RedisServer::options().extra("maxmemory 8mb").start().await;
    let store = RedisStore::open(&config(&server)).unwrap();
    store.set("slot/a", value("one")).await.unwrap();
    let large = Bytes::from(vec![7; 900_000]);
    let mut outcome = Ok(());
    for number in 0..20 {
        let key = format!("audio/{number}");
        outcome = store.set(&key, large.clone()).await.map(drop);
        if outcome.is_err() {
            break;
        }
    }
    assert!(matches!(outcome, Err(Error::Full)), "{outcome:?}");
    let batch = vec![
        ("slot/b".to_owned(), value("b")),
        ("audio/x".to_owned(), large),
    ];
    assert!(matches!(store.set_many(batch).await, Err(Error::Full)));
    assert!(!store.exists("slot/b").await.unwrap());
    assert_eq!(store.get("slot/a").await.unwrap().unwrap().value, "one");
    store.delete("audio/0").await.unwrap();
    store.delete("audio/1").await.unwrap();
    store.set("slot/b", value("b")).await.unwrap();
}

#[tokio::test]
async fn servers_that_cannot_keep_the_contract_are_refused() {
    let primary = RedisServer::start().await;
    let replica = format!(
        "replicaof {} {}",
        primary.address().ip(),
        primary.address().port()
    );
    for (lines, word) in [
        ("maxmemory 100mb\nmaxmemory-policy allkeys-lru", "evicts"),
        ("cluster-enabled yes", "cluster"),
        (&replica, "replica"),
    ] {
        let server = RedisServer::options().extra(lines).start().await;
        match RedisStore::open(&config(&server)) {
            Err(OpenError::Unfit { reason, .. }) => assert!(reason.contains(word), "{reason}"),
            outcome => panic!("{lines}: {outcome:?}"),
        }
    }
}

/// A server that lost its last writes, and with them the last version, gives out none of them again.
#[tokio::test]
async fn versions_grow_also_where_a_server_has_forgotten_them() {
    let server = RedisServer::options().volatile().start().await;
    let store = open(&config(&server));
    let before = store.set("slot/a", value("one")).await.unwrap();
    server.restart().await;
    assert_eq!(recovered(&store, "slot/a").await, None);
    let after = store.set("slot/a", value("two")).await.unwrap();
    assert!(after > before, "{after:?} follows {before:?}");
    let swap = store
        .compare_and_swap("slot/a", Some(before), value("x"))
        .await;
    assert!(matches!(swap, Ok(Swap::Lost(Some(_)))), "{swap:?}");
}

/// Waits for all, at once.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, answer) in &mut waiting {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *answer = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, answer)| answer)
        .collect()
}
