//! What an event loop behind an admission does under load, in virtual time.

mod simulation;

use std::time::Duration;

use simulation::{Simulation, Source, Spread, Tally};
use starling_admission::{Admission, Config, Kind, Priority, Resource};

/// Requests a second that use the loop up, if one takes a millisecond.
const CAPACITY: f64 = 1000.0;

/// Requests of 1 ms that keep the loop busy for `load` of its time.
fn reads(priority: Priority, load: f64, spread: Spread) -> Source {
    Source {
        priority,
        kind: Kind {
            resource: Resource::Loop,
            index: priority as u8,
        },
        rate: CAPACITY * load,
        work: 1e-3,
        spread,
    }
}

fn deposits(rate: f64) -> Source {
    Source {
        priority: Priority::High,
        kind: Kind {
            resource: Resource::Store,
            index: 0,
        },
        rate,
        work: 100e-6,
        spread: Spread::Even,
    }
}

fn simulation() -> Simulation {
    Simulation::new(Admission::default())
}

/// What becomes of one source alone in so many seconds, after a second in which limits settle.
fn alone(seconds: f64, source: Source) -> Tally {
    let mut simulation = simulation();
    simulation.run(1.0, &[source]);
    simulation.run(seconds, &[source]).remove(0)
}

#[test]
fn ten_times_the_capacity_costs_neither_latency_nor_goodput() {
    for priority in Priority::REFUSABLE {
        for spread in [Spread::None, Spread::Even] {
            let unloaded = alone(20.0, reads(priority, 0.2, spread));
            let overloaded = alone(20.0, reads(priority, 10.0, spread));
            assert_eq!(unloaded.refused, 0);
            assert!(overloaded.quantile(0.99) <= 2.0 * unloaded.quantile(0.99));
            assert!(overloaded.worked >= 0.9 * 20.0, "{}", overloaded.worked);
        }
    }
}

#[test]
fn requests_that_are_very_unlike_keep_the_latency_of_half_the_load() {
    for priority in Priority::REFUSABLE {
        let half = alone(30.0, reads(priority, 0.5, Spread::Skewed));
        let overloaded = alone(30.0, reads(priority, 10.0, Spread::Skewed));
        assert!(overloaded.quantile(0.99) <= 2.0 * half.quantile(0.99));
        assert!(overloaded.worked >= 0.9 * 30.0, "{}", overloaded.worked);
    }
}

#[test]
fn an_overload_from_the_first_request_on_settles_within_half_a_second() {
    let mut simulation = simulation();
    let flood = [reads(Priority::High, 10.0, Spread::None)];
    simulation.run(0.5, &flood);
    let tally = &simulation.run(5.0, &flood)[0];
    assert!(tally.quantile(0.99) <= 4e-3, "{}", tally.quantile(0.99));
    assert!(tally.worked >= 0.9 * 5.0);
}

#[test]
fn no_more_than_the_capacity_is_enough_to_be_served() {
    for (load, refused) in [(0.2, 0.0), (0.5, 0.001), (0.8, 0.02), (0.95, 0.12)] {
        let tally = alone(20.0, reads(Priority::Normal, load, Spread::None));
        let part = tally.refused_part();
        assert!(part <= refused, "{part} refused at {load}");
    }
}

#[test]
fn a_machine_that_stops_now_and_then_is_not_an_overload() {
    let mut simulation = simulation();
    simulation.steal = Some((0.2, 0.010));
    let tally = simulation.run(20.0, &[reads(Priority::Normal, 0.5, Spread::Even)]);
    assert!(
        tally[0].refused_part() < 0.01,
        "{}",
        tally[0].refused_part()
    );
}

/// A loop that tolerates a long queue, until it has to refuse somebody.
fn patient() -> Simulation {
    Simulation::new(Admission::new(Config {
        limit_initial: 1024,
        delay_tolerated: Duration::from_millis(20),
        ..Config::default()
    }))
}

#[test]
fn a_queue_that_is_tolerated_is_none_that_others_are_refused_for() {
    for priority in Priority::REFUSABLE {
        let nearly_full = [reads(priority, 0.9, Spread::Even)];
        let flood = [reads(priority, 10.0, Spread::Even)];
        let mut simulation = patient();
        let before = simulation.run(10.0, &nearly_full).remove(0);
        assert_eq!(before.refused, 0);
        simulation.run(6.0, &flood);
        let overloaded = simulation.run(10.0, &flood).remove(0);
        assert!(overloaded.worked >= 0.9 * 10.0, "{}", overloaded.worked);
        let p99 = overloaded.quantile(0.99);
        assert!(p99 <= 5e-3, "{p99}");
        simulation.run(5.0, &nearly_full);
        let after = simulation.run(10.0, &nearly_full).remove(0);
        assert!(after.refused_part() < 0.005, "{}", after.refused_part());
    }
}

#[test]
fn deposits_share_syncs_by_the_hundred() {
    let mut simulation = simulation();
    let tally = &simulation.run(10.0, &[deposits(5000.0)])[0];
    assert!(tally.refused_part() < 0.01);
    assert!(simulation.admission.snapshot().pools[1].limit >= 64.0);

    let flood = alone(10.0, deposits(50_000.0));
    assert!(flood.worked >= 0.9 * 10.0, "{}", flood.worked);
    assert!(flood.quantile(0.99) <= 4.0 * simulation.sync);
}

