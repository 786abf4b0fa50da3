//! What a deposit costs in a mailbox of 1,000 messages, against one in a mailbox that was empty at first.

use std::time::Instant;

use starling_tests::audio;
use starling_tests::client::Call;
use starling_tests::host::Host;
use starling_tests::latencies::Latencies;
use starling_tests::mailbox::Mailbox;

use crate::report::{Report, Row};

const HELD: usize = 1_000;

const DEPOSITS: usize = 100;

/// Measures both on the same host and in turns.
pub(crate) async fn measure(report: &mut Report, host: &Host) {
    report.progress("a full mailbox");
    let (full, empty) = (
        Mailbox::create(host, "full").await,
        Mailbox::create(host, "empty").await,
    );
    Call::put(full.path())
        .json(&serde_json::json!({ "quota_messages": HELD + DEPOSITS }))
        .send(host)
        .await
        .expect_success();
    for _ in 0..HELD {
        full.deposit(audio::speech(audio::Encoding::MuLaw))
            .send(host)
            .await
            .expect(201);
    }
    let deposit = async |mailbox: &Mailbox| {
        let begun = Instant::now();
        let deposit = mailbox.deposit(audio::long_speech());
        deposit.send(host).await.expect(201);
        begun.elapsed()
    };
    let (mut into_full, mut into_empty) = (Latencies::default(), Latencies::default());
    for _ in 0..DEPOSITS {
        into_full.push(deposit(&full).await);
        into_empty.push(deposit(&empty).await);
    }
    let median_us = |times: &Latencies| {
        let median = times.quantile(0.5).expect("there were deposits");
        median.as_secs_f64() * 1e6
    };
    report.add(Row::smaller_is_better(
        "deposit of 480 KB into 1,000 messages, against into none",
        median_us(&into_full),
        "µs",
        Some(median_us(&into_empty)),
    ));
}
