//! What a second core adds, where the load leaves it.
//!
//! With two cores in all, the load and one of the event loops share the last. The list is work that costs a server much and
//! the load little, and the part of a core that the load took is told beside.

use std::net::SocketAddr;
use std::time::Duration;

use starling_tests::aim::Aim;
use starling_tests::app::App;

use crate::connection::get;
use crate::load::{Load, in_turn};
use crate::machine::{self, Cores};
use crate::measured::Measured;
use crate::native::Native;
use crate::report::{Report, Row};
use crate::stage::{Prepared, Stage};

const CONNECTIONS: usize = 32;

/// Measures both servers with one event loop on the first core, and with two on the first two, in turns.
pub(crate) async fn measure(report: &mut Report, duration: Duration, stage: &Stage) {
    report.progress("cores");
    let in_all = machine::cores_in_all();
    if in_all < 2 {
        return report.note("two cores against one: there is one".to_owned());
    }
    let app = App::voicemail();
    let host = app.launch().through(Cores::FirstTwo.wrapper());
    let host = host.start().await;
    let native = Native::start(Cores::FirstTwo);
    let [one, native_one] = stage.list().loads(CONNECTIONS, duration);
    let two = on(host.address(), &one).await;
    let native_two = on(native.address(), &native_one).await;
    let [one, native_one, two, native_two] = in_turn([one, native_one, two, native_two]).await;
    report.note_refusals("list of 20 messages, two cores", &two);
    report.add(Row::greater_is_better(
        "list of 20 messages, two cores",
        two.per_second(),
        "requests/s",
        Some(native_two.per_second()),
    ));
    report.add(Row::greater_is_better(
        "two cores against one",
        speed_up(&one, &two),
        "times",
        Some(speed_up(&native_one, &native_two)),
    ));
    // Where there is a third core, the load is on it and takes nothing of the two.
    let taken = |load: &Measured| if in_all == 2 { load.load_share() } else { 0.0 };
    let without = |one, two| speed_up(one, two) * 2.0 / (2.0 - taken(two));
    report.add(
        Row::greater_is_better(
            "two cores against one, had the load taken nothing of them",
            without(&one, &two),
            "times",
            Some(without(&native_one, &native_two)),
        )
        .aim(Aim::AtLeast(1.8)),
    );
    report.add(Row::smaller_is_better(
        "two cores: what the load took of one",
        100.0 * taken(&two),
        "%",
        Some(100.0 * taken(&native_two)),
    ));
}

/// The same load on another server.
async fn on(server: SocketAddr, load: &Load) -> Load {
    let prepared = Prepared::on(server).await;
    Load {
        address: server,
        requests: [get(&prepared.list)].into(),
        ..load.clone()
    }
}

/// How much more the second did.
fn speed_up(one: &Measured, two: &Measured) -> f64 {
    two.per_second() / one.per_second()
}
