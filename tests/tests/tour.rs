//! The tour of README.md, word for word: every command of it is run by bash against a real host, in the order in which a
//! reader would type them.

use std::process::Stdio;

use starling_tests::app::App;
use starling_tests::host::PATIENCE;
use starling_tests::{paths, readme};
use tokio::process::Command;
use tokio::time::timeout;

/// The address that README.md tells its readers to use.
const ADDRESS: &str = "127.0.0.1:3000";

/// The commands of all `sh` blocks of the tour.
fn tour(readme: &str) -> Vec<String> {
    let blocks = readme::blocks(readme, "tour").into_iter();
    let shell = blocks.filter(|block| block.language == "sh");
    shell.map(|block| block.text).collect()
}

#[test]
fn tour_is_read_out_of_its_section_alone() {
    let readme = "# Top\n```sh\nno\n```\n## The Tour\ntext\n```sh\na \\\n  b\n```\n```json\n{}\n```\n### More\n```sh\nc\n```\n## Next\n```sh\nno\n```\n";
    assert_eq!(tour(readme), ["a \\\n  b", "c"]);
}

#[tokio::test]
async fn tour_of_the_readme_works_word_for_word() {
    let commands = tour(&readme::read());
    assert!(
        commands.len() >= 3,
        "README.md has no tour in ```sh blocks: {commands:?}"
    );

    let app = App::guarded_voicemail();
    let host = app.launch().start().await;
    // The reader has `cargo xtask up` running in another terminal; here the host runs already.
    let script: String = commands
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| !line.starts_with("cargo xtask up"))
        .map(|line| format!("{line}\n"))
        .collect();
    let script = script.replace(ADDRESS, &host.address().to_string());
    assert!(script.contains("curl"), "the tour does nothing");
    // curl fails on an answer of 400 and above only when told to; the reader's eyes do it otherwise.
    let script = format!(
        "set -euo pipefail\ncurl() {{ command curl --fail-with-body --silent --show-error \"$@\"; }}\n{script}"
    );
    // The reader is in the checkout; what the tour writes must not end up there.
    std::os::unix::fs::symlink(paths::root().join("tests"), app.path("tests")).expect("a link");
    std::fs::create_dir_all(app.path("target/release")).expect("a folder");
    std::os::unix::fs::symlink(paths::host(), app.path("target/release/starling")).expect("a link");

    let run = Command::new("bash")
        .args(["-c", &script])
        .current_dir(app.path(""))
        .env("STARLING_STATE_DIR", app.path("state"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run)
        .await
        .expect("the tour ends")
        .expect("bash runs");
    assert!(
        output.status.success(),
        "{}\n--- of\n{script}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
