//! The tour of README.md, word for word: every command of it is run by bash against a real host, in the order in which a
//! reader would type them.

use std::path::Path;
use std::process::Stdio;

use starling_tests::app::App;
use starling_tests::host::PATIENCE;
use starling_tests::{paths, readme};
use tokio::process::Command;
use tokio::time::timeout;

/// The address that README.md tells its readers to use.
const ADDRESS: &str = "127.0.0.1:3000";

/// The commands of all `sh` blocks of a section.
fn commands(readme: &str, section: &str) -> Vec<String> {
    let blocks = readme::blocks(readme, section).into_iter();
    let shell = blocks.filter(|block| block.language == "sh");
    shell.map(|block| block.text).collect()
}

#[test]
fn tour_is_read_out_of_its_section_alone() {
    let readme = "# Top\n```sh\nno\n```\n## The Tour\ntext\n```sh\na \\\n  b\n```\n```json\n{}\n```\n### More\n```sh\nc\n```\n## Next\n```sh\nno\n```\n";
    assert_eq!(commands(readme, "tour"), ["a \\\n  b", "c"]);
}

/// A reader's checkout, with what is built in it. What is typed must not end up in this one.
fn checkout(app: &App) {
    let link = |from: &Path, to: &str| {
        let to = app.path(to);
        std::fs::create_dir_all(to.parent().expect("it is in a folder")).expect("a folder");
        std::os::unix::fs::symlink(from, to).expect("a link");
    };
    link(&paths::root().join("tests"), "tests");
    link(&paths::host(), "target/release/starling");
    let voicemail = "target/wasm32-wasip2/release/voicemail.wasm";
    link(&paths::component("voicemail.wasm"), voicemail);
}

/// Types blocks of commands into a shell in the reader's checkout, but for those that start a host: the host runs already,
/// or is started by the test.
async fn type_in(app: &App, blocks: &[String], address: &str) {
    let script: String = blocks
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| !line.starts_with("cargo xtask up"))
        .map(|line| format!("{line}\n"))
        .collect();
    let script = script.replace(ADDRESS, address);
    // curl fails on an answer of 400 and above only when told to; the reader's eyes do it otherwise.
    let script = format!(
        "set -euo pipefail\ncurl() {{ command curl --fail-with-body --silent --show-error \"$@\"; }}\n{script}"
    );
    let run = Command::new("bash")
        .args(["-c", &script])
        .current_dir(app.path(""))
        .env("STARLING_STATE_DIR", app.path("state"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run)
        .await
        .expect("what is typed ends")
        .expect("bash runs");
    assert!(
        output.status.success(),
        "{}\n--- of\n{script}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn tour_of_the_readme_works_word_for_word() {
    let blocks = commands(&readme::read(), "tour");
    assert!(
        blocks.len() >= 3 && blocks.concat().contains("curl"),
        "README.md has no tour in ```sh blocks: {blocks:?}"
    );
    let app = App::guarded_voicemail();
    checkout(&app);
    let host = app.launch().start().await;
    type_in(&app, &blocks, &host.address().to_string()).await;
}

#[tokio::test]
async fn new_version_of_the_readme_is_deployed_and_rolled_back_word_for_word() {
    let blocks = commands(&readme::read(), "new version");
    let [key, rest @ ..] = &blocks[..] else {
        panic!("README.md tells nobody how to deploy")
    };
    assert!(rest.concat().contains("deploy voicemail"), "{rest:?}");
    let app = App::managed_voicemail();
    checkout(&app);
    type_in(&app, std::slice::from_ref(key), ADDRESS).await;
    let config = app.path("target/deploy.toml");
    let host = app.launch().runtime_config(config).start().await;
    type_in(&app, rest, &host.address().to_string()).await;
}
