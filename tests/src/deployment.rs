//! Several regions on this machine: a NATS server and some hosts each, and a network between regions that a test can
//! break.
//!
//! A host reaches its own region's server directly, and each other region's through a [`Proxy`] that all hosts of its
//! region share. So a link is between two regions, in one direction of connecting.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use starling_test_servers::{Direction, NatsServer, Proxy};
use tokio::time::timeout;

use crate::app::App;
use crate::client::{Answer, Call};
use crate::host::{Host, Launch, PATIENCE};
use crate::traffic::Backend;

/// How long to wait before something is looked at again.
pub const POLL: Duration = Duration::from_millis(25);

/// How long a client waits for a host before it goes elsewhere: longer than a host may take.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(8);

/// Regions, their hosts, and the network between them.
#[derive(Debug)]
pub struct Deployment {
    /// The regions, in the order of their names as they were given.
    pub regions: Vec<Region>,
    /// `links[from][to]`: how hosts of one region reach another region's server.
    links: Vec<Vec<Option<Proxy>>>,
}

/// One region.
#[derive(Debug)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its server.
    pub nats: NatsServer,
    hosts: Vec<Slot>,
}

/// A host that may be down.
#[derive(Debug)]
struct Slot {
    /// Keeps its folder.
    _app: App,
    launch: Launch,
    host: Option<Host>,
}

/// What a deployment is made of.
#[derive(Clone, Debug)]
pub struct Shape<'s> {
    /// The names of the regions.
    pub regions: &'s [&'s str],
    /// How many hosts each has.
    pub hosts: usize,
    /// More lines for `[key_value_store.default]`.
    pub store: &'s str,
    /// What each host serves.
    pub app: fn() -> App,
    /// More tables for each host's configuration.
    pub config: &'s str,
}

impl Shape<'_> {
    /// One region with one host that serves voicemail: what a test does not change.
    pub const VOICEMAIL: Self = Self {
        regions: &["eu"],
        hosts: 1,
        store: "",
        app: App::voicemail,
        config: "",
    };
}

impl Deployment {
    /// Starts servers and hosts, and waits until all hosts serve.
    ///
    /// # Panics
    ///
    /// Where one does not.
    pub async fn start(shape: &Shape<'_>) -> Self {
        let mut servers = Vec::new();
        for _ in shape.regions {
            servers.push(NatsServer::start().await);
        }
        let mut links = Vec::new();
        for from in 0..servers.len() {
            let mut row = Vec::new();
            for (to, server) in servers.iter().enumerate() {
                row.push(match from == to {
                    true => None,
                    false => Some(Proxy::start(server.address()).await),
                });
            }
            links.push(row);
        }
        let mut regions = Vec::new();
        for (from, nats) in servers.into_iter().enumerate() {
            let name = shape.regions[from].to_owned();
            let config = format!("region = {name:?}\n");
            let mut tables = String::new();
            for (to, other) in shape.regions.iter().enumerate() {
                let address = links[from][to]
                    .as_ref()
                    .map_or(nats.address(), Proxy::address);
                let _ = writeln!(
                    tables,
                    "[regions.{other}.nats]\nservers = [\"nats://{address}\"]"
                );
            }
            let _ = writeln!(
                tables,
                "[key_value_store.default]\ntype = \"nats\"\nsync_always = true\n{}\n{}",
                shape.store, shape.config
            );
            let mut hosts = Vec::new();
            for zone in ('a'..='z').take(shape.hosts) {
                let app = (shape.app)();
                let launch = app.launch_with(&format!("{config}zone = \"{zone}\"\n{tables}"));
                hosts.push(Slot {
                    _app: app,
                    launch,
                    host: None,
                });
            }
            regions.push(Region { name, nats, hosts });
        }
        let mut deployment = Self { regions, links };
        for region in 0..deployment.regions.len() {
            for host in 0..shape.hosts {
                deployment.start_host(region, host).await;
            }
        }
        deployment
    }

