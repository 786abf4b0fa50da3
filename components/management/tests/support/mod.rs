//! A fleet to manage: regions whose stores lie in memory, with replicas in each other, and hosts that share them; all by
//! one clock, which the tests set.
//!
//! Every operation of a store first gives way a random number of times, so that requests that run at once take turns in a
//! different order with each seed.

#![expect(dead_code, reason = "each test file uses its own part of this")]

pub(crate) mod call;
pub(crate) mod host;
pub(crate) mod store;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;

use futures::executor::block_on;
use futures::future::{join_all, poll_fn};
use http::{Method, StatusCode};
use serde_json::Value;
use starling_supervision::{Digest, Heartbeat, decode};

use host::Host;
use store::SharedValues;

/// The clock of a fleet that nobody set: 2026-01-01T00:00:00Z.
pub(crate) const NOON: u64 = 1_767_225_600_000;

/// Bytes that every host takes for a component.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", name.as_bytes()].concat()
}

/// The digest of [`wasm`].
pub(crate) fn digest(name: &str) -> Digest {
    Digest::of(&wasm(name))
}

/// How a version does, per host that sends it all requests, in the window that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Behaviour {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
}

/// Regions, hosts and what is between them.
#[derive(Clone, Default)]
pub(crate) struct World(Rc<Shared>);

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) now_ms: Cell<u64>,
    regions: RefCell<Vec<String>>,
    /// By the region that looks, and the region that is looked at.
    stores: RefCell<BTreeMap<(String, String), SharedValues>>,
    /// Regions that no other one hears of, or hears.
    cut_off: RefCell<BTreeSet<String>>,
    /// Regions whose store fails, and those whose store says nothing.
    pub(crate) down: RefCell<BTreeSet<String>>,
    pub(crate) silent: RefCell<BTreeSet<String>>,
    pub(crate) lose_every_race: Cell<bool>,
    pub(crate) operations: Cell<usize>,
    /// From which operation of any store on all fail.
    pub(crate) fails_from: Cell<Option<usize>>,
    /// Operations fail on keys that this is a part of.
    pub(crate) fails_on: RefCell<Option<String>>,
    pub(crate) deletes: Cell<usize>,
    /// How long each piece of an upload takes.
    pub(crate) piece_ms: Cell<u64>,
    random: Cell<u64>,
    pub(crate) behaviours: RefCell<BTreeMap<Digest, Behaviour>>,
    pub(crate) variables: RefCell<BTreeMap<String, String>>,
    /// What hosts warned of.
    pub(crate) log: RefCell<Vec<String>>,
    /// What hosts told that was no warning.
    pub(crate) news: RefCell<Vec<String>>,
    pub(crate) hosts: RefCell<Vec<Host>>,
}

impl World {
    /// A world of these regions, each with so many hosts, in a zone each: `eu-0` in zone `a` and so on.
    pub(crate) fn of(regions: &[&str], hosts: usize) -> Self {
        let world = Self::default();
        world.0.now_ms.set(NOON);
        world.0.random.set(1);
        *world.0.regions.borrow_mut() = regions.iter().map(ToString::to_string).collect();
        for region in regions {
            for n in 0..hosts {
                let host = Host::new(&world, region, n);
                world.0.hosts.borrow_mut().push(host);
            }
        }
        world
    }

