//! Stored documents: what was ever written is still read, what is newer or damaged says so.
//!
//! The fixtures are bytes as a release wrote them. They are never written anew; a new version adds its own:
//! `cargo test -p starling-supervision --test documents -- --ignored` writes those that are missing.

#![expect(clippy::disallowed_methods, reason = "the fixtures are files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;

use starling_mailbox::{Join, Region, Register, Stamp};
use starling_supervision::{
    ARTIFACT_BYTES_MAX, ARTIFACT_CHUNK_BYTES, ArtifactRecord, Capacity, ComponentName,
    ComponentReport, DOCUMENT_VERSION, DecodeError, Desired, Digest, Document, Draft, End, EndKind,
    Figures, Fleet, Floor, Heartbeat, HostId, InvalidId, Load, Members, Origin, Probe, Progress,
    Readiness, Refusal, RolloutId, Route, Spec, Strategy, VersionReport, VersionState, Zone,
    decode, encode, keys,
};

const NOW_MS: u64 = 1_767_225_600_123;

fn region(name: &str) -> Region {
    name.parse().expect("a region")
}

fn host(name: &str) -> HostId {
    name.parse().expect("a host")
}

fn voicemail() -> ComponentName {
    "voicemail".parse().expect("a component")
}

fn members() -> Members {
    Members {
        hosts: BTreeSet::from([host("edge-1"), host("edge-2")]),
    }
}

fn artifact() -> ArtifactRecord {
    let signature = Some("c2lnbmF0dXJl".into());
    ArtifactRecord::new(voicemail(), 600_000, signature, NOW_MS).expect("a small artifact")
}

fn heartbeat() -> Heartbeat {
    let version = |name: &str, percent, state| VersionReport {
        digest: Digest::of(name.as_bytes()),
        percent,
        in_flight: 3,
        state,
        figures: Figures {
            requests: 120,
            errors: 1,
            latency: vec![100, 20, 0],
            memory_bytes_mean: 2_097_152,
        },
    };
    let refusal = Refusal {
        kind: "missing-import".into(),
        detail: "it imports wasi:sockets/tcp".into(),
    };
    Heartbeat {
        host: host("edge-1"),
        region: region("eu-west"),
        zone: "a".parse().expect("a zone"),
        address: "https://edge-1.example".into(),
        management: "https://edge-1.example:8443".into(),
        beat_ms: NOW_MS,
        started_ms: NOW_MS - 60_000,
        software: "0.1.0".into(),
        capacity: Capacity {
            instances_max: 1_000,
            event_loops: 4,
        },
        load: Load {
            in_flight: 3,
            requests_per_second: 2.5,
            error_ratio: 0.008,
        },
        readiness: Readiness::Degraded {
            reason: "2 of 3 hosts that probe it saw it fail: timeout".into(),
        },
        routes: vec![Route {
            pattern: "/...".into(),
            component: voicemail(),
        }],
        components: vec![ComponentReport {
            component: voicemail(),
            own: Some(Digest::of(b"own")),
            versions: vec![
                version("own", 100, VersionState::Ready),
                version("next", 0, VersionState::Staging),
                version("bad", 0, VersionState::Refused(refusal)),
            ],
        }],
        probes: vec![Probe {
            host: host("edge-2"),
            last_ms: NOW_MS - 1_000,
            failures_in_a_row: 2,
            latency_ms: 1_000,
            error: Some("timeout".into()),
        }],
    }
}

