//! What compiles the guests: rustup's standard library for wasm32-wasip2, or one built from Debian's source.
//!
//! rustup is the normal way. Some machines reach a Debian mirror but not the servers of rustup; there, Debian's own
//! compiler builds the standard library along with the guest. That needs three things that a compiler of Debian's
//! does not bring: permission to use an unstable cargo flag, the linker that rustup ships for its native target, and the
//! C library to link against. Nothing of this is written to rust-toolchain.toml: a `targets` line there would make
//! rustup fetch at every cargo command, needed or not.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::step::{self, Failure};
use crate::workspace::{GUEST_TARGET, Guest, Workspace};

/// The environment variable that forces a way.
const VARIABLE: &str = "STARLING_GUEST_TOOLCHAIN";

/// Compiler, cargo, standard library source and C library; `cargo xtask help build` lists them too.
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "wasi-libc"];

/// Where Debian's wasi-libc puts libc.a and the start-up objects.
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// How guests are built. The host is built quickly, guests are built small and fast: they are compiled once more, to
/// native code, at every point of presence. Set here and not in Cargo.toml because a profile there would also rule the
/// host's release build, and link-time optimisation of wasmtime takes minutes.
const GUEST_PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
];

/// A way to compile guests that is ready for use.
pub(crate) enum Toolchain {
    /// The toolchain in use has the target.
    Rustup,
    /// Debian's compiler, with this linker of rustup's.
    Debian {
        /// wasm-component-ld.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Finds a way to compile guests, and installs what it lacks after saying so.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an unknown value of `STARLING_GUEST_TOOLCHAIN`; otherwise whatever stopped the last way
    /// tried, with what to do.
    pub(crate) fn prepare() -> Result<Self, Failure> {
        let wish = Wish::from_variable(env::var_os(VARIABLE))?;
        if wish != Wish::Debian && target_is_installed() {
            return Ok(Self::Rustup);
        }
        // Installed by an earlier run: use them rather than ask rustup, in vain, every time.
        let debian_is_ready = debian::has_apt()
            && debian::missing(DEBIAN_PACKAGES).is_empty()
            && wish != Wish::Rustup;
        if !debian_is_ready && wish != Wish::Debian {
            match add_target() {
                Ok(()) => return Ok(Self::Rustup),
                Err(failure) if wish == Wish::Rustup || !debian::is_debian() => {
                    step::report(&failure);
                    return Err(no_way());
                }
                Err(_) => step::note("that did not work; next, the packages of Debian"),
            }
        }
        Self::prepare_debian()
    }

    /// Builds `guest` and leaves it where [`Workspace::guest`] says.
    ///
    /// # Errors
    ///
    /// [`Failure::Step`] where it does not compile.
    pub(crate) fn build(&self, workspace: &Workspace, guest: &Guest) -> Result<(), Failure> {
        let mut cargo = match self {
            Self::Rustup => workspace.cargo(),
            Self::Debian { linker } => debian_cargo(workspace, linker),
        };
        // `rustc --crate-type`: a package that is a library for tests as well gets no link-time optimisation otherwise.
        cargo.args([
            "rustc",
            "--release",
            "--target",
            GUEST_TARGET,
            "-p",
            guest.package,
        ]);
        cargo.args(["--lib", "--crate-type", "cdylib"]);
        // Flags of this machine's own (a native linker, a processor) mean nothing to WebAssembly.
        cargo
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo.envs(GUEST_PROFILE.iter().copied());
        if let Self::Debian { .. } = self {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        step::run(&format!("Building {}", guest.file), &mut cargo)?;
        if let Self::Debian { .. } = self {
            let built = debian_target(workspace)
                .join(GUEST_TARGET)
                .join("release")
                .join(guest.file);
            publish(&built, &workspace.guest(guest))?;
        }
        Ok(())
    }

    /// One line for people.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Rustup => "the wasm32-wasip2 target of the Rust toolchain in use",
            Self::Debian { .. } => {
                "Debian's rustc-web, with the standard library built from rust-web-src"
            }
        }
    }

    fn prepare_debian() -> Result<Self, Failure> {
        if !debian::has_apt() {
            return Err(no_way());
        }
        debian::install("The guest toolchain", DEBIAN_PACKAGES)?;
        let linker = rustup_linker()?;
        Ok(Self::Debian { linker })
    }
}

/// What `STARLING_GUEST_TOOLCHAIN` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Auto,
    Rustup,
    Debian,
}

impl Wish {
    fn from_variable(value: Option<OsString>) -> Result<Self, Failure> {
        let value = value.unwrap_or_default();
        match value.to_str() {
            Some("" | "auto") => Ok(Self::Auto),
            Some("rustup") => Ok(Self::Rustup),
            Some("debian") => Ok(Self::Debian),
            _ => Err(Failure::Usage(format!(
                "{VARIABLE} is `{}`; it may be auto, rustup or debian",
                value.to_string_lossy()
            ))),
        }
    }
}

