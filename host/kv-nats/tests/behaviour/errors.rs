//! What a caller is told when the region's server fails, and that it is told soon.

use async_nats::jetstream;
use async_nats::jetstream::stream::{self, Source};
use bytes::Bytes;
use starling_kv::{Error, Result, Store};
use starling_kv_nats::{NatsStore, OpenError, StoreConfig, SystemConfig};
use starling_test_servers::{NatsServer, Proxy};
use tokio::task::JoinSet;

use crate::support::{
    Host, World, alone, bytes, eventually, keys, raw, read, soon, stream_config, system, write,
};

async fn host(server: &NatsServer) -> Host {
    let opened = Host::open("eu", &alone(system(&server.url())), uncached()).await;
    opened.expect("the store opens")
}

fn uncached() -> StoreConfig {
    StoreConfig {
        cache_bytes: 0,
        ..StoreConfig::new("default")
    }
}

/// Every operation, once.
async fn all_of(store: &NatsStore) -> Vec<(&'static str, Result<()>)> {
    let keys = || vec!["key".to_owned()];
    vec![
        ("get", store.get("key").await.map(drop)),
        ("exists", store.exists("key").await.map(drop)),
        ("set", store.set("key", bytes("")).await.map(drop)),
        ("delete", store.delete("key").await),
        (
            "swap",
            store
                .compare_and_swap("key", None, bytes(""))
                .await
                .map(drop),
        ),
        ("get_many", store.get_many(&keys()).await.map(drop)),
        (
            "set_many",
            store.set_many(vec![("key".to_owned(), bytes(""))]).await,
        ),
        ("delete_many", store.delete_many(&keys()).await),
        ("list", store.list("", None, 10).await.map(drop)),
    ]
}

