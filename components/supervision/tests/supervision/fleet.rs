//! The simulated fleet. One tick is a second: regions hear from those that they can reach, then every host that runs
//! beats, moves rollouts and shifts its traffic.

use std::collections::{BTreeMap, BTreeSet};

use starling_mailbox::{Join, Region};
use starling_supervision::{
    Capacity, ComponentName, ComponentReport, Desired, Digest, Draft, EndKind, Figures, Fleet,
    Heartbeat, HostId, Load, Origin, Readiness, Refusal, RolloutId, RolloutState, RolloutView,
    Spec, Strategy, VersionReport, VersionState, advance, split, wanted,
};

pub(crate) const STEP_MS: u64 = 4_000;

pub(crate) fn region(name: &str) -> Region {
    name.parse().expect("a region")
}

pub(crate) fn component(name: &str) -> ComponentName {
    name.parse().expect("a component")
}

/// A version, by a short name.
pub(crate) fn version(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

pub(crate) fn draft(name: &str, strategy: Strategy) -> Draft {
    Draft {
        digest: Some(version(name)),
        strategy,
        gate: false,
        canary_percent: 5,
        step_ms: STEP_MS,
        rollback: false,
    }
}

/// A draft that brings a version back, or each host's own.
pub(crate) fn back_to(digest: Option<Digest>) -> Draft {
    Draft {
        digest,
        rollback: true,
        ..draft("own", Strategy::All)
    }
}

pub(crate) fn heartbeat(host: &str, region_name: &str, zone: &str, beat_ms: u64) -> Heartbeat {
    Heartbeat {
        host: host.parse().expect("a host"),
        region: region(region_name),
        zone: zone.parse().expect("a zone"),
        address: format!("http://{host}"),
        management: format!("http://{host}:81"),
        beat_ms,
        started_ms: 0,
        software: "0.1.0".into(),
        capacity: Capacity {
            instances_max: 100,
            event_loops: 2,
        },
        load: Load {
            in_flight: 0,
            requests_per_second: 0.0,
            error_ratio: 0.0,
        },
        readiness: Readiness::Ready,
        routes: Vec::new(),
        components: Vec::new(),
        probes: Vec::new(),
    }
}

/// What a region knows of another: as it was when it was last heard.
#[derive(Clone, Debug, Default)]
struct Replica {
    desired: Desired,
    heartbeats: Vec<Heartbeat>,
}

#[derive(Clone, Debug, Default)]
struct Site {
    desired: Desired,
    replicas: BTreeMap<Region, Replica>,
    is_cut_off: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) heartbeat: Heartbeat,
    pub(crate) runs: bool,
    /// Versions that it cannot serve, and of what kind its refusal is.
    pub(crate) refuses: BTreeMap<Digest, String>,
}

/// The whole fleet, and the world around it.
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) hosts: Vec<Host>,
    sites: BTreeMap<Region, Site>,
    /// Requests to each component of each host, in a minute.
    pub(crate) requests: u64,
    /// Of a hundred requests to a version in a region, how many fail.
    pub(crate) failing: BTreeMap<(Region, Digest), u64>,
    /// Regions where every request takes long, whichever version it goes to.
    pub(crate) slow: BTreeSet<Region>,
    random: u32,
}

impl World {
    /// Hosts `<region>-<zone>-<n>` at these places, with these components, whose own version is called `own`.
    pub(crate) fn new(places: &[(&str, &str, u32)], components: &[&str]) -> Self {
        let host = |region: &str, zone: &str, n: u32| {
            let mut heartbeat = heartbeat(&format!("{region}-{zone}-{n}"), region, zone, 0);
            heartbeat.components = components.iter().map(|name| own_alone(name)).collect();
            Host {
                heartbeat,
                runs: true,
                refuses: BTreeMap::new(),
            }
        };
        let hosts: Vec<_> = places
            .iter()
            .flat_map(|(region, zone, count)| (0..*count).map(move |n| host(region, zone, n)))
            .collect();
        let regions = hosts.iter().map(|host| host.heartbeat.region.clone());
        let mut world = Self {
            now_ms: 1_000_000,
            sites: regions.map(|region| (region, Site::default())).collect(),
            hosts,
            requests: 600,
            failing: BTreeMap::new(),
            slow: BTreeSet::new(),
            random: 0,
        };
        // Everybody beats once, and then hears of everybody.
        world.ticks(2);
        world
    }

