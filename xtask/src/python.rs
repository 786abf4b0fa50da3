//! The tests' Python programs, in a virtual environment of their own in cargo's output folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// What makes a virtual environment: Python 3.10, which is what the programs need, with the modules that Debian has in a
/// package of their own.
const PROBE: &str =
    "import sys, ensurepip, venv; sys.exit('too old' if sys.version_info < (3, 10) else 0)";

/// Installs what tests/requirements.txt names, unless that is what was installed last. Says and does nothing then.
///
/// # Errors
///
/// [`Failure::Message`] where there is no Python to do it with; [`Failure::Step`] where the programs cannot be
/// installed.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    let requirements = workspace.root.join("tests/requirements.txt");
    let folder = workspace.target.join("python");
    let installed = Installed {
        wanted: read(&requirements)?,
        note: folder.join("installed.txt"),
    };
    if installed.is_current() {
        return Ok(());
    }
    find_python()?;
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    step::run(
        "Making a virtual environment for the tests' tools",
        &mut venv,
    )?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip.arg("--requirement").arg(&requirements);
    step::run("Installing the tests' tools that are Python", &mut pip)?;
    installed.note()
}

/// What was installed last, and what is to be.
struct Installed {
    wanted: String,
    /// A copy of the requirements, written once they are fulfilled.
    note: PathBuf,
}

impl Installed {
    fn is_current(&self) -> bool {
        std::fs::read_to_string(&self.note).is_ok_and(|installed| installed == self.wanted)
    }

    fn note(&self) -> Result<(), Failure> {
        std::fs::write(&self.note, &self.wanted)
            .map_err(|error| Failure::Message(format!("{}: {error}", self.note.display())))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::Message(format!("{}: {error}", path.display())))
}

/// Makes sure that there is a Python that can make a virtual environment.
fn find_python() -> Result<(), Failure> {
    let works = || step::ask(Command::new("python3").args(["-c", PROBE])).is_some();
    if works() {
        return Ok(());
    }
    if debian::has_apt() {
        debian::install("The tests' tools", &["python3", "python3-venv"])?;
    }
    if works() {
        return Ok(());
    }
    Err(Failure::Message(
        "the tests need Python 3.10 or later as `python3`, with its modules venv and ensurepip, to install \
         schemathesis. Install that, then run the same again"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_installed_again_only_if_the_requirements_change() {
        let folder = std::env::temp_dir().join(format!("starling-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let wanting = |wanted: &str| Installed {
            wanted: wanted.to_owned(),
            note: folder.join("installed.txt"),
        };
        assert!(!wanting("a==1\n").is_current());
        wanting("a==1\n").note().unwrap();
        assert!(wanting("a==1\n").is_current());
        assert!(!wanting("a==2\n").is_current());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_requirement_is_pinned() {
        let workspace = Workspace::find().unwrap();
        let requirements = read(&workspace.root.join("tests/requirements.txt")).unwrap();
        for line in requirements.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.contains("=="), "{line} may be any version");
        }
    }
}
