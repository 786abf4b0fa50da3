//! The regions: a NATS server and some hosts each, what they are configured with, and how they are started and ended.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::process::{self, Process, quoted};
use super::stop::Stop;
use super::{Options, at};
use crate::step::Failure;

/// Longest wait for a server to listen, and for a host to serve, which may have to compile the component first.
const NATS_PATIENCE: Duration = Duration::from_secs(15);
const HOST_PATIENCE: Duration = Duration::from_secs(120);

/// How long what is in flight has to end when a host stops. The demonstration has no clients that are slower.
const DRAIN_MS: u64 = 3_000;

/// Longest wait for processes that were asked to end, until they are killed: longer than a host drains.
const END_PATIENCE: Duration = Duration::from_secs(8);

/// How long to leave a process alone before it is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// What is started.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) host: PathBuf,
    pub(super) nats: PathBuf,
    pub(super) manifest: PathBuf,
}

/// All regions.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) regions: Vec<Region>,
    programs: Programs,
    stop: Stop,
}

/// One region.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) name: String,
    folder: PathBuf,
    nats: Option<Process>,
    /// Where the server listens; 0 until it has chosen. It keeps its port when it is started again.
    pub(super) nats_port: u16,
    pub(super) hosts: Vec<Host>,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    state: PathBuf,
    process: Option<Process>,
    /// Where it serves; 0 until it has chosen. It keeps its port when it is started again.
    pub(super) port: u16,
}

impl Host {
    fn log(&self) -> PathBuf {
        self.state.with_extension("log")
    }

    fn cache(&self) -> PathBuf {
        self.state.join("cache")
    }
}

impl Deployment {
    /// Regions of which nothing runs yet.
    pub(super) fn new(options: &Options, folder: &Path, programs: Programs, stop: Stop) -> Self {
        let region = |(number, name): (usize, &String)| {
            let folder = folder.join(name);
            let host = |host| Host {
                state: folder.join(format!("host-{host}")),
                process: None,
                port: options.port(number, host),
            };
            Region {
                name: name.clone(),
                nats: None,
                nats_port: 0,
                hosts: (0..options.hosts).map(host).collect(),
                folder,
            }
        };
        Self {
            regions: options.regions.iter().enumerate().map(region).collect(),
            programs,
            stop,
        }
    }

