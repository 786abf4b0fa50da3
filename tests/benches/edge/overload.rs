//! What becomes of those that are admitted while ten times as much is asked as the host can do, and right after.
//!
//! The baseline of these rows is the same host with little or enough to do, and no native server: admission is the host's.

use std::time::{Duration, Instant};

use starling_tests::aim::Aim;
use tokio::time::sleep_until;

use crate::load::{Load, in_turn};
use crate::measured::Measured;
use crate::report::{Report, Row};
use crate::stage::Stage;

/// Connections that find out what the host can do.
const CLIENTS: usize = 32;

/// Connections of the overload. A real one has a connection for each client; these wait for their answers, so there must be more
/// of them than the host has requests at once.
const CROWD: usize = 320;

/// What is asked, as a multiple of what the host can do.
const TIMES: f64 = 10.0;

/// Later than this a request is not sent, and not counted as offered: it is the load that was too slow for it, or all of
/// its connections waited.
const LATE_MAX: Duration = Duration::from_micros(200);

/// Looks at the host after the overload, and how long each of them takes.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(100);

/// Measures the list.
pub(crate) async fn measure(report: &mut Report, duration: Duration, stage: &Stage) {
    report.progress("overload");
    let [one, _] = stage.list().loads(1, duration);
    let clients = Load {
        connections: CLIENTS,
        ..one.clone()
    };
    let [unloaded, capacity] = in_turn([one.clone(), clients]).await;
    report.note_refusals("unloaded, before the overload", &unloaded);
    report.note_refusals("capacity, before the overload", &capacity);

    let crowd = Load {
        connections: CROWD,
        ..one.clone()
    };
    let crowd = crowd.paced(TIMES * capacity.per_second(), LATE_MAX);
    let (overloaded, looks) = then(crowd, one).await;
    during(report, &overloaded, &unloaded, &capacity);
    afterwards(report, looks, &unloaded);
}

/// Runs an overload, and looks at the host with the other load from the moment on that nothing of the overload is sent any more.
async fn then(overload: Load, look: Load) -> (Measured, Vec<Measured>) {
    let end = Instant::now() + overload.warm_up + overload.duration;
    let overload = tokio::spawn(overload.run());
    sleep_until(end.into()).await;
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let look = Load {
            warm_up: Duration::ZERO,
            ..look.lasting(LOOK)
        };
        looks.push(look.run().await);
    }
    let overloaded = overload.await.expect("the load does not panic");
    (overloaded, looks)
}

fn during(report: &mut Report, overloaded: &Measured, unloaded: &Measured, capacity: &Measured) {
    let capacity = capacity.per_second();
    let against_capacity = |what: &str, value| {
        let name = format!("{what} at 10x overload, against capacity");
        Row::greater_is_better(&name, value, "requests/s", Some(capacity))
    };
    let rate = |what: &str, count| {
        let name = format!("{what} at 10x overload");
        Row::smaller_is_better(&name, overloaded.rate(count), "requests/s", None)
    };
    report.add(against_capacity(
        "offered",
        overloaded.rate(overloaded.asked),
    ));
    let p50 = "admitted p50 at 10x overload, against unloaded";
    report.add_latency(p50, 0.5, (overloaded, unloaded), None);
    let p99 = "admitted p99 at 10x overload, against unloaded";
    let aim = Some(Aim::RatioAtMost(2.0));
    report.add_latency(p99, 0.99, (overloaded, unloaded), aim);
    let goodput = against_capacity("goodput", overloaded.per_second());
    report.add(goodput.aim(Aim::RatioAtLeast(0.9)));
    report.add(rate("refused", overloaded.refused));
    let for_good = rate("refused without Retry-After", overloaded.refused_for_good);
    report.add(for_good.aim(Aim::AtMost(0.0)));
    report.add(rate("failed", overloaded.failed).aim(Aim::AtMost(0.0)));
}

fn afterwards(report: &mut Report, looks: Vec<Measured>, unloaded: &Measured) {
    let p99 = |look: &Measured| look.latency_us(0.99).unwrap_or(f64::INFINITY);
    let near = 2.0 * p99(unloaded);
    let slow = looks.iter().take_while(|look| p99(look) > near).count();
    let slow = u32::try_from(slow).expect("few looks");
    if slow == LOOKS {
        report.note("the host had not recovered after the last look".to_owned());
    }
    report.add(Row::smaller_is_better(
        "recovery after 10x overload",
        (slow * LOOK).as_secs_f64() * 1e3,
        "ms",
        None,
    ));
    let mut after = Measured::default();
    for look in looks {
        after.merge(look);
    }
    let p99 = "p99 in the second after 10x overload, against unloaded";
    report.add_latency(p99, 0.99, (&after, unloaded), None);
    report.note_refusals("the second after 10x overload", &after);
    if after.failed > 0 {
        report.note(format!(
            "the second after 10x overload: {} requests failed",
            after.failed
        ));
    }
}
