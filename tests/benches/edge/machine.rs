//! Which core does what: the servers have the first, or the first two; the load has the last.

use std::num::NonZero;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Says to a benchmark that it has been given its core, and how many there are.
const CORES: &str = "STARLING_BENCH_CORES";

/// Cores that a server is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cores {
    First,
    FirstTwo,
}

impl Cores {
    /// The command that gives them to what follows it.
    pub(crate) fn wrapper(self) -> [&'static str; 3] {
        let cores = match self {
            Self::First => "0",
            Self::FirstTwo => "0,1",
        };
        ["taskset", "-c", cores]
    }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Cores that the benchmark had before it was given the last of them.
pub(crate) fn cores_in_all() -> usize {
    let told = std::env::var(CORES).ok();
    told.and_then(|cores| cores.parse().ok())
        .unwrap_or_else(cores)
}

/// Starts this program over on the last core, so that the load does not compete with what it measures.
pub(crate) fn pin() {
    let cores = cores();
    if cores == 1 || std::env::var_os(CORES).is_some() {
        return;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let error = Command::new("taskset")
        .args(["-c", &(cores - 1).to_string()])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(CORES, cores.to_string())
        .exec();
    eprintln!("not pinned to a core: taskset: {error}");
}

/// Lets this process have as many open files as the system allows, and tells how many these are.
pub(crate) fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit on open files stays as it is: {error}");
    }
    let limit = getrlimit(Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}
