//! `cargo xtask regions`: several regions on this machine, to be tried out and broken by hand.
//!
//! Each region is one real NATS server with JetStream, which nobody shares, and some hosts. What is typed kills and
//! starts them; how the regions stand is printed whenever it changes.
//!
//! - [`stop`] is how this program learns that it is to stop, and why it takes a shell;
//! - [`process`] starts programs that end with this one;
//! - [`deployment`] is the regions, their configuration, and how they start and end;
//! - [`view`] is how a region stands, in a line.

mod deployment;
mod process;
mod stop;
mod view;

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::build;
use crate::servers;
use crate::step::{self, Failure};
use crate::workspace::{GUESTS, Workspace};
use deployment::{Deployment, Programs};
use stop::Stop;
use view::{Summary, View};

/// Ports of one region, so that a host's port tells both.
const PORTS_OF_A_REGION: u16 = 10;

/// Held while regions run. A folder without it was not made here, and nothing is removed from it.
const LOCK: &str = "regions.lock";

/// How long a host is left alone before it is asked again how the regions stand.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How soon a signal, or the end of a process, is noticed.
const TICK: Duration = Duration::from_millis(100);

const COMMANDS: &str = "\
Commands, one a line:
  kill <region>         SIGKILL to its server and hosts, as if the site were lost
  start <region>        start what is down of it
  kill-nats <region>    SIGKILL to its server alone: its hosts keep deposits in their spools
  start-nats <region>   start its server
  status                how the regions stand
  help                  this
  quit                  stop everything, hosts first
";

// === Options ===

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    regions: Vec<String>,
    /// Hosts of each region.
    hosts: usize,
    /// The port of the first host; 0 lets each choose.
    base_port: u16,
    /// Where state and logs are; in cargo's output folder unless said.
    folder: Option<PathBuf>,
    /// Whether to go on with the state of the last time.
    keep: bool,
    /// Whether to build first.
    build: bool,
    /// The shell that waits for this process, and has built. Not for people.
    front: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            regions: ["eu", "us", "ap"].map(str::to_owned).into(),
            hosts: 2,
            base_port: 3100,
            folder: None,
            keep: false,
            build: true,
            front: None,
        }
    }
}

impl Options {
    /// Reads the arguments after `regions`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an option that does not exist or a value that cannot be.
    pub(crate) fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                let wants = || Failure::Usage(format!("`{arg}` wants a value"));
                args.next().map(String::as_str).ok_or_else(wants)
            };
            match arg.as_str() {
                "--keep" => options.keep = true,
                "--no-build" => options.build = false,
                "--regions" => options.regions = region_names(value()?)?,
                "--hosts-per-region" => {
                    options.hosts = number(arg, value()?)?;
                    if !(1..=usize::from(PORTS_OF_A_REGION)).contains(&options.hosts) {
                        return Err(Failure::Usage(format!(
                            "`{arg}` wants a number from 1 to {PORTS_OF_A_REGION}"
                        )));
                    }
                }
                "--base-port" => options.base_port = number(arg, value()?)?,
                "--folder" => options.folder = Some(value()?.into()),
                "--front" => options.front = Some(number(arg, value()?)?),
                unknown => {
                    return Err(Failure::Usage(format!(
                        "`regions` takes no argument `{unknown}`; it takes --regions, --hosts-per-region, --base-port, \
                         --folder, --keep and --no-build"
                    )));
                }
            }
        }
        let last = options.regions.len() * usize::from(PORTS_OF_A_REGION);
        if usize::from(options.base_port) + last > usize::from(u16::MAX) {
            return Err(Failure::Usage(
                "`--base-port` leaves too few ports above it".into(),
            ));
        }
        Ok(options)
    }

    /// Where a host serves; 0 is a free port.
    fn port(&self, region: usize, host: usize) -> u16 {
        let offset = usize::from(PORTS_OF_A_REGION) * region + host;
        match (self.base_port, u16::try_from(offset)) {
            (0, _) | (_, Err(_)) => 0,
            (base, Ok(offset)) => base + offset,
        }
    }
}

