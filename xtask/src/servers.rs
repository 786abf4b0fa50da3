//! The servers that tests start: nats-server, redis-server and docker-registry, found on this machine or fetched.
//!
//! They are fetched through apt and unpacked into cargo's output folder. Nothing is installed: that would start them
//! as services, and takes root. apt works on lists and folders of its own there, from the machine's mirrors, and checks
//! signatures as always. Where Debian's own release has too old a server, the next release's is taken.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::sources::Source;
use crate::step::{self, Failure};
use crate::workspace::Workspace;

/// A server, and what it must be.
struct Server {
    /// The environment variable that names its program, to the tests too.
    variable: &'static str,
    /// Programs that will do.
    names: &'static [&'static str],
    oldest: Version,
    /// The Debian package.
    package: &'static str,
    /// Where the package keeps the program.
    file: &'static str,
}

/// 2.10 is the first that syncs the disk before it acknowledges, if asked to.
const NATS: Server = Server {
    variable: "STARLING_NATS_SERVER",
    names: &["nats-server"],
    oldest: Version(2, 10),
    package: "nats-server",
    file: "usr/sbin/nats-server",
};

/// 6.0 is the first with users.
const REDIS: Server = Server {
    variable: "STARLING_REDIS_SERVER",
    names: &["redis-server", "valkey-server"],
    oldest: Version(6, 0),
    package: "redis-server",
    file: "usr/bin/redis-server",
};

/// 2.7 is the first that keeps artifacts of OCI.
const REGISTRY: Server = Server {
    variable: "STARLING_DOCKER_REGISTRY",
    names: &["docker-registry"],
    oldest: Version(2, 7),
    package: "docker-registry",
    file: "usr/bin/docker-registry",
};

/// The Debian release to take a server from that is too old in the machine's own. Its programs run on the C library of
/// Debian 12.
const NEWER_RELEASE: &str = "trixie";

/// Debian's signing keys, of releases that were planned when it was installed too.
const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where programs are that are not on everybody's `PATH`.
const SYSTEM_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/sbin"];

/// Finds the servers, or fetches them after saying so. What tests are to be told: variables, each with a program.
///
/// # Errors
///
/// [`Failure::Message`] where there is no way to get one, with what to do; [`Failure::Step`] where fetching fails.
pub(crate) fn provide(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let mut tools = Tools::of(workspace);
    [&NATS, &REDIS, &REGISTRY]
        .into_iter()
        .map(|server| Ok((server.variable, tools.provide(server)?)))
        .collect()
}

/// As [`provide`], for nats-server alone.
///
/// # Errors
///
/// As [`provide`].
pub(crate) fn provide_nats(workspace: &Workspace) -> Result<(&'static str, PathBuf), Failure> {
    Ok((NATS.variable, Tools::of(workspace).provide(&NATS)?))
}

/// `cargo xtask servers`: provides them, and says where they are.
///
/// # Errors
///
/// [`Failure::Usage`] for any argument; otherwise as [`provide`].
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(argument) = args.first() {
        return Err(Failure::Usage(format!(
            "`servers` takes no argument `{argument}`"
        )));
    }
    for (variable, program) in provide(&Workspace::find()?)? {
        println!("{variable}={}", program.display());
    }
    Ok(())
}

/// What this program has fetched, and how it fetches more.
struct Tools {
    folder: PathBuf,
    /// The archive of the machine's own release, once it was needed.
    own: Option<Archive>,
}

impl Tools {
    fn of(workspace: &Workspace) -> Self {
        Self {
            folder: workspace.target.join("tools"),
            own: None,
        }
    }

    fn provide(&mut self, server: &Server) -> Result<PathBuf, Failure> {
        if let Some(program) = env::var_os(server.variable).map(PathBuf::from) {
            return match version(&program) {
                Some(version) if version >= server.oldest => Ok(program),
                Some(version) => Err(server.unfit(format!("{} is {version}", program.display()))),
                None => Err(server.unfit(format!("{} tells no version", program.display()))),
            };
        }
        let fits = |program: &PathBuf| version(program).is_some_and(|is| is >= server.oldest);
        if let Some(program) = self.candidates(server).find(fits) {
            return Ok(program);
        }
        let program = self.fetch(server)?;
        if fits(&program) {
            return Ok(program);
        }
        Err(server.unfit(format!("{} does not run here", program.display())))
    }

