//! One step of a chore: announced, run, and on failure named together with the command that repeats it.
//!
//! Progress goes to standard error, as cargo's own does, so that standard output stays the output of the program
//! that a chore runs (`up`, `bench`). Colours appear on a terminal alone.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::process::{Command, Stdio};

/// Why a chore stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line was wrong.
    Usage(String),
    /// A command that was run did not succeed.
    Step {
        /// What the step was for.
        what: String,
        /// How the command ended, or why it did not start.
        how: String,
        /// The command, ready for a shell.
        rerun: String,
    },
    /// Anything else, with what to do about it.
    Message(String),
}

/// Announces `what`, runs `command` with its output passed through, and waits for it.
///
/// # Errors
///
/// [`Failure::Step`] where the command cannot be started or does not exit with 0.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<(), Failure> {
    announce(what);
    note(&words(command).join(" "));
    let how = match command.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => format!("could not start it: {error}"),
    };
    Err(Failure::Step {
        what: what.to_owned(),
        how,
        rerun: shell_line(command),
    })
}

/// Runs `command` silently. What it printed on standard output, trimmed, where it succeeded; nothing else.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Prints the headline of a step.
pub(crate) fn announce(what: &str) {
    eprintln!("{} {what}", paint("1;36", "==>"));
}

/// Prints a line that belongs to the step announced last.
pub(crate) fn note(line: &str) {
    eprintln!("    {line}");
}

/// Prints the closing line of a chore that succeeded.
pub(crate) fn done(line: &str) {
    eprintln!("{} {line}", paint("1;32", "ok:"));
}

/// Prints why a chore stopped and what to do next.
pub(crate) fn report(failure: &Failure) {
    let error = paint("1;31", "error:");
    match failure {
        Failure::Usage(message) => {
            eprintln!("{error} {message}\n       `cargo xtask help` explains the commands");
        }
        Failure::Message(message) => eprintln!("{error} {message}"),
        Failure::Step { what, how, rerun } => {
            eprintln!("{error} {what}: {how}\n  to run this step alone:\n    {rerun}");
        }
    }
}

/// `command` as a line for a POSIX shell: environment set for it, program, arguments.
pub(crate) fn shell_line(command: &Command) -> String {
    let set = |(name, value): (&OsStr, Option<&OsStr>)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), quote(value)))
    };
    let environment = command.get_envs().filter_map(set);
    environment
        .chain(words(command))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Program and arguments, quoted for a shell.
fn words(command: &Command) -> Vec<String> {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quote)
        .collect()
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn paint(code: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("cargo");
        command
            .args(["test", "-p", "starling-kv", "--", "it's here", ""])
            .env("RUSTFLAGS", "-L native=/usr/lib/x")
            .env_remove("CARGO");
        assert_eq!(
            shell_line(&command),
            r"RUSTFLAGS='-L native=/usr/lib/x' cargo test -p starling-kv -- 'it'\''s here' ''"
        );
    }

    #[test]
    fn a_failed_command_is_named_with_the_line_that_repeats_it() {
        let failure = run("listing", &mut Command::new("false")).unwrap_err();
        let Failure::Step { what, how, rerun } = failure else {
            panic!("expected a failed step, got {failure:?}");
        };
        assert_eq!((what.as_str(), rerun.as_str()), ("listing", "false"));
        assert!(how.contains('1'), "{how}");
    }

    #[test]
    fn ask_answers_only_for_success() {
        assert_eq!(
            ask(Command::new("echo").arg("hello")).as_deref(),
            Some("hello")
        );
        assert_eq!(ask(&mut Command::new("false")), None);
        assert_eq!(ask(&mut Command::new("no-such-program-anywhere")), None);
    }
}
