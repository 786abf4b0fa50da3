//! Installs Debian packages: only missing ones, announced first, as root or through sudo.

use std::io::IsTerminal;
use std::process::Command;

use crate::step::{self, Failure};

/// Whether this machine runs Debian itself. Its descendants lack some of its packages.
pub(crate) fn is_debian() -> bool {
    os_release().is_some_and(|text| text.lines().any(|line| line == "ID=debian"))
}

/// The name of the release that this machine runs, such as bookworm.
pub(crate) fn release() -> Option<String> {
    let text = os_release()?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// Whether packages can be asked for and installed the Debian way: Debian and its descendants.
pub(crate) fn has_apt() -> bool {
    ["dpkg-query", "apt-get"]
        .iter()
        .all(|program| step::ask(Command::new(program).arg("--version")).is_some())
}

/// Those of `packages` that are not installed, in the same order.
pub(crate) fn missing<'p>(packages: &[&'p str]) -> Vec<&'p str> {
    let installed = |package: &&&str| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${db:Status-Status}", package]);
        step::ask(&mut query).as_deref() == Some("installed")
    };
    packages
        .iter()
        .filter(|package| !installed(package))
        .copied()
        .collect()
}

/// Installs those of `packages` that are missing; `what_for` completes "… is needed: to install". Says and does nothing
/// where none is missing.
///
/// # Errors
///
/// [`Failure::Message`] with the commands to run where this user may not install packages; [`Failure::Step`] where
/// the installation fails.
pub(crate) fn install(what_for: &str, packages: &[&str]) -> Result<(), Failure> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    step::announce(&format!(
        "{what_for}: Debian packages to install: {}",
        missing.join(" ")
    ));
    let Some(become_root) = Privilege::find() else {
        return Err(Failure::Message(format!(
            "these packages are missing and this user may not install them; run\n    \
             sudo apt-get update\n    sudo apt-get install --no-install-recommends {}\n  and then the same again",
            missing.join(" ")
        )));
    };
    step::run(
        "Refreshing the list of packages",
        become_root.apt_get().arg("update"),
    )?;
    step::run(
        "Installing packages",
        become_root
            .apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(missing),
    )
}

/// How this process may act as root.
#[derive(Clone, Copy)]
enum Privilege {
    Root,
    /// sudo, without being asked for a password.
    SudoSilent,
    /// sudo, with somebody at the terminal to type the password.
    SudoAsking,
}

impl Privilege {
    fn find() -> Option<Self> {
        if step::ask(Command::new("id").arg("-u")).as_deref() == Some("0") {
            return Some(Self::Root);
        }
        if step::ask(Command::new("sudo").args(["-n", "true"])).is_some() {
            return Some(Self::SudoSilent);
        }
        let sudo = step::ask(Command::new("sudo").arg("--version")).is_some();
        (sudo && std::io::stdin().is_terminal()).then_some(Self::SudoAsking)
    }

    fn apt_get(self) -> Command {
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::SudoSilent | Self::SudoAsking => {
                let mut sudo = Command::new("sudo");
                if matches!(self, Self::SudoSilent) {
                    sudo.arg("-n");
                }
                sudo.arg("env");
                sudo
            }
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
        command
    }
}

fn os_release() -> Option<String> {
    std::fs::read_to_string("/etc/os-release").ok()
}
