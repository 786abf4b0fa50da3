//! Components compiled once for all tests of a run: each host would otherwise spend seconds on it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::paths;

/// What a host keeps of compiled components, in its state directory.
const CACHE: &str = "cache";

/// Gives a host that keeps its state in `state` what another has compiled of this manifest's components.
///
/// # Panics
///
/// Where it cannot be compiled or copied.
pub fn share(manifest: &Path, state: &Path) {
    static COMPILED: Mutex<BTreeMap<Vec<PathBuf>, PathBuf>> = Mutex::new(BTreeMap::new());
    let components = components(manifest);
    let mut known = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let folders = known.len();
    let compiled = known.entry(components).or_insert_with(|| {
        let state = paths::emptied(&format!("compiled-{folders}"));
        compile(manifest, &state);
        state.join(CACHE)
    });
    let cache = state.join(CACHE);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&cache)
        .expect("the state's folder is made");
    for file in std::fs::read_dir(compiled).expect("there is compiled code") {
        let file = file.expect("it can be listed");
        std::fs::copy(file.path(), cache.join(file.file_name())).expect("it can be copied");
    }
}

/// The files that a manifest names.
fn components(manifest: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(manifest).expect("a manifest is readable");
    let words = text.split('"').filter(|word| word.ends_with(".wasm"));
    words.map(PathBuf::from).collect()
}

/// Runs a host for as long as it takes to serve.
fn compile(manifest: &Path, state: &Path) {
    let mut host = Command::new(paths::host())
        .arg("up")
        .arg("-f")
        .arg(manifest)
        .args(["--listen", "127.0.0.1:0", "--insecure-open", "--state-dir"])
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a host starts");
    let stdout = host.stdout.take().expect("its output is piped");
    let serves = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .any(|line| line.starts_with("Serving"));
    host.kill().expect("it can be ended");
    host.wait().expect("it ends");
    assert!(serves, "the host that compiles does not serve");
}
