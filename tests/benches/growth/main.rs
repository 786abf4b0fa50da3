//! `cargo xtask growth`: what an operation costs, in time and memory, against how much there is of something: mailboxes,
//! messages that are or were in a mailbox, connections, components.
//!
//! Each subject starts the real host, asks it over HTTP and reports curves; `report.rs` prints them as tables or rows of
//! JSON, and draws them.

mod components;
mod connections;
mod fill;
mod mailboxes;
mod messages;
mod report;
mod turns;

use std::path::PathBuf;

use starling_tests::paths;

use crate::report::Report;

const HELP: &str = "\
Measures time and memory of operations against size, and prints tables.

Usage: cargo xtask growth [--quick] [--json] [--plots <folder>] [<subject>...]
  <subject>         mailboxes, messages, purged, connections, components; all of them unless some are named
  --quick           smaller sizes and fewer requests, to try it
  --json            one JSON object a line: name, value, unit, native, ratio_to_native
  --plots <folder>  also draw the curves, as <folder>/<subject>.svg; from the checkout's root
";

const SUBJECTS: [&str; 5] = [
    "mailboxes",
    "messages",
    "purged",
    "connections",
    "components",
];

#[derive(Default)]
struct Options {
    quick: bool,
    json: bool,
    plots: Option<PathBuf>,
    subjects: Vec<String>,
}

fn main() {
    let Some(options) = options(std::env::args().skip(1)) else {
        print!("{HELP}");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(measure(&options));
}

/// What was asked for; nothing where it was not understood. `--bench` is cargo's own.
fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => options.quick = true,
            "--json" => options.json = true,
            "--plots" => options.plots = Some(paths::root().join(arguments.next()?)),
            subject if SUBJECTS.contains(&subject) => options.subjects.push(argument),
            _ => return None,
        }
    }
    Some(options)
}

async fn measure(options: &Options) {
    let report = Report::new(options.json, options.plots.clone());
    let wanted = |subject: &&str| {
        options.subjects.is_empty() || options.subjects.iter().any(|named| named == subject)
    };
    for subject in SUBJECTS.iter().copied().filter(wanted) {
        let measured = match subject {
            "mailboxes" => mailboxes::measure(options.quick).await,
            "messages" => messages::measure(options.quick).await,
            "purged" => messages::measure_purged(options.quick).await,
            "connections" => connections::measure(options.quick).await,
            _ => components::measure(options.quick).await,
        };
        report.print(&measured);
        report.draw(&measured);
    }
}
