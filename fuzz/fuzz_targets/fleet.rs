//! A fleet's stored documents: whatever lies under a key is decoded or refused, and what was decoded can be joined, and
//! rollouts moved by it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starling_mailbox::Join;
use starling_supervision::{
    ArtifactRecord, Desired, Figures, Fleet, Heartbeat, Members, advance, decode, encode,
    probe_targets, readiness, siblings, split, wanted, window_ms,
};

/// What stands between two documents of one input.
const SEPARATOR: u8 = 0;

fuzz_target!(|bytes: &[u8]| {
    let documents: Vec<&[u8]> = bytes.split(|byte| *byte == SEPARATOR).collect();
    for document in &documents {
        if let Ok(members) = decode::<Members>(document) {
            assert_eq!(decode(&encode(&members)), Ok(members));
        }
        if let Ok(record) = decode::<ArtifactRecord>(document) {
            assert_eq!(decode(&encode(&record)), Ok(record));
        }
    }
    let desired = documents.iter().filter_map(|it| decode::<Desired>(it).ok());
    let desired: Vec<_> = desired.collect();
    let beats = documents
        .iter()
        .filter_map(|it| decode::<Heartbeat>(it).ok());
    work_with(&desired, &beats.collect::<Vec<_>>());
});

/// Everything that a step of the supervision does with what it has read.
fn work_with(desired: &[Desired], beats: &[Heartbeat]) {
    let join = |all: &mut dyn Iterator<Item = &Desired>| {
        all.cloned().fold(Desired::default(), Desired::joined)
    };
    let joined = join(&mut desired.iter());
    assert_eq!(join(&mut desired.iter().rev()), joined);
    assert_eq!(joined.clone().joined(joined.clone()), joined);
    assert_eq!(decode(&encode(&joined)).as_ref(), Ok(&joined));

    let newest = beats.iter().map(|beat| beat.beat_ms).max();
    for now_ms in [0, newest.unwrap_or_default(), u64::MAX] {
        let fleet = Fleet::new(now_ms, beats.iter().cloned());
        advance(&joined, &fleet);
        for view in joined.rollouts() {
            view.state(now_ms);
            window_ms(&joined, view.component, now_ms);
        }
        for beat in beats {
            readiness(&beat.host, &joined, &fleet, &Figures::default());
            probe_targets(beat, &fleet);
            siblings(beat, &fleet);
            for report in &beat.components {
                let place = beat.place();
                let shares = split(&joined, &report.component, report.own, &place);
                let sum: u32 = shares.iter().map(|share| u32::from(share.percent)).sum();
                assert!(shares.is_empty() || sum == 100, "{shares:?}");
                let wanted = wanted(&joined, &report.component, report.own);
                assert!(shares.iter().all(|share| wanted.contains(&share.digest)));
            }
        }
    }
}
