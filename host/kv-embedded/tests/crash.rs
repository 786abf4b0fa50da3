//! What was acknowledged is there after the process is killed, at whatever point.
//!
//! The test runs its own binary again as the process that is killed.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use starling_kv::Store;
use starling_kv_embedded::{Config, EmbeddedStore};
use tempfile::TempDir;

/// Tells the binary that it is the process to be killed, and where its store is.
const PATH: &str = "STARLING_CRASH_PATH";
/// The number of the first write, so that each round writes new keys.
const FIRST: &str = "STARLING_CRASH_FIRST";

const ROUNDS: u64 = 10;
const WRITERS: u64 = 4;

/// The two keys that write number `n` writes in one batch, with what it writes to them. Some are
/// slots, some are audio, and each is made of its number over and over.
fn entries(n: u64) -> Vec<(String, Bytes)> {
    let bytes = [40, 4_000, 20_000, 100_000][(n % 4) as usize];
    let value: Vec<u8> = (0..bytes)
        .map(|at| (n.wrapping_mul(31) + at) as u8)
        .collect();
    let value = Bytes::from(value);
    vec![
        (format!("crash/{n}/a"), value.clone()),
        (format!("crash/{n}/b"), value),
    ]
}

#[test]
fn acknowledged_writes_survive_a_kill_and_no_write_is_torn() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut acknowledged = Vec::new();
    let mut first = 0;
    for round in 0..ROUNDS {
        // Anything from a few writes to enough for tables to be written out.
        let killed_after = 5 + round * round * 3;
        let (acked, last) = write_until_killed(&path, first, killed_after);
        assert!(acked.len() as u64 >= killed_after, "round {round}");
        acknowledged.extend(acked);
        first = last + 1_000;
        runtime.block_on(check(&path, &acknowledged, first));
    }
}

/// Starts the writer, kills it after it acknowledged this many writes, and returns all that it
/// acknowledged, and the highest of them.
fn write_until_killed(path: &Path, first: u64, killed_after: u64) -> (Vec<u64>, u64) {
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(PATH, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut acknowledged = Vec::new();
    for line in output.lines() {
        let line = line.expect("its output is text");
        // The test harness prints lines of its own, the last one may be cut off.
        let Some(n) = line
            .strip_prefix("ack ")
            .and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        acknowledged.push(n.parse().expect("a number"));
        if acknowledged.len() as u64 == killed_after {
            child.kill().expect("the writer can be killed");
        }
    }
    let status = child.wait().expect("the writer ended");
    assert_eq!(status.code(), None, "the writer ended by itself: {status}");
    let last = acknowledged.iter().copied().max().unwrap_or(first);
    (acknowledged, last)
}

/// Opens the store and looks for every write.
async fn check(path: &Path, acknowledged: &[u64], below: u64) {
    let store = EmbeddedStore::open(Config::new(path)).expect("opens after a kill");
    for &n in acknowledged {
        for (key, value) in entries(n) {
            let entry = store.get(&key).await.expect("reads");
            let entry = entry.unwrap_or_else(|| panic!("{key} was acknowledged and is gone"));
            assert!(
                entry.value == value,
                "{key} was acknowledged and has other bytes"
            );
        }
    }
    // What was not acknowledged may be there, but then whole.
    let mut found: BTreeMap<u64, usize> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store
            .list("crash/", after.as_deref(), 1000)
            .await
            .expect("lists");
        for key in page.keys {
            let n = key
                .split('/')
                .nth(1)
                .and_then(|n| n.parse().ok())
                .expect("one of our keys");
            *found.entry(n).or_default() += 1;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    for (n, count) in found {
        assert!(n < below, "write {n} was never begun");
        assert_eq!(count, 2, "write {n} was torn");
        for (key, value) in entries(n) {
            assert!(store.get(&key).await.expect("reads").expect("listed").value == value);
        }
    }
}

/// Not a test: what is killed. It writes and says so until then.
#[test]
#[ignore = "the process that the other test kills"]
fn writer() {
    let Some(path) = env::var_os(PATH) else {
        return;
    };
    let first: u64 = env::var(FIRST)
        .expect("set with the path")
        .parse()
        .expect("a number");
    let store = Arc::new(EmbeddedStore::open(Config::new(path)).expect("opens"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            runtime.spawn(async move {
                for n in (first + writer..).step_by(WRITERS as usize) {
                    store.set_many(entries(n)).await.expect("writes");
                    // One call, so that a line is there whole or not at all.
                    let line = format!("ack {n};\n");
                    std::io::stdout()
                        .write_all(line.as_bytes())
                        .expect("the parent reads");
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for writer in writers {
            writer.await.expect("writes for ever");
        }
    });
}
