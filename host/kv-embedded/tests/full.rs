//! A full disk: writes are refused, nothing is lost, and all goes on when there is space again.

use std::{env, process::Command, time::Duration};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use starling_kv::{Error, Store, Swap};
use starling_kv_embedded::{Config, EmbeddedStore};
use tempfile::TempDir;

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn low_disk_refuses_writes_and_goes_on_reading_and_deleting() {
    let directory = TempDir::new().expect("a directory");
    let mut config = Config::new(directory.path());
    let store = EmbeddedStore::open(config.clone()).expect("opens");
    let version = store.set("slot/a", text("one")).await.expect("writes");
    store.set("slot/b", text("two")).await.expect("writes");
    drop(store);

    config.free_bytes_min = u64::MAX;
    let store = EmbeddedStore::open(config.clone()).expect("opens on a full disk");
    assert!(matches!(
        store.set("slot/c", text("x")).await,
        Err(Error::Full)
    ));
    let entries = vec![("slot/c".to_owned(), text("x"))];
    assert!(matches!(store.set_many(entries).await, Err(Error::Full)));
    let swap = store
        .compare_and_swap("slot/a", Some(version), text("x"))
        .await;
    assert!(matches!(swap, Err(Error::Full)));
    assert_eq!(
        store
            .get("slot/a")
            .await
            .expect("reads")
            .expect("is there")
            .value,
        "one"
    );
    store.delete("slot/b").await.expect("deletes");
    assert!(!store.exists("slot/b").await.expect("reads"));
    drop(store);

    config.free_bytes_min = 0;
    let store = EmbeddedStore::open(config).expect("opens");
    let swap = store
        .compare_and_swap("slot/a", Some(version), text("two"))
        .await;
    assert!(matches!(swap, Ok(Swap::Swapped(_))), "{swap:?}");
    assert!(!store.exists("slot/c").await.expect("reads"));
}

/// Tells the binary that it is the process whose files may not grow, and where its store is.
const PATH: &str = "STARLING_FULL_PATH";

/// No byte behind this one can be written, once the process has limited itself: in the midst of the
/// fifth batch.
const FILE_BYTES_MAX: u64 = 10_000_000;

const BATCH: usize = 8;

fn batch(n: usize) -> Vec<(String, Bytes)> {
    (0..BATCH)
        .map(|m| {
            (
                format!("audio/{n}/{m}"),
                Bytes::from(vec![n as u8; 300_000]),
            )
        })
        .collect()
}

fn keys(n: usize) -> Vec<String> {
    batch(n).into_iter().map(|(key, _)| key).collect()
}

/// A write that the system refuses half-way, as a disk does that fills up between two looks at it.
#[test]
fn write_that_the_disk_refuses_is_taken_back_and_the_store_recovers() {
    let directory = TempDir::new().expect("a directory");
    // A process that does not ignore the signal dies of it instead of getting the error.
    let output = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#])
        .arg(env::current_exe().expect("this binary"))
        .args(["--exact", "limited", "--ignored", "--nocapture"])
        .env(PATH, directory.path())
        .output()
        .expect("the limited process starts");
    let output = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.contains("recovered;"), "{output}");

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store = EmbeddedStore::open(Config::new(directory.path())).expect("opens");
    runtime.block_on(async {
        let written = written(&store).await;
        assert!(
            output.contains(&format!("written {written};")),
            "{written} of: {output}"
        );
        assert!(store.exists("slot/after").await.expect("reads"));
    });
}

/// Counts the batches that are there, and fails on one that is there in part.
async fn written(store: &EmbeddedStore) -> usize {
    for n in 0.. {
        let read = store.get_many(&keys(n)).await.expect("reads");
        let present = read.iter().flatten().count();
        if present == 0 {
            return n;
        }
        assert_eq!(present, BATCH, "batch {n} is there in part");
        assert!(
            read.iter()
                .flatten()
                .all(|entry| entry.value.iter().all(|b| *b == n as u8))
        );
    }
    unreachable!("the loop has no end");
}

/// Not a test: the process whose files may not grow.
#[test]
#[ignore = "the process that the other test starts"]
fn limited() {
    let Some(path) = env::var_os(PATH) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = EmbeddedStore::open(Config::new(path)).expect("opens");
        let unlimited = getrlimit(Resource::Fsize);
        let limited = Rlimit {
            current: Some(FILE_BYTES_MAX),
            ..unlimited
        };
        setrlimit(Resource::Fsize, limited).expect("a process may limit itself");
        let mut count = 0;
        let error = loop {
            match store.set_many(batch(count)).await {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
            assert!(count < 100, "the limit is never met");
        };
        println!("written {count};");
        assert!(matches!(error, Error::Full), "{error:?}");
        assert_eq!(store.stats().expect("counts").failures, 1);
        assert_eq!(
            written(&store).await,
            count,
            "the refused batch is not there"
        );

        setrlimit(Resource::Fsize, unlimited).expect("and lift its limit");
        // The store looks at the disk again a second after the failure at the earliest.
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        while let Err(error) = store.set("slot/after", text("x")).await {
            assert!(
                tokio::time::Instant::now() < patience,
                "still refused: {error:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(written(&store).await, count);
        store.close();
        println!("recovered;");
    });
}