fn number<N: std::str::FromStr>(option: &str, text: &str) -> Result<N, Failure> {
    text.parse()
        .map_err(|_| Failure::Usage(format!("`{option}` wants a number, and not `{text}`")))
}

fn region_names(text: &str) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    for (place, name) in names.iter().enumerate() {
        let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=32).contains(&name.len()) || !name.bytes().all(letters) {
            return Err(Failure::Usage(format!(
                "`{name}` cannot be a region: 1 to 32 lower-case letters, digits and hyphens can"
            )));
        }
        if names[..place].contains(name) {
            return Err(Failure::Usage(format!("`--regions` names {name} twice")));
        }
    }
    Ok(names)
}

// === The command ===

/// Builds, and serves until it is told to stop.
///
/// # Errors
///
/// The first step that failed.
pub(crate) fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let options = Options::parse(args)?;
    let workspace = Workspace::find()?;
    let folder = match &options.folder {
        Some(folder) => std::path::absolute(folder).map_err(|error| at(folder, &error))?,
        None => workspace.target.join("regions"),
    };
    if let Some(front) = options.front {
        let stop = Stop::of(front, &folder);
        let served = serve(&options, &workspace, &folder, &stop);
        stop.forget();
        return served.map(|()| ExitCode::SUCCESS);
    }
    if options.build {
        build::build(&workspace, &build::Options::default())?;
    }
    let (variable, nats) = servers::provide_nats(&workspace)?;
    let this = std::env::current_exe().map_err(|error| at(Path::new("xtask"), &error))?;
    let mut again = Command::new(this);
    again.arg("regions").args(args).env(variable, nats);
    let error = stop::become_front(&again, &folder);
    Err(Failure::Step {
        what: "Serving".to_owned(),
        how: format!("could not start it: {error}"),
        rerun: step::shell_line(&again),
    })
}

/// Starts everything, obeys, and stops everything.
fn serve(
    options: &Options,
    workspace: &Workspace,
    folder: &Path,
    stop: &Stop,
) -> Result<(), Failure> {
    let _lock = hold(folder)?;
    if !options.keep {
        empty(folder).map_err(|error| at(folder, &error))?;
    }
    let (_, nats) = servers::provide_nats(workspace)?;
    let programs = Programs {
        host: workspace.host(),
        nats,
        manifest: manifest(workspace, folder)?,
    };
    if !process::has_setpriv() {
        step::note(
            "there is no setpriv: should this program be killed, end its hosts and servers by hand",
        );
    }
    let hosts = match options.hosts {
        1 => "a host".to_owned(),
        more => format!("{more} hosts"),
    };
    step::announce(&format!(
        "Starting {}, each with a NATS server and {hosts}; state and logs are in {}",
        options.regions.join(", "),
        workspace.relative(folder).display()
    ));
    let mut deployment = Deployment::new(options, folder, programs, stop.clone());
    let served = deployment.start().map(|()| {
        let mut console = Console::new(&mut deployment, workspace.host(), stop);
        console.greet();
        console.obey();
    });
    say("Stopping: hosts first, then servers. Once more stops at once.");
    deployment.stop();
    say("Stopped.");
    // What could not be waited for, because all was to stop, is no failure.
    if stop.asked() { Ok(()) } else { served }
}

