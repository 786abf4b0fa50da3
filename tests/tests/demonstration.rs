//! `cargo xtask regions`: what README.md tells to do with several regions, word for word; and that nothing of it stays
//! behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use starling_tests::host::PATIENCE;
use starling_tests::{paths, readme};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

/// How long to wait before something is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// A program that reads what is typed, and its output.
struct Terminal {
    child: Child,
    typed: ChildStdin,
    output: PathBuf,
}

impl Terminal {
    fn open(command: &mut Command, folder: &Path, output: PathBuf) -> Self {
        let file = File::create(&output).expect("a file for the output");
        let twin = file.try_clone().expect("a handle can be duplicated");
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(twin)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let typed = child.stdin.take().expect("it is piped");
        Self {
            child,
            typed,
            output,
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.output).expect("the output is text")
    }

    /// Types lines, and waits until something is said that was not before. What was said since.
    async fn enter(&mut self, lines: &str, until: &str) -> String {
        let before = self.said().len();
        let lines = format!("{lines}\n");
        self.typed
            .write_all(lines.as_bytes())
            .await
            .unwrap_or_else(|error| panic!("{error}, after\n{}", self.said()));
        self.says(before, until).await
    }

    /// Waits until something is said after the first `before` bytes.
    async fn says(&mut self, before: usize, until: &str) -> String {
        let wait = async {
            loop {
                // Looked at in this order, what was said last is not overlooked.
                let ended = self.child.try_wait().expect("its status is readable");
                let said = self.said().split_off(before);
                if said.contains(until) {
                    return said;
                }
                if let Some(status) = ended {
                    panic!(
                        "it ends with {status} before it says {until:?}\n{}",
                        self.said()
                    );
                }
                sleep(POLL).await;
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(said) => said,
            Err(_) => panic!("{until:?} is never said\n{}", self.said()),
        }
    }

    /// Sends a signal to it, and waits until it is gone. Its exit code.
    async fn end(&mut self, signal: Signal) -> Option<i32> {
        let id = self.child.id().expect("it runs");
        let id = Pid::from_raw(id.cast_signed()).expect("a process id is not 0");
        kill_process(id, signal).expect("it can be signalled");
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.expect("its status is readable").code(),
            Err(_) => panic!("it does not end\n{}", self.said()),
        }
    }
}

/// `cargo xtask regions`, with `arguments`, in `folder`: what is built already, on free ports.
async fn regions(arguments: &[&str], folder: &Path) -> Terminal {
    let mut command = Command::new(paths::chores());
    command
        .arg("regions")
        .args(arguments)
        .args(["--no-build", "--base-port", "0"])
        .args(["--folder", "target/regions"]);
    let mut terminal = Terminal::open(&mut command, folder, folder.join("regions.out"));
    terminal.says(0, "Serving; ").await;
    terminal
}

/// A folder like a checkout, for what is to be typed in one.
fn checkout() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("starling-")
        .tempdir()
        .expect("a temporary folder");
    let link = |to: PathBuf, name: &str| {
        std::os::unix::fs::symlink(to, folder.path().join(name)).expect("a link");
    };
    std::fs::create_dir_all(folder.path().join("target/release")).expect("a folder");
    link(paths::host(), "target/release/starling");
    link(paths::root().join("tests"), "tests");
    folder
}

/// The addresses that README.md tells its readers to use, and those that were printed.
fn addresses(printed: &str) -> Vec<(String, String)> {
    let mut regions: Vec<&str> = Vec::new();
    let mut addresses = Vec::new();
    for line in printed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[region, "host", host, url] = words.as_slice() else {
            continue;
        };
        if !regions.contains(&region) {
            regions.push(region);
        }
        let host: usize = host.parse().expect("a number");
        let documented = 3100 + 10 * (regions.len() - 1) + host;
        addresses.push((format!("http://127.0.0.1:{documented}/"), format!("{url}/")));
    }
    addresses
}

/// The processes of all hosts, as they have written them down.
fn hosts(folder: &Path) -> Vec<Pid> {
    let below = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("there is a folder");
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
    };
    let states =
        below(&folder.join("target/regions")).flat_map(|region| below(&region).collect::<Vec<_>>());
    states
        .filter_map(|state| std::fs::read_to_string(state.join("lock")).ok())
        .filter_map(|id| Pid::from_raw(id.trim().parse().expect("a process id")))
        .collect()
}

