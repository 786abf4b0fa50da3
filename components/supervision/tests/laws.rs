//! The laws of the join, for every type here that has one. What is said where regions are cut off from each other is
//! tried in `tests/supervision`.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use starling_mailbox::{Join, Region, Register, Stamp};
use starling_supervision::{
    ComponentName, Desired, Digest, End, EndKind, Floor, History, HostId, Progress, Rollout,
    RolloutId, Spec, Step, Strategy as Kind,
};

// === Values ===
//
// Drawn from few regions, times and ids, so that what is compared often ties, where laws break first.

fn region() -> impl Strategy<Value = Region> {
    prop::sample::select(&["ap", "eu", "us"][..]).prop_map(|name| name.parse().expect("a region"))
}

fn version() -> impl Strategy<Value = Option<Digest>> {
    prop::option::of((0_u8..3).prop_map(|n| Digest::from_bytes([n; 32])))
}

fn rollout_id() -> impl Strategy<Value = RolloutId> {
    (0_u64..4, region(), 0_u32..2).prop_map(|(created_ms, created_in, random)| RolloutId {
        created_ms,
        created_in,
        random,
    })
}

fn progress() -> impl Strategy<Value = Progress> {
    (0_u32..3, 0_u64..3).prop_map(|(step, since_ms)| Progress { step, since_ms })
}

fn end() -> impl Strategy<Value = End> {
    let kinds = [EndKind::Done, EndKind::Aborted, EndKind::Reverted];
    let kind = prop::sample::select(kinds.to_vec());
    let reason = prop::option::of("[ab]");
    (kind, 0_u64..2, region(), reason).prop_map(|(kind, at_ms, region, reason)| End {
        kind,
        at_ms,
        region,
        reason,
    })
}

fn spec() -> impl Strategy<Value = Spec> {
    let rollback = any::<bool>();
    (version(), any::<bool>(), 1_u8..3, rollback).prop_map(
        |(digest, gate, canary_percent, rollback)| Spec {
            digest,
            strategy: Kind::All,
            gate,
            canary_percent,
            step_ms: 1_000,
            steps: vec![Step {
                name: "all".into(),
                region: None,
                zone: None,
                percent: 100,
            }],
            rollback,
        },
    )
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let approved = prop::option::of(0_u32..3);
    (spec(), progress(), approved, prop::option::of(end())).prop_map(
        |(spec, progress, approved, ended)| Rollout {
            spec,
            progress,
            approved,
            ended,
        },
    )
}

/// As every history is that was ever joined to one: without rollouts below its floor.
fn history() -> impl Strategy<Value = History> {
    let ruled = prop::collection::vec(version(), 0..3);
    let floor = (rollout_id(), ruled).prop_map(|(rollout, ruled)| Floor { rollout, ruled });
    let rollouts = prop::collection::btree_map(rollout_id(), rollout(), 0..5);
    (prop::option::of(floor), rollouts).prop_map(|(floor, rollouts)| {
        let floor = History {
            floor,
            rollouts: BTreeMap::new(),
        };
        let history = History {
            floor: None,
            rollouts,
        };
        history.joined(floor)
    })
}

fn desired() -> impl Strategy<Value = Desired> {
    let component = prop::sample::select(&["voicemail", "web"][..])
        .prop_map(|name| name.parse::<ComponentName>().expect("a component"));
    let host = prop::sample::select(&["a", "b"][..])
        .prop_map(|name| name.parse::<HostId>().expect("a host"));
    let drain = (0_u64..3, 0_u32..2, region(), any::<bool>()).prop_map(
        |(physical_ms, counter, region, value)| Register {
            stamp: Stamp {
                physical_ms,
                counter,
                region,
            },
            value,
        },
    );
    (
        prop::collection::btree_map(component, history(), 0..3),
        prop::collection::btree_map(host, drain, 0..3),
    )
        .prop_map(|(components, drains)| Desired { components, drains })
}

// === The laws ===

fn assert_laws<T: Join + Clone + Debug + PartialEq>(
    a: &T,
    b: &T,
    c: &T,
) -> Result<(), TestCaseError> {
    let join = |a: &T, b: &T| a.clone().joined(b.clone());
    let ab = join(a, b);
    prop_assert_eq!(&ab, &join(b, a), "commutative");
    prop_assert_eq!(join(&ab, c), join(a, &join(b, c)), "associative");
    prop_assert_eq!(&join(a, a), a, "idempotent");
    prop_assert_eq!(&join(a, &ab), &ab, "inflationary");
    prop_assert_eq!(&join(b, &ab), &ab, "inflationary");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn progress_obeys_the_laws(a in progress(), b in progress(), c in progress()) {
        assert_laws(&a, &b, &c)?;
    }

    #[test]
    fn ends_obey_the_laws(a in end(), b in end(), c in end()) {
        assert_laws(&a, &b, &c)?;
    }

    #[test]
    fn rollouts_obey_the_laws(a in rollout(), b in rollout(), c in rollout()) {
        assert_laws(&a, &b, &c)?;
    }

    #[test]
    fn histories_obey_the_laws(a in history(), b in history(), c in history()) {
        assert_laws(&a, &b, &c)?;
    }

    #[test]
    fn desired_states_obey_the_laws(a in desired(), b in desired(), c in desired()) {
        assert_laws(&a, &b, &c)?;
    }
}

// === Counterexamples, each of which a plausible join gets wrong ===

#[test]
fn forgotten_rollout_does_not_come_back() {
    // "The union, then forget" forgets again and again, and each region another one.
    let id = |created_ms| RolloutId {
        created_ms,
        created_in: "eu".parse().expect("a region"),
        random: 0,
    };
    let rollout = Rollout {
        spec: Spec {
            digest: None,
            strategy: Kind::All,
            gate: false,
            canary_percent: 5,
            step_ms: 1_000,
            steps: Vec::new(),
            rollback: false,
        },
        progress: Progress {
            step: 0,
            since_ms: 0,
        },
        approved: None,
        ended: None,
    };
    let late = History {
        floor: None,
        rollouts: BTreeMap::from([(id(1), rollout.clone()), (id(3), rollout)]),
    };
    let floor = Floor {
        rollout: id(2),
        ruled: vec![None],
    };
    let forgetful = History {
        floor: Some(floor),
        rollouts: BTreeMap::new(),
    };
    let joined = forgetful.joined(late.clone()).joined(late);
    assert_eq!(joined.rollouts.keys().collect::<Vec<_>>(), [&id(3)]);
}
