//! What clients wait while a server has half as much to do as it can.

use std::time::Duration;

use starling_tests::aim::Aim;

use crate::load::in_turn;
use crate::report::{Report, Row};
use crate::stage::Case;

const CONNECTIONS: usize = 32;

/// Measures what each server can do, then what its clients wait at half of that. No request is let go, however late.
pub(crate) async fn measure(report: &mut Report, duration: Duration, case: &Case) {
    let name = case.name;
    report.progress(&format!("half of capacity: {name}"));
    let [ours, base] = case.loads(CONNECTIONS, duration);
    let short = duration / 2;
    let capacities = in_turn([ours.lasting(short), base.lasting(short)]).await;
    let [our_half, base_half] = capacities.map(|capacity| capacity.per_second() / 2.0);
    let [ours, base] = in_turn([
        ours.paced(our_half, Duration::MAX),
        base.paced(base_half, Duration::MAX),
    ])
    .await;
    let name = |what| format!("{name}, {what} at half of capacity");
    report.note_refusals(&name("load"), &ours);
    report.add(Row::greater_is_better(
        &name("offered"),
        ours.rate(ours.asked),
        "requests/s",
        Some(base.rate(base.asked)),
    ));
    report.add_latency(&name("p50"), 0.50, (&ours, &base), None);
    let aim = Some(Aim::RatioAtMost(3.0));
    report.add_latency(&name("p99"), 0.99, (&ours, &base), aim);
}
