//! Memory: of a server that nobody asks anything, of connections that do nothing, and after the load.

use std::net::SocketAddr;

use starling_tests::aim::Aim;
use starling_tests::app::App;

use crate::connection::{Connection, get};
use crate::machine::{self, Cores};
use crate::native::Native;
use crate::report::{Report, Row};
use crate::stage::Stage;

/// Connections that are held open, where the system allows so many files.
const CONNECTIONS: u64 = 2_000;

/// Files that a process has open beside connections, at most.
const OTHER_FILES: u64 = 200;

/// Requests before the first look, so that what any request needs is there.
const WARM_UP: usize = 500;

/// What servers take before anybody has asked them anything.
pub(crate) fn idle(report: &mut Report, stage: &Stage) {
    let (ours, native) = stage.idle_bytes;
    // 30 MB, in MiB.
    let aim = Aim::AtMost(28.6);
    let row = Row::smaller_is_better("idle RSS", mib(ours), "MiB", Some(mib(native)));
    report.add(row.aim(aim));
}

/// What they take after all loads.
pub(crate) fn after_load(report: &mut Report, stage: &Stage) {
    report.add(Row::smaller_is_better(
        "RSS after the load",
        mib(stage.host.resident_bytes()),
        "MiB",
        Some(mib(stage.native.resident_bytes())),
    ));
}

/// What a connection takes that is kept open after a request: servers that have just started, before and after.
pub(crate) async fn idle_connections(report: &mut Report) {
    report.progress("idle connections");
    let files = machine::raise_open_files();
    let connections = CONNECTIONS.min(files.saturating_sub(OTHER_FILES)).max(1);
    if connections < CONNECTIONS {
        report.note(format!(
            "idle connections: {connections}, for want of files"
        ));
    }
    let app = App::hello();
    let host = app.launch().through(Cores::First.wrapper()).start().await;
    let native = Native::start(Cores::First);
    let ours = kib_each(host.address(), connections, || host.resident_bytes()).await;
    let base = kib_each(native.address(), connections, || native.resident_bytes()).await;
    let name = "RSS per idle connection";
    let row = Row::smaller_is_better(name, ours, "KiB", Some(base));
    report.add(row.aim(Aim::AtMost(20.0)));
}

/// KiB that each of so many connections takes, of a server whose memory `resident` tells.
async fn kib_each(server: SocketAddr, connections: u64, resident: impl Fn() -> u64) -> f64 {
    let hello = get("/hello");
    let mut warm = Connection::new(server, 0);
    for _ in 0..WARM_UP {
        warm.ask(&hello).await.expect("an answer");
    }
    let before = resident();
    let mut held = Vec::new();
    for number in 0..connections {
        let number = usize::try_from(number).expect("a small number");
        let mut connection = Connection::new(server, number);
        let answer = connection.ask(&hello).await.expect("an answer");
        assert!(answer.is_success(), "status {}", answer.status);
        connection.rest();
        held.push(connection);
    }
    let after = resident();
    let open = held.iter().filter(|held| held.is_idle()).count();
    assert_eq!(open, held.len(), "the server closed idle connections");
    (bytes(after) - bytes(before)) / bytes(connections) / 1024.0
}

fn mib(size: u64) -> f64 {
    bytes(size) / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn bytes(size: u64) -> f64 {
    size as f64
}
