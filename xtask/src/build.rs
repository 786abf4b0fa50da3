//! `cargo xtask build`: the host and the components, current after every run. Cargo decides what that takes.

use crate::step::{self, Failure};
use crate::toolchain::Toolchain;
use crate::workspace::{GUESTS, Guest, TEST_GUESTS, Workspace};

/// What to build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Leave the host out.
    pub(crate) guests_only: bool,
    /// Add the components that only tests run.
    pub(crate) test_guests: bool,
}

impl Options {
    /// Reads the arguments after `build`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an argument that does not exist.
    pub(crate) fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        for arg in args {
            match arg.as_str() {
                "--guests" => options.guests_only = true,
                "--tests" => options.test_guests = true,
                unknown => {
                    return Err(Failure::Usage(format!(
                        "`build` takes no argument `{unknown}`; it takes --guests and --tests"
                    )));
                }
            }
        }
        Ok(options)
    }

    fn guests(self) -> impl Iterator<Item = &'static Guest> {
        GUESTS
            .iter()
            .chain(if self.test_guests { TEST_GUESTS } else { &[] })
    }
}

/// Builds, and prints what was made.
///
/// # Errors
///
/// The first step that failed.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let workspace = Workspace::find()?;
    build(&workspace, options).map(drop)
}

/// As [`run`], for the other commands: in a workspace found already, and telling how the guests were built.
///
/// # Errors
///
/// The first step that failed.
pub(crate) fn build(workspace: &Workspace, options: &Options) -> Result<Toolchain, Failure> {
    // First the step that may have to ask for a password, then those that take long.
    let toolchain = Toolchain::prepare()?;
    let mut outputs = Vec::new();
    if !options.guests_only {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "-p", "starling"]);
        step::run("Building the host", &mut cargo)?;
        outputs.push(workspace.host());
    }
    for guest in options.guests() {
        toolchain.build(workspace, guest)?;
        outputs.push(workspace.guest(guest));
    }
    step::announce(&format!("Built; components with {}", toolchain.describe()));
    outputs
        .iter()
        .try_for_each(|path| workspace.print_output(path))?;
    Ok(toolchain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_argument_is_refused_by_name() {
        let args = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let both = Options {
            guests_only: true,
            test_guests: true,
        };
        assert_eq!(
            Options::parse(&args(&["--tests", "--guests"])).unwrap(),
            both
        );
        let Err(Failure::Usage(message)) = Options::parse(&args(&["--guest"])) else {
            panic!("--guest is not an option");
        };
        assert!(message.contains("`--guest`"), "{message}");
    }

    #[test]
    fn the_tests_own_component_is_built_on_request_alone() {
        let files = |options: Options| options.guests().map(|guest| guest.file).collect::<Vec<_>>();
        assert!(!files(Options::default()).contains(&"test_guest.wasm"));
        assert!(
            files(Options {
                test_guests: true,
                ..Options::default()
            })
            .contains(&"test_guest.wasm")
        );
    }
}
