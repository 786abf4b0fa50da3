//! `cargo xtask bench`: what the host does in a second, against a native server doing the same work in the same run.
//!
//! The host and the baseline get the first core, the load the last, so both sides of each ratio have the same
//! machine. The baseline (`native.rs`) is hyper with the very same voicemail code and store, without WebAssembly.
//! Figures of one run compare with each other; figures of two machines do not.

mod load;
mod native;
mod report;
mod startup;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use starling_tests::app::App;
use starling_tests::audio;
use starling_tests::client::Call;
use starling_tests::host::Host;
use starling_tests::mailbox::Mailbox;

use crate::load::{Load, Measured};
use crate::native::Native;
use crate::report::{Report, Row};

/// Says to a benchmark that it has been given its core.
const PINNED: &str = "STARLING_BENCH_PINNED";

/// Mailboxes that deposits go to in turn: one alone would be full, and its slot ever larger.
const DEPOSIT_MAILBOXES: usize = 64;

const HELP: &str = "\
Measures the host against a native baseline and prints a table.

Usage: cargo xtask bench -- [--seconds N] [--json]
  --seconds N  how long each load runs (6)
  --json       one JSON object a line: name, value, unit, native, ratio_to_native
";

struct Options {
    seconds: u64,
    json: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [native, state] = arguments.as_slice()
        && native == native::ARGUMENT
    {
        native::serve(state);
        return;
    }
    let Some(options) = options(&arguments) else {
        print!("{HELP}");
        std::process::exit(2);
    };
    pin(&arguments);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(measure(&options));
}

