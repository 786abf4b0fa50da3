//! `cargo xtask bench`: build, then run the benchmark of the tests package, which prints its own table.

use crate::build;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// Builds and measures; `args` are the benchmark's own.
///
/// # Errors
///
/// The first step that failed.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let workspace = Workspace::find()?;
    build::build(
        &workspace,
        &build::Options {
            guests_only: false,
            test_guests: true,
        },
    )?;
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "-p", "starling-tests", "--"]);
    cargo.args(args.iter().skip_while(|arg| *arg == "--"));
    step::run("Measuring", &mut cargo)
}
