//! Where the checkout and what was built from it are.

use std::path::{Path, PathBuf};

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The host's binary: `STARLING_BIN`, or else `release/starling` in cargo's output folder.
///
/// # Panics
///
/// Where there is none, with how to make one.
#[must_use]
pub fn host() -> PathBuf {
    let path = std::env::var_os("STARLING_BIN")
        .map_or_else(|| target().join("release/starling"), PathBuf::from);
    assert!(
        path.is_file(),
        "no host at {}: run `cargo xtask build` first",
        path.display()
    );
    path
}

/// The chores' own program, `cargo xtask`, as it was last built.
///
/// # Panics
///
/// Where there is none, with how to make one.
#[must_use]
pub fn chores() -> PathBuf {
    let path = target().join("debug/xtask");
    assert!(
        path.is_file(),
        "no {}: run `cargo xtask build` first",
        path.display()
    );
    path
}

/// The file of a component, by its name, such as `voicemail.wasm`.
///
/// # Panics
///
/// Where there is none, with how to make one.
#[must_use]
pub fn component(file: &str) -> PathBuf {
    let path = target().join("wasm32-wasip2/release").join(file);
    assert!(
        path.is_file(),
        "no component at {}: run `cargo xtask build --tests` first",
        path.display()
    );
    path
}

/// A program of the tests that is Python, such as `schemathesis`.
///
/// # Panics
///
/// Where it is not installed, with how to install it.
#[must_use]
pub fn python(program: &str) -> PathBuf {
    let path = target().join("python/bin").join(program);
    assert!(
        path.is_file(),
        "no {program} at {}: `cargo xtask test openapi` installs it",
        path.display()
    );
    path
}

/// An empty folder of this name for this process, in cargo's output folder. Those of earlier processes go.
///
/// # Panics
///
/// Where it cannot be made.
#[must_use]
pub fn emptied(name: &str) -> PathBuf {
    let parent = target().join("tmp").join(name);
    let _ = std::fs::remove_dir_all(&parent);
    let folder = parent.join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("a folder is made");
    folder
}

/// Cargo's output folder: tests and benchmarks run from `<target>/<profile>/deps/`.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program is known");
    program
        .ancestors()
        .nth(3)
        .expect("cargo runs tests from three folders down")
        .to_owned()
}
