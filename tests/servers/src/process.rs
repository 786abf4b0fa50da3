//! A server as a child process: started where nothing of it outlives the test, signalled by its own id, its log kept.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::time::{sleep, timeout};

use crate::PATIENCE;

/// How long to leave a server alone before asking it again.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A server's process: it may run, be suspended, or be down. Every server of this crate derefs to its own.
pub struct Process {
    name: &'static str,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// A server that does not run yet and will log to `log`.
    pub(crate) fn new(name: &'static str, log: PathBuf) -> Self {
        Self {
            name,
            log,
            child: Mutex::new(None),
        }
    }

    /// Starts it. Both of its outputs go to the end of its log.
    pub(crate) fn spawn(&self, program: &Path, arguments: &[String]) {
        let mut child = self.child();
        assert!(child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.unwrap_or_else(|error| panic!("{}: {error}", self.log.display()));
        // It then ends with this process, however that ends. Without a child's help that takes `unsafe`.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        command.arg(program).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(duplicate(&log))
            .stderr(log);
        *child = Some(spawn_for_the_process(command));
    }

    /// Waits until `ask` has an answer. `None`: it is not there yet, and is asked again.
    ///
    /// # Panics
    ///
    /// Where the server exits instead, or takes longer than anything should. Its log is printed when it is dropped.
    pub(crate) async fn answers<T, F>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        match self.answers_or_exits(ask).await {
            Ok(answer) => answer,
            Err(status) => panic!("{} exits with {status}", self.name),
        }
    }

    /// Waits until `ask` has an answer, or the server has exited.
    ///
    /// # Panics
    ///
    /// Where it does neither. Its log is printed when it is dropped.
    pub(crate) async fn answers_or_exits<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ExitStatus>
    where
        F: Future<Output = Option<T>>,
    {
        let poll = async {
            loop {
                if let Some(answer) = ask().await {
                    return Ok(answer);
                }
                if let Some(status) = self.exited() {
                    return Err(status);
                }
                sleep(ASK_AGAIN).await;
            }
        };
        match timeout(PATIENCE, poll).await {
            Ok(outcome) => outcome,
            Err(_) => panic!("{} runs and does not answer", self.name),
        }
    }

    /// How it exited, if it did. It is down then.
    fn exited(&self) -> Option<ExitStatus> {
        let mut child = self.child();
        let status = child
            .as_mut()?
            .try_wait()
            .expect("the status of a child is readable")?;
        *child = None;
        Some(status)
    }

    /// Suspends it: it keeps its connections and answers nothing.
    ///
    /// # Panics
    ///
    /// Where it is down.
    pub fn pause(&self) {
        // A signal alone is on its way when it is sent: all of its threads are waited for.
        let process = self.signal(Signal::STOP);
        // Nothing is taken away from who waits for its exit.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(process), stopped).expect("a child can be waited for");
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// Where it is down.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) -> Pid {
        let child = self.child();
        let child = child
            .as_ref()
            .unwrap_or_else(|| panic!("{} is down", self.name));
        kill_process(pid(child), signal).expect("a child can be signalled");
        pid(child)
    }

    /// Ends it as a crash would, without a chance to tidy up, and waits until it is gone. Nothing, where it is down.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Asks it to end and waits until it is gone. Nothing, where it is down.
    pub fn stop(&self) {
        self.end(Signal::TERM);
    }

    fn end(&self, signal: Signal) {
        if let Some(mut child) = self.child().take() {
            // A child that nobody has waited for keeps its id, so this reaches it and nobody else.
            let _ = kill_process(pid(&child), signal);
            let _ = child.wait();
        }
    }

    /// Whether it runs; a suspended server does.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.child().is_some()
    }

    /// Throws `data`, the folder of its data, away.
    ///
    /// # Panics
    ///
    /// Where it runs, or the data cannot be removed.
    pub(crate) fn wipe(&self, data: &Path) {
        assert!(
            !self.is_up(),
            "a running server would write to removed files"
        );
        match std::fs::remove_dir_all(data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("{}: {error}", data.display());
            }
            _ => {}
        }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// What it logged so far, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map_or_else(
            |_| String::new(),
            |log| String::from_utf8_lossy(&log).into_owned(),
        )
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{self}");
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--- log of {}\n{}---", self.name, self.log())
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name)
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

fn duplicate(log: &File) -> File {
    log.try_clone().expect("a handle can be duplicated")
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).expect("a process id is not 0")
}

/// Starts `command` from a thread that lives as long as this process: what Linux calls the death of a parent is the end
/// of the thread that made the child, and a test's thread ends before a server that tests share.
fn spawn_for_the_process(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();

    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in orders {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        sender
    });
    let what = format!("{command:?}");
    let (answer, child) = mpsc::channel();
    spawner
        .send((command, answer))
        .expect("the spawner never ends");
    child
        .recv()
        .expect("the spawner never ends")
        .unwrap_or_else(|error| panic!("{what}: {error} (setpriv is part of util-linux)"))
}