/// Makes sure that nobody else uses the folder, and that it was made here.
fn hold(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let foreign =
        |entry: &fs::DirEntry| !entry.file_name().to_string_lossy().starts_with("signals-");
    let mut entries = fs::read_dir(folder)
        .map_err(|error| at(folder, &error))?
        .flatten();
    if !path.exists() && entries.any(|entry| foreign(&entry)) {
        return Err(Failure::Message(format!(
            "{} holds something that was not made here; name an empty folder with --folder",
            folder.display()
        )));
    }
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| at(&path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Failure::Message(format!(
            "regions run in {} already; stop them, or name another folder with --folder",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(at(&path, &error)),
    }
}

/// Removes the folders of regions.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The repository's spin.toml; or where cargo does not build into `target`, a copy of it that names what was built.
fn manifest(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Failure> {
    let path = workspace.root.join("spin.toml");
    if workspace.target == workspace.root.join("target") {
        return Ok(path);
    }
    let mut text = fs::read_to_string(&path).map_err(|error| at(&path, &error))?;
    for guest in GUESTS {
        let built = workspace.guest(guest);
        let said =
            Path::new("target").join(built.strip_prefix(&workspace.target).unwrap_or(&built));
        text = text.replace(&process::quoted(&said), &process::quoted(&built));
    }
    let copy = folder.join("spin.toml");
    fs::write(&copy, text).map_err(|error| at(&copy, &error))?;
    Ok(copy)
}

fn at(path: &Path, error: &io::Error) -> Failure {
    Failure::Message(format!("{}: {error}", path.display()))
}

/// Prints a line. Nobody may be reading, and what runs is to be stopped in order all the same.
fn say(line: &str) {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

// === The console ===

/// What can be typed. Regions are by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kill(usize),
    Start(usize),
    KillNats(usize),
    StartNats(usize),
    Status,
    Help,
    Quit,
}

impl Order {
    /// Reads a line; an empty one is no order. What is wrong with it is for people.
    fn parse(line: &str, regions: &[&str]) -> Result<Option<Self>, String> {
        let mut words = line.split_whitespace();
        let Some(verb) = words.next() else {
            return Ok(None);
        };
        let named = words.next();
        let region = || {
            let known = named.and_then(|name| regions.iter().position(|region| *region == name));
            known.ok_or_else(|| format!("`{verb}` wants a region: {}", regions.join(", ")))
        };
        let order = match verb {
            "kill" => Self::Kill(region()?),
            "start" => Self::Start(region()?),
            "kill-nats" => Self::KillNats(region()?),
            "start-nats" => Self::StartNats(region()?),
            "status" => Self::Status,
            "help" | "?" => Self::Help,
            "quit" | "exit" => Self::Quit,
            unknown => {
                return Err(format!(
                    "there is no command `{unknown}`; `help` lists them"
                ));
            }
        };
        let takes_region = !matches!(order, Self::Status | Self::Help | Self::Quit);
        if (named.is_some() && !takes_region) || words.next().is_some() {
            return Err(format!("`{verb}` takes nothing more"));
        }
        Ok(Some(order))
    }
}

/// What the console waits for.
enum Event {
    Line(String),
    /// Nothing more will be typed.
    EndOfInput,
    /// What a host of a region says, if it says something.
    View(usize, Option<View>),
}

/// What a region has told of itself.
#[derive(Clone, Debug)]
enum Heard {
    /// It has not been asked since it was started.
    Nothing,
    /// It was asked, and did not answer.
    Silence,
    View(View),
}

/// The regions, and whoever types.
struct Console<'d> {
    deployment: &'d mut Deployment,
    host_program: PathBuf,
    stop: &'d Stop,
    colours: bool,
    begun: Instant,
    sender: Sender<Event>,
    events: Receiver<Event>,
    heard: Vec<Heard>,
    /// The lines that were printed last.
    printed: Vec<String>,
    /// When each region is to be asked; nothing while it is being asked.
    due: Vec<Option<Instant>>,
}

impl<'d> Console<'d> {
    fn new(deployment: &'d mut Deployment, host_program: PathBuf, stop: &'d Stop) -> Self {
        let (sender, events) = mpsc::channel();
        let count = deployment.regions.len();
        Self {
            deployment,
            host_program,
            stop,
            colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            begun: Instant::now(),
            sender,
            events,
            heard: vec![Heard::Nothing; count],
            printed: vec![String::new(); count],
            due: vec![Some(Instant::now()); count],
        }
    }

    /// The addresses.
    fn greet(&self) {
        let width = self.width();
        for region in &self.deployment.regions {
            for (number, host) in region.hosts.iter().enumerate() {
                let (name, port) = (&region.name, host.port);
                say(&format!(
                    "  {name:<width$}  host {number}  http://127.0.0.1:{port}"
                ));
            }
            let (name, port) = (&region.name, region.nats_port);
            say(&format!(
                "  {name:<width$}  NATS    nats://127.0.0.1:{port}"
            ));
        }
        say(
            "Serving; nobody is asked for a token. Type `help` for what can be broken; Ctrl-C stops everything.",
        );
    }

    fn width(&self) -> usize {
        let names = self.deployment.regions.iter();
        names.map(|region| region.name.len()).max().unwrap_or(0)
    }

    /// Does what is typed, until `quit`, a signal, or the end of a terminal's input. Where no terminal types, the end of
    /// input means only that nothing more is asked for: whoever started this in the background wants it to run.
    fn obey(&mut self) {
        let lines = self.sender.clone();
        // It waits for a line when this program ends, and ends with it.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if lines.send(Event::Line(line)).is_err() {
                    return;
                }
            }
            let _ = lines.send(Event::EndOfInput);
        });
        while !self.stop.asked() {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Line(line)) => {
                    if !self.line(&line) {
                        return;
                    }
                }
                Ok(Event::EndOfInput) if io::stdin().is_terminal() => return,
                Ok(Event::View(region, view)) => {
                    self.heard[region] = view.map_or(Heard::Silence, Heard::View);
                    self.due[region] = Some(Instant::now() + ASK_AGAIN);
                    self.show_changes();
                }
                Ok(Event::EndOfInput)
                | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            let lost = self.deployment.lost();
            if !lost.is_empty() {
                lost.iter().for_each(|line| say(line));
                self.show_changes();
            }
            self.ask();
        }
    }

    /// Does what a line says. Whether to go on.
    fn line(&mut self, line: &str) -> bool {
        let names = self
            .deployment
            .regions
            .iter()
            .map(|region| region.name.as_str());
        match Order::parse(line, &names.collect::<Vec<_>>()) {
            Ok(None) => {}
            Ok(Some(Order::Quit)) => return false,
            Ok(Some(Order::Help)) => say(COMMANDS.trim_end()),
            Ok(Some(Order::Status)) => {
                self.printed.fill(String::new());
                self.show_changes();
            }
            Ok(Some(order)) => {
                match self.change(order) {
                    Ok(done) => say(&done),
                    // The other regions go on.
                    Err(failure) => step::report(&failure),
                }
                self.show_changes();
            }
            Err(wrong) => say(&wrong),
        }
        true
    }

    /// Kills or starts, and says what was done.
    fn change(&mut self, order: Order) -> Result<String, Failure> {
        let name = |region: usize| self.deployment.regions[region].name.clone();
        Ok(match order {
            Order::Kill(region) => {
                let name = name(region);
                self.heard[region] = Heard::Nothing;
                match self.deployment.kill_region(region) {
                    (0, false) => format!("{name}: was down"),
                    (hosts, false) => format!("{name}: killed {hosts} hosts"),
                    (hosts, true) => format!("{name}: killed its NATS server and {hosts} hosts"),
                }
            }
            Order::Start(region) => {
                let name = name(region);
                self.deployment.start_region(region)?;
                format!("{name}: started")
            }
            Order::KillNats(region) => {
                let name = name(region);
                match self.deployment.kill_nats(region) {
                    true => format!("{name}: killed its NATS server"),
                    false => format!("{name}: its NATS server was down"),
                }
            }
            Order::StartNats(region) => {
                let name = name(region);
                self.deployment.start_nats(region)?;
                format!("{name}: started its NATS server")
            }
            Order::Status | Order::Help | Order::Quit => String::new(),
        })
    }

    /// Prints the line of each region that stands otherwise than when it was last printed.
    fn show_changes(&mut self) {
        let width = self.width();
        let seconds = self.begun.elapsed().as_secs();
        for (number, region) in self.deployment.regions.iter().enumerate() {
            let view = match &self.heard[number] {
                // It is being asked, and its answer is worth more than another line.
                Heard::Nothing if region.hosts_up() > 0 => continue,
                Heard::Nothing | Heard::Silence => None,
                Heard::View(view) => Some(view.clone()),
            };
            let summary = Summary {
                hosts_up: region.hosts_up(),
                hosts: region.hosts.len(),
                nats_up: region.nats_is_up(),
                view,
            };
            let line = summary.line(self.colours);
            if line != self.printed[number] {
                let name = &region.name;
                say(&format!("{seconds:>5} s  {name:<width$}  {line}"));
                self.printed[number] = line;
            }
        }
    }

    /// Asks a host of each region whose time has come how it stands, beside everything else.
    fn ask(&mut self) {
        for (number, region) in self.deployment.regions.iter().enumerate() {
            let is_due = self.due[number].is_some_and(|due| due <= Instant::now());
            let Some(state) = region.living_state().filter(|_| is_due) else {
                continue;
            };
            self.due[number] = None;
            let mut command = Command::new(&self.host_program);
            command.arg("regions").arg("--state-dir").arg(state);
            let sender = self.sender.clone();
            std::thread::spawn(move || {
                let view = step::ask(&mut command).map(|text| View::parse(&text));
                let _ = sender.send(Event::View(number, view));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words).map_err(|failure| match failure {
            Failure::Usage(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn three_regions_of_two_hosts_unless_told_otherwise() {
        assert_eq!(parse(""), Ok(Options::default()));
        let said = parse(
            "--regions a,b-2 --hosts-per-region 3 --base-port 0 --folder x --keep --no-build",
        )
        .unwrap();
        let expected = Options {
            regions: vec!["a".to_owned(), "b-2".to_owned()],
            hosts: 3,
            base_port: 0,
            folder: Some("x".into()),
            keep: true,
            build: false,
            front: None,
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, said) in [
            ("--regions eu,eu", "eu twice"),
            ("--regions EU", "`EU`"),
            ("--regions eu,", "``"),
            ("--hosts-per-region 0", "1 to 10"),
            ("--hosts-per-region 11", "1 to 10"),
            ("--base-port 65530", "too few ports"),
            ("--base-port 99999", "`99999`"),
            ("--base-port", "wants a value"),
            ("--region eu", "`--region`"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
        }
    }

    #[test]
    fn a_port_tells_region_and_host() {
        let options = Options::default();
        assert_eq!((options.port(0, 0), options.port(2, 1)), (3100, 3121));
        let free = parse("--base-port 0").unwrap();
        assert_eq!((free.port(0, 0), free.port(2, 1)), (0, 0));
    }

    #[test]
    fn orders_name_a_region_or_none() {
        let check =
            |line, expected| assert_eq!(Order::parse(line, &["eu", "us"]), Ok(expected), "{line}");
        check("kill eu", Some(Order::Kill(0)));
        check("  start   us ", Some(Order::Start(1)));
        check("kill-nats us", Some(Order::KillNats(1)));
        check("start-nats eu", Some(Order::StartNats(0)));
        check("status", Some(Order::Status));
        check("help", Some(Order::Help));
        check("quit", Some(Order::Quit));
        check("", None);
        for (line, said) in [
            ("kill", "wants a region: eu, us"),
            ("kill ap", "wants a region: eu, us"),
            ("kill eu us", "nothing more"),
            ("quit eu", "nothing more"),
            ("stop eu", "`stop`"),
        ] {
            let wrong = Order::parse(line, &["eu", "us"]).unwrap_err();
            assert!(wrong.contains(said), "{line}: {wrong}");
        }
    }

    #[test]
    fn a_folder_that_was_not_made_here_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("starling-regions-{}", std::process::id()));
        fs::create_dir_all(folder.join("precious")).unwrap();
        assert!(hold(&folder).is_err());
        fs::remove_dir(folder.join("precious")).unwrap();
        let lock = hold(&folder).unwrap();
        fs::create_dir_all(folder.join("eu")).unwrap();
        let Err(Failure::Message(message)) = hold(&folder) else {
            panic!("held twice");
        };
        assert!(message.contains("already"), "{message}");
        drop(lock);
        hold(&folder).unwrap();
        empty(&folder).unwrap();
        assert!(!folder.join("eu").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
