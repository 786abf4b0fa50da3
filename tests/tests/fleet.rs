//! Hosts under management: what an operator deploys, how it goes over a fleet, and what clients notice of it.

mod artifacts;
mod health;
mod metrics;
mod operators;
mod rollouts;

use std::time::Duration;

use serde_json::Value;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::deployment::{Deployment, POLL, Shape, try_call};
use starling_tests::host::{Host, PATIENCE};
use starling_tests::operator::Operator;
use tokio::time::timeout;

/// A quick supervision, which takes what nobody signed.
const CONFIG: &str = "[management]\ninterval_ms = 250\n[signatures]\nallow_unsigned = true\n";

/// One region with two hosts, in a zone each, that serve the tests' own component.
const PAIR: Shape<'static> = Shape {
    hosts: 2,
    app: App::managed_guest,
    config: CONFIG,
    ..Shape::VOICEMAIL
};

/// Three regions with two hosts each.
const SIX: Shape<'static> = Shape {
    regions: &["eu", "us", "ap"],
    ..PAIR
};

/// A component's file, for as long as this lives.
struct Artifact(tempfile::NamedTempFile);

impl Artifact {
    fn new(bytes: &[u8]) -> Self {
        let file = tempfile::Builder::new()
            .suffix(".wasm")
            .tempfile()
            .expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("the component is written");
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("a plain path")
    }
}

/// The words that deploy a version everywhere at once.
fn at_once<'w>(component: &'w str, artifact: &'w str) -> [&'w str; 7] {
    [
        "deploy",
        component,
        artifact,
        "--strategy",
        "all",
        "--step",
        "1s",
    ]
}

/// Starts hosts, and waits until each knows all of them.
async fn start(shape: &Shape<'_>) -> Deployment {
    let deployment = Deployment::start(shape).await;
    let hosts = shape.regions.len() * shape.hosts;
    for region in 0..shape.regions.len() {
        for host in 0..shape.hosts {
            let operator = deployment.host(region, host).operator();
            eventually(&operator, "all hosts are known and ready", |fleet| {
                let known = fleet["hosts"].as_array().expect("hosts");
                known.len() == hosts && known.iter().all(|host| host["readiness"] == "ready")
            })
            .await;
        }
    }
    deployment
}

/// Waits until the fleet is as wanted, as one host tells it.
async fn eventually(operator: &Operator, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = None;
    let found = async {
        loop {
            match operator.attempt(&["ps"]).await {
                Ok(fleet) if wanted(&fleet) => return fleet,
                other => last = Some(other),
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match timeout(PATIENCE, found).await {
        Ok(fleet) => fleet,
        Err(_) => panic!("it never is so that {what}: {last:?}"),
    }
}

/// The version that takes all requests for `component` on each host that is alive, if there is one.
fn serving<'f>(fleet: &'f Value, component: &str) -> Vec<Option<&'f str>> {
    let hosts = fleet["hosts"].as_array().expect("hosts");
    let alive = hosts.iter().filter(|host| host["life"] != "out");
    alive
        .map(|host| {
            let versions = host["components"].as_array().expect("components");
            let whole =
                |version: &&Value| version["component"] == component && version["percent"] == 100;
            versions.iter().find(whole)?["digest"].as_str()
        })
        .collect()
}

/// Whether all hosts that are alive serve this version alone.
fn all_serve(fleet: &Value, component: &str, digest: &str) -> bool {
    let serving = serving(fleet, component);
    !serving.is_empty() && serving.iter().all(|version| *version == Some(digest))
}

/// The version that every host serves before anything is deployed.
async fn first_version(operator: &Operator, component: &str) -> String {
    let fleet = operator.run(&["ps"]).await;
    let first = serving(&fleet, component)[0].expect("it serves one version");
    assert!(all_serve(&fleet, component, first), "{fleet}");
    first.to_owned()
}

/// What a host answers at `path`, as a status.
async fn status(host: &Host, path: &str) -> u16 {
    let answer = try_call(host.address(), &Call::get(path)).await;
    answer.map_or(0, |answer| answer.status.as_u16())
}

/// Waits until a host answers at `path` with this status.
async fn until_status(host: &Host, path: &str, wanted: u16) {
    let reached = async {
        while status(host, path).await != wanted {
            tokio::time::sleep(POLL).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("{path} is never answered with {wanted}");
    }
}

/// Whether a host is ready, as its admin listener tells it.
async fn ready(host: &Host) -> Option<bool> {
    let answer = try_call(host.admin(), &Call::get("/ready")).await?;
    Some(answer.status == 200)
}

/// Waits until a host is ready, or is not.
async fn until_ready(host: &Host, wanted: bool) {
    let reached = async {
        while ready(host).await != Some(wanted) {
            tokio::time::sleep(POLL).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("it is never said that its readiness is {wanted}");
    }
}

/// What a client of the tests' own component sends.
fn hello(_: u64) -> Call {
    Call::get("/hello")
}

/// The pause between two requests of one client.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a request may take before a client counts it as hurt: less than a slow version takes, and far more than a good
/// one does on a busy machine.
const CLIENT_PATIENCE: Duration = Duration::from_millis(1_500);
