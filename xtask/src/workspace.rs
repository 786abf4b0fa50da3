//! Where things are, and which packages are guests.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{self, Failure};

/// The target that components are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// A package that becomes a component.
pub(crate) struct Guest {
    /// The cargo package.
    pub(crate) package: &'static str,
    /// The file that cargo makes of it.
    pub(crate) file: &'static str,
}

/// The components that are shipped.
pub(crate) const GUESTS: &[Guest] = &[
    Guest {
        package: "starling-voicemail",
        file: "voicemail.wasm",
    },
    Guest {
        package: "starling-management",
        file: "management.wasm",
    },
];

/// The components that only tests run.
pub(crate) const TEST_GUESTS: &[Guest] = &[
    Guest {
        package: "starling-hello",
        file: "hello.wasm",
    },
    Guest {
        package: "starling-test-guest",
        file: "test_guest.wasm",
    },
];

/// The checkout and cargo's output folder.
pub(crate) struct Workspace {
    /// The folder of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's output folder: `target`, unless configured otherwise.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this program was compiled from.
    ///
    /// # Errors
    ///
    /// [`Failure::Step`] where cargo cannot read the workspace.
    pub(crate) fn find() -> Result<Self, Failure> {
        let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest_dir.parent().unwrap_or(manifest_dir).to_owned();
        let mut metadata = Command::new("cargo");
        metadata
            .args(["metadata", "--format-version=1", "--no-deps"])
            .current_dir(&root);
        let target = step::ask(&mut metadata)
            .as_deref()
            .and_then(target_directory)
            .ok_or_else(|| Failure::Step {
                what: "reading the workspace".to_owned(),
                how: "cargo did not describe it".to_owned(),
                rerun: step::shell_line(&metadata),
            })?;
        Ok(Self { root, target })
    }

    /// `cargo` with the workspace as its folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root);
        // What cargo tells xtask of itself is nothing to the packages below. Some ask to be compiled anew when it
        // changes (ring), and with them all that depends on them: whenever xtask and a shell's cargo took turns.
        for (name, _) in std::env::vars_os() {
            let of_xtask = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
            });
            if of_xtask {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// The host's binary.
    pub(crate) fn host(&self) -> PathBuf {
        self.target.join("release/starling")
    }

    /// The file of a guest, wherever its toolchain built it first.
    pub(crate) fn guest(&self, guest: &Guest) -> PathBuf {
        self.target
            .join(GUEST_TARGET)
            .join("release")
            .join(guest.file)
    }

    /// `path` as people like to read it: from the root where it is below the root.
    pub(crate) fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// Prints the path and size of a file that a build made.
    ///
    /// # Errors
    ///
    /// [`Failure::Message`] where the file is not there.
    pub(crate) fn print_output(&self, path: &Path) -> Result<(), Failure> {
        let length = std::fs::metadata(path)
            .map_err(|error| {
                let path = path.display();
                Failure::Message(format!("the build succeeded but left no {path}: {error}"))
            })?
            .len();
        let path = self.relative(path).display();
        step::note(&format!("{path}  {}", Size(length)));
        Ok(())
    }
}

/// A number of bytes, printed in KiB or MiB.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = self.0.div_ceil(1024);
        if kib < 1024 {
            write!(f, "{kib} KiB")
        } else {
            write!(f, "{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
        }
    }
}

/// The one member that matters of what `cargo metadata` prints. JSON strings may hold escapes; a path with a quote or
/// a backslash in it is not worth a JSON parser here and counts as not found.
fn target_directory(metadata: &str) -> Option<PathBuf> {
    const MEMBER: &str = r#""target_directory":""#;
    let start = metadata.rfind(MEMBER)? + MEMBER.len();
    let length = metadata[start..].find(['"', '\\'])?;
    let path = &metadata[start..start + length];
    metadata[start + length..]
        .starts_with('"')
        .then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_directory_is_read_from_metadata() {
        let check = |metadata: &str, expected: Option<&str>| {
            assert_eq!(
                target_directory(metadata).as_deref(),
                expected.map(Path::new),
                "{metadata}"
            );
        };
        check(
            r#"{"packages":[],"target_directory":"/a/b c","version":1}"#,
            Some("/a/b c"),
        );
        check(r#"{"packages":[],"version":1}"#, None);
        check(r#"{"target_directory":"/a\"b"}"#, None);
        check(r#"{"target_directory":"/a"#, None);
    }

    #[test]
    fn sizes_are_rounded_for_people() {
        let check = |bytes, expected| assert_eq!(Size(bytes).to_string(), expected);
        check(0, "0 KiB");
        check(1, "1 KiB");
        check(400 * 1024, "400 KiB");
        check(1024 * 1024, "1.0 MiB");
        check(23 * 1024 * 1024 + 600 * 1024, "23.5 MiB");
    }

    #[test]
    fn this_workspace_is_found() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root.join("xtask/Cargo.toml").is_file());
        assert!(workspace.target.is_absolute());
    }
}
