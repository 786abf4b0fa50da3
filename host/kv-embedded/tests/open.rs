//! What opening a store refuses, and in what words.

use std::fs;

use bytes::Bytes;
use starling_kv::{Error, Store};
use starling_kv_embedded::{Config, EmbeddedStore, OpenError};
use tempfile::TempDir;

#[test]
fn configuration_needs_a_path_alone_and_no_unknown_key() {
    let config: Config = toml::from_str(r#"path = "/var/lib/starling/default""#).expect("parses");
    assert_eq!(config, Config::new("/var/lib/starling/default"));

    let config: Config = toml::from_str("path = 'a'\nfree_bytes_min = 1").expect("parses");
    assert_eq!(config.free_bytes_min, 1);

    let error = toml::from_str::<Config>("path = 'a'\ncache = 1").expect_err("no such key");
    assert!(
        error.to_string().contains("unknown field `cache`"),
        "{error}"
    );
}

#[test]
fn queue_too_small_for_a_batch_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let mut config = Config::new(directory.path());
    config.queue_bytes_max = 1_000_000;
    let error = EmbeddedStore::open(config).expect_err("no batch would fit");
    assert!(
        error.to_string().contains("queue_bytes_max is 1000000"),
        "{error}"
    );
}

#[test]
fn second_opening_is_told_that_the_store_is_in_use() {
    let directory = TempDir::new().expect("a directory");
    let config = Config::new(directory.path().join("store"));
    let first = EmbeddedStore::open(config.clone()).expect("opens");
    let error = EmbeddedStore::open(config.clone()).expect_err("is in use");
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains(&config.path.display().to_string()),
        "{error}"
    );
    drop(first);
    EmbeddedStore::open(config).expect("is free again");
}

#[test]
fn path_that_is_a_file_is_an_error_that_names_it() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("file");
    fs::write(&path, "not a directory").expect("writes");
    let error = EmbeddedStore::open(Config::new(&path)).expect_err("is a file");
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    assert_eq!(fs::read(&path).expect("reads"), b"not a directory");
}

// Nobody, root included, makes directories in sysfs.
#[cfg(target_os = "linux")]
#[test]
fn place_that_cannot_be_written_is_told() {
    let error = EmbeddedStore::open(Config::new("/sys/starling")).expect_err("cannot be written");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the store at /sys/starling cannot be written"
    );
}

#[test]
fn creation_that_was_interrupted_is_begun_again() {
    let directory = TempDir::new().expect("a directory");
    // What a process leaves that dies between the journal and the rest.
    let new = directory.path().join("new");
    fs::create_dir_all(new.join("keyspaces")).expect("makes it");
    fs::write(new.join("0.jnl"), [0; 100]).expect("writes");
    EmbeddedStore::open(Config::new(directory.path())).expect("opens");
    assert!(!new.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_store_answers_closed() {
    let directory = TempDir::new().expect("a directory");
    let store = EmbeddedStore::open(Config::new(directory.path())).expect("opens");
    store
        .set("slot/a", Bytes::from_static(b"one"))
        .await
        .expect("writes");
    store.close();
    store.close();
    assert!(matches!(store.get("slot/a").await, Err(Error::Closed)));
    assert!(matches!(
        store.set("slot/a", Bytes::new()).await,
        Err(Error::Closed)
    ));
    assert!(matches!(store.list("", None, 1).await, Err(Error::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_tree_cannot_hold_are_refused_without_a_limit_in_front() {
    let directory = TempDir::new().expect("a directory");
    let store = EmbeddedStore::open(Config::new(directory.path())).expect("opens");
    let long = "k".repeat(70_000);
    for key in ["", &long] {
        let refused = |error| matches!(error, Error::InvalidKey { .. } | Error::TooLarge { .. });
        assert!(store.set(key, Bytes::new()).await.is_err_and(refused));
        assert!(store.get(key).await.is_err_and(refused));
        assert!(store.get_many(&[key.to_owned()]).await.is_err_and(refused));
        assert!(store.delete(key).await.is_err_and(refused));
    }
    assert!(store.list(&long, None, 1).await.is_err());
    store
        .set("slot/a", Bytes::new())
        .await
        .expect("still works");
}
