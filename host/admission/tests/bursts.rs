//! What many requests at one instant do, and do not do.

use std::time::{Duration, Instant};

use starling_admission::{Admission, Arrival, Kind, Outcome, Permit, Priority, Resource};

const KIND: Kind = Kind {
    resource: Resource::Loop,
    index: 0,
};
const SERVICE: Duration = Duration::from_millis(1);

/// Admits what there is room for, of so many at once.
fn burst(admission: &Admission, requests: usize, now: Instant) -> Vec<Permit> {
    (0..requests)
        .filter_map(|_| {
            admission
                .admit(Priority::High, KIND, Arrival::Fresh, now)
                .ok()
        })
        .collect()
}

/// Answers all of a burst when its last request is done, as a loop does that serves them in turns.
fn answer(permits: Vec<Permit>, now: Instant) -> Instant {
    let done = now + SERVICE * u32::try_from(permits.len()).expect("a burst is small");
    for mut permit in permits {
        permit.answered(done, Outcome::Served);
    }
    done
}

#[test]
fn an_idle_loop_takes_a_burst() {
    let admission = Admission::default();
    assert_eq!(burst(&admission, 64, Instant::now()).len(), 64);
}

#[test]
fn a_burst_after_a_pause_is_not_held_to_what_an_overload_taught() {
    let admission = Admission::default();
    let mut now = Instant::now();
    for _ in 0..1000 {
        // Each is refused some, and there is never an instant without work.
        let next = burst(&admission, 100, now);
        now = answer(next, now);
    }
    assert!(burst(&admission, 64, now).len() < 16);
    assert_eq!(
        burst(&admission, 64, now + Duration::from_secs(2)).len(),
        64
    );
}

#[test]
fn bursts_that_pass_are_admitted_and_do_not_raise_the_baseline() {
    let admission = Admission::default();
    let mut now = Instant::now();
    for _ in 0..20 {
        for requests in [[1; 20].as_slice(), &[20]].concat() {
            let admitted = burst(&admission, requests, now);
            assert_eq!(admitted.len(), requests);
            now = answer(admitted, now) + SERVICE;
        }
        if let Some(baseline) = admission.snapshot().pools[0].baselines[0] {
            assert_eq!(baseline, SERVICE);
        }
    }
    assert!(admission.snapshot().pools[0].baselines[0].is_some());
}

#[test]
fn what_waited_unheard_is_refused_while_others_are() {
    let admission = Admission::default();
    let now = Instant::now();
    let late = |priority, now| {
        let permit = admission.admit(priority, KIND, Arrival::Late, now);
        permit.is_ok()
    };
    assert!(late(Priority::Low, now));
    let permits = burst(&admission, 100, now);
    assert!(permits.len() < 100);
    let now = answer(permits, now);
    assert!(!late(Priority::Low, now));
    assert!(!late(Priority::Normal, now));
    assert!(late(Priority::High, now));
    assert!(late(Priority::Low, now + Duration::from_secs(1)));
}
