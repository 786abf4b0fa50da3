//! How this program learns that it is to stop: a file that a shell writes when a signal comes, or the end of that shell.
//!
//! Hosts are to drain before their servers end, so the first Ctrl-C must not simply end everything. The standard library
//! can neither handle a signal nor ignore one, and the calls below it are `unsafe`. A shell can both. So this program
//! becomes a shell, which starts it again beside itself with signals ignored, and whose `trap` adds a line to a file
//! for each signal. The shell keeps the process id that everybody knows, and waits; what is started beside it reads the
//! terminal, looks at the file many times a second, and stops as well when the shell is gone, however that ended.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::step::Failure;

/// `$1` is the file, and what follows is the command. `wait` ends early when a signal has been trapped, so it is repeated
/// until the command is gone. A command in the background has no standard input unless it is given one.
const SHELL: &str = r#"
signals=$1
shift
trap 'echo >> "$signals"' INT TERM HUP
exec 3<&0
(trap '' INT TERM HUP; exec "$@" --front "$$") <&3 3<&- &
exec 3<&-
while :; do
  wait "$!"
  code=$?
  kill -0 "$!" 2> /dev/null || exit "$code"
done
"#;

/// How long to wait before something is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// Whether to stop.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    signals: PathBuf,
    front: u32,
}

/// The file of a shell.
fn signals(folder: &Path, front: u32) -> PathBuf {
    folder.join(format!("signals-{front}"))
}

/// Becomes the shell, which starts `command`. Returns only where there is no shell.
pub(super) fn become_front(command: &Command, folder: &Path) -> io::Error {
    let signals = signals(folder, std::process::id());
    if let Err(error) = fs::create_dir_all(folder).and_then(|()| fs::write(&signals, "")) {
        return error;
    }
    Command::new("sh")
        .args(["-c", SHELL, "sh"])
        .arg(signals)
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .exec()
}

impl Stop {
    /// What the shell with the process id `front` is told.
    pub(super) fn of(front: u32, folder: &Path) -> Self {
        Self {
            signals: signals(folder, front),
            front,
        }
    }

    /// Whether to stop.
    pub(super) fn asked(&self) -> bool {
        self.signals() > 0 || parent_id() != self.front
    }

    /// Whether to stop without waiting for anybody: the signal came twice.
    pub(super) fn at_once(&self) -> bool {
        self.signals() > 1
    }

    fn signals(&self) -> u64 {
        // One byte for each.
        fs::metadata(&self.signals).map_or(0, |file| file.len())
    }

    /// Waits until `ask` has an answer.
    ///
    /// # Errors
    ///
    /// Those of `ask`; and a [`Failure`] where there is no answer in time, or this program is to stop.
    pub(super) fn wait<T>(
        &self,
        patience: Duration,
        what: &str,
        mut ask: impl FnMut() -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let patient_until = Instant::now() + patience;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            if self.asked() {
                return Err(Failure::Message(format!("{what}: not waited for")));
            }
            if Instant::now() > patient_until {
                let seconds = patience.as_secs();
                return Err(Failure::Message(format!(
                    "{what} has not come up in {seconds} s"
                )));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Removes what the shell wrote.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.signals);
    }
}
