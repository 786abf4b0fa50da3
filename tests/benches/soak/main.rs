//! `cargo xtask soak`: a real host under mixed load for a long time. Does anything grow, does anything get lost?
//!
//! - [`client`] is one client, which knows what has to be in its mailboxes and holds every answer against it;
//! - [`actions`] are what it does;
//! - [`samples`] are what the host took and how fast it was, every ten seconds, and what is made of that in the end;
//! - [`remains`] looks for audio that was left in the store of messages that are gone.
//!
//! The mailboxes are bounded, and so is what lies in them, so whatever grows is a leak. Nothing expires meanwhile: the
//! shortest retention is a day. But a purge goes the same way through the store as an expiry.

mod actions;
mod client;
mod remains;
mod samples;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_tests::app::App;
use starling_tests::host::Host;
use starling_tests::paths;
use starling_tests::random::Random;

use crate::client::{Client, Log};
use crate::samples::Samples;

const HELP: &str = "\
Loads a host for a long time, watches what it takes, and fails if anything grows or an answer is wrong.

Usage: cargo xtask soak [--minutes N] [--rate N] [--plot <file>]
  --minutes N     how long (60)
  --rate N        requests a second, of all clients together (50)
  --plot <file>   also draw what was sampled, as SVG; from the checkout's root

STARLING_SEED repeats the choices of a run, which prints it.
";

/// How many clients there are, each with mailboxes of its own and one request at a time.
const CLIENTS: u32 = 8;

const INTERVAL: Duration = Duration::from_secs(10);

struct Options {
    minutes: u32,
    rate: u32,
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        print!("{HELP}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(soak(&options))
}

/// What was asked for; nothing where it was not understood. `--bench` is cargo's own.
fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        minutes: 60,
        rate: 50,
        plot: None,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--minutes" => options.minutes = arguments.next()?.parse().ok()?,
            "--rate" => options.rate = arguments.next()?.parse().ok()?,
            "--plot" => options.plot = Some(paths::root().join(arguments.next()?)),
            _ => return None,
        }
    }
    (options.minutes > 0 && options.rate > 0).then_some(options)
}

async fn soak(options: &Options) -> ExitCode {
    let mut random = Random::from_environment();
    let app = App::voicemail();
    // The first start compiles, which takes memory that a host in service never needs.
    let launch = app.launch().start().await.stop().await;
    let host = launch.start().await;
    let log = Arc::new(Log::default());
    let pause = Duration::from_secs(1) * CLIENTS / options.rate;
    let end = Instant::now() + Duration::from_secs(60) * options.minutes;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let log = Arc::clone(&log);
            let random = Random::new(random.number());
            let client = Client::new(number, host.address(), random, log);
            tokio::spawn(client.run(end, pause))
        })
        .collect();
    let samples = watch(&host, &log, end).await;
    let mut left = Vec::new();
    for client in clients {
        left.push(client.await.expect("a client does not panic"));
    }

    let again = host.stop().await.start().await;
    for client in &mut left {
        client.check_everything(again.address()).await;
    }
    remains::check(again, &left, &log).await;
    finish(options, &samples, &log)
}

/// Takes samples until the end.
async fn watch(host: &Host, log: &Log, end: Instant) -> Samples {
    let mut samples = Samples::new(INTERVAL);
    while Instant::now() + INTERVAL <= end && !log.is_hopeless() {
        tokio::time::sleep(INTERVAL).await;
        samples.take(host, log);
        samples.progress(log);
    }
    samples
}

fn finish(options: &Options, samples: &Samples, log: &Log) -> ExitCode {
    let failures = log.failures();
    let is_flat = samples.print(log);
    if let Some(path) = &options.plot {
        samples
            .draw(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    for failure in failures.iter().take(20) {
        println!("wrong: {failure}");
    }
    if failures.is_empty() && is_flat {
        println!("\nNothing grew, and nothing was lost.");
        return ExitCode::SUCCESS;
    }
    let grew = if is_flat { "nothing" } else { "something" };
    println!("\n{} wrong answers; {grew} grew", failures.len());
    ExitCode::FAILURE
}
