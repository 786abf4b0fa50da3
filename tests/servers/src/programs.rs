//! Where the servers' programs are.
//!
//! In this order: the file that an environment variable names, the folder that `cargo xtask servers` fills in cargo's
//! output folder, and `PATH`.

use std::env;
use std::path::{Path, PathBuf};

/// Names the file of nats-server. It must be 2.10 or later: the tests use a setting that 2.9 ignores.
pub const NATS_SERVER: &str = "STARLING_NATS_SERVER";

/// Names the file of redis-server or valkey-server.
pub const REDIS_SERVER: &str = "STARLING_REDIS_SERVER";

/// Names the file of docker-registry. It must be 2.7 or later: the first that keeps artifacts of OCI.
pub const DOCKER_REGISTRY: &str = "STARLING_DOCKER_REGISTRY";

/// The nats-server to run.
///
/// # Panics
///
/// Where there is none, with how to get one.
#[must_use]
pub fn nats_server() -> PathBuf {
    find(NATS_SERVER, &["nats-server"])
}

/// The redis-server, or else the valkey-server, to run.
///
/// # Panics
///
/// Where there is none, with how to get one.
#[must_use]
pub fn redis_server() -> PathBuf {
    find(REDIS_SERVER, &["redis-server", "valkey-server"])
}

/// The docker-registry to run.
///
/// # Panics
///
/// Where there is none, with how to get one.
#[must_use]
pub fn docker_registry() -> PathBuf {
    find(DOCKER_REGISTRY, &["docker-registry"])
}

fn find(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "{variable} names {}, which is no file",
            path.display()
        );
        return path;
    }
    // What `cargo xtask servers` provides comes before what happens to be installed: it has checked the version.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::iter::once(target().join("tools/bin"))
        .chain(env::split_paths(&path))
        .collect();
    in_folders(&folders, names).unwrap_or_else(|| {
        panic!(
            "no {} in target/tools/bin or on PATH: run `cargo xtask servers`, which provides it, or set {variable}",
            names.join(" or ")
        )
    })
}

/// The first of `names` that is a file in the first of `folders` that has any.
fn in_folders(folders: &[PathBuf], names: &[&str]) -> Option<PathBuf> {
    folders
        .iter()
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file())
}

/// Cargo's output folder: tests run from `<target>/<profile>/deps/`.
fn target() -> PathBuf {
    let program = env::current_exe().expect("the path of this program is known");
    program
        .ancestors()
        .nth(3)
        .unwrap_or(Path::new("."))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_folder_wins_over_an_earlier_name() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["one", "two"].map(|name| root.path().join(name));
        for (folder, name) in folders.iter().zip(["b", "a"]) {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(
            in_folders(&folders, &["a", "b"]),
            Some(folders[0].join("b"))
        );
        assert_eq!(in_folders(&folders, &["a"]), Some(folders[1].join("a")));
        assert_eq!(in_folders(&folders, &["c"]), None);
    }
}