    /// Starts everything, and waits until it serves.
    ///
    /// # Errors
    ///
    /// [`Failure`] where something does not start, or this program is to stop.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        for region in 0..self.regions.len() {
            self.start_nats(region)?;
        }
        // Only now all servers' ports are known.
        for region in 0..self.regions.len() {
            self.configure(region)?;
        }
        // The first host compiles the component, which takes seconds of all cores; the others are given the result.
        self.start_hosts(&[(0, 0)])?;
        let compiled = self.regions[0].hosts[0].cache();
        let others: Vec<(usize, usize)> = self.all_hosts().into_iter().skip(1).collect();
        for (region, host) in &others {
            let cache = self.regions[*region].hosts[*host].cache();
            process::copy_files(&compiled, &cache).map_err(|error| at(&cache, &error))?;
        }
        self.start_hosts(&others)
    }

    /// Starts what is down of a region.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(super) fn start_region(&mut self, region: usize) -> Result<(), Failure> {
        self.start_nats(region)?;
        let hosts: Vec<_> = self
            .all_hosts()
            .into_iter()
            .filter(|(of, _)| *of == region)
            .collect();
        self.start_hosts(&hosts)
    }

    /// Starts the server of a region, unless it runs, and waits until it listens.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(super) fn start_nats(&mut self, region: usize) -> Result<(), Failure> {
        let region = &mut self.regions[region];
        if region.nats.is_some() {
            return Ok(());
        }
        let folder = region.folder.join("nats");
        let config = folder.join("nats.conf");
        let text = nats_config(&region.name, region.nats_port, &folder);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&config, text))
            .map_err(|error| at(&config, &error))?;
        let mut command = process::command(&self.programs.nats);
        command.arg("--config").arg(&config);
        let mut nats = Process::start(&mut command, &region.folder.join("nats.log"))?;
        let ports = folder.join(format!("nats-server_{}.ports", nats.id()));
        let name = format!("{}: its NATS server", region.name);
        let port = self.stop.wait(NATS_PATIENCE, &name, || {
            if let Some(status) = nats.ended() {
                let last_words = nats.last_words();
                return Some(Err(Failure::Message(format!(
                    "{name} ended with {status}; {last_words}"
                ))));
            }
            // A server writes its ports down when it listens.
            fs::read_to_string(&ports)
                .ok()
                .as_deref()
                .and_then(port_written)
                .map(Ok)
        });
        region.nats = Some(nats);
        region.nats_port = port?;
        Ok(())
    }

    /// Writes the configuration of a region's hosts.
    fn configure(&self, region: usize) -> Result<(), Failure> {
        let path = self.regions[region].folder.join("edge.toml");
        let regions = self
            .regions
            .iter()
            .map(|region| (region.name.as_str(), region.nats_port));
        let text = host_config(&self.regions[region].name, regions);
        fs::write(&path, text).map_err(|error| at(&path, &error))
    }

    fn all_hosts(&self) -> Vec<(usize, usize)> {
        let hosts = |(number, region): (usize, &Region)| {
            (0..region.hosts.len()).map(move |host| (number, host))
        };
        self.regions.iter().enumerate().flat_map(hosts).collect()
    }

    /// Starts those hosts that do not run, and waits until they serve.
    fn start_hosts(&mut self, hosts: &[(usize, usize)]) -> Result<(), Failure> {
        let mut started = Vec::new();
        for (region, host) in hosts.iter().copied() {
            let config = self.regions[region].folder.join("edge.toml");
            let slot = &mut self.regions[region].hosts[host];
            if slot.process.is_some() {
                continue;
            }
            let mut command = process::command(&self.programs.host);
            command
                .arg("up")
                .arg("-f")
                .arg(&self.programs.manifest)
                .arg("--insecure-open")
                .arg("--runtime-config-file")
                .arg(&config)
                .arg("--state-dir")
                .arg(&slot.state)
                .args(["--admin-listen", "127.0.0.1:0"])
                .args(["--listen", &format!("127.0.0.1:{}", slot.port)]);
            // A key in the environment would close what is to be open.
            command.env_remove("SPIN_VARIABLE_SESSION_KEY");
            fs::create_dir_all(&self.regions[region].folder)
                .map_err(|error| at(&config, &error))?;
            let slot = &mut self.regions[region].hosts[host];
            slot.process = Some(Process::start(&mut command, &slot.log())?);
            started.push((region, host));
        }
        for (region, host) in started {
            let Region { name, hosts, .. } = &mut self.regions[region];
            let slot = &mut hosts[host];
            let name = format!("{name}: host {host}");
            if let Some(process) = &mut slot.process {
                slot.port = self.stop.wait(HOST_PATIENCE, &name, || {
                    if let Some(status) = process.ended() {
                        let last_words = process.last_words();
                        return Some(Err(Failure::Message(format!(
                            "{name} ended with {status}; {last_words}"
                        ))));
                    }
                    process.said().lines().find_map(port_served).map(Ok)
                })?;
            }
        }
        Ok(())
    }

    /// Ends all of a region at once, as the loss of a site would. How many hosts ran, and whether the server did.
    pub(super) fn kill_region(&mut self, region: usize) -> (usize, bool) {
        let hosts = self.regions[region].hosts.iter_mut();
        let processes: Vec<Process> = hosts.filter_map(|host| host.process.take()).collect();
        let count = processes.len();
        processes.into_iter().for_each(Process::kill);
        (count, self.kill_nats(region))
    }

    /// Ends the server of a region at once. Whether it ran.
    pub(super) fn kill_nats(&mut self, region: usize) -> bool {
        let nats = self.regions[region].nats.take();
        nats.map(Process::kill).is_some()
    }

    /// Asks all hosts to end, and waits; then all servers. Whatever takes too long is killed, and everything at once where
    /// whoever waits is in a hurry.
    pub(super) fn stop(&mut self) {
        let hosts = self.regions.iter_mut().flat_map(|region| &mut region.hosts);
        let hosts = hosts.filter_map(|host| host.process.take()).collect();
        end(hosts, &self.stop);
        let servers = self
            .regions
            .iter_mut()
            .filter_map(|region| region.nats.take());
        end(servers.collect(), &self.stop);
    }

    /// Forgets processes that have ended, and says which.
    pub(super) fn lost(&mut self) -> Vec<String> {
        let mut lost = Vec::new();
        for region in &mut self.regions {
            let name = &region.name;
            let hosts = region.hosts.iter_mut().enumerate();
            let hosts = hosts.map(|(number, host)| (format!("host {number}"), &mut host.process));
            for (what, slot) in hosts.chain([("its NATS server".to_owned(), &mut region.nats)]) {
                let Some(process) = slot else { continue };
                if let Some(status) = process.ended() {
                    lost.push(format!(
                        "{name}: {what} ended with {status}; {}",
                        process.last_words()
                    ));
                    *slot = None;
                }
            }
        }
        lost
    }
}

