//! The space of deleted values comes back, also on a store that takes no writes for want of it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use starling_kv::Store;
use starling_kv_embedded::{Config, EmbeddedStore};
use tempfile::TempDir;

/// What the value files take.
fn value_bytes(path: &Path) -> u64 {
    let files = fs::read_dir(path.join("data/keyspaces/1/blobs")).expect("lists");
    files
        .map(|file| {
            file.expect("lists")
                .metadata()
                .map_or(0, |metadata| metadata.len())
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_free_a_full_disk() {
    let directory = TempDir::new().expect("a directory");
    let mut config = Config::new(directory.path());
    let audio = Bytes::from("audio".repeat(50_000));
    let keys: Vec<String> = (0..100).map(|n| format!("audio/{n}/0")).collect();
    let store = EmbeddedStore::open(config.clone()).expect("opens");
    for key in &keys {
        store.set(key, audio.clone()).await.expect("writes");
    }
    drop(store);

    // From here on the disk is full.
    config.free_bytes_min = u64::MAX;
    let store = EmbeddedStore::open(config.clone()).expect("opens");
    let before = value_bytes(&config.path);
    assert!(before > 10_000_000, "{before} bytes were written out");
    store.delete_many(&keys).await.expect("deletes");
    let patience = Instant::now() + Duration::from_secs(60);
    while value_bytes(&config.path) > before / 10 {
        assert!(
            Instant::now() < patience,
            "{} bytes are left",
            value_bytes(&config.path)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
