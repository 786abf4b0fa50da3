//! What holds of admission whatever is asked of it.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use starling_admission::{Admission, Arrival, Config, Kind, Outcome, Permit, Priority, Resource};

/// One thing that a server does.
#[derive(Clone, Debug)]
enum Step {
    Admit(Priority, Kind),
    /// Answers one of the requests in flight.
    Answer(usize, Outcome),
    /// Drops one of them.
    Drop(usize),
    Wait(Duration),
}

fn priorities() -> impl Strategy<Value = Priority> {
    prop_oneof![
        Just(Priority::Low),
        Just(Priority::Normal),
        Just(Priority::High),
        Just(Priority::Critical),
    ]
}

fn kinds() -> impl Strategy<Value = Kind> {
    (prop::bool::ANY, 0..3_u8).prop_map(|(store, index)| Kind {
        resource: if store {
            Resource::Store
        } else {
            Resource::Loop
        },
        index,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (priorities(), kinds()).prop_map(|(priority, kind)| Step::Admit(priority, kind)),
        3 => (0..64_usize, prop::bool::weighted(0.9)).prop_map(|(request, served)| {
            let outcome = if served { Outcome::Served } else { Outcome::Unsampled };
            Step::Answer(request, outcome)
        }),
        3 => (0..64_usize).prop_map(Step::Drop),
        2 => (0..50_000_u64).prop_map(|micros| Step::Wait(Duration::from_micros(micros))),
        1 => (0..3_000_u64).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
    ];
    prop::collection::vec(step, 0..200)
}

fn config() -> Config {
    Config {
        limit_initial: 6,
        limit_min: 2,
        limit_max: 12,
        ..Config::default()
    }
}

/// A server that does what it is told.
struct Server {
    admission: Admission,
    now: Instant,
    permits: Vec<Permit>,
}

impl Server {
    fn new(now: Instant) -> Self {
        Self {
            admission: Admission::new(config()),
            now,
            permits: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let in_flight = self.permits.len();
        match *step {
            Step::Admit(priority, kind) => {
                let admitted = self
                    .admission
                    .admit(priority, kind, Arrival::Fresh, self.now);
                self.permits.extend(admitted);
            }
            Step::Answer(request, outcome) if in_flight > 0 => {
                self.permits[request % in_flight].answered(self.now, outcome);
            }
            Step::Drop(request) if in_flight > 0 => {
                drop(self.permits.swap_remove(request % in_flight));
            }
            Step::Answer(..) | Step::Drop(_) => {}
            Step::Wait(duration) => self.now += duration,
        }
    }
}

proptest! {
    #[test]
    fn limits_keep_their_bounds_and_requests_keep_the_limits(steps in steps()) {
        let mut server = Server::new(Instant::now());
        let bounds = f64::from(config().limit_min)..=f64::from(config().limit_max);
        for step in steps {
            let before = server.admission.snapshot();
            server.step(&step);
            let after = server.admission.snapshot();
            for (before, after) in before.pools.iter().zip(&after.pools) {
                prop_assert!(bounds.contains(&after.limit));
                let entered = after.in_flight > before.in_flight;
                prop_assert!(!entered || after.load <= after.limit);
                prop_assert!(after.in_flight <= config().limit_max);
            }
        }
    }

    #[test]
    fn every_place_is_given_back(steps in steps()) {
        let mut server = Server::new(Instant::now());
        steps.iter().for_each(|step| server.step(step));
        let snapshot = server.admission.snapshot();
        let places: u32 = snapshot.pools.iter().map(|pool| pool.in_flight).sum();
        prop_assert_eq!((places + snapshot.critical_in_flight) as usize, server.permits.len());

        server.permits.clear();
        let snapshot = server.admission.snapshot();
        prop_assert!(snapshot.pools.iter().all(|pool| pool.in_flight == 0));
        prop_assert_eq!(snapshot.critical_in_flight, 0);
        let kind = Kind { resource: Resource::Loop, index: 0 };
        for priority in Priority::REFUSABLE {
            prop_assert!(server.admission.admit(priority, kind, Arrival::Fresh, server.now).is_ok());
        }
    }

    #[test]
    fn what_has_room_for_a_priority_has_room_for_a_greater_one(steps in steps(), kind in kinds()) {
        let start = Instant::now();
        let admitted = Priority::REFUSABLE.map(|priority| {
            let mut server = Server::new(start);
            steps.iter().for_each(|step| server.step(step));
            server.admission.admit(priority, kind, Arrival::Fresh, server.now).is_ok()
        });
        prop_assert!(admitted.is_sorted());
    }

    #[test]
    fn critical_requests_are_admitted_always(steps in steps(), kind in kinds()) {
        let mut server = Server::new(Instant::now());
        for step in steps {
            server.step(&step);
            let probe = server.admission.admit(Priority::Critical, kind, Arrival::Fresh, server.now);
            prop_assert!(probe.is_ok());
        }
    }

    #[test]
    fn refused_clients_are_told_a_sensible_time(steps in steps()) {
        let mut server = Server::new(Instant::now());
        for step in steps {
            if let Step::Admit(priority, kind) = step
                && let Err(refused) = server.admission.admit(priority, kind, Arrival::Fresh, server.now)
            {
                prop_assert!((1..=10).contains(&refused.retry_after.as_secs()));
                prop_assert_eq!(refused.retry_after.subsec_nanos(), 0);
            }
            server.step(&step);
        }
    }
}

#[test]
fn a_permit_can_be_moved_with_a_response() {
    fn is_send<T: Send>() {}
    is_send::<Permit>();
}