impl Region {
    pub(super) fn nats_is_up(&self) -> bool {
        self.nats.is_some()
    }

    pub(super) fn hosts_up(&self) -> usize {
        self.hosts
            .iter()
            .filter(|host| host.process.is_some())
            .count()
    }

    /// The state directory of a host that runs.
    pub(super) fn living_state(&self) -> Option<&Path> {
        let host = self.hosts.iter().find(|host| host.process.is_some())?;
        Some(&host.state)
    }
}

fn end(mut processes: Vec<Process>, stop: &Stop) {
    process::terminate(processes.iter());
    let patient_until = Instant::now() + END_PATIENCE;
    while Instant::now() < patient_until && !stop.at_once() {
        processes.retain_mut(|process| process.ended().is_none());
        if processes.is_empty() {
            return;
        }
        std::thread::sleep(POLL);
    }
    processes.into_iter().for_each(Process::kill);
}

/// The configuration of a region's server. Port 0 is a free one.
fn nats_config(name: &str, port: u16, folder: &Path) -> String {
    let port = match port {
        0 => "-1".to_owned(),
        port => port.to_string(),
    };
    format!(
        "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nports_file_dir: {folder}\n\
         jetstream {{\n  store_dir: {store}\n  # An acknowledgement means the disk only with this.\n  sync_interval: always\n}}\n",
        name = quoted(name),
        folder = quoted(folder),
        store = quoted(folder.join("store")),
    )
}

/// The configuration of the hosts of a region.
fn host_config<'r>(own: &str, regions: impl Iterator<Item = (&'r str, u16)>) -> String {
    let mut text = format!("region = {}\n", quoted(own));
    for (name, port) in regions {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n[regions.{name}.nats]\nservers = [\"nats://127.0.0.1:{port}\"]\n"
        );
    }
    let _ = write!(
        text,
        "\n[key_value_store.default]\ntype = \"nats\"\nsync_always = true\n\
         \n[limits]\ndrain_timeout_ms = {DRAIN_MS}\n\
         \n[signatures]\nallow_unsigned = true\n"
    );
    text
}

/// The port for clients in what a server writes down: JSON such as `{"nats":["nats://127.0.0.1:4222"]}`, on lines of its own
/// or not. Nothing where it is not written to its end yet.
fn port_written(ports: &str) -> Option<u16> {
    ports.trim_end().strip_suffix('}')?;
    let (_, rest) = ports.split_once("\"nats\"")?;
    let (_, rest) = rest.split_once("127.0.0.1:")?;
    rest.split_once('"')?.0.parse().ok()
}

/// The port in the line with which a host says that it serves.
fn port_served(line: &str) -> Option<u16> {
    line.strip_prefix("Serving http://127.0.0.1:")?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_knows_its_region_and_all_servers() {
        let text = host_config("eu", [("eu", 4001), ("us", 4002)].into_iter());
        assert!(text.starts_with(
            "region = \"eu\"\n\n[regions.eu.nats]\nservers = [\"nats://127.0.0.1:4001\"]\n"
        ));
        assert!(text.contains("[regions.us.nats]\nservers = [\"nats://127.0.0.1:4002\"]\n"));
    }

    #[test]
    fn a_server_syncs_and_listens_where_it_did() {
        let check = |port, expected| {
            let text = nats_config("eu", port, Path::new("/a b/nats"));
            assert!(text.contains(expected), "{text}");
            assert!(text.contains("sync_interval: always\n"), "{text}");
            assert!(text.contains("store_dir: \"/a b/nats/store\"\n"), "{text}");
        };
        check(0, "listen: \"127.0.0.1:-1\"\n");
        check(4222, "listen: \"127.0.0.1:4222\"\n");
    }

    #[test]
    fn ports_are_read_once_they_are_complete() {
        let written = "{\n\t\"nats\": [\n\t\t\"nats://127.0.0.1:40123\"\n\t]\n}\n";
        assert_eq!(port_written(written), Some(40123));
        assert_eq!(port_written(&written[..written.len() - 3]), None);
        assert_eq!(port_served("Serving http://127.0.0.1:3100"), Some(3100));
        assert_eq!(
            port_served("  voicemail: http://127.0.0.1:3100/v1/..."),
            None
        );
    }
}
