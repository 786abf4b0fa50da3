//! `cargo xtask fuzz`: tries millions of inputs on everything that reads bytes from outside, guided by which code
//! each of them reaches.
//!
//! The targets in `fuzz/` are libFuzzer's, as `cargo fuzz` has them, but are built here by the stable compiler:
//! `cargo fuzz` itself wants a nightly one, whose sanitizers would look for what safe Rust does not have. What remains
//! of them, the instrumentation, is a pass of LLVM that any compiler runs if told to. Overflow checks and debug
//! assertions are on.
//!
//! An input that reaches new code is kept below cargo's output folder, and the next run begins with it; `--keep` adds
//! what is new of it to `fuzz/corpus`, with which every checkout begins.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::debian;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// The package of the targets.
pub(crate) const PACKAGE: &str = "starling-fuzz";

/// What each target is given unless the command line says otherwise, and what `cargo xtask test` gives it.
const SECONDS_DEFAULT: u32 = 10;
const SECONDS_TEST: u32 = 6;

/// How many targets run at once.
const JOBS: usize = 2;

/// The longest input: long enough for every format to be whole, short enough for thousands a second.
const INPUT_BYTES_MAX: u32 = 4096;

/// The longest input that is added to the committed corpus.
const KEPT_BYTES_MAX: u32 = 256;

/// Slower than this, or larger, is a finding too. A machine that is busy with something else is none.
const INPUT_SECONDS_MAX: u32 = 30;
const MEMORY_MIB_MAX: u32 = 1024;

/// What makes the compiler count which code is reached, and tell what is compared with what (LLVM's
/// SanitizerCoverage, as libFuzzer wants it).
const RUSTFLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// A program in `fuzz/fuzz_targets`.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    name: &'static str,
    /// Where else there is something to begin with.
    seeds: &'static [&'static str],
}

const TARGETS: &[Target] = &[
    Target {
        name: "audio",
        seeds: &["components/mailbox/tests/fixtures/audio"],
    },
    Target {
        name: "cursor",
        seeds: &[],
    },
    Target {
        name: "fleet",
        seeds: &["components/supervision/tests/fixtures"],
    },
    Target {
        name: "json",
        seeds: &[],
    },
    Target {
        name: "multipart",
        seeds: &[],
    },
    Target {
        name: "record",
        seeds: &["components/mailbox/tests/fixtures"],
    },
    Target {
        name: "token",
        seeds: &[],
    },
];

/// What to fuzz, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    targets: Vec<&'static Target>,
    /// For each target.
    seconds: u32,
    /// Whether to add what was found to the corpus that is committed.
    keep: bool,
}

impl Options {
    /// All targets, for as long as every change can wait.
    pub(crate) fn of_a_test() -> Self {
        Self {
            targets: TARGETS.iter().collect(),
            seconds: SECONDS_TEST,
            keep: false,
        }
    }

    /// Reads the arguments after `fuzz`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a target or an option that does not exist.
    pub(crate) fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            targets: Vec::new(),
            seconds: SECONDS_DEFAULT,
            keep: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--keep" => options.keep = true,
                "--seconds" => {
                    let seconds = args.next().and_then(|text| text.parse().ok());
                    options.seconds = seconds.filter(|seconds| *seconds > 0).ok_or_else(|| {
                        Failure::Usage("`--seconds` wants a whole number above 0".into())
                    })?;
                }
                name => match TARGETS.iter().find(|target| target.name == name) {
                    Some(target) => options.targets.push(target),
                    None => {
                        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                        return Err(Failure::Usage(format!(
                            "`fuzz` takes no argument `{name}`; it takes --seconds N, --keep and the targets {}",
                            names.join(", ")
                        )));
                    }
                },
            }
        }
        if options.targets.is_empty() {
            options.targets.extend(TARGETS);
        }
        Ok(options)
    }
}

/// Builds the targets and runs them.
///
/// # Errors
///
/// The first step that failed, and after all targets have run, the first finding.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let workspace = Workspace::find()?;
    install_compiler()?;
    let fuzzing = Fuzzing {
        triple: host_triple()?,
        workspace: &workspace,
    };
    step::run("Building the fuzz targets", &mut fuzzing.cargo("build"))?;
    step::announce(&format!(
        "Fuzzing, {} s a target, {JOBS} at a time",
        options.seconds
    ));
    let waiting = Mutex::new(options.targets.iter());
    let first_failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some(target) = next(&waiting) {
                    if let Err(failure) = fuzzing.fuzz(target, options.seconds) {
                        let mut first = lock(&first_failure);
                        match *first {
                            None => *first = Some(failure),
                            Some(_) => step::report(&failure),
                        }
                    }
                }
            });
        }
    });
    if let Some(failure) = lock(&first_failure).take() {
        return Err(failure);
    }
    if options.keep {
        for target in &options.targets {
            fuzzing.keep(target)?;
        }
    }
    Ok(())
}