    /// Where the program may be already.
    fn candidates(&self, server: &Server) -> impl Iterator<Item = PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let installed: Vec<PathBuf> = env::split_paths(&path)
            .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
            .flat_map(|folder| server.names.iter().map(move |name| folder.join(name)))
            .collect();
        std::iter::once(self.program(server))
            .chain(installed)
            .filter(|program| program.is_file())
    }

    /// Where a fetched program is started from. Tests that run without this program look there too.
    fn program(&self, server: &Server) -> PathBuf {
        self.folder.join("bin").join(server.package)
    }

    fn fetch(&mut self, server: &Server) -> Result<PathBuf, Failure> {
        if !debian::has_apt() {
            return Err(server.unfit("it is not on PATH".to_owned()));
        }
        step::announce(&format!(
            "The tests' servers: {} {} or later, to be unpacked in {}",
            server.package,
            server.oldest,
            self.folder.display()
        ));
        let own = match self.own.take() {
            Some(archive) => archive,
            None => Archive::own(&self.folder)?,
        };
        let own = self.own.insert(own);
        let newer;
        let archive = match own.version(server.package) {
            Some(version) if version >= server.oldest => &*own,
            _ if debian::is_debian() => {
                newer = Archive::newer(&self.folder, server)?;
                &newer
            }
            Some(version) => return Err(server.unfit(format!("this release has {version}"))),
            None => return Err(server.unfit("this release does not have it".to_owned())),
        };
        let root = self.folder.join(server.package);
        archive.unpack(server, &root)?;
        let program = self.program(server);
        write_wrapper(&program, &root.join(server.file), &library_folders(&root))
            .map_err(|error| at(&program, &error))?;
        Ok(program)
    }
}

impl Server {
    /// No way to get this server, because of `reason`.
    fn unfit(&self, reason: String) -> Failure {
        Failure::Message(format!(
            "the tests need {} {} or later: {reason}. Install it, or set {} to the path of one, then run the same again",
            self.names.join(" or "),
            self.oldest,
            self.variable
        ))
    }
}

// === Versions ===

