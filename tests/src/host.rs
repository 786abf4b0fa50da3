//! `starling up` as a child process: port 0, address read from its output, output kept for failures, ended by its own
//! process id.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::operator::Operator;
use crate::paths;

/// Longest wait for a host to serve, to exit or to say something. Never a measurement: it only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    manifest: PathBuf,
    state: PathBuf,
    listen: String,
    runtime_config: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
}

impl Launch {
    /// A host that serves `manifest` and keeps its state in `state`.
    #[must_use]
    pub fn new(manifest: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self {
            manifest: manifest.into(),
            state: state.into(),
            listen: "127.0.0.1:0".to_owned(),
            runtime_config: None,
            environment: Vec::new(),
            wrapper: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Listens at `address` instead of a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Passes `--runtime-config-file`.
    #[must_use]
    pub fn runtime_config(mut self, path: impl Into<PathBuf>) -> Self {
        self.runtime_config = Some(path.into());
        self
    }

    /// Sets an environment variable of the host.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Runs the host through `program` and its arguments, which end by executing what follows them.
    #[must_use]
    pub fn through(mut self, program: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrapper = program.into_iter().map(Into::into).collect();
        self
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Starts the host and waits until it serves.
    ///
    /// # Panics
    ///
    /// Where it exits or says nothing instead, with its output.
    pub async fn start(&self) -> Host {
        match self.attempt().await {
            Ok(host) => host,
            Err(refusal) => panic!("the host exits with {:?}\n{}", refusal.code, refusal.stderr),
        }
    }

    /// Starts a host that must not come to serve, and waits until it exits.
    ///
    /// # Panics
    ///
    /// Where it serves, or does neither.
    pub async fn refused(&self) -> Refusal {
        match self.attempt().await {
            Ok(host) => panic!(
                "the host serves at {} and should have refused to",
                host.address()
            ),
            Err(refusal) => refusal,
        }
    }

    /// Starts the host and waits until it serves or exits.
    ///
    /// # Errors
    ///
    /// [`Refusal`], where it exits.
    ///
    /// # Panics
    ///
    /// Where it does neither, with its output.
    pub async fn attempt(&self) -> Result<Host, Refusal> {
        let (mut child, output, address) = self.spawn();
        match timeout(PATIENCE, address).await {
            Ok(Ok(address)) => {
                return Ok(Host {
                    child,
                    output,
                    address,
                    launch: self.clone(),
                });
            }
            Ok(Err(_)) => {}
            Err(_) => panic!("the host neither serves nor exits\n{output}"),
        }
        let status = match timeout(PATIENCE, child.wait()).await {
            Ok(status) => status.expect("the status of a child is readable"),
            Err(_) => panic!("the host closed its output and does not exit\n{output}"),
        };
        output.complete().await;
        Err(Refusal {
            code: status.code(),
            stderr: output.stderr(),
        })
    }

    fn spawn(&self) -> (Child, Output, oneshot::Receiver<SocketAddr>) {
        let host = paths::host();
        let mut command = match self.wrapper.split_first() {
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(host);
                command
            }
            None => Command::new(host),
        };
        command.arg("up").arg("-f").arg(&self.manifest);
        command
            .arg("--listen")
            .arg(&self.listen)
            .arg("--state-dir")
            .arg(&self.state);
        if let Some(path) = &self.runtime_config {
            command.arg("--runtime-config-file").arg(path);
        }
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (found, address) = oneshot::channel();
        let output = Output::read(&mut child, found);
        (child, output, address)
    }
}

/// A host that serves.
#[derive(Debug)]
pub struct Host {
    child: Child,
    output: Output,
    address: SocketAddr,
    launch: Launch,
}

impl Host {
    /// The address it serves at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL on it; `path` begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it tells those who run it how it is.
    ///
    /// # Panics
    ///
    /// Where it has not written it down.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        let path = self.launch.state.join("admin");
        let text = std::fs::read_to_string(path).expect("the address is written down");
        text.trim().parse().expect("an address")
    }

    /// What `starling regions` says of it.
    ///
    /// # Panics
    ///
    /// Where it fails.
    pub async fn regions(&self) -> String {
        let asked = Command::new(paths::host())
            .arg("regions")
            .arg("--state-dir")
            .arg(&self.launch.state)
            .output()
            .await
            .expect("the command runs");
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{said}");
        String::from_utf8_lossy(&asked.stdout).into_owned()
    }

    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.launch.state
    }

