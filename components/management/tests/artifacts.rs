//! Uploads of artifacts: what is stored is whole and right, and whatever else arrives leaves nothing behind.

mod support;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use management::UploadError;
use serde_json::json;
use starling_supervision::{
    ARTIFACT_BYTES_MAX, ARTIFACT_CHUNK_BYTES, ArtifactRecord, Digest, decode, keys,
};
use support::host::Host;
use support::{NOON, World, digest, wait, wait_turns, wasm};

const CHUNK: usize = ARTIFACT_CHUNK_BYTES as usize;

/// So many bytes, no two pieces of which are alike.
fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| (n / 251) as u8 ^ (n % 251) as u8)
        .collect()
}

fn record(world: &World, digest: &Digest) -> ArtifactRecord {
    let values = world.values("eu", "eu");
    let values = values.borrow();
    decode(&values[&keys::artifact(digest)]).expect("a record")
}

/// Nothing of an artifact is in the store, and the list of artifacts is as it was.
#[track_caller]
fn check_nothing_left(world: &World) {
    assert_eq!(world.keys("eu", "artifact/"), [""; 0]);
    let list = world.values("eu", "eu").borrow().get("artifacts").cloned();
    let list = list.map(|list| String::from_utf8(list).expect("a text"));
    let empty = list.is_none_or(|list| list.contains(r#""entries":{}"#));
    assert!(empty);
}

#[test]
fn upload_is_stored_in_pieces_and_staged() {
    let (world, host) = World::single();
    for length in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7] {
        let bytes = bytes(length);
        let digest = Digest::of(&bytes);
        // As the network cuts it.
        let pieces = bytes.chunks(100_003).map(<[u8]>::to_vec).collect();
        let answer = host.upload(digest, &[]).pieces(pieces, None).send();
        let shown = answer.expect(StatusCode::ACCEPTED).json();
        let expected = json!({
            "component": "voicemail",
            "digest": digest.to_string(),
            "size_bytes": length,
            "state": "staging",
            "refusal": null,
        });
        assert_eq!(shown, expected);
        let record = record(&world, &digest);
        assert_eq!((record.size_bytes, record.signature), (length as u64, None));
        let values = world.values("eu", "eu");
        let values = values.borrow();
        let chunks = (0..record.chunks).map(|n| values[&keys::artifact_chunk(&digest, n)].clone());
        assert!(
            chunks.collect::<Vec<_>>().concat() == bytes,
            "{length} bytes"
        );
    }
    host.store("two");
    assert_eq!(host.artifact("two")["size_bytes"], wasm("two").len());
}

#[test]
fn corrupt_upload_is_refused_and_leaves_nothing() {
    let (world, host) = World::single();
    let (mut corrupt, wanted) = (bytes(2 * CHUNK + 5), Digest::of(&bytes(2 * CHUNK + 5)));
    corrupt[CHUNK] ^= 1;
    let answer = host.upload(wanted, &corrupt).send();
    assert_eq!(answer.problem(), (422, "digest-mismatch".into()));
    let detail = answer.document()["detail"].to_string();
    assert!(
        detail.contains(&Digest::of(&corrupt).to_string()),
        "{detail}"
    );
    check_nothing_left(&world);
    let answer = host.upload(wanted, &[]).send();
    assert_eq!(answer.problem(), (422, "digest-mismatch".into()));
    check_nothing_left(&world);
}

#[test]
fn upload_that_is_cut_off_leaves_nothing() {
    let (world, host) = World::single();
    let bytes = bytes(2 * CHUNK + 5);
    let digest = Digest::of(&bytes);
    let (begin, _) = bytes.split_at(CHUNK + 9);
    let broken = host.upload(digest, &[]);
    let broken = broken
        .pieces(vec![begin.to_vec()], Some(UploadError::Broken))
        .send();
    assert_eq!(broken.problem(), (400, "body-malformed".into()));
    check_nothing_left(&world);
    // The end of the stream looks like any other, but it was announced for later.
    let length = bytes.len().to_string();
    let short = host.upload(digest, &[]).pieces(vec![begin.to_vec()], None);
    let short = short.header("content-length", &length).send();
    assert_eq!(short.problem(), (400, "body-malformed".into()));
    check_nothing_left(&world);
    host.upload(digest, &bytes)
        .send()
        .expect(StatusCode::ACCEPTED);
}

#[test]
fn upload_that_is_too_large_is_refused_and_leaves_nothing() {
    let (world, host) = World::single();
    let max = ARTIFACT_BYTES_MAX as usize;
    let announced = host.upload(digest("two"), &[]);
    let announced = announced
        .header("content-length", &(max + 1).to_string())
        .send();
    assert_eq!(announced.problem(), (413, "body-too-large".into()));
    let pieces = vec![vec![0; max / 16]; 17];
    let unannounced = host.upload(digest("two"), &[]).pieces(pieces, None).send();
    assert_eq!(unannounced.problem(), (413, "body-too-large".into()));
    check_nothing_left(&world);
    let by_host = host.upload(digest("two"), &[]);
    let by_host = by_host
        .pieces(vec![vec![0; 9]], Some(UploadError::TooLarge))
        .send();
    assert_eq!(by_host.problem(), (413, "body-too-large".into()));
    check_nothing_left(&world);
}

#[test]
fn what_cannot_be_an_upload_is_refused_before_it_is_read() {
    let (world, host) = World::single();
    let path = format!("/v1/components/voicemail/artifacts/{}", digest("two"));
    let untyped = host.call(Method::PUT, &path).body(&wasm("two")).send();
    assert_eq!(untyped.problem(), (415, "media-type-unsupported".into()));
    for digest in [
        "0a",
        "sha256:0a",
        "sha256:",
        "md5:0123456789abcdef0123456789abcdef",
    ] {
        let path = format!("/v1/components/voicemail/artifacts/{digest}");
        let answer = host.call(Method::PUT, &path).send();
        assert_eq!(answer.problem(), (422, "digest-invalid".into()), "{digest}");
    }
    for signature in ["", "!", "AAAA", &BASE64_STANDARD.encode([0; 63])] {
        let answer = host.upload(digest("two"), &wasm("two"));
        let answer = answer.header("starling-signature", signature).send();
        assert_eq!(
            answer.problem(),
            (400, "header-invalid".into()),
            "{signature}"
        );
    }
    check_nothing_left(&world);
}

#[test]
fn repeated_upload_changes_nothing() {
    let (world, host) = World::single();
    host.store("two");
    let before = world.values("eu", "eu").borrow().clone();
    let again = host.upload(digest("two"), &wasm("two")).send();
    assert_eq!(again.expect(StatusCode::OK).json()["state"], "ready");
    assert_eq!(*world.values("eu", "eu").borrow(), before);
    // One that fails does not take away what was there.
    for body in [wasm("three"), Vec::new()] {
        let wrong = host.upload(digest("two"), &body).send();
        assert_eq!(wrong.problem(), (422, "digest-mismatch".into()));
    }
    assert_eq!(*world.values("eu", "eu").borrow(), before);
}

/// Another signature for an artifact that is stored; what is stored then.
fn signed_again(world: &World, host: &Host, version: &str, byte: u8) -> Option<String> {
    let signature = BASE64_STANDARD.encode([byte; 64]);
    let signed = host.upload(digest(version), &wasm(version));
    let signed = signed.header("starling-signature", &signature).send();
    assert!(signed.status.is_success(), "{signed:?}");
    record(world, &digest(version)).signature
}

#[test]
fn signature_of_a_version_that_is_ready_stays() {
    let world = World::of(&["eu"], 2);
    world.ticks(2);
    let (host, other) = (world.host("eu-0"), world.host("eu-1"));
    let signature = Some(BASE64_STANDARD.encode([7; 64]));
    assert_eq!(signed_again(&world, &host, "two", 7), signature);
    host.store("two");
    assert_eq!(signed_again(&world, &host, "two", 8), signature);
    // Who repeats it without, means the same bytes, and not another signature.
    host.store("two");
    assert_eq!(record(&world, &digest("two")).signature, signature);
    // Nor does one that a rollout refers to get another one from a host that does not have it.
    host.roll_out("two", "");
    assert_eq!(signed_again(&world, &other, "two", 8), signature);
}

#[test]
fn signature_that_was_refused_is_replaced() {
    for kind in ["unsigned", "wrong-signature"] {
        let world = World::of(&["eu"], 2);
        world.ticks(2);
        let (host, other) = (world.host("eu-0"), world.host("eu-1"));
        host.store("two");
        // A rollout refers to it, or it would leave.
        host.roll_out("two", "");
        other.refuse_as("two", kind, "by nobody who is trusted here");
        let signature = Some(BASE64_STANDARD.encode([7; 64]));
        assert_eq!(signed_again(&world, &other, "two", 7), signature, "{kind}");
        // It is looked at again.
        assert_eq!(other.artifact("two")["state"], "ready");
    }
    let world = World::of(&["eu"], 2);
    world.ticks(2);
    let (host, other) = (world.host("eu-0"), world.host("eu-1"));
    host.store("two");
    host.roll_out("two", "");
    other.refuse("two");
    let signed = other.upload(digest("two"), &wasm("two"));
    let signature = BASE64_STANDARD.encode([7; 64]);
    signed.header("starling-signature", &signature).send();
    assert_eq!(record(&world, &digest("two")).signature, None);
}

#[test]
fn signature_may_come_later_where_nobody_relies_on_the_artifact() {
    let world = World::of(&["eu"], 2);
    world.ticks(2);
    let (host, other) = (world.host("eu-0"), world.host("eu-1"));
    host.store("two");
    let signature = Some(BASE64_STANDARD.encode([7; 64]));
    assert_eq!(signed_again(&world, &other, "two", 7), signature);
}

#[test]
fn refused_artifact_loses_its_bytes_and_keeps_its_reason() {
    let (world, host) = World::single();
    let uploaded = host.upload(digest("refuse"), &wasm("refuse")).send();
    uploaded.expect(StatusCode::ACCEPTED);
    for _ in 0..3 {
        let shown = host.artifact("refuse");
        assert_eq!(shown["state"], "refused");
        let refusal = json!({ "kind": "missing-import", "detail": "it imports a pony" });
        assert_eq!(shown["refusal"], refusal);
        assert_eq!(world.keys("eu", "artifact/"), [""; 0]);
        world.tick();
    }
    let rollout = host.rollout_of("refuse", "").send();
    assert_eq!(rollout.problem(), (409, "artifact-not-ready".into()));
    assert_eq!(rollout.document()["refusal"]["kind"], "missing-import");
    // Stored again, it is looked at again.
    let again = host.upload(digest("refuse"), &wasm("refuse")).send();
    assert_eq!(
        again.expect(StatusCode::ACCEPTED).json()["state"],
        "staging"
    );
    // After a while nobody remembers it.
    world.pass(3_700_000);
    world.ticks(2);
    check_nothing_left(&world);
    assert!(host.has_forgotten("refuse"));
}

#[test]
fn upload_without_a_store_is_not_acknowledged() {
    for from in 1..14 {
        let (world, host) = World::single();
        world.shared().operations.set(0);
        world.shared().fails_from.set(Some(from));
        let bytes = bytes(2 * CHUNK + 5);
        let digest = Digest::of(&bytes);
        let answer = host.upload(digest, &bytes).send();
        let done = answer.status.is_success();
        assert!(
            done || answer.problem() == (503, "store-unavailable".into()),
            "{from}"
        );
        world.shared().fails_from.set(None);
        if done {
            assert_eq!(record(&world, &digest).chunks, 3);
            continue;
        }
        // Nobody relies on it, even if all of it happens to be there.
        host.call(
            Method::GET,
            &format!("/v1/components/voicemail/artifacts/{digest}"),
        )
        .send();
        let rollout = format!(r#"{{"component": "voicemail", "digest": "{digest}"}}"#);
        let rollout = host.post("/v1/rollouts").json(&rollout).send();
        assert!(!rollout.status.is_success(), "{from}");
        // What it left is known, and goes.
        world.pass(3_700_000);
        world.ticks(2);
        check_nothing_left(&world);
    }
}

#[test]
fn of_uploads_at_once_whatever_is_stored_is_right() {
    for seed in 0..24 {
        let world = World::of(&["eu"], 2);
        world.tick();
        world.seed(seed);
        let right = bytes(3 * CHUNK + 5);
        let digest = Digest::of(&right);
        let mut wrong = right.clone();
        wrong[2 * CHUNK] ^= 1;
        let upload = |host: &Host, bytes: &[u8]| {
            let pieces = bytes.chunks(CHUNK / 2).map(<[u8]>::to_vec).collect();
            host.upload(digest, &[]).pieces(pieces, None).run()
        };
        let (first, second) = (world.host("eu-0"), world.host("eu-1"));
        let both = futures::future::join(upload(&first, &right), upload(&second, &wrong));
        let (good, bad) = wait(both);
        assert!(!bad.status.is_success(), "{seed}");
        if good.status.is_success() {
            assert_eq!(record(&world, &digest).chunks, 4, "{seed}");
        } else {
            assert_eq!(good.problem(), (503, "artifact-busy".into()), "{seed}");
            let again = wait(upload(&first, &right));
            assert_eq!(again.status, StatusCode::ACCEPTED, "{seed}");
        }
        let values = world.values("eu", "eu");
        let values = values.borrow();
        let chunks = (0..4).map(|n| values[&keys::artifact_chunk(&digest, n)].clone());
        assert!(chunks.collect::<Vec<_>>().concat() == right, "{seed}");
    }
}

#[test]
fn upload_that_died_is_given_up_for_the_next_one() {
    let (world, host) = World::single();
    world.shared().operations.set(0);
    world.shared().fails_from.set(Some(4));
    let died = host.upload(digest("two"), &wasm("two")).send();
    assert_eq!(died.problem(), (503, "store-unavailable".into()));
    world.shared().fails_from.set(None);
    let next = host.upload(digest("two"), &wasm("two")).send();
    assert_eq!(next.problem(), (503, "artifact-busy".into()));
    assert!(next.header("retry-after").is_some());
    world.pass(20_000);
    host.store("two");
}

#[test]
fn slow_upload_keeps_its_turn() {
    let (world, host) = World::single();
    let bytes = bytes(8 * CHUNK + 5);
    let digest = Digest::of(&bytes);
    world.shared().piece_ms.set(4_000);
    let pieces = || bytes.chunks(CHUNK / 2).map(<[u8]>::to_vec).collect();
    let slow = host.upload(digest, &[]).pieces(pieces(), None).run();
    let other = async {
        let mut refused = 0;
        while world.now_ms() < NOON + 60_000 {
            wait_turns(3).await;
            // Empty, so that its own pieces take no time.
            let answer = host.upload(digest, &[]).run().await;
            assert_eq!(answer.problem(), (503, "artifact-busy".into()));
            refused += 1;
        }
        refused
    };
    let (slow, refused) = wait(futures::future::join(slow, other));
    slow.expect(StatusCode::ACCEPTED);
    assert!(refused > 3);
    assert_eq!(record(&world, &digest).chunks, 9);
}

#[test]
fn region_takes_no_more_artifacts_than_it_keeps() {
    let (world, host) = World::single();
    let mut digests = BTreeSet::new();
    for n in 0..64_u8 {
        let digest = Digest::of(&[n]);
        host.upload(digest, &[n])
            .send()
            .expect(StatusCode::ACCEPTED);
        digests.insert(digest);
    }
    let answer = host.upload(digest("two"), &wasm("two")).send();
    assert_eq!(answer.problem(), (507, "artifacts-full".into()));
    world.pass(3_700_000);
    world.ticks(40);
    check_nothing_left(&world);
    host.store("two");
}

/// As the first release wrote it, and perhaps a later one, which knows more.
#[test]
fn list_of_artifacts_is_read_as_it_was_written_first() {
    let (world, host) = World::single();
    let entry = |phase: &str| {
        json!({
            "component": "voicemail", "idle_since_ms": 1, "phase": phase, "upload": "0a", "mood": "good",
        })
    };
    let phases = ["storing", "stored", "leaving", "withdrawn"];
    let entries = phases.map(|phase| (digest(phase).to_string(), entry(phase)));
    let entries: serde_json::Map<_, _> = entries.into_iter().collect();
    let put = |list: serde_json::Value| {
        let values = world.values("eu", "eu");
        values
            .borrow_mut()
            .insert("artifacts".into(), list.to_string().into());
    };
    put(json!({ "version": 1, "entries": entries, "weather": "fine" }));
    world.ticks(3);
    check_nothing_left(&world);
    put(json!({ "version": 2, "entries": [] }));
    let answer = host.upload(digest("two"), &wasm("two")).send();
    assert_eq!(answer.problem(), (503, "newer-release".into()));
}