/// The first two numbers of a version, which is all that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// The version in what a program tells of itself: the first word that is one.
    fn told(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    /// Reads `2.10.27-1+b2`, with or without Debian's epoch or a `v` before it.
    fn parse(text: &str) -> Option<Self> {
        let text = text.split_once(':').map_or(text, |(_, version)| version);
        let text = text.trim_start_matches("v=").trim_start_matches('v');
        let (major, rest) = text.split_once('.')?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The version that `program` tells, which is none where it does not run.
fn version(program: &Path) -> Option<Version> {
    let told = step::ask(Command::new(program).arg("--version"))?;
    Version::told(&told)
}

// === Archives ===

/// Packages that can be fetched, with apt's knowledge of them in a folder of their own.
struct Archive {
    /// apt's settings.
    settings: PathBuf,
    /// Where packages are downloaded to.
    downloads: PathBuf,
}

impl Archive {
    /// The archive of the release that this machine runs, as this machine is configured.
    fn own(tools: &Path) -> Result<Self, Failure> {
        let sources = own_sources()?;
        let archive = Self::prepare(&tools.join("apt/own"), &sources)?;
        archive.update("Reading the list of packages")?;
        Ok(archive)
    }

    /// The archive of a newer release of Debian, from the mirror of this machine's own.
    fn newer(tools: &Path, server: &Server) -> Result<Self, Failure> {
        let release = debian::release().unwrap_or_default();
        let main = own_sources()?
            .into_iter()
            .find(|source| source.has(&release, "main"))
            .ok_or_else(|| server.unfit("no mirror of Debian is configured".to_owned()))?;
        let keyring = Path::new(DEBIAN_KEYRING);
        let source = main.of_release(NEWER_RELEASE, keyring.is_file().then_some(keyring));
        let archive = Self::prepare(&tools.join("apt").join(NEWER_RELEASE), &[source])?;
        archive
            .update(&format!("Reading the list of packages of {NEWER_RELEASE}"))
            .map_err(|failure| {
                step::report(&failure);
                server.unfit(format!(
                    "this release has an older one, and {NEWER_RELEASE} cannot be read. \
                     If a key was missing (NO_PUBKEY), a later debian-archive-keyring has it"
                ))
            })?;
        Ok(archive)
    }

    /// Writes apt's settings. They send it to folders of its own for all that it changes, and leave the machine's
    /// packages, keys and proxies as they are.
    fn prepare(folder: &Path, sources: &[Source]) -> Result<Self, Failure> {
        let archive = Self {
            settings: folder.join("apt.conf"),
            downloads: folder.join("downloads"),
        };
        let settings = format!(
            "Dir::State \"{0}/state\";\nDir::Cache \"{0}/cache\";\nDir::Etc::sourcelist \"/dev/null\";\n\
             Dir::Etc::sourceparts \"{0}/sources\";\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"root\";\n",
            folder.display()
        );
        let stanzas: Vec<String> = sources.iter().map(Source::to_string).collect();
        let write = || -> io::Result<()> {
            for part in ["state/lists/partial", "cache/archives/partial", "sources"] {
                fs::create_dir_all(folder.join(part))?;
            }
            empty(&archive.downloads)?;
            fs::write(folder.join("sources/all.sources"), stanzas.join("\n"))?;
            fs::write(&archive.settings, settings)
        };
        write().map_err(|error| at(folder, &error))?;
        Ok(archive)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--quiet").env("APT_CONFIG", &self.settings);
        command
    }

    fn update(&self, what: &str) -> Result<(), Failure> {
        let mut update = self.apt("apt-get");
        step::run(what, update.arg("update").stdout(io::stderr()))
    }

    /// The version of a package, where the archive has it.
    fn version(&self, package: &str) -> Option<Version> {
        let mut show = self.apt("apt-cache");
        show.args(["show", "--no-all-versions", package]);
        let described = step::ask(&mut show)?;
        let version = described
            .lines()
            .find_map(|line| line.strip_prefix("Version: "))?;
        Version::parse(version)
    }

    /// Fetches a server's package, with those below it that this machine lacks, and unpacks them into `root`.
    fn unpack(&self, server: &Server, root: &Path) -> Result<(), Failure> {
        let mut plan = self.apt("apt-get");
        plan.args(["install", "--simulate", "--no-install-recommends"]);
        let planned = step::ask(plan.arg(server.package)).unwrap_or_default();
        let mut packages = new_packages(&planned);
        if !packages.contains(&server.package) {
            packages.push(server.package);
        }
        let mut download = self.apt("apt-get");
        download.arg("download").args(&packages);
        step::run(
            &format!("Fetching {}", packages.join(", ")),
            download.current_dir(&self.downloads).stdout(io::stderr()),
        )?;
        empty(root).map_err(|error| at(root, &error))?;
        let files = fs::read_dir(&self.downloads).map_err(|error| at(&self.downloads, &error))?;
        let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        files.sort();
        for file in &files {
            let mut extract = Command::new("dpkg-deb");
            extract.arg("--extract").arg(file).arg(root);
            step::run("Unpacking", &mut extract)?;
        }
        empty(&self.downloads).map_err(|error| at(&self.downloads, &error))
    }
}

/// What this machine's apt is configured to read, of the release that it runs.
fn own_sources() -> Result<Vec<Source>, Failure> {
    let release = debian::release().unwrap_or_default();
    let sources: Vec<Source> = Source::configured()
        .into_iter()
        .filter_map(|source| source.of_release_and_its_updates(&release))
        .collect();
    if sources.is_empty() {
        return Err(Failure::Message(format!(
            "the configuration of apt names no source of {release}, the release that this machine runs"
        )));
    }
    Ok(sources)
}

/// The packages that a simulated installation would add. An upgrade, which tells the old version first, is left out:
/// what is there will do.
fn new_packages(simulated: &str) -> Vec<&str> {
    simulated
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("Inst ")?.split(' ');
            let package = words.next()?;
            words.next()?.starts_with('(').then_some(package)
        })
        .collect()
}

