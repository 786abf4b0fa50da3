//! `cargo xtask bench`: what the host does in a second, against a native server doing the same work in the same run.
//!
//! The host and the baseline get the first core, the load the last, so both sides of each ratio have the same
//! machine. The baseline (`native.rs`) is hyper with the very same voicemail code and store, without WebAssembly.
//! Figures of one run compare with each other; figures of two machines do not.

mod connection;
mod cores;
mod durability;
mod full_mailbox;
mod half;
mod instance;
mod load;
mod machine;
mod measured;
mod memory;
mod native;
mod overload;
mod report;
mod stage;
mod startup;
mod throughput;

use std::time::Duration;

use starling_tests::aim::Aim;
use starling_tests::table::Options;

use crate::report::Report;
use crate::stage::Stage;

const HELP: &str = "\
Measures the host against a native baseline and prints a table.

Usage: cargo xtask bench -- [--seconds N] [--only TEXT] [--json]
  --seconds N  how long each load runs (6)
  --only TEXT  measure only the groups whose name contains it: idle memory, idle connections, hello, list, audio,
               deposit, memory after the load, half of capacity: hello, half of capacity: list, cores,
               deposit durability, deposit into a full mailbox, instance, overload, startup
  --json       one JSON object a line: name, value, unit, native, ratio_to_native
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [native, state] = arguments.as_slice()
        && native == native::ARGUMENT
    {
        native::serve(state);
        return;
    }
    let options = Options::read(HELP);
    machine::pin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let report = runtime.block_on(measure(&options));
    report.print(options.json);
}

/// Runs the groups that are asked for, in the order of their rows.
async fn measure(options: &Options) -> Report {
    let load = Duration::from_secs(options.seconds);
    let mut report = Report::default();
    report.progress("nothing yet: servers start");
    let stage = Stage::set().await;

    if options.wants("idle memory") {
        memory::idle(&mut report, &stage);
    }
    if options.wants("idle connections") {
        memory::idle_connections(&mut report).await;
    }
    for (group, case, aim) in [
        ("hello", stage.hello(), Some(0.35)),
        ("list", stage.list(), Some(0.35)),
        ("audio", stage.audio(), Some(0.7)),
        ("deposit", stage.deposit(), None),
    ] {
        if options.wants(group) {
            throughput::measure(&mut report, load, &case, aim.map(Aim::RatioAtLeast)).await;
        }
    }
    if options.wants("memory after the load") {
        memory::after_load(&mut report, &stage);
    }
    for (group, case) in [
        ("half of capacity: hello", stage.hello()),
        ("half of capacity: list", stage.list()),
    ] {
        if options.wants(group) {
            half::measure(&mut report, load, &case).await;
        }
    }
    if options.wants("cores") {
        cores::measure(&mut report, load, &stage).await;
    }
    if options.wants("deposit durability") {
        durability::measure(&mut report, load, &stage).await;
    }
    if options.wants("deposit into a full mailbox") {
        full_mailbox::measure(&mut report, &stage.host).await;
    }
    if options.wants("instance") {
        instance::measure(&mut report, load, &stage).await;
    }
    if options.wants("overload") {
        overload::measure(&mut report, load, &stage).await;
    }
    if options.wants("startup") {
        startup::measure(&mut report).await;
    }
    report
}