#[test]
fn deposits_are_served_while_listings_are_refused() {
    let unloaded = alone(10.0, deposits(500.0));
    let mut simulation = simulation();
    let tallies = simulation.run(
        10.0,
        &[deposits(2000.0), reads(Priority::Low, 10.0, Spread::Even)],
    );
    assert!(tallies[0].refused_part() < 0.01);
    assert!(tallies[0].quantile(0.99) <= 2.0 * unloaded.quantile(0.99));
    assert!(tallies[1].refused_part() > 0.9);
    let worked = tallies[0].worked + tallies[1].worked;
    assert!(worked >= 0.9 * 10.0, "{worked}");
}

#[test]
fn the_greater_priority_goes_first() {
    let [low, normal, high] =
        Priority::REFUSABLE.map(|priority| reads(priority, 5.0, Spread::Even));
    let mut simulation = simulation();
    let tallies = simulation.run(20.0, &[low, normal, high]);
    let [low, normal, high] = [0, 1, 2].map(|index| tallies[index].worked);
    assert!(high >= 0.85 * 20.0, "{high}");
    assert!(normal + low <= 0.1 * 20.0, "{normal} {low}");

    let mut simulation = self::simulation();
    let tallies = simulation.run(
        20.0,
        &[
            reads(Priority::Low, 5.0, Spread::Even),
            reads(Priority::Normal, 5.0, Spread::Even),
        ],
    );
    assert!(tallies[1].worked >= 0.85 * 20.0, "{}", tallies[1].worked);
    assert!(tallies[0].worked <= 0.1 * 20.0, "{}", tallies[0].worked);
}

#[test]
fn the_greater_priority_goes_first_even_if_it_is_the_smaller_part() {
    let sources = [
        (Priority::High, 0.5),
        (Priority::Normal, 5.0),
        (Priority::Low, 5.0),
    ]
    .map(|(priority, load)| reads(priority, load, Spread::Even));
    let tallies = simulation().run(20.0, &sources);
    let [high, normal, low] = [0, 1, 2].map(|index| tallies[index].refused_part());
    assert!(high < 0.1, "{high}");
    assert!(high < normal && normal < low, "{high} {normal} {low}");
}

#[test]
fn a_flood_of_listings_leaves_the_rest_alone() {
    let mut simulation = simulation();
    let tallies = simulation.run(
        20.0,
        &[
            reads(Priority::Low, 10.0, Spread::Even),
            reads(Priority::High, 0.3, Spread::Even),
        ],
    );
    assert!(
        tallies[1].refused_part() < 0.02,
        "{}",
        tallies[1].refused_part()
    );
    assert!(tallies[0].worked >= 0.5 * 20.0, "{}", tallies[0].worked);
}

#[test]
fn the_limit_recovers_as_soon_as_the_load_falls() {
    let mut simulation = simulation();
    simulation.run(10.0, &[reads(Priority::Normal, 10.0, Spread::Even)]);
    let half = [reads(Priority::Normal, 0.5, Spread::Even)];
    let first = &simulation.run(0.5, &half)[0];
    assert!(first.refused_part() < 0.1, "{}", first.refused_part());
    let next = &simulation.run(2.0, &half)[0];
    assert_eq!(next.refused, 0);
    assert_eq!(simulation.admission.snapshot().pools[0].limit, 64.0);
}

#[test]
fn a_machine_that_becomes_slower_is_believed() {
    let load = [reads(Priority::Normal, 0.3, Spread::Even)];
    let mut simulation = simulation();
    simulation.run(5.0, &load);
    for slowness in [2.0, 1.0] {
        simulation.slowness = slowness;
        simulation.run(2.0, &load);
        let tally = &simulation.run(5.0, &load)[0];
        assert!(tally.refused_part() < 0.01, "{}", tally.refused_part());
    }
}

#[test]
fn a_machine_that_becomes_slower_under_overload_is_believed() {
    let flood = [reads(Priority::Normal, 10.0, Spread::Even)];
    let mut simulation = simulation();
    simulation.run(5.0, &flood);
    let before = simulation.run(10.0, &flood).remove(0);
    for slowness in [2.0, 1.0] {
        simulation.slowness = slowness;
        simulation.run(40.0, &flood);
        let tally = &simulation.run(10.0, &flood)[0];
        let expected = before.quantile(0.99) * slowness;
        assert!(tally.worked >= 0.9 * 10.0, "{}", tally.worked);
        assert!(
            tally.quantile(0.99) <= 1.5 * expected,
            "{}",
            tally.quantile(0.99)
        );
        let baseline = simulation.admission.snapshot().pools[0].baselines[1];
        let seconds = baseline.expect("it was served for a minute").as_secs_f64();
        assert!(
            (0.6..1.6).contains(&(seconds / slowness * 1e3)),
            "{seconds}"
        );
    }
}

#[test]
fn short_requests_pass_beside_long_ones() {
    for (slice, refused) in [(50e-6, 0.1), (1e-3, 0.05), (f64::INFINITY, 0.3)] {
        let mut simulation = simulation();
        simulation.slice = slice;
        let long = Source {
            rate: 200.0,
            work: 10e-3,
            ..reads(Priority::Low, 1.0, Spread::None)
        };
        let short = Source {
            work: 50e-6,
            ..reads(Priority::Normal, 1.0, Spread::Even)
        };
        let tallies = simulation.run(20.0, &[long, short]);
        let part = tallies[1].refused_part();
        assert!(part <= refused, "{part} refused in turns of {slice} s");
    }
}