// === What is unpacked ===

/// The folders of shared libraries below `root`.
fn library_folders(root: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = ["usr/lib", "lib"]
        .iter()
        .flat_map(|lib| below(&root.join(lib)))
        .map(|entry| entry.path())
        .filter(|folder| {
            below(folder).any(|file| file.file_name().to_string_lossy().contains(".so"))
        })
        .collect();
    folders.sort();
    folders
}

/// Writes a script that becomes `program`, with `libraries` before the system's.
fn write_wrapper(path: &Path, program: &Path, libraries: &[PathBuf]) -> io::Result<()> {
    let mut exec = Command::new(program);
    if !libraries.is_empty() {
        let folders = env::join_paths(libraries).map_err(io::Error::other)?;
        exec.env("LD_LIBRARY_PATH", folders);
    }
    let script = format!("#!/bin/sh\nexec env {} \"$@\"\n", step::shell_line(&exec));
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let partial = path.with_extension("partial");
    fs::write(&partial, script)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
    fs::rename(partial, path)
}

/// Makes `folder` an empty folder.
fn empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    }
}

fn at(path: &Path, error: &io::Error) -> Failure {
    Failure::Message(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_and_packages_tell_them() {
        let check = |text, expected| assert_eq!(Version::parse(text), expected, "{text}");
        check("v2.10.27", Some(Version(2, 10)));
        check("2.9.10-1+b3", Some(Version(2, 9)));
        check("v=7.0.15", Some(Version(7, 0)));
        check("5:7.0.15-1~deb12u7", Some(Version(7, 0)));
        check("8.1", Some(Version(8, 1)));
        check("version", None);
        assert!(Version(2, 9) < NATS.oldest && Version(2, 10) >= NATS.oldest);
    }

    #[test]
    fn the_version_is_found_in_what_a_program_tells_of_itself() {
        let check = |text, expected| assert_eq!(Version::told(text), expected, "{text}");
        check("nats-server: v2.10.27", Some(Version(2, 10)));
        check(
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64",
            Some(Version(7, 0)),
        );
        check(
            "/opt/v1.0/docker-registry github.com/docker/distribution 2.8.2+ds1",
            Some(Version(2, 8)),
        );
        check("usage: false", None);
    }

    #[test]
    fn new_packages_are_told_from_upgrades() {
        let simulated = "Reading package lists...\n\
             Inst libc6 [2.36-9] (2.36-9+deb12u1 Debian:12.15/oldstable [amd64])\n\
             Inst liblzf1 (3.6-3 Debian:12.15/oldstable [amd64])\n\
             Inst redis-server (5:7.0.15-1 Debian:12.15/oldstable [amd64])\n\
             Conf liblzf1 (3.6-3 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(new_packages(simulated), ["liblzf1", "redis-server"]);
    }

    #[test]
    fn a_wrapper_becomes_its_program_with_its_libraries() {
        let folder = env::temp_dir().join(format!("starling-servers-{}", std::process::id()));
        let (lib, path) = (folder.join("usr/lib/some where"), folder.join("bin/env"));
        fs::create_dir_all(&lib).unwrap();
        fs::create_dir_all(folder.join("usr/lib/empty")).unwrap();
        fs::write(lib.join("libx.so.1"), "").unwrap();
        let libraries = library_folders(&folder);
        assert_eq!(libraries, std::slice::from_ref(&lib));
        write_wrapper(&path, Path::new("printenv"), &libraries).unwrap();
        let told = step::ask(Command::new(&path).arg("LD_LIBRARY_PATH"));
        assert_eq!(told.as_deref(), lib.to_str());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let Failure::Message(message) = NATS.unfit("it is not on PATH".to_owned()) else {
            panic!("a message");
        };
        assert!(
            message.starts_with(
                "the tests need nats-server 2.10 or later: it is not on PATH. Install it"
            ),
            "{message}"
        );
        assert!(message.contains("STARLING_NATS_SERVER"), "{message}");
    }
}