    pub(crate) fn regions(&self) -> Vec<Region> {
        self.sites.keys().cloned().collect()
    }

    pub(crate) fn origin(&self, region: &Region) -> Origin {
        Origin {
            region: region.clone(),
            now_ms: self.now_ms,
        }
    }

    /// What rules as far as a region knows.
    pub(crate) fn rules(&self, region: &Region) -> Desired {
        let site = &self.sites[region];
        let others = site
            .replicas
            .values()
            .map(|replica| replica.desired.clone());
        others.fold(site.desired.clone(), Join::joined)
    }

    /// The hosts as a region sees them.
    pub(crate) fn fleet(&self, region: &Region) -> Fleet {
        let replicas = self.sites[region].replicas.values();
        let others = replicas.flat_map(|replica| replica.heartbeats.iter().cloned());
        Fleet::new(
            self.now_ms,
            self.heartbeats(region).into_iter().chain(others),
        )
    }

    pub(crate) fn cut_off(&mut self, region: &Region, is_cut_off: bool) {
        self.sites.get_mut(region).expect("a region").is_cut_off = is_cut_off;
    }

    pub(crate) fn change(&mut self, region: &Region, change: Desired) {
        self.sites
            .get_mut(region)
            .expect("a region")
            .desired
            .join(change);
    }

    pub(crate) fn start(&mut self, at: &Region, name: &str, draft: Draft) -> RolloutId {
        let spec = Spec::plan(draft, at, &self.fleet(at)).expect("a valid draft");
        self.random += 1;
        let origin = self.origin(at);
        let rules = self.rules(at);
        let (id, change) = rules.start(&component(name), spec, self.random, &origin);
        self.change(at, change);
        id
    }