fn desired() -> Desired {
    let origin = Origin {
        region: region("eu-west"),
        now_ms: NOW_MS,
    };
    let draft = Draft {
        digest: Some(Digest::of(b"next")),
        strategy: Strategy::Canary,
        gate: true,
        canary_percent: 5,
        step_ms: 60_000,
        rollback: false,
    };
    let fleet = Fleet::new(NOW_MS, [heartbeat()]);
    let spec = Spec::plan(draft, &origin.region, &fleet).expect("a valid draft");
    let (id, mut desired) = Desired::default().start(&voicemail(), spec, 0x5bd1_e995, &origin);
    let history = desired.components.get_mut(&voicemail()).expect("a history");
    history.floor = Some(Floor {
        rollout: id.clone(),
        ruled: vec![None, Some(Digest::of(b"own"))],
    });
    let rollout = history.rollouts.get_mut(&id).expect("a rollout");
    rollout.approved = Some(0);
    rollout.progress = Progress {
        step: 1,
        since_ms: NOW_MS + 61_000,
    };
    rollout.ended = Some(End {
        kind: EndKind::Aborted,
        at_ms: NOW_MS + 70_000,
        region: region("us-east"),
        reason: Some("not today".into()),
    });
    let drain = Register {
        stamp: Stamp {
            physical_ms: NOW_MS,
            counter: 0,
            region: region("eu-west"),
        },
        value: true,
    };
    desired.drains = BTreeMap::from([(host("edge-2"), drain)]);
    desired
}

fn path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(format!("{name}.json"))
}

#[track_caller]
fn assert_reads<D: Document + Debug + PartialEq>(name: &str, expected: &D) {
    let bytes = std::fs::read(path(name)).expect("a fixture");
    assert_eq!(decode(&bytes).as_ref(), Ok(expected));
}

#[test]
fn documents_of_version_1_are_read() {
    assert_reads("members-v1", &members());
    assert_reads("artifact-v1", &artifact());
    assert_reads("heartbeat-v1", &heartbeat());
    assert_reads("desired-v1", &desired());
}

#[test]
#[ignore = "writes the fixtures that are missing"]
fn write_missing_fixtures() {
    let write = |name, bytes: Vec<u8>| {
        if !path(name).exists() {
            std::fs::write(path(name), bytes).expect("a writable folder");
        }
    };
    write("members-v1", encode(&members()));
    write("artifact-v1", encode(&artifact()));
    write("heartbeat-v1", encode(&heartbeat()));
    write("desired-v1", encode(&desired()));
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(decode(&encode(&members())), Ok(members()));
    assert_eq!(decode(&encode(&artifact())), Ok(artifact()));
    assert_eq!(decode(&encode(&heartbeat())), Ok(heartbeat()));
    assert_eq!(decode(&encode(&desired())), Ok(desired()));
    let mut back = desired();
    let history = back.components.get_mut(&voicemail()).expect("a history");
    let rollouts = history.rollouts.values_mut();
    rollouts.for_each(|rollout| rollout.spec.rollback = true);
    assert_eq!(decode(&encode(&back)), Ok(back));
}

#[test]
fn document_of_a_newer_version_is_refused_by_name() {
    let newer = br#"{"version":2,"anything":"else"}"#;
    let refused = decode::<Heartbeat>(newer).expect_err("a newer version");
    let (document, version) = ("heartbeat", DOCUMENT_VERSION + 1);
    assert_eq!(refused, DecodeError::NewerVersion { document, version });
    assert_eq!(
        refused.to_string(),
        "the heartbeat has version 2; this release reads up to 1"
    );
}

#[test]
fn fields_of_a_newer_release_are_passed_over() {
    let bytes = br#"{"version":1,"hosts":["edge-1","edge-2"],"mood":"good"}"#;
    assert_eq!(decode(bytes), Ok(members()));
}

#[test]
fn damaged_documents_are_malformed() {
    for bytes in [
        &b""[..],
        b"[]",
        b"{}",
        br#"{"version":0,"hosts":[]}"#,
        br#"{"version":1}"#,
        br#"{"version":1,"hosts":["Edge 1"]}"#,
        br#"{"version":1,"hosts":[]} and more"#,
        b"\xff\xfe",
    ] {
        let decoded = decode::<Members>(bytes);
        assert!(
            matches!(decoded, Err(DecodeError::Malformed { .. })),
            "{decoded:?}"
        );
    }
}

#[test]
fn every_end_of_a_stored_document_is_noticed() {
    let bytes = encode(&desired());
    for length in 0..bytes.len() {
        assert!(
            decode::<Desired>(&bytes[..length]).is_err(),
            "cut at {length}"
        );
    }
}