/// Clippy for the targets, and for what the packages below have for them alone.
///
/// # Errors
///
/// [`Failure::Step`] where it finds something.
pub(crate) fn lint(workspace: &Workspace) -> Result<(), Failure> {
    install_compiler()?;
    let fuzzing = Fuzzing {
        triple: host_triple()?,
        workspace,
    };
    let mut clippy = fuzzing.cargo("clippy");
    step::run(
        "Linting the fuzz targets",
        clippy.args(["--", "-D", "warnings"]),
    )
}

/// Makes sure that libFuzzer, which comes as C++, can be compiled.
fn install_compiler() -> Result<(), Failure> {
    let chosen = std::env::var_os("CXX").unwrap_or("c++".into());
    if step::ask(Command::new(chosen).arg("--version")).is_some() {
        return Ok(());
    }
    if debian::has_apt() {
        return debian::install("The fuzzer's compiler", &["g++"]);
    }
    Err(Failure::Message(
        "the fuzzer needs a C++ compiler, and this program can install one only where there is apt-get. \
         Install one, then run the same again"
            .into(),
    ))
}

fn host_triple() -> Result<String, Failure> {
    let version = step::ask(Command::new("rustc").arg("-vV")).unwrap_or_default();
    let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
    triple
        .map(str::to_owned)
        .ok_or_else(|| Failure::Message("`rustc -vV` does not tell its host".into()))
}

fn next<T>(iterator: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    lock(iterator).next()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What all targets have in common.
struct Fuzzing<'w> {
    workspace: &'w Workspace,
    triple: String,
}

impl Fuzzing<'_> {
    /// The instrumentation is for what runs, not for what runs while compiling: hence the explicit target.
    fn cargo(&self, command: &str) -> Command {
        let mut cargo = self.workspace.cargo();
        cargo
            .args([command, "--profile", "fuzz", "--target", &self.triple])
            .args(["-p", PACKAGE])
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", RUSTFLAGS.join(" "));
        cargo
    }

    fn program(&self, target: &Target) -> Command {
        let folder = self.workspace.target.join(&self.triple).join("fuzz");
        let mut program = Command::new(folder.join(target.name));
        program
            .current_dir(&self.workspace.root)
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        program
    }

    /// A folder for what belongs to a target, which is made.
    fn folder(&self, what: &str, target: &Target) -> Result<PathBuf, Failure> {
        let folder = self.workspace.target.join("fuzz").join(what);
        let folder = folder.join(target.name);
        made(&folder)?;
        Ok(folder)
    }

    fn committed(&self, target: &Target) -> PathBuf {
        self.workspace.root.join("fuzz/corpus").join(target.name)
    }

    /// Runs one target, and says how much it tried.
    fn fuzz(&self, target: &Target, seconds: u32) -> Result<(), Failure> {
        let crashes = self.folder("crashes", target)?;
        let mut program = self.program(target);
        program
            .arg(format!("-max_total_time={seconds}"))
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(self.folder("corpus", target)?)
            .arg(self.committed(target))
            .args(target.seeds);
        let log = self.logged(target, &mut program)?;
        let Log { text, path, how } = log;
        let Some(how) = how else {
            step::note(&format!(
                "{:10} {} executions, {} new inputs",
                target.name,
                statistic(&text, "number_of_executed_units"),
                statistic(&text, "new_units_added"),
            ));
            return Ok(());
        };
        let mut repeat = self.program(target);
        let input = text.lines().find_map(|line| line.split_once("written to "));
        let how = match input {
            Some((_, input)) => {
                repeat.arg(input);
                format!("{how}\n  the input that does it:\n    {input}")
            }
            None => how,
        };
        Err(Failure::Step {
            what: format!("Fuzzing {}", target.name),
            how: format!("{how}\n  all that it said:\n    {}", path.display()),
            rerun: step::shell_line(&repeat),
        })
    }

    /// Adds to the committed corpus the few inputs that reach all the code which nothing in it reaches.
    fn keep(&self, target: &Target) -> Result<(), Failure> {
        let mut program = self.program(target);
        program
            .arg("-set_cover_merge=1")
            // One input for each piece of code, not for each number of times that it is reached: a tenth of them.
            .arg("-use_counters=0")
            .arg(format!("-max_len={KEPT_BYTES_MAX}"))
            .arg(self.committed(target))
            .arg(self.folder("corpus", target)?);
        let log = self.logged(target, &mut program)?;
        let Some(how) = log.how else {
            return Ok(());
        };
        Err(Failure::Step {
            what: format!("Keeping what was found for {}", target.name),
            how,
            rerun: step::shell_line(&program),
        })
    }

    /// Runs a target with what it says going to a file.
    fn logged(&self, target: &Target, program: &mut Command) -> Result<Log, Failure> {
        let path = self.folder("logs", target)?.join("log");
        made(&self.committed(target))?;
        let file = File::create(&path).map_err(|error| unusable(&path, &error))?;
        let status = program.stderr(file).status();
        let bytes = std::fs::read(&path).map_err(|error| unusable(&path, &error))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let how = match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(said(&text).map_or_else(|| status.to_string(), str::to_owned)),
            Err(error) => Some(format!("could not start it: {error}")),
        };
        Ok(Log { text, path, how })
    }
}