/// Looks for the files rather than asking rustup: a toolchain may have been installed without it.
fn target_is_installed() -> bool {
    let library = |sysroot: PathBuf| sysroot.join("lib/rustlib").join(GUEST_TARGET).join("lib");
    let files = sysroot().and_then(|sysroot| std::fs::read_dir(library(sysroot)).ok());
    files.is_some_and(|mut files| files.next().is_some())
}

/// Where the toolchain in use keeps its libraries.
fn sysroot() -> Option<PathBuf> {
    step::ask(Command::new("rustc").args(["--print", "sysroot"])).map(PathBuf::from)
}

fn add_target() -> Result<(), Failure> {
    step::run(
        "The guest toolchain: adding the target wasm32-wasip2 with rustup",
        Command::new("rustup").args(["target", "add", GUEST_TARGET]),
    )
}

fn no_way() -> Failure {
    Failure::Message(format!(
        "no way to compile for {GUEST_TARGET} on this machine. Either make\n    \
         rustup target add {GUEST_TARGET}\n  \
         work, or use Debian 12 or later, where this program installs {}",
        DEBIAN_PACKAGES.join(" ")
    ))
}

// === The Debian way ===

/// rustup's wasm-component-ld, which ships with its native target and turns what `wasm-ld` links into a component.
fn rustup_linker() -> Result<PathBuf, Failure> {
    let linker = || {
        let sysroot = sysroot()?;
        let version = step::ask(Command::new("rustc").arg("-vV"))?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))?;
        let linker = sysroot
            .join("lib/rustlib")
            .join(host)
            .join("bin/wasm-component-ld");
        linker.is_file().then_some(linker)
    };
    linker().ok_or_else(|| {
        Failure::Message(
            "the linker wasm-component-ld is missing: it comes with every toolchain that rustup installs, \
             and Debian does not package it. Install Rust with rustup, then run the same again"
                .to_owned(),
        )
    })
}

/// Debian's cargo and rustc, told to build the standard library too, kept apart from rustup's.
fn debian_cargo(workspace: &Workspace, linker: &Path) -> Command {
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(&workspace.root);
    // Left over from the rustup cargo that started this program; each would mix two toolchains.
    for name in [
        "CARGO",
        "LD_LIBRARY_PATH",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTUP_TOOLCHAIN",
    ] {
        cargo.env_remove(name);
    }
    let tools = linker.parent().unwrap_or(Path::new("."));
    // The linker looks for `wasm-ld`, which is in gcc-ld and in turn looks for `rust-lld` beside that folder.
    let path = [
        tools.to_owned(),
        tools.join("gcc-ld"),
        PathBuf::from("/usr/bin"),
        PathBuf::from("/bin"),
    ];
    let path = env::join_paths(path).unwrap_or_default();
    cargo
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTDOC", "/usr/bin/rustdoc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", debian_target(workspace))
        .env("CARGO_TARGET_WASM32_WASIP2_LINKER", linker)
        .env(
            "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
            format!("-L native={DEBIAN_LIBC}"),
        );
    cargo
}

/// A target folder of its own: the two compilers must not discard each other's work.
fn debian_target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("guests-debian")
}

/// Copies `built` to `path` in one step. Never writes into an existing file: it may be a hard link to an artifact that
/// rustup's cargo believes to know. Leaves a file of the same content alone, with its time.
fn publish(built: &Path, path: &Path) -> Result<(), Failure> {
    let put = || -> std::io::Result<()> {
        let bytes = std::fs::read(built)?;
        if std::fs::read(path).is_ok_and(|present| present == bytes) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let partial = path.with_extension("wasm.partial");
        std::fs::write(&partial, bytes)?;
        std::fs::rename(partial, path)
    };
    put().map_err(|error| {
        Failure::Message(format!(
            "copying {} to {}: {error}",
            built.display(),
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_takes_three_words_and_names_them_to_others() {
        let check = |value: Option<&str>, expected| {
            assert_eq!(
                Wish::from_variable(value.map(OsString::from)).unwrap(),
                expected
            );
        };
        check(None, Wish::Auto);
        check(Some(""), Wish::Auto);
        check(Some("auto"), Wish::Auto);
        check(Some("rustup"), Wish::Rustup);
        check(Some("debian"), Wish::Debian);
        let Err(Failure::Usage(message)) = Wish::from_variable(Some("docker".into())) else {
            panic!("docker is no way");
        };
        assert!(
            message.contains("`docker`; it may be auto, rustup or debian"),
            "{message}"
        );
    }

    #[test]
    fn publishing_replaces_a_file_without_writing_into_its_hard_links() {
        let folder = env::temp_dir().join(format!("xtask-publish-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (built, linked, path) = (
            folder.join("built"),
            folder.join("linked"),
            folder.join("out/a.wasm"),
        );
        std::fs::write(&built, "new").unwrap();
        std::fs::write(&linked, "old").unwrap();
        std::fs::create_dir_all(folder.join("out")).unwrap();
        std::fs::hard_link(&linked, &path).unwrap();
        publish(&built, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read(&linked).unwrap(), b"old");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