#[test]
fn stored_state_joined_to_itself_is_itself() {
    assert_eq!(desired().joined(desired()), desired());
}

#[test]
fn rollout_below_the_floor_is_forgotten_as_it_is_read() {
    let (id, rollout) = {
        let history = &desired().components[&voicemail()];
        let (id, rollout) = history.rollouts.last_key_value().expect("a rollout");
        (id.clone(), rollout.clone())
    };
    let mut damaged = desired();
    let history = damaged.components.get_mut(&voicemail()).expect("a history");
    let below = RolloutId {
        created_ms: 0,
        ..id
    };
    history.rollouts.insert(below.clone(), rollout);
    assert!(
        history
            .floor
            .as_ref()
            .is_some_and(|floor| below < floor.rollout)
    );

    let read: Desired = decode(&encode(&damaged)).expect("a document");
    assert_eq!(read.clone().joined(read.clone()), read);
    assert!(!read.components[&voicemail()].rollouts.contains_key(&below));
}

#[test]
fn artifact_is_stored_in_pieces_and_bounded() {
    let chunks = |size_bytes| {
        ArtifactRecord::new(voicemail(), size_bytes, None, NOW_MS).map(|record| record.chunks)
    };
    let chunk_bytes = u64::from(ARTIFACT_CHUNK_BYTES);
    assert_eq!(chunks(1), Some(1));
    assert_eq!(chunks(chunk_bytes), Some(1));
    assert_eq!(chunks(chunk_bytes + 1), Some(2));
    assert_eq!(chunks(ARTIFACT_BYTES_MAX), Some(256));
    assert_eq!(chunks(ARTIFACT_BYTES_MAX + 1), None);
}

#[test]
fn ids_have_one_spelling() {
    let digest = Digest::of(b"a component");
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for wrong in [
        &digest.hex(),
        &digest.to_string().to_uppercase(),
        "sha256:",
        "sha512:00",
    ] {
        assert_eq!(wrong.parse::<Digest>(), Err(InvalidId::Digest), "{wrong}");
    }
    let id = "1767225600123-eu-west-5bd1e995";
    let parsed: RolloutId = id.parse().expect("an id");
    assert_eq!((parsed.created_ms, parsed.random), (NOW_MS, 0x5bd1_e995));
    assert_eq!(parsed.created_in, region("eu-west"));
    assert_eq!(parsed.to_string(), id);
    for wrong in [
        "",
        "1-eu",
        "1-eu-5BD1E995",
        "01-eu-5bd1e995",
        "+1-eu-5bd1e995",
        "1-eu-1",
        "1--5bd1e995",
    ] {
        assert_eq!(
            wrong.parse::<RolloutId>(),
            Err(InvalidId::Rollout),
            "{wrong}"
        );
    }
    for wrong in ["", "Edge", "edge/1", "edge.1", &"e".repeat(65)] {
        assert_eq!(wrong.parse::<HostId>(), Err(InvalidId::Host), "{wrong}");
        assert_eq!(wrong.parse::<Zone>(), Err(InvalidId::Zone), "{wrong}");
    }
    assert_eq!("a/b".parse::<ComponentName>(), Err(InvalidId::Component));
    assert!("Voice_mail-2".parse::<ComponentName>().is_ok());
}

#[test]
fn rollouts_are_ordered_by_time_then_region_then_chance() {
    let ids = [
        "9-us-00000000",
        "10-eu-00000001",
        "10-us-00000000",
        "10-us-00000001",
    ];
    let ids = ids.map(|id| id.parse::<RolloutId>().expect("an id"));
    assert!(ids.is_sorted());
}

#[test]
fn keys_are_what_other_releases_read() {
    let digest = Digest::from_bytes([0xab; 32]);
    let hex = "ab".repeat(32);
    assert_eq!(keys::host(&host("edge-1")), "host/edge-1");
    assert_eq!(keys::artifact(&digest), format!("artifact/{hex}"));
    assert_eq!(
        keys::artifact_chunk(&digest, 7),
        format!("artifact/{hex}/7")
    );
    assert_eq!((keys::MEMBERS, keys::DESIRED), ("members", "desired"));
}