    /// A rollout as a region sees it.
    pub(crate) fn view<T>(
        &self,
        at: &Region,
        id: &RolloutId,
        read: impl FnOnce(RolloutView<'_>) -> T,
    ) -> T {
        read(self.rules(at).rollout(id).expect("a rollout"))
    }

    pub(crate) fn state(&self, at: &Region, id: &RolloutId) -> RolloutState {
        self.view(at, id, |it| it.state(self.now_ms))
    }

    /// The versions that get requests on a host, with their shares.
    pub(crate) fn traffic(&self, host: usize, name: &str) -> BTreeMap<Digest, u8> {
        let report = self.hosts[host].heartbeat.component(&component(name));
        let versions = report.expect("a component").versions.iter();
        let serving = versions.filter(|it| it.percent > 0);
        serving.map(|it| (it.digest, it.percent)).collect()
    }

    pub(crate) fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// A second passes.
    pub(crate) fn tick(&mut self) {
        self.now_ms += 1_000;
        self.replicate();
        for index in 0..self.hosts.len() {
            if self.hosts[index].runs {
                self.beat(index);
            }
        }
    }

    fn replicate(&mut self) {
        let reachable = |site: &Site| !site.is_cut_off;
        let sites = self.sites.iter().filter(|(_, site)| reachable(site));
        let said: Vec<_> = sites
            .map(|(region, site)| {
                let heartbeats = self.heartbeats(region);
                let desired = site.desired.clone();
                (
                    region.clone(),
                    Replica {
                        desired,
                        heartbeats,
                    },
                )
            })
            .collect();
        for (region, site) in self.sites.iter_mut().filter(|(_, site)| reachable(site)) {
            let others = said.iter().filter(|(from, _)| from != region);
            site.replicas.extend(others.cloned());
        }
    }

    fn heartbeats(&self, region: &Region) -> Vec<Heartbeat> {
        let hosts = self
            .hosts
            .iter()
            .filter(|it| it.heartbeat.region == *region);
        hosts.map(|it| it.heartbeat.clone()).collect()
    }

    /// What the management instance of a host does in a second.
    fn beat(&mut self, index: usize) {
        let region = self.hosts[index].heartbeat.region.clone();
        let (rules, origin) = (self.rules(&region), self.origin(&region));
        for (id, transition) in advance(&rules, &self.fleet(&region)) {
            let moved = rules.rollout(&id).expect("a rollout");
            assert!(moved.is_current, "{id} moves and is superseded");
            let change = rules.apply(&id, transition, &origin);
            self.change(&region, change.expect("a rollout that runs"));
        }
        let rules = self.rules(&region);
        let mut heartbeat = self.hosts[index].heartbeat.clone();
        heartbeat.beat_ms = self.now_ms;
        let place = heartbeat.place();
        for report in &mut heartbeat.components {
            let (name, own) = (&report.component, report.own);
            let shares = split(&rules, name, own, &place);
            assert_eq!(
                shares.iter().map(|it| u32::from(it.percent)).sum::<u32>(),
                100
            );
            assert_names_base_and_new_alone(&rules, name, own, shares.iter().map(|it| it.digest));
            let staged = wanted(&rules, name, own);
            let refuses = &self.hosts[index].refuses;
            let shifts = shares.iter().all(|it| !refuses.contains_key(&it.digest));
            let before = report.versions.clone();
            let percent = |digest| {
                let old = before
                    .iter()
                    .find(|it| it.digest == digest)
                    .map(|it| it.percent);
                let new = shares
                    .iter()
                    .find(|it| it.digest == digest)
                    .map(|it| it.percent);
                (if shifts { new } else { old }).unwrap_or(0)
            };
            let serving = before
                .iter()
                .map(|it| it.digest)
                .filter(|it| percent(*it) > 0);
            let all: BTreeSet<_> = staged.into_iter().chain(serving).chain(own).collect();
            let versions = all.into_iter().map(|digest| VersionReport {
                digest,
                percent: percent(digest),
                in_flight: 0,
                state: refuses.get(&digest).map_or(VersionState::Ready, |kind| {
                    let detail = "it will not do".into();
                    VersionState::Refused(Refusal {
                        kind: kind.clone(),
                        detail,
                    })
                }),
                figures: self.figures(&region, digest, percent(digest)),
            });
            report.versions = versions.collect();
        }
        self.hosts[index].heartbeat = heartbeat;
    }

    fn figures(&self, region: &Region, digest: Digest, percent: u8) -> Figures {
        let requests = self.requests * u64::from(percent) / 100;
        let failing = self
            .failing
            .get(&(region.clone(), digest))
            .copied()
            .unwrap_or(0);
        let latency = if self.slow.contains(region) {
            vec![0, 0, requests]
        } else {
            vec![requests, 0, 0]
        };
        Figures {
            requests,
            errors: requests * failing / 100,
            latency,
            memory_bytes_mean: 1 << 20,
        }
    }
}

/// A component whose own version gets all requests.
fn own_alone(name: &str) -> ComponentReport {
    let own = version("own");
    ComponentReport {
        component: component(name),
        own: Some(own),
        versions: vec![VersionReport {
            digest: own,
            percent: 100,
            in_flight: 0,
            state: VersionState::Ready,
            figures: Figures::default(),
        }],
    }
}

/// Holds a split to the rule in words: the greatest rollout names the new version, if it has not ended, and the greatest
/// one before it that is done, or a rollback that was not taken back, the old version, or else the manifest.
fn assert_names_base_and_new_alone(
    rules: &Desired,
    component: &ComponentName,
    own: Option<Digest>,
    named: impl Iterator<Item = Digest>,
) {
    let all: Vec<_> = rules
        .rollouts()
        .filter(|it| it.component == component)
        .collect();
    let new = all.last().filter(|it| it.rollout.ended.is_none());
    let new = new.map(|it| it.rollout.spec.digest);
    let mut ruled = all.iter().rev().filter(|it| match &it.rollout.ended {
        Some(end) => end.kind == EndKind::Done,
        None => it.rollout.spec.rollback && !it.is_current,
    });
    let floor = rules
        .components
        .get(component)
        .and_then(|it| it.floor.as_ref());
    let base = match ruled.next() {
        Some(ruled) => ruled.rollout.spec.digest,
        None => floor.and_then(|floor| floor.ruled.last().copied().flatten()),
    };
    for digest in named {
        let is_new = new.is_some_and(|new| new.or(own) == Some(digest));
        assert!(
            is_new || base.or(own) == Some(digest),
            "{digest} gets requests"
        );
    }
}

/// The index of a host.
pub(crate) fn index_of(world: &World, host: &str) -> usize {
    let id: HostId = host.parse().expect("a host");
    let found = world.hosts.iter().position(|it| it.heartbeat.host == id);
    found.expect("a host of this world")
}
