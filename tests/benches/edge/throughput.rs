//! How much each server does in a second, and how long each answer takes, with one connection and with many.

use std::time::Duration;

use starling_tests::aim::Aim;

use crate::load::in_turn;
use crate::report::{Report, Row};
use crate::stage::Case;

/// Measures one kind of work. The aim is for the requests a second of many connections.
pub(crate) async fn measure(
    report: &mut Report,
    duration: Duration,
    case: &Case,
    aim: Option<Aim>,
) {
    for (connections, aim) in [(1, None), (32, aim)] {
        let plural = if connections == 1 { "" } else { "s" };
        let name = format!("{}, {connections} connection{plural}", case.name);
        report.progress(&name);
        let [ours, base] = in_turn(case.loads(connections, duration)).await;
        report.note_refusals(&name, &ours);
        let (value, native) = (ours.per_second(), base.per_second());
        report.add(Row::greater_is_better(&name, value, "requests/s", Some(native)).aim(aim));
        for (label, quantile) in [("p50", 0.50), ("p99", 0.99)] {
            report.add_latency(&format!("{name}, {label}"), quantile, (&ours, &base), None);
        }
    }
}
