//! `cargo xtask up`: build, then become `starling up`.
//!
//! This process is replaced by the host, so Ctrl-C and every other signal reach the host alone and its exit code is the
//! exit code.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::build;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// Builds and serves. Returns only where the host cannot be started.
///
/// # Errors
///
/// The build's failure, or [`Failure::Step`] where the host cannot be started.
pub(crate) fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let workspace = Workspace::find()?;
    build::build(&workspace, &build::Options::default())?;
    let mut host = Command::new(workspace.host());
    host.arg("up");
    let args = passed_on(args);
    if !names_a_manifest(args) {
        host.arg("-f").arg(workspace.root.join("spin.toml"));
    }
    host.args(args);
    step::announce("Serving");
    step::note(&step::shell_line(&host));
    let error = host.exec();
    Err(Failure::Step {
        what: "Serving".to_owned(),
        how: format!("could not start it: {error}"),
        rerun: step::shell_line(&host),
    })
}

/// The host's own arguments: all of them, without the `--` that tells them from those of this program.
fn passed_on(args: &[String]) -> &[String] {
    match args.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => args,
    }
}

fn names_a_manifest(args: &[String]) -> bool {
    args.iter()
        .any(|arg| (arg.starts_with("-f") && !arg.starts_with("--")) || arg.starts_with("--from"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn arguments_pass_with_and_without_the_separator() {
        assert_eq!(
            passed_on(&words("-- --listen 127.0.0.1:0")),
            words("--listen 127.0.0.1:0")
        );
        assert_eq!(
            passed_on(&words("--listen 127.0.0.1:0")),
            words("--listen 127.0.0.1:0")
        );
        assert!(passed_on(&[]).is_empty());
    }

    #[test]
    fn the_repository_manifest_is_served_unless_another_is_named() {
        assert!(!names_a_manifest(&words("--listen 127.0.0.1:0")));
        assert!(names_a_manifest(&words("-f other.toml")));
        assert!(names_a_manifest(&words("-fother.toml")));
        assert!(names_a_manifest(&words("--from other.toml")));
    }
}
