//! A program that runs beside this one: with a log, in a process group of its own, and never longer than this program.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use crate::step::{self, Failure};

/// What lets the system end a child with its parent. Part of util-linux.
const SETPRIV: &str = "setpriv";

/// How much of a log is shown when a process ends by itself.
const LAST_LINES: usize = 5;

/// A process that was started, and that nobody has waited for yet: its id is its own.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// Where in the log this process begins.
    start: u64,
}

/// A command whose process ends with this one, even where this one is killed.
///
/// A signal for "my parent has died" is asked for by the child itself, between fork and exec: in Rust that is `unsafe`,
/// so setpriv does it, and then becomes the program. The parent is, for Linux, the thread that starts the child: only
/// the main thread may, which lives as long as the process.
pub(super) fn command(program: &Path) -> Command {
    if !has_setpriv() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Whether children end with this process.
pub(super) fn has_setpriv() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| step::ask(Command::new(SETPRIV).arg("--version")).is_some())
}

impl Process {
    /// Starts `command`, with both outputs at the end of `log`.
    ///
    /// It is in a process group of its own, so that Ctrl-C does not reach it: who stops first is decided here.
    ///
    /// # Errors
    ///
    /// [`Failure`] where there is no log or no such program.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self, Failure> {
        let open = File::options().create(true).append(true).open(log);
        let (file, start) = open
            .and_then(|file| Ok((file.try_clone()?, file.metadata()?.len())))
            .map_err(|error| super::at(log, &error))?;
        let twin = file.try_clone().map_err(|error| super::at(log, &error))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(twin)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::Step {
                what: "Starting a process".to_owned(),
                how: format!("could not start it: {error}"),
                rerun: step::shell_line(command),
            })?;
        Ok(Self {
            child,
            log: log.to_owned(),
            start,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it at once, without a chance to tidy up, and waits until it is gone.
    pub(super) fn kill(mut self) {
        // Either fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it has logged.
    pub(super) fn said(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.start))?;
            file.read_to_end(&mut bytes)
        });
        read.map_or_else(
            |_| String::new(),
            |_| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The end of its log, for people.
    pub(super) fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let mut text = format!("the end of {}:", self.log.display());
        for line in last {
            text.push_str("\n    ");
            text.push_str(line);
        }
        text
    }
}

/// Asks processes to end, each by its id. The standard library can only kill; every shell can ask.
pub(super) fn terminate<'p>(processes: impl Iterator<Item = &'p Process>) {
    let ids: Vec<String> = processes.map(|process| process.id().to_string()).collect();
    if ids.is_empty() {
        return;
    }
    // Fails where one has just ended, which is what was wanted.
    step::ask(
        Command::new("sh")
            .args(["-c", "kill -TERM \"$@\"", "sh"])
            .args(ids),
    );
}

/// Copies the files of a folder into another, which is made for this user alone where it is missing.
pub(super) fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A text for configuration files: TOML and NATS quote alike.
pub(super) fn quoted(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref().to_string_lossy();
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("starling-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn shell(script: &str) -> Command {
        let mut shell = command(Path::new("sh"));
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn a_process_is_read_from_its_own_start_and_asked_to_end() {
        let folder = folder("process");
        let log = folder.join("log");
        let mut first = Process::start(&mut shell("echo one"), &log).unwrap();
        while first.ended().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(first.said(), "one\n");
        let mut second = Process::start(
            &mut shell(
                "trap 'echo two; exit 3' TERM; echo up; while :; do read x < /dev/null; done",
            ),
            &log,
        )
        .unwrap();
        while !second.said().contains("up") {
            std::thread::yield_now();
        }
        terminate([&second].into_iter());
        let status = loop {
            if let Some(status) = second.ended() {
                break status;
            }
            std::thread::yield_now();
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(second.said(), "up\ntwo\n");
        assert!(second.last_words().ends_with(":\n    up\n    two"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("/a b/\"c\"\\"), r#""/a b/\"c\"\\""#);
    }
}