/// Were each operation to wait, this would take minutes.
async fn check_fails_fast(store: &NatsStore) {
    let fails = async {
        for _ in 0..20 {
            for (operation, answer) in all_of(store).await {
                assert!(
                    matches!(answer, Err(Error::Unavailable(_))),
                    "{operation}: {answer:?}"
                );
            }
        }
    };
    soon("all fail fast", fails).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_is_unavailable_until_it_is_back() {
    let server = NatsServer::start().await;
    let host = host(&server).await;
    write(&host.own(), "kept").await;
    server.kill();
    eventually("it is noticed", async || !host.store.report().reachable).await;
    check_fails_fast(&host.own()).await;
    server.restart().await;
    eventually("it is read again", async || {
        read(&host.own(), "kept")
            .await
            .is_ok_and(|value| value.is_some())
    })
    .await;
    write(&host.own(), "next").await;
    assert!(host.store.report().reachable);
    for (operation, answer) in all_of(&host.own()).await {
        assert!(answer.is_ok(), "{operation}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_the_server_dies_fails_at_once() {
    let server = NatsServer::start().await;
    let host = host(&server).await;
    write(&host.own(), "kept").await;
    // Nothing is answered, so all of these are under way.
    server.pause();
    let own = host.own();
    let kills = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        server.kill();
    };
    // One after the other, that not all of them are answered before the server is suspended.
    let reads = async {
        loop {
            if let Err(error) = own.get("kept").await {
                return error;
            }
        }
    };
    let writes = async {
        loop {
            if let Err(error) = own.set("kept", bytes("")).await {
                return error;
            }
        }
    };
    let lists = async {
        loop {
            if let Err(error) = own.list("", None, 10).await {
                return error;
            }
        }
    };
    let (read, written, listed, ()) = tokio::join!(reads, writes, lists, kills);
    assert!(matches!(read, Error::Unavailable(_)), "{read:?}");
    assert!(matches!(written, Error::Unavailable(_)), "{written:?}");
    assert!(matches!(listed, Error::Unavailable(_)), "{listed:?}");
}

/// A server that comes back may hold something else than before: what was meant for what it held must not reach it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_when_the_connection_broke_is_never_sent() {
    let server = NatsServer::start().await;
    let path = Proxy::start(server.address()).await;
    let systems = alone(system(&format!("nats://{}", path.address())));
    let host = Host::open("eu", &systems, uncached()).await;
    let host = host.expect("the store opens");
    write(&host.own(), "before").await;
    path.stall();
    // More than fits into anybody's buffers.
    let value = Bytes::from(vec![7; 128 << 10]);
    let mut writes = JoinSet::new();
    for n in 0..200 {
        let (own, value) = (host.own(), value.clone());
        writes.spawn(async move { own.set(&format!("late/{n}"), value).await });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    path.cut();
    while let Some(written) = writes.join_next().await {
        let written = written.unwrap();
        assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    }
    path.heal();
    write(&host.own(), "after").await;
    assert_eq!(
        keys(&host.own(), "", 500).await.unwrap(),
        ["after", "before"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_server_is_waited_for_once() {
    let server = NatsServer::start().await;
    let host = host(&server).await;
    write(&host.own(), "kept").await;
    server.pause();
    // A server takes a moment to be suspended.
    let given_up = async {
        loop {
            if let Err(error) = host.own().get("kept").await {
                return error;
            }
        }
    };
    let given_up = soon("it is given up", given_up).await;
    assert!(matches!(given_up, Error::Timeout), "{given_up:?}");
    check_fails_fast(&host.own()).await;
    server.resume();
    eventually("it is read again", async || {
        read(&host.own(), "kept")
            .await
            .is_ok_and(|value| value.is_some())
    })
    .await;
    write(&host.own(), "next").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn store_opens_while_the_server_is_down() {
    let server = NatsServer::start().await;
    server.kill();
    let host = soon("it opens", host(&server)).await;
    check_fails_fast(&host.own()).await;
    server.restart().await;
    write(&host.own(), "key").await;
    assert_eq!(
        read(&host.own(), "key").await.unwrap().as_deref(),
        Some("key")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn full_server_refuses_writes_and_goes_on_reading() {
    let account = "accounts { A {
        jetstream { max_file: 2MB, max_mem: 8MB }
        users: [ { user: host, password: secret } ]
    } }";
    let server = NatsServer::options().extra(account).start().await;
    let config = SystemConfig {
        user: Some("host".to_owned()),
        password: Some("secret".to_owned()),
        ..system(&server.url())
    };
    let host = Host::open("eu", &alone(config), uncached()).await;
    let host = host.expect("the store opens");
    let value = Bytes::from(vec![7; 256 << 10]);
    let mut written = 0;
    let refused = loop {
        assert!(written < 20, "it is never full");
        match host
            .own()
            .set(&format!("key/{written}"), value.clone())
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full), "{refused:?}");
    assert!(written > 0);
    for n in 0..written {
        let entry = host.own().get(&format!("key/{n}")).await.unwrap();
        assert_eq!(entry.unwrap().value, value);
    }
    assert_eq!(
        host.own().get(&format!("key/{written}")).await.unwrap(),
        None
    );
    // What is small still fits.
    host.own().set("small", bytes("")).await.unwrap();
}

/// A stream that is there already keeps a store from opening, and the error tells what is wrong with it.
async fn check_difference(bucket: &str, config: stream::Config, named: &str) {
    let world = World::of(&["eu", "us"]).await;
    let client = raw(world.server("eu")).await.expect("it answers");
    let jetstream = jetstream::new(client);
    if config.mirror.is_some() {
        let other = stream::Config {
            name: "other".to_owned(),
            ..stream::Config::default()
        };
        jetstream.create_stream(other).await.expect("it is made");
    }
    jetstream.create_stream(config).await.expect("it is made");
    let mut store = StoreConfig::new("default");
    store.new_region = true;
    let opened = Host::open("eu", &world.systems("eu"), store).await;
    match opened.err() {
        Some(OpenError::Difference(difference)) => {
            let text = difference.to_string();
            assert!(text.contains(named) && text.contains(bucket), "{text}");
        }
        other => panic!("{named}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_keeps_more_messages_is_refused() {
    let config = stream::Config {
        max_messages_per_subject: 5,
        ..stream_config("default_eu")
    };
    check_difference("default_eu", config, "max_messages_per_subject").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_is_a_mirror_is_refused() {
    let config = stream::Config {
        subjects: Vec::new(),
        mirror: Some(Source {
            name: "other".to_owned(),
            ..Source::default()
        }),
        discard: stream::DiscardPolicy::Old,
        ..stream_config("default_us")
    };
    check_difference("default_us", config, "subjects").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_forgets_is_refused() {
    let config = stream::Config {
        max_age: std::time::Duration::from_secs(3_600),
        ..stream_config("default_us")
    };
    check_difference("default_us", config, "max_age").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_refuses_to_overwrite_is_refused() {
    let config = stream::Config {
        discard_new_per_subject: true,
        ..stream_config("default_eu")
    };
    check_difference("default_eu", config, "discard_new_per_subject").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_changes_under_an_open_store_is_said() {
    let server = NatsServer::start().await;
    let host = host(&server).await;
    write(&host.own(), "key").await;
    let client = raw(&server).await.expect("it answers");
    let jetstream = jetstream::new(client);
    let mut stream = jetstream.get_stream("KV_default_eu").await.unwrap();
    let config = stream::Config {
        max_age: std::time::Duration::from_secs(3_600),
        ..stream.info().await.unwrap().config.clone()
    };
    jetstream.update_stream(config).await.unwrap();
    server.restart().await;
    eventually("it is said", async || {
        host.trouble()
            .is_some_and(|trouble| trouble.contains("max_age"))
    })
    .await;
    assert!(host.own().set("key", bytes("")).await.is_err());
}
