//! `cargo xtask bench | growth | soak`: build, then run programs of the tests package that start the real host, measure it,
//! and print their own tables.

use crate::build;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// The host against a native server, regions against each other, a fleet.
pub(crate) const BENCH: Program = Program {
    headline: "Measuring",
    targets: &["edge", "regions", "fleet"],
};

/// Time and memory against size.
pub(crate) const GROWTH: Program = Program {
    headline: "Measuring growth",
    targets: &["growth"],
};

/// A long time under load.
pub(crate) const SOAK: Program = Program {
    headline: "Loading a host",
    targets: &["soak"],
};

/// What is run, by the names that tests/Cargo.toml gives.
pub(crate) struct Program {
    headline: &'static str,
    targets: &'static [&'static str],
}

impl Program {
    /// Builds and runs; `args` are the program's own.
    ///
    /// # Errors
    ///
    /// The first step that failed.
    pub(crate) fn run(&self, args: &[String]) -> Result<(), Failure> {
        let workspace = Workspace::find()?;
        build::build(
            &workspace,
            &build::Options {
                guests_only: false,
                test_guests: true,
            },
        )?;
        let mut cargo = workspace.cargo();
        cargo.args(["bench", "-p", "starling-tests"]);
        for target in self.targets {
            cargo.args(["--bench", target]);
        }
        cargo.arg("--");
        cargo.args(args.iter().skip_while(|arg| *arg == "--"));
        step::run(self.headline, &mut cargo)
    }
}
