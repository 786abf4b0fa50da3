//! Disks that are full, read-only or damaged: said clearly, and what was acknowledged stays.

use std::path::{Path, PathBuf};

use starling_tests::app::App;
use starling_tests::audio;
use starling_tests::client::Call;
use starling_tests::host::{Host, Launch};
use starling_tests::mailbox::{Mailbox, created_id};

/// Starts the host with a small file system of its own in the place of its state directory, which needs a mount
/// namespace and no privilege. `options` are those of mount.
fn on_own_disk(launch: Launch, options: &str) -> Launch {
    let state = launch.state().to_owned();
    std::fs::create_dir_all(&state).unwrap();
    // `exec "$@"`: the host takes the place of the shell, so the process to be signalled is the host.
    let script = format!(
        "mount -t tmpfs -o {options} none {} && exec \"$@\"",
        quoted(&state)
    );
    launch.through([
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        "sh",
    ])
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// Whether this machine lets its users make mount namespaces. Containers often do not.
fn namespaces_work() -> bool {
    let status = std::process::Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "none",
            "/mnt",
        ])
        .stderr(std::process::Stdio::null())
        .status();
    let work = status.is_ok_and(|status| status.success());
    if !work {
        println!("not tested: this machine lets no user mount a file system of their own");
    }
    work
}

/// Deposits until one is refused, and returns the ids of the others.
async fn fill(host: &Host, mailbox: &Mailbox, deposits_max: u64) -> Vec<String> {
    let mut left = Vec::new();
    for number in 0..deposits_max {
        let wav = audio::tagged(audio::long_speech(), number);
        let answer = mailbox.deposit(wav).send(host).await;
        if answer.status != 201 {
            let problem = answer.problem(answer.status.as_u16());
            assert!(matches!(answer.status.as_u16(), 503 | 507), "{problem}");
            return left;
        }
        left.push(created_id(&answer));
    }
    panic!("{deposits_max} deposits and the disk is still not full");
}

#[tokio::test]
async fn full_disk_refuses_deposits_and_keeps_what_it_has() {
    if !namespaces_work() {
        return;
    }
    let app = App::voicemail();
    // The store keeps some space free for its own housekeeping; here it may use nearly all.
    let config = "[key_value_store.default]\ntype = \"embedded\"\nfree_bytes_min = 1048576\n";
    let host = on_own_disk(app.launch_with(config), "size=200m")
        .start()
        .await;
    let mailbox = Mailbox::create(&host, "anna").await;
    let left = fill(&host, &mailbox, 1000).await;
    assert!(!left.is_empty(), "not one deposit fits");
    for (number, id) in left.iter().enumerate() {
        let expected = audio::tagged(audio::long_speech(), number as u64);
        assert!(
            mailbox.fetch(&host, id).await == expected,
            "deposit {number} differs"
        );
    }
    let mut listed = mailbox.ids(&host, "inbox").await;
    listed.reverse();
    assert_eq!(listed, left);
}

#[tokio::test]
async fn read_only_disk_is_refused_at_the_start() {
    if !namespaces_work() {
        return;
    }
    let app = App::guest();
    on_own_disk(app.launch(), "ro,size=1m")
        .refused()
        .await
        .names(&["state", "--state-dir"]);
}

#[tokio::test]
async fn state_directory_below_a_file_is_refused() {
    let app = App::guest();
    app.write("file", "not a folder");
    let launch = Launch::new(app.path("spin.toml"), app.path("file/state"));
    launch.refused().await.names(&["file/state", "--state-dir"]);
}

/// Every file below `folder` that holds something.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copied = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            std::fs::copy(&path, copied).unwrap();
        }
    }
}

/// Damage is never served as data: a host on a damaged store refuses to start, or starts and answers with every value
/// as it was set or with an error.
#[tokio::test]
async fn damaged_store_is_never_taken_for_data() {
    const KEYS: usize = 40;
    let app = App::guest();
    let host = app.launch().start().await;
    let value = |n: usize| format!("value {n} ").repeat(20_000);
    for n in 0..KEYS {
        Call::put(format!("/kv/default/key-{n}"))
            .body(value(n))
            .send(&host)
            .await
            .expect(200);
    }
    let launch = host.stop().await;
    let (store, whole) = (app.path("state/stores/default"), app.path("whole"));
    copy(&store, &whole);

    let files = files(&whole);
    assert!(!files.is_empty(), "the store is elsewhere");
    for file in files {
        std::fs::remove_dir_all(&store).unwrap();
        copy(&whole, &store);
        let name = file.strip_prefix(&whole).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        // Where there is data: the tail of a file that was allocated ahead is zeros.
        let data = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for at in [data / 4, data / 2] {
            bytes[at] ^= 0x55;
        }
        std::fs::write(store.join(name), bytes).unwrap();
        match launch.attempt().await {
            Err(refusal) => refusal.names(&["default"]),
            Ok(host) => {
                for n in 0..KEYS {
                    let answer = Call::get(format!("/kv/default/key-{n}")).send(&host).await;
                    let (status, name) = (answer.status.as_u16(), name.display());
                    match status {
                        200 => assert!(answer.text() == value(n), "{name}: key-{n} is wrong"),
                        404 => panic!("{name}: key-{n} was acknowledged and is silently gone"),
                        _ => assert!(status >= 500, "{name}: key-{n}: {status}"),
                    }
                }
                host.kill().await;
            }
        }
    }
}
