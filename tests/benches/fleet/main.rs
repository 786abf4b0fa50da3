//! `cargo xtask bench`, fleet: for how long clients meet errors when a whole region dies, how many requests a bad version
//! hurts before it is gone, and what being managed costs a host.
//!
//! Three regions with two hosts each, on this machine. Each host can serve a bounded number of requests at once, each of
//! which takes a while without computing: so what four hosts carry is known, and is not the machine's limit. Clients ask a
//! traffic manager that polls every host's `/ready` every 200 ms and gives it 500 ms; they give up on a host after a
//! second, and retry elsewhere. Much of what is measured is theirs.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::deployment::{Deployment, POLL, Shape};
use starling_tests::host::Host;
use starling_tests::load::Load;
use starling_tests::operator::Operator;
use starling_tests::table::Options;
use starling_tests::traffic::{Crowd, TrafficManager};
use starling_tests::versions::failing_guest;

/// How often a region dies, in each way.
const DEATHS: usize = 5;

/// Clients, each of which asks this often: nine tenths of what four hosts carry, 100 a second each.
const CLIENTS: u64 = 90;
const PAUSE: Duration = Duration::from_millis(250);

const CONFIG: &str = "[signatures]\nallow_unsigned = true\n[limits]\ninstances_max = 2\n";

const HELP: &str = "\
Measures what clients notice when a region dies, and of bad versions; and what management costs.

Usage: cargo xtask bench -- [--seconds N] [--only TEXT] [--json]
  --seconds N  how long each load runs (6)
  --only TEXT  measure nothing, unless `fleet` contains it
  --json       one JSON object a line: name, value, unit, native, ratio_to_native
";

fn main() {
    Options::measure("fleet", HELP, async |options| {
        for death in [Death::Killed, Death::Silent] {
            deaths(&options, death).await;
        }
        for variant in ["errors", "slow", "crashing", "hungry"] {
            bad_version(&options, variant).await;
        }
        cost(&options).await;
    });
}

/// How a region dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Its processes end: connections to it are refused.
    Killed,
    /// Nothing comes from it any more, and nobody is told.
    Silent,
}

/// Lets a region die under nine tenths of what the others can carry, again and again.
async fn deaths(options: &Options, death: Death) {
    let shape = Shape {
        regions: &["eu", "us", "ap"],
        hosts: 2,
        app: App::managed_guest,
        config: CONFIG,
        ..Shape::VOICEMAIL
    };
    let mut deployment = Deployment::start(&shape).await;
    let operator = deployment.host(0, 0).operator();
    all_alive(&operator, 6).await;
    let (mut times, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..DEATHS {
        let traffic = TrafficManager::start(&deployment.backends());
        let crowd = traffic.clients(CLIENTS, PAUSE, |_| Call::get("/sleep?ms=20"));
        serve(&crowd, 2).await;
        let since = Instant::now();
        match death {
            Death::Killed => deployment.kill_region(2).await,
            Death::Silent => signal(&deployment, Signal::STOP),
        }
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let failed = crowd.errors_since(since);
        times.push(failed.iter().max().copied().unwrap_or_default());
        errors.push(failed.len());
        // The rest carries the load: as much is served in the end as was before.
        serve(&crowd, 2).await;
        crowd.stop().await;
        match death {
            Death::Killed => {
                deployment.regions[2].nats.restart().await;
                for host in 0..2 {
                    deployment.start_host(2, host).await;
                }
            }
            Death::Silent => signal(&deployment, Signal::CONT),
        }
        all_alive(&operator, 6).await;
    }
    times.sort_unstable();
    errors.sort_unstable();
    let how = match death {
        Death::Killed => "a region is killed",
        Death::Silent => "a region falls silent",
    };
    let seconds = |time: &Duration| time.as_secs_f64();
    let (p50, max) = (&times[DEATHS / 2], &times[DEATHS - 1]);
    options.row(
        &format!("{how}: last error after it, p50"),
        seconds(p50),
        "s",
    );
    options.row(
        &format!("{how}: last error after it, max"),
        seconds(max),
        "s",
    );
    let median = errors[DEATHS / 2] as f64;
    options.row(
        &format!("{how}: attempts that failed, p50"),
        median,
        "requests",
    );
}

/// Waits until as many requests have been served as come in this many seconds.
async fn serve(crowd: &Crowd, seconds: u64) {
    let enough = crowd.served() + seconds * CLIENTS * 1_000 / PAUSE.as_millis() as u64;
    while crowd.served() < enough {
        tokio::time::sleep(POLL).await;
    }
}

fn signal(deployment: &Deployment, signal: Signal) {
    for host in 0..2 {
        deployment.host(2, host).signal(signal);
    }
}

async fn all_alive(operator: &Operator, hosts: usize) {
    loop {
        let fleet = operator.attempt(&["ps"]).await.unwrap_or(Value::Null);
        let known = fleet["hosts"].as_array().map_or(&[][..], Vec::as_slice);
        let well = |host: &Value| host["life"] == "alive" && host["readiness"] == "ready";
        if known.iter().filter(|host| well(host)).count() == hosts {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Deploys a version that fails, under load, and waits until it is gone.
async fn bad_version(options: &Options, variant: &str) {
    let shape = Shape {
        hosts: 2,
        app: App::managed_guest,
        config: "[signatures]\nallow_unsigned = true\n",
        ..Shape::VOICEMAIL
    };
    let deployment = Deployment::start(&shape).await;
    let operator = deployment.host(0, 0).operator();
    all_alive(&operator, 2).await;
    let addresses = [0, 1].map(|host| deployment.host(0, host).address());
    let pause = Duration::from_millis(10);
    let load = Load::start(&addresses, pause, Duration::from_millis(1_500), |_| {
        Call::get("/hello")
    });
    let file = tempfile::Builder::new()
        .suffix(".wasm")
        .tempfile()
        .expect("a file");
    std::fs::write(file.path(), failing_guest(variant)).expect("the component is written");
    let path = file.path().to_str().expect("a plain path");
    operator.refused(&["deploy", "guest", path]).await;
    let rollouts = operator.run(&["rollout", "status"]).await;
    let reverted = &rollouts["rollouts"][0];
    assert_eq!(reverted["state"], "reverted", "{reverted}");
    let toll = load.stop().await;
    let hurt = 100.0 * toll.ratio();
    options.row(
        &format!("bad version, {variant}: requests that it hurt"),
        hurt,
        "%",
    );
}

/// What a host spends on being managed, while nobody asks it anything.
async fn cost(options: &Options) {
    let apps = [
        ("unmanaged", App::voicemail as fn() -> App),
        ("managed", App::managed_voicemail),
    ];
    for (name, app) in apps {
        let app = app();
        let host = app.launch().start().await;
        // Past its start.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = cpu(&host);
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let share = 100.0 * (cpu(&host) - before).as_secs_f64() / options.seconds as f64;
        options.row(&format!("an idle host, {name}: of one core"), share, "%");
        let memory = host.resident_bytes() as f64 / (1 << 20) as f64;
        options.row(&format!("an idle host, {name}: memory"), memory, "MiB");
    }
}

/// The CPU time that a host has used. A tick is a hundredth of a second.
fn cpu(host: &Host) -> Duration {
    let path = format!("/proc/{}/stat", host.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(path).expect("the system tells about its processes");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number of ticks"))
        .sum();
    Duration::from_millis(10 * ticks)
}