    /// A host that is up.
    ///
    /// # Panics
    ///
    /// Where it is down.
    #[must_use]
    pub fn host(&self, region: usize, host: usize) -> &Host {
        let slot = &self.regions[region].hosts[host];
        slot.host.as_ref().expect("the host is up")
    }

    /// The addresses of all hosts that are up, by region and host.
    #[must_use]
    pub fn addresses(&self) -> Vec<Vec<Option<SocketAddr>>> {
        let address = |slot: &Slot| slot.host.as_ref().map(Host::address);
        self.regions
            .iter()
            .map(|region| region.hosts.iter().map(address).collect())
            .collect()
    }

    /// Starts a host that is down. Nothing, where it is up.
    ///
    /// # Panics
    ///
    /// Where it does not come to serve.
    pub async fn start_host(&mut self, region: usize, host: usize) {
        let slot = &mut self.regions[region].hosts[host];
        if slot.host.is_none() {
            slot.host = Some(slot.launch.start().await);
        }
    }

    /// Ends a host with SIGKILL. Nothing, where it is down.
    pub async fn kill_host(&mut self, region: usize, host: usize) {
        if let Some(host) = self.regions[region].hosts[host].host.take() {
            host.kill().await;
        }
    }

    /// All hosts that are up, as a traffic manager knows them.
    #[must_use]
    pub fn backends(&self) -> Vec<Backend> {
        let slots = self.regions.iter().flat_map(|region| &region.hosts);
        let backend = |host: &Host| Backend {
            front: host.address(),
            health: host.admin(),
        };
        slots
            .filter_map(|slot| slot.host.as_ref().map(backend))
            .collect()
    }

    /// Ends a whole region at once: its hosts and its server.
    pub async fn kill_region(&mut self, region: usize) {
        for host in &self.regions[region].hosts {
            if let Some(host) = &host.host {
                host.signal(Signal::KILL);
            }
        }
        self.regions[region].nats.kill();
        for host in 0..self.regions[region].hosts.len() {
            self.kill_host(region, host).await;
        }
    }

    /// Does something to both links between two regions.
    fn between(&self, one: usize, other: usize, act: impl Fn(&Proxy)) {
        for link in [&self.links[one][other], &self.links[other][one]] {
            act(link.as_ref().expect("two regions"));
        }
    }

    /// Closes all connections between two regions and lets none be made.
    pub fn cut(&self, one: usize, other: usize) {
        self.between(one, other, Proxy::cut);
    }

    /// Lets nothing pass between two regions, and tells nobody.
    pub fn stall(&self, one: usize, other: usize) {
        self.between(one, other, Proxy::stall);
    }

    /// Mends what is between two regions.
    pub fn heal(&self, one: usize, other: usize) {
        self.between(one, other, Proxy::heal);
    }

    /// Cuts a region off from all others.
    pub fn isolate(&self, region: usize) {
        self.others(region)
            .for_each(|other| self.cut(region, other));
    }

    /// Ends [`isolate`](Self::isolate).
    pub fn rejoin(&self, region: usize) {
        self.others(region)
            .for_each(|other| self.heal(region, other));
    }

    fn others(&self, region: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.regions.len()).filter(move |other| *other != region)
    }

    /// Delays everything between regions by this much, each way.
    pub fn delay(&self, delay: Duration) {
        for link in self.links.iter().flatten().flatten() {
            link.delay(Direction::ToServer, delay);
            link.delay(Direction::ToClient, delay);
        }
    }
}

/// Sends a call; nothing comes back where there is no whole answer in a client's time.
pub async fn try_call(address: SocketAddr, call: &Call) -> Option<Answer> {
    let sent = call.clone().try_send_to(address);
    timeout(CLIENT_PATIENCE, sent).await.ok()?.ok()
}

/// Repeats a call until the answer is as wanted.
///
/// # Panics
///
/// Where it never is, with the last answer.
pub async fn until(host: &Host, call: &Call, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let what = call.to_string();
    let mut last = None;
    let found = async {
        loop {
            match try_call(host.address(), call).await {
                Some(answer) if wanted(&answer) => return answer,
                other => last = other,
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match timeout(PATIENCE, found).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what} was last answered {last:?}"),
    }
}
