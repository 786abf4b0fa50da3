//! Whatever is asked for in whichever region, whoever dies and whoever cannot hear whom: when all is connected again, all
//! agree.
//!
//! The simulation itself checks at every beat that a split names the base and the new version alone, and that no rollout
//! moves that is known to be superseded.

use std::collections::BTreeMap;

use proptest::prelude::*;
use starling_mailbox::Region;
use starling_supervision::{RolloutId, RolloutState, Strategy as Kind};

use crate::fleet::{World, back_to, component, draft, version};

const COMPONENTS: [&str; 2] = ["voicemail", "web"];
const VERSIONS: [&str; 3] = ["one", "two", "three"];
const PLACES: [(&str, &str, u32); 4] = [
    ("ap", "a", 1),
    ("eu", "a", 2),
    ("eu", "b", 1),
    ("us", "a", 2),
];
const HOSTS: usize = 6;
const REGIONS: usize = 3;

/// What happens in the world. Regions and hosts by index.
#[derive(Clone, Debug)]
enum Event {
    Ticks(usize),
    CutOff(usize, bool),
    Run(usize, bool),
    /// A version fails in one region, and in no other.
    Fail(usize, &'static str),
    Refuse(usize, &'static str),
    Start(usize, &'static str, &'static str, Kind),
    /// The current rollout of a component, as a region sees it.
    Abort(usize, &'static str),
    Rollback(usize, &'static str),
}

fn event() -> impl Strategy<Value = Event> {
    let component = || prop::sample::select(&COMPONENTS[..]);
    let name = || prop::sample::select(&VERSIONS[..]);
    let kind = prop::sample::select(&[Kind::Canary, Kind::Rolling, Kind::All][..]);
    prop_oneof![
        8 => (1_usize..12).prop_map(Event::Ticks),
        3 => (0..REGIONS, any::<bool>()).prop_map(|(at, cut)| Event::CutOff(at, cut)),
        2 => (0..HOSTS, any::<bool>()).prop_map(|(host, runs)| Event::Run(host, runs)),
        1 => (0..REGIONS, name()).prop_map(|(at, name)| Event::Fail(at, name)),
        1 => (0..HOSTS, name()).prop_map(|(host, name)| Event::Refuse(host, name)),
        4 => (0..REGIONS, component(), name(), kind)
            .prop_map(|(at, component, name, kind)| Event::Start(at, component, name, kind)),
        1 => (0..REGIONS, component()).prop_map(|(at, component)| Event::Abort(at, component)),
        1 => (0..REGIONS, component()).prop_map(|(at, component)| Event::Rollback(at, component)),
    ]
}

fn happen(world: &mut World, event: Event) {
    let regions = world.regions();
    match event {
        Event::Ticks(count) => world.ticks(count),
        Event::CutOff(at, is_cut_off) => world.cut_off(&regions[at], is_cut_off),
        Event::Run(host, runs) => world.hosts[host].runs = runs,
        Event::Fail(at, name) => {
            world
                .failing
                .insert((regions[at].clone(), version(name)), 60);
        }
        Event::Refuse(host, name) => {
            world.hosts[host]
                .refuses
                .insert(version(name), "unsigned".into());
        }
        Event::Start(at, component, name, kind) => {
            world.start(&regions[at], component, draft(name, kind));
        }
        Event::Abort(at, name) => {
            let rules = world.rules(&regions[at]);
            if let Some(running) = rules.running(&component(name)) {
                let abort = rules.abort(running.id, None, &world.origin(&regions[at]));
                world.change(&regions[at], abort.expect("it runs"));
            }
        }
        Event::Rollback(at, name) => {
            use starling_supervision::Rollback;
            let rules = world.rules(&regions[at]);
            match rules.rollback(&component(name)) {
                Ok(Rollback::Abort(id)) => {
                    let abort = rules.abort(&id, None, &world.origin(&regions[at]));
                    world.change(&regions[at], abort.expect("it runs"));
                }
                Ok(Rollback::RollOut(digest)) => {
                    world.start(&regions[at], name, back_to(digest));
                }
                Ok(Rollback::Underway(_)) | Err(_) => {}
            }
        }
    }
}

/// Every rollout that a region sees, as JSON, and where it stands.
fn seen(world: &World, at: &Region) -> BTreeMap<RolloutId, (String, RolloutState)> {
    let rules = world.rules(at);
    let told = rules.rollouts().map(|it| {
        let text = serde_json::to_string(it.rollout).expect("JSON");
        (it.id.clone(), (text, it.state(world.now_ms)))
    });
    told.collect()
}

fn is_superseded(rollout: &(&RolloutId, &(String, RolloutState))) -> bool {
    rollout.1.1 == RolloutState::Superseded
}

fn anything_runs(world: &World, at: &Region) -> bool {
    let rules = world.rules(at);
    COMPONENTS
        .iter()
        .any(|name| rules.running(&component(name)).is_some())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn all_agree_when_all_is_connected_again(events in prop::collection::vec(event(), 0..40)) {
        let mut world = World::new(&PLACES, &COMPONENTS);
        for event in events {
            happen(&mut world, event);
        }
        for at in world.regions() {
            world.cut_off(&at, false);
        }
        world.ticks(2);
        let regions = world.regions();
        let then = seen(&world, &regions[0]);
        // Out of the way: who was killed is out, and everything that runs comes to its end.
        let ended = (0..400).find(|_| {
            world.tick();
            !anything_runs(&world, &regions[0])
        });
        prop_assert!(ended.is_some(), "{:?}", seen(&world, &regions[0]));
        world.ticks(3);
        let now = seen(&world, &regions[0]);
        for at in &regions {
            prop_assert_eq!(&seen(&world, at), &now);
        }
        for (id, superseded) in then.iter().filter(is_superseded) {
            prop_assert_eq!(now.get(id), Some(superseded));
        }
        // A host that refuses what rules keeps what it has; every other one serves that alone.
        let rules = world.rules(&regions[0]);
        for index in 0..HOSTS {
            let host = &world.hosts[index];
            for name in COMPONENTS {
                let ruling = rules.ruling(&component(name)).unwrap_or(version("own"));
                if host.runs && !host.refuses.contains_key(&ruling) {
                    let expected = BTreeMap::from([(ruling, 100)]);
                    prop_assert_eq!(world.traffic(index, name), expected);
                }
            }
        }
    }
}
