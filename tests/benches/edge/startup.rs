//! How long it takes from the start of a process to the first byte of an answer.

use std::time::Instant;

use http::Method;
use starling_tests::aim::Aim;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::host::Launch;

use crate::machine::Cores;
use crate::native::Native;
use crate::report::{Report, Row};

/// Starts that are timed; the median counts.
const STARTS: usize = 9;

/// Measures starts with and without compiled components.
pub(crate) async fn measure(report: &mut Report) {
    report.progress("cold start");
    let app = App::voicemail();
    let launch = app.launch();
    let mut compiling = Vec::new();
    for _ in 0..3 {
        let _ = std::fs::remove_dir_all(launch.state().join("cache"));
        compiling.push(start(&launch).await);
    }
    let mut cached = Vec::new();
    for _ in 0..STARTS {
        cached.push(start(&launch).await);
    }
    let mut native = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let server = Native::start(Cores::First);
        Call::new(Method::GET, "/hello")
            .send_to(server.address())
            .await
            .expect(200);
        native.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let native = median(native);
    let name = "cold start to first byte, compiled components cached";
    let row = Row::smaller_is_better(name, median(cached), "ms", Some(native));
    report.add(row.aim(Aim::AtMost(50.0)));
    report.add(Row::smaller_is_better(
        "cold start to first byte, components compiled",
        median(compiling),
        "ms",
        Some(native),
    ));
}

/// Milliseconds from the start of the process to an answer that a component gave.
async fn start(launch: &Launch) -> f64 {
    let begun = Instant::now();
    let host = launch.start().await;
    Call::new(Method::GET, "/v1/mailboxes/nobody")
        .send(&host)
        .await
        .problem(404);
    let elapsed = begun.elapsed().as_secs_f64() * 1e3;
    host.kill().await;
    elapsed
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