    /// A shell on its machine.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::at(&self.launch.state)
    }

    /// What it printed on standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.stdout()
    }

    /// What it logged so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.output.stderr()
    }

    /// Waits until standard output holds `text`.
    ///
    /// # Panics
    ///
    /// Where it never does.
    pub async fn printed(&self, text: &str) {
        self.wait_for(text, Self::stdout).await;
    }

    /// Waits until the log holds `text`: what a component prints arrives when it arrives.
    ///
    /// # Panics
    ///
    /// Where it never does.
    pub async fn logged(&self, text: &str) {
        self.wait_for(text, Self::stderr).await;
    }

    async fn wait_for(&self, text: &str, output: impl Fn(&Self) -> String) {
        let poll = async {
            while !output(self).contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, poll).await.is_err() {
            panic!("the host never said {text:?}\n{}", self.output);
        }
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// Where it has ended.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let id = self.child.id().expect("the host runs");
        Pid::from_raw(id.cast_signed()).expect("a process id is not 0")
    }

    /// Memory of it that is in use, in bytes.
    ///
    /// # Panics
    ///
    /// Where the system does not tell.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(self.pid())
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// Where it has ended already.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the host can be signalled");
    }

    /// Waits until it exits by itself, after a signal.
    ///
    /// # Panics
    ///
    /// Where it does not, with its output.
    pub async fn exited(&mut self) -> ExitStatus {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.expect("the status of a child is readable"),
            Err(_) => panic!("the host does not exit\n{}", self.output),
        }
    }

    /// Ends it as a power cut would end its process: SIGKILL, no chance to tidy up. What starts it again is returned.
    pub async fn kill(mut self) -> Launch {
        self.signal(Signal::KILL);
        self.exited().await;
        self.launch.clone()
    }

    /// Asks it to drain by SIGTERM and waits. What starts it again is returned.
    ///
    /// # Panics
    ///
    /// Where it does not exit with 0.
    pub async fn stop(mut self) -> Launch {
        self.signal(Signal::TERM);
        let status = self.exited().await;
        assert!(
            status.success(),
            "the host drained with {status}\n{}",
            self.output
        );
        self.launch.clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.output);
        }
        // `kill_on_drop` ends the process, by its id.
    }
}

/// Memory of a process that is in use, in bytes.
///
/// # Panics
///
/// Where the system does not tell.
#[must_use]
pub fn resident_bytes(process: Pid) -> u64 {
    let path = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("the system tells about its processes");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS is there");
    let kib: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("VmRSS is a number of kB");
    kib * 1024
}

/// A host that refused to serve.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it said.
    pub stderr: String,
}

impl Refusal {
    /// Checks for exit code 1 and a message that begins with `error:` and names every one of `culprits`.
    ///
    /// # Panics
    ///
    /// Where the message is otherwise, with the message.
    pub fn names(&self, culprits: &[&str]) {
        assert_eq!(self.code, Some(1), "exit code\n{}", self.stderr);
        assert!(
            self.stderr.lines().any(|line| line.starts_with("error: ")),
            "no line begins with `error: `\n{}",
            self.stderr
        );
        for culprit in culprits {
            assert!(
                self.stderr.contains(culprit),
                "{culprit:?} is not named\n{}",
                self.stderr
            );
        }
        for noise in ["panicked at", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(
                !self.stderr.contains(noise),
                "a clear message holds no {noise:?}\n{}",
                self.stderr
            );
        }
    }
}

/// Both outputs of a child, read as they come so that the child never blocks on a full pipe.
#[derive(Debug)]
struct Output {
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

impl Output {
    fn read(child: &mut Child, found: oneshot::Sender<SocketAddr>) -> Self {
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            tokio::spawn(keep(child.stdout.take(), Arc::clone(&stdout), Some(found))),
            tokio::spawn(keep(child.stderr.take(), Arc::clone(&stderr), None)),
        ];
        Self {
            stdout,
            stderr,
            readers: Mutex::new(readers),
        }
    }

    /// Waits for the end of both, which comes with the end of the process.
    async fn complete(&self) {
        let readers =
            std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        for reader in readers {
            let _ = timeout(PATIENCE, reader).await;
        }
    }

    fn stdout(&self) -> String {
        self.stdout
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn stderr(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "--- stdout of the host\n{}--- its stderr\n{}---",
            self.stdout(),
            self.stderr()
        )
    }
}

/// Copies lines to `text`; sends the first address that `Serving http://<address>` names. Dropping `found` unsent tells
/// that the output ended first.
async fn keep(
    pipe: Option<impl AsyncRead + Unpin>,
    text: Arc<Mutex<String>>,
    mut found: Option<oneshot::Sender<SocketAddr>>,
) {
    let mut lines = BufReader::new(pipe.expect("the outputs of the child are pipes"));
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|length| length > 0)
    {
        let printed = String::from_utf8_lossy(&line);
        let address = printed
            .trim()
            .strip_prefix("Serving http://")
            .and_then(|rest| rest.parse().ok());
        text.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&printed);
        if let (Some(address), true) = (address, found.is_some())
            && let Some(found) = found.take()
        {
            let _ = found.send(address);
        }
        line.clear();
    }
}