/// What was asked for; nothing where it was not understood. `--bench` is cargo's own.
fn options(arguments: &[String]) -> Option<Options> {
    let mut options = Options {
        seconds: 6,
        json: false,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--json" => options.json = true,
            "--seconds" => options.seconds = arguments.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some(options)
}

/// Starts over on the last core, so that the load does not compete with what it measures.
fn pin(arguments: &[String]) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores == 1 || std::env::var_os(PINNED).is_some() {
        return;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let error = Command::new("taskset")
        .args(["-c", &(cores - 1).to_string()])
        .arg(program)
        .args(arguments)
        .env(PINNED, "1")
        .exec();
    eprintln!("not pinned to a core: taskset: {error}");
}

/// The command that gives what follows it the first core.
fn on_first_core() -> [&'static str; 3] {
    ["taskset", "-c", "0"]
}

async fn measure(options: &Options) {
    let load = Duration::from_secs(options.seconds);
    let mut report = Report::default();

    let app = App::voicemail();
    let guest = App::guest();
    // The first start compiles, which takes memory that a host in service never needs.
    let compiled = app.launch().through(on_first_core()).start().await;
    let host = compiled.stop().await.start().await;
    let idle = host.resident_bytes();
    let hello = guest.launch().through(on_first_core()).start().await;
    let native = Native::start();

    report.progress("idle memory");
    let native_idle = native.resident_bytes();
    report.add(Row::smaller_is_better(
        "idle RSS",
        mib(idle),
        "MiB",
        Some(mib(native_idle)),
    ));

    let voicemail = prepare(host.address()).await;
    let baseline = prepare(native.address()).await;

    for connections in [1, 32] {
        let cases = [
            (
                "hello",
                hello.address(),
                vec![load::get("/hello")],
                vec![load::get("/hello")],
            ),
            (
                "list of 20 messages",
                host.address(),
                vec![load::get(&voicemail.list)],
                vec![load::get(&baseline.list)],
            ),
            (
                "audio of 480 KB",
                host.address(),
                vec![load::get(&voicemail.audio)],
                vec![load::get(&baseline.audio)],
            ),
            (
                "deposit of 480 KB with fsync",
                host.address(),
                deposits(),
                deposits(),
            ),
        ];
        for (name, address, requests, native_requests) in cases {
            let plural = if connections == 1 { "" } else { "s" };
            let name = format!("{name}, {connections} connection{plural}");
            report.progress(&name);
            let run = |address, requests| Load {
                address,
                requests,
                connections,
                duration: load,
            };
            let base = run(native.address(), native_requests);
            let (ours, base) = load::in_turn(run(address, requests), base).await;
            rows(&mut report, &name, &ours, &base);
        }
    }
    instantiation(&mut report, load, &hello).await;
    full_mailbox(&mut report, &host).await;
    report.add(Row::smaller_is_better(
        "RSS after the load",
        mib(host.resident_bytes()),
        "MiB",
        Some(mib(native.resident_bytes())),
    ));
    startup::measure(&mut report).await;
    report.print(options.json);
}

fn rows(report: &mut Report, name: &str, ours: &Measured, base: &Measured) {
    report.add(Row::greater_is_better(
        name,
        ours.per_second(),
        "requests/s",
        Some(base.per_second()),
    ));
    for (label, quantile) in [("p50", 0.50), ("p99", 0.99)] {
        let (ours, base) = (ours.latency_us(quantile), base.latency_us(quantile));
        let name = format!("{name}, {label}");
        report.add(Row::smaller_is_better(&name, ours, "µs", Some(base)));
    }
}

/// What a new instance costs: a host that makes one for each request, against one that reuses them.
async fn instantiation(report: &mut Report, duration: Duration, reusing: &Host) {
    report.progress("instantiation");
    let app = App::guest();
    let fresh = app
        .launch_with("[limits]\ninstance_requests_max = 1\n")
        .through(on_first_core())
        .start()
        .await;
    let run = |address| Load {
        address,
        requests: vec![load::get("/hello")],
        connections: 1,
        duration,
    };
    let (fresh, reused) = load::in_turn(run(fresh.address()), run(reusing.address())).await;
    report.add(Row::smaller_is_better(
        "a new instance, on top of a request",
        fresh.latency_us(0.5) - reused.latency_us(0.5),
        "µs",
        None,
    ));
}

/// What a deposit costs in a mailbox of 1,000 messages, against one in a mailbox that was empty at first, on the same
/// host and in turns.
async fn full_mailbox(report: &mut Report, host: &Host) {
    const HELD: usize = 1_000;
    const DEPOSITS: usize = 100;

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
    let (mut into_full, mut into_empty) = (Vec::new(), Vec::new());
    for _ in 0..DEPOSITS {
        into_full.push(deposit(&full).await);
        into_empty.push(deposit(&empty).await);
    }
    let median_us = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    report.add(Row::smaller_is_better(
        "deposit of 480 KB into 1,000 messages, against into none",
        median_us(&mut into_full),
        "µs",
        Some(median_us(&mut into_empty)),
    ));
}

/// A mailbox with 20 messages, one of them of 480 KB, and the mailboxes for deposits.
struct Prepared {
    list: String,
    audio: String,
}

async fn prepare(address: SocketAddr) -> Prepared {
    use http::Method;

    let created = |name: String| async move {
        let path = format!("/v1/mailboxes/{name}");
        Call::new(Method::PUT, path)
            .send_to(address)
            .await
            .expect_success();
    };
    for index in 0..DEPOSIT_MAILBOXES {
        created(format!("deposit-{index}")).await;
    }
    created("listed".to_owned()).await;
    let list = "/v1/mailboxes/listed/messages".to_owned();
    let deposit = async |audio: &[u8]| {
        Call::new(Method::POST, list.clone())
            .header("content-type", "audio/wav")
            .header("voicemail-from", "+15551230002")
            .body(audio.to_vec())
            .send_to(address)
            .await
            .expect(201)
    };
    for _ in 0..19 {
        deposit(audio::speech(audio::Encoding::MuLaw)).await;
    }
    let long = deposit(audio::long_speech()).await;
    let audio = format!("{}/audio", long.header("location"));
    Prepared {
        audio,
        list: format!("{list}?limit=20"),
    }
}

fn deposits() -> Vec<Vec<u8>> {
    let deposit = |index| {
        let path = format!("/v1/mailboxes/deposit-{index}/messages");
        load::post(&path, "audio/wav", audio::long_speech())
    };
    (0..DEPOSIT_MAILBOXES).map(deposit).collect()
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