    /// A world of one host, `eu-0`, that has found itself.
    pub(crate) fn single() -> (Self, Host) {
        let world = Self::of(&["eu"], 1);
        world.tick();
        let host = world.host("eu-0");
        (world, host)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(crate) fn regions(&self) -> Vec<String> {
        self.0.regions.borrow().clone()
    }

    pub(crate) fn hosts(&self) -> Vec<Host> {
        self.0.hosts.borrow().clone()
    }

    pub(crate) fn host(&self, id: &str) -> Host {
        let host = self.hosts().into_iter().find(|host| host.id() == id);
        host.expect("a host")
    }

    /// Starts another host.
    pub(crate) fn add_host(&self, region: &str, n: usize) -> Host {
        let host = Host::new(self, region, n);
        self.0.hosts.borrow_mut().push(host.clone());
        host
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.0.now_ms.get()
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.now_ms.set(self.now_ms() + ms);
    }

    pub(crate) fn seed(&self, seed: u64) {
        self.0.random.set(seed | 1);
    }

    pub(crate) fn behave(&self, version: &str, requests: u64, errors: u64) {
        let behaviour = Behaviour { requests, errors };
        self.0
            .behaviours
            .borrow_mut()
            .insert(digest(version), behaviour);
    }

    pub(crate) fn cut_off(&self, region: &str, cut_off: bool) {
        set(&self.0.cut_off, region, cut_off);
    }

    pub(crate) fn take_down(&self, region: &str, down: bool) {
        set(&self.0.down, region, down);
    }

    pub(crate) fn silence(&self, region: &str, silent: bool) {
        set(&self.0.silent, region, silent);
    }

    /// The store of a region, as another one sees it.
    pub(crate) fn values(&self, viewer: &str, region: &str) -> SharedValues {
        let key = (viewer.to_owned(), region.to_owned());
        self.0.stores.borrow_mut().entry(key).or_default().clone()
    }

    /// Puts something into a region's own store.
    pub(crate) fn put(&self, region: &str, key: &str, value: &Value) {
        let values = self.values(region, region);
        let value = value.to_string().into_bytes();
        values.borrow_mut().insert(key.to_owned(), value);
    }

    /// What a host said last.
    pub(crate) fn heartbeat(&self, host: &str) -> Heartbeat {
        let host = self.host(host);
        let values = self.values(host.region(), host.region());
        let values = values.borrow();
        decode(&values[&format!("host/{}", host.id())]).expect("a heartbeat")
    }

    /// The keys of a region's own store.
    pub(crate) fn keys(&self, region: &str, prefix: &str) -> Vec<String> {
        let values = self.values(region, region);
        let keys = values.borrow().keys().cloned().collect::<Vec<_>>();
        keys.into_iter()
            .filter(|key| key.starts_with(prefix))
            .collect()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.0.log.take()
    }

    pub(crate) fn news(&self) -> Vec<String> {
        self.0.news.take()
    }

    /// Brings the replicas up to date, as far as regions hear of each other.
    pub(crate) fn replicate(&self) {
        let cut_off = self.0.cut_off.borrow().clone();
        for viewer in self.regions() {
            for region in self.regions() {
                if viewer != region && !cut_off.contains(&viewer) && !cut_off.contains(&region) {
                    let own = self.values(&region, &region).borrow().clone();
                    *self.values(&viewer, &region).borrow_mut() = own;
                }
            }
        }
    }

    /// Lets a second pass, and all hosts that are up do a step of their supervision at once.
    pub(crate) fn tick(&self) {
        self.pass(1_000);
        self.replicate();
        let hosts = self.hosts();
        let up = hosts.iter().filter(|host| host.is_up());
        block_on(join_all(up.map(Host::step)));
    }

    pub(crate) fn ticks(&self, seconds: usize) {
        for _ in 0..seconds {
            self.tick();
        }
    }

    /// Ticks until this holds; how often it took.
    #[track_caller]
    pub(crate) fn until(&self, seconds_max: usize, mut holds: impl FnMut() -> bool) -> usize {
        for n in 0..=seconds_max {
            if holds() {
                return n;
            }
            self.tick();
        }
        panic!(
            "it did not come to pass in {seconds_max} s: {:?}",
            self.log()
        );
    }

    /// A rollout, as a host shows it; null if it has not heard of it yet.
    pub(crate) fn rollout(&self, host: &str, id: &str) -> Value {
        let path = format!("/v1/rollouts/{id}");
        let shown = self.host(host).call(Method::GET, &path).send();
        match shown.status {
            StatusCode::OK => shown.json(),
            _ => Value::Null,
        }
    }

    pub(crate) fn next_random(&self) -> u64 {
        // Marsaglia, "Xorshift RNGs" (2003).
        let mut x = self.0.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.random.set(x);
        x
    }

    /// Lets others go first, a few times.
    pub(crate) async fn give_way(&self) {
        wait_turns(self.next_random() % 4).await;
    }
}

fn set(regions: &RefCell<BTreeSet<String>>, region: &str, holds: bool) {
    let mut regions = regions.borrow_mut();
    if holds {
        regions.insert(region.to_owned());
    } else {
        regions.remove(region);
    }
}

pub(crate) async fn wait_turns(mut turns: u64) {
    poll_fn(|context| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    block_on(future)
}