/// What a target said.
struct Log {
    text: String,
    path: PathBuf,
    /// How it ended, if not well.
    how: Option<String>,
}

/// A number of those that libFuzzer ends with.
fn statistic<'t>(log: &'t str, name: &str) -> &'t str {
    let values = log.lines().filter_map(|line| line.strip_prefix("stat::"));
    let mut named = values.filter_map(|line| line.split_once(':'));
    named
        .find(|(found, _)| *found == name)
        .map_or("?", |(_, value)| value.trim())
}

/// What a panic said, or else libFuzzer.
fn said(log: &str) -> Option<&str> {
    let panic = log.lines().skip_while(|line| !line.contains("panicked at"));
    let libfuzzer = log.lines().find(|line| line.contains("ERROR: libFuzzer"));
    panic.skip(1).find(|line| !line.is_empty()).or(libfuzzer)
}

fn made(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Message(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_targets_run_unless_some_are_named() {
        let names = |words: &[&str]| {
            let options = Options::parse(&args(words)).unwrap();
            let names = options.targets.iter().map(|target| target.name);
            (names.collect::<Vec<_>>(), options.seconds, options.keep)
        };
        let all: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(names(&[]), (all, SECONDS_DEFAULT, false));
        assert_eq!(
            names(&["--seconds", "90", "audio", "--keep", "token"]),
            (vec!["audio", "token"], 90, true)
        );
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["vidoe"]] {
            assert!(
                matches!(Options::parse(&args(wrong)), Err(Failure::Usage(_))),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn every_target_is_a_program_with_a_small_corpus() {
        let fuzz = Workspace::find().unwrap().root.join("fuzz");
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        let mut corpus_bytes = 0;
        for Target { name, seeds } in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            assert!(fuzz.join("corpus").join(name).is_dir(), "{name}");
            for seeds in *seeds {
                assert!(fuzz.parent().unwrap().join(seeds).is_dir(), "{seeds}");
            }
            for input in std::fs::read_dir(fuzz.join("corpus").join(name)).unwrap() {
                corpus_bytes += input.unwrap().metadata().unwrap().len();
            }
        }
        assert!(corpus_bytes < 200 * 1024, "{corpus_bytes} bytes of corpus");
    }

    #[test]
    fn what_the_fuzzer_said_is_found_in_its_log() {
        let log = "INFO: Seed: 1\n\n\
                   thread '<unnamed>' (7) panicked at fuzz/fuzz_targets/token.rs:5:9:\n\
                   it grants\n\
                   ==7== ERROR: libFuzzer: deadly signal\n\
                   stat::number_of_executed_units: 1234\n\
                   stat::new_units_added:          0\n";
        assert_eq!(said(log), Some("it grants"));
        assert_eq!(
            said("==7== ERROR: libFuzzer: timeout after 10 seconds"),
            Some("==7== ERROR: libFuzzer: timeout after 10 seconds")
        );
        assert_eq!(statistic(log, "number_of_executed_units"), "1234");
        assert_eq!(statistic(log, "new_units_added"), "0");
        assert_eq!(statistic(log, "peak_rss_mb"), "?");
    }
}