/// Waits until processes are gone.
async fn gone(processes: &[Pid]) {
    let wait = async {
        while processes
            .iter()
            .any(|process| rustix::process::test_kill_process(*process).is_ok())
        {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("all processes end");
}

#[test]
fn documented_addresses_become_those_that_were_printed() {
    let printed = "==> Starting\n  eu  host 0  http://127.0.0.1:4001\n  eu  NATS    nats://127.0.0.1:4002\n  \
                   us  host 0  http://127.0.0.1:4003\n  us  host 1  http://127.0.0.1:4004\n";
    let pair = |one: u16, other: u16| {
        (
            format!("http://127.0.0.1:{one}/"),
            format!("http://127.0.0.1:{other}/"),
        )
    };
    assert_eq!(
        addresses(printed),
        [pair(3100, 4001), pair(3110, 4003), pair(3111, 4004)]
    );
}

#[tokio::test]
async fn regions_of_the_readme_work_word_for_word() {
    let blocks = readme::blocks(&readme::read(), "several regions");
    let [start, commands @ ..] = blocks.as_slice() else {
        panic!("README.md has no section about several regions");
    };
    let arguments: Vec<&str> = start.text.split_whitespace().collect();
    let ["cargo", "xtask", "regions", arguments @ ..] = arguments.as_slice() else {
        panic!("the section begins with {}", start.text);
    };
    let folder = checkout();
    let mut first = regions(arguments, folder.path()).await;
    let addresses = addresses(&first.said());
    assert_eq!(addresses.len(), 6, "{}", first.said());

    let mut second = Terminal::open(
        Command::new("bash")
            .arg("-s")
            .env_remove("STARLING_STATE_DIR"),
        folder.path(),
        folder.path().join("bash.out"),
    );
    // curl fails on an answer of 400 and above only when told to; the reader's eyes do it otherwise. It is not to eat what
    // is typed after it.
    let eyes = "set -euo pipefail\ncurl() { command curl --fail-with-body --silent --show-error \"$@\" < /dev/null; }";
    let mut last = second
        .enter(&format!("{eyes}\necho ready"), "ready\n")
        .await;
    for (number, block) in commands.iter().enumerate() {
        if block.language == "text" {
            let done = match block.text.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["kill", region] => format!("{region}: killed its NATS server and 2 hosts\n"),
                ["start", region] => format!("{region}: started\n"),
                other => panic!("how does one see that {other:?} is done?"),
            };
            first.enter(&block.text, &done).await;
            continue;
        }
        assert_eq!(block.language, "sh");
        let mut script = block.text.clone();
        for (documented, printed) in &addresses {
            script = script.replace(documented, printed);
        }
        let mark = format!("--- {number} is done");
        last = second
            .enter(
                &format!("{script}\necho; echo '{mark}'"),
                &format!("\n{mark}\n"),
            )
            .await;
    }
    let listed = last
        .lines()
        .find(|line| line.starts_with('{'))
        .unwrap_or_default();
    let listed: Value =
        serde_json::from_str(listed).unwrap_or_else(|error| panic!("{error}: {last}"));
    let regions: Vec<_> = listed["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|message| &message["region"])
        .collect();
    assert_eq!(regions, ["us", "eu"], "{last}");

    let hosts = hosts(folder.path());
    assert_eq!(hosts.len(), 6);
    assert_eq!(first.end(Signal::TERM).await, Some(0), "{}", first.said());
    assert!(first.said().ends_with("Stopped.\n"), "{}", first.said());
    gone(&hosts).await;
}

#[tokio::test]
async fn regions_end_with_the_program_that_runs_them() {
    let folder = checkout();
    let mut terminal = regions(
        &["--regions", "eu", "--hosts-per-region", "1"],
        folder.path(),
    )
    .await;
    let hosts = hosts(folder.path());
    assert_eq!(hosts.len(), 1);
    terminal.end(Signal::KILL).await;
    gone(&hosts).await;
    let stopped = async {
        while !terminal.said().ends_with("Stopped.\n") {
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, stopped)
        .await
        .expect("it stops by itself");
}
