//! `cargo xtask test`: everything that must hold before a change is merged.
//!
//! wasmtime is the one large dependency and takes minutes to compile, so it is compiled for one profile: packages
//! that link it are tested in release, which the host's build needs anyway. The others are tested in the dev profile, with
//! its overflow checks and debug assertions.

use std::process::Command;
use std::time::Instant;

use crate::build;
use crate::debian;
use crate::fuzz;
use crate::python;
use crate::servers;
use crate::step::{self, Failure};
use crate::toolchain::Toolchain;
use crate::workspace::{GUEST_TARGET, GUESTS, TEST_GUESTS, Workspace};

/// Tested in the dev profile. A guest is among them for the part of it that is plain Rust.
const SMALL_PACKAGES: &[&str] = &[
    "starling-access",
    "starling-admission",
    "starling-handler",
    "starling-kv",
    "starling-kv-embedded",
    "starling-kv-nats",
    "starling-kv-redis",
    "starling-mailbox",
    "starling-management",
    "starling-operator",
    "starling-supervision",
    "starling-telemetry",
    "starling-test-servers",
    "starling-voicemail",
    "xtask",
];

/// Tested in release: they link wasmtime.
const HOST_PACKAGES: &[&str] = &[
    "starling",
    "starling-engine",
    "starling-fleet",
    "starling-server",
];

/// What components stand on, and nothing but components: there is nothing in them that could run natively.
const GUEST_LIBRARIES: &[&str] = &["starling-handler"];

/// The end-to-end tests. They start the host's binary and link no part of it.
pub(crate) const END_TO_END: &str = "starling-tests";

/// Programs the end-to-end tests run, each in the Debian package of its name.
const TOOLS: &[&str] = &["curl", "espeak-ng", "sox"];

/// What to test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Only tests whose name contains one of these. Empty: all, and format and lints too.
    filters: Vec<String>,
}

impl Options {
    /// Reads the arguments after `test`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for anything that looks like an option: there is none.
    pub(crate) fn parse(args: &[String]) -> Result<Self, Failure> {
        match args.iter().find(|arg| arg.starts_with('-')) {
            Some(option) => Err(Failure::Usage(format!(
                "`test` takes no option `{option}`, only parts of names of tests"
            ))),
            None => Ok(Self {
                filters: args.to_vec(),
            }),
        }
    }
}

/// Tests, and says so at the end.
///
/// # Errors
///
/// The first step that failed.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let begun = Instant::now();
    let workspace = Workspace::find()?;
    install_tools()?;
    python::install(&workspace)?;
    let servers = servers::provide(&workspace)?;
    let filtered = !options.filters.is_empty();
    if !filtered {
        step::run(
            "Checking the format",
            workspace.cargo().args(["fmt", "--all", "--check"]),
        )?;
    }
    let toolchain = build::build(
        &workspace,
        &build::Options {
            guests_only: false,
            test_guests: true,
        },
    )?;
    if !filtered {
        lint(&workspace, &toolchain)?;
        fuzz::lint(&workspace)?;
    }
    let tests = |what, profile: &[&str], packages: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo.arg("test").args(profile).args(named(packages));
        cargo.envs(servers.iter().map(|(variable, path)| (variable, path)));
        if filtered {
            cargo.arg("--").args(&options.filters);
        }
        step::run(what, &mut cargo)
    };
    tests("Testing the small packages", &[], SMALL_PACKAGES)?;
    if !filtered {
        fuzz::run(&fuzz::Options::of_a_test())?;
    }
    tests("Testing the host's packages", &["--release"], HOST_PACKAGES)?;
    tests("Testing end to end", &["--release"], &[END_TO_END])?;
    let (minutes, seconds) = (
        begun.elapsed().as_secs() / 60,
        begun.elapsed().as_secs() % 60,
    );
    let scope = if filtered {
        "every test of that name"
    } else {
        "everything"
    };
    step::done(&format!("{scope} passed, in {minutes} min {seconds} s"));
    Ok(())
}

/// Clippy for every package, for the target it runs on.
fn lint(workspace: &Workspace, toolchain: &Toolchain) -> Result<(), Failure> {
    let clippy = |what, packages: &[&str], args: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo.arg("clippy").args(named(packages)).args(args);
        cargo.args(["--", "-D", "warnings"]);
        step::run(what, &mut cargo)
    };
    let native = [SMALL_PACKAGES, HOST_PACKAGES, &[END_TO_END]].concat();
    clippy("Linting native packages", &native, &["--all-targets"])?;
    match toolchain {
        Toolchain::Rustup => {
            let guests: Vec<_> = GUESTS
                .iter()
                .chain(TEST_GUESTS)
                .map(|guest| guest.package)
                .chain(GUEST_LIBRARIES.iter().copied())
                .collect();
            clippy("Linting components", &guests, &["--target", GUEST_TARGET])
        }
        Toolchain::Debian { .. } => {
            step::announce("Not linting components: Debian's toolchain has no clippy for them");
            Ok(())
        }
    }
}

/// Makes sure that the programs the tests run are there.
///
/// # Errors
///
/// [`Failure`] where one is missing and cannot be installed.
pub(crate) fn install_tools() -> Result<(), Failure> {
    let absent = |tool: &&&str| step::ask(Command::new(tool).arg("--version")).is_none();
    let missing: Vec<&str> = TOOLS.iter().filter(absent).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    if debian::has_apt() {
        return debian::install("The tests' tools", &missing);
    }
    Err(Failure::Message(format!(
        "the tests need {}, and this program can install them only where there is apt-get. \
         Install them, then run the same again",
        missing.join(", ")
    )))
}

fn named<'p>(packages: &[&'p str]) -> Vec<&'p str> {
    packages
        .iter()
        .flat_map(|package| ["-p", package])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_names_and_options_are_refused() {
        let filters = vec!["drain".to_owned(), "lost_swap".to_owned()];
        assert_eq!(Options::parse(&filters).unwrap(), Options { filters });
        assert!(matches!(
            Options::parse(&["--release".to_owned()]),
            Err(Failure::Usage(_))
        ));
    }

    #[test]
    fn every_package_of_the_workspace_is_tested_or_a_guest() {
        let workspace = Workspace::find().unwrap();
        let mut known: Vec<&str> = [SMALL_PACKAGES, HOST_PACKAGES, &[END_TO_END]].concat();
        known.push(fuzz::PACKAGE);
        known.extend(GUEST_LIBRARIES);
        known.extend(GUESTS.iter().chain(TEST_GUESTS).map(|guest| guest.package));
        let tree = step::ask(workspace.cargo().args([
            "tree",
            "--workspace",
            "--depth=0",
            "--prefix=none",
        ]))
        .expect("cargo lists the workspace");
        for package in tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
        {
            assert!(
                known.contains(&package),
                "`cargo xtask test` does not test {package}: list it in test.rs"
            );
        }
    }
}
