//! What load balancers are told, what hosts find out about each other, and how they help each other out.

use std::time::{Duration, Instant};

use serde_json::Value;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::deployment::{POLL, Shape, try_call, until};
use starling_tests::host::{Host, PATIENCE};
use starling_tests::traffic::TrafficManager;
use starling_tests::versions::{annotated, failing_guest, guest};
use tokio::time::timeout;

use super::{
    Artifact, CONFIG, PAIR, SIX, at_once, eventually, ready, serving, start, status, until_ready,
    until_status,
};

async fn name(host: &Host) -> String {
    let fleet = host.operator().run(&["ps"]).await;
    fleet["host"].as_str().expect("its name").to_owned()
}

fn of<'f>(fleet: &'f Value, name: &str) -> &'f Value {
    let hosts = fleet["hosts"].as_array().expect("hosts");
    let found = hosts.iter().find(|host| host["id"] == name);
    found.unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_drained_host_says_so_to_load_balancers_and_serves_all_the_same() {
    let deployment = start(&PAIR).await;
    let (first, second) = (deployment.host(0, 0), deployment.host(0, 1));
    let id = name(second).await;
    // By the other host's door.
    let drained = first.operator().run(&["drain", &id]).await;
    assert_eq!(drained["drain"], true);
    until_ready(second, false).await;
    assert_eq!(status(second, "/hello").await, 200);
    assert_eq!(ready(first).await, Some(true));
    eventually(&first.operator(), "it is drained", |fleet| {
        of(fleet, &id)["readiness"] == "draining"
    })
    .await;
    first.operator().run(&["undrain", &id]).await;
    until_ready(second, true).await;
}

#[tokio::test]
async fn a_host_without_its_store_leaves_the_traffic_and_comes_back() {
    let deployment = start(&Shape {
        app: App::managed_voicemail,
        ..PAIR
    })
    .await;
    deployment.regions[0].nats.kill();
    for host in 0..2 {
        // Where load balancers ask: at the front door, too.
        until_status(deployment.host(0, host), "/ready", 503).await;
        until_ready(deployment.host(0, host), false).await;
        assert_eq!(status(deployment.host(0, host), "/live").await, 204);
    }
    deployment.regions[0].nats.restart().await;
    for host in 0..2 {
        until_status(deployment.host(0, host), "/ready", 204).await;
    }
}

#[tokio::test]
async fn a_host_that_fails_its_clients_is_found_out_from_outside_and_comes_back() {
    let deployment = start(&PAIR).await;
    let (first, second) = (deployment.host(0, 0), deployment.host(0, 1));
    let id = name(second).await;
    // It runs, and does nothing: its neighbour sees it first.
    second.signal(rustix::process::Signal::STOP);
    eventually(&first.operator(), "it is missed", |fleet| {
        of(fleet, &id)["life"] != "alive"
    })
    .await;
    second.signal(rustix::process::Signal::CONT);
    eventually(&first.operator(), "it is back", |fleet| {
        of(fleet, &id)["life"] == "alive" && of(fleet, &id)["readiness"] == "ready"
    })
    .await;
    until_ready(second, true).await;
}

#[tokio::test]
async fn a_host_that_lacks_a_component_passes_requests_to_one_that_has_it_once() {
    let deployment = start(&PAIR).await;
    let whole = deployment.host(0, 0);
    // A third host of the region, with the same store and without the component's file.
    let manifest = "spin_manifest_version = 2\n[application]\nname = \"tests\"\n\
        [[trigger.http]]\nroute = \"/...\"\ncomponent = \"guest\"\n\
        [component.guest]\nsource = \"missing.wasm\"\nkey_value_stores = [\"default\"]\n";
    let app = App::new(&format!(
        "{manifest}[application.tool.starling]\nmanagement = {:?}\n",
        starling_tests::paths::component("management.wasm")
    ));
    let nats = deployment.regions[0].nats.address();
    let config = format!(
        "region = \"eu\"\nzone = \"c\"\n[regions.eu.nats]\nservers = [\"nats://{nats}\"]\n\
         [key_value_store.default]\ntype = \"nats\"\nsync_always = true\n{CONFIG}"
    );
    let empty = app.launch_with(&config).start().await;
    let passed = until(&empty, &Call::get("/echo?a=b"), |answer| {
        answer.status == 200
    })
    .await;
    let seen = passed.json();
    let headers = seen["headers"].as_array().expect("headers");
    let by = headers
        .iter()
        .find(|header| header[0] == "starling-passed-by");
    assert!(
        by.is_some_and(|by| by[1].as_str().is_some_and(|id| id.starts_with("eu-"))),
        "{seen}"
    );
    // What has been passed once is not passed again.
    let again = Call::get("/hello").header("starling-passed-by", "eu-00000000");
    let refused = try_call(empty.address(), &again).await.expect("an answer");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["type"], "urn:starling:problem:no-version");
    let served = try_call(whole.address(), &again).await.expect("an answer");
    assert_eq!(served.status, 200);
    // A body goes along.
    let body = vec![7; 300_000];
    let length = Call::post("/length").body(body);
    let answer = try_call(empty.address(), &length).await.expect("an answer");
    assert!(answer.text().contains("300000"), "{}", answer.text());

    // What is deployed comes to it, too.
    let next = Artifact::new(&annotated(guest(), "next"));
    let words = at_once("guest", next.path());
    let rollout = whole.operator().run(&words).await;
    assert_eq!(rollout["state"], "done", "{rollout}");
    let digest = rollout["digest"].as_str().expect("a digest");
    eventually(&empty.operator(), "all three serve it", |fleet| {
        let serving = serving(fleet, "guest");
        serving.len() == 3 && serving.iter().all(|version| *version == Some(digest))
    })
    .await;
    let own = try_call(empty.address(), &again).await.expect("an answer");
    assert_eq!(own.status, 200);
}

#[tokio::test]
async fn a_region_that_dies_under_load_is_noticed_by_no_client_that_retries() {
    let mut deployment = start(&Shape {
        config: "[management]\ninterval_ms = 250\n[limits]\ninstances_max = 4\n",
        ..SIX
    })
    .await;
    let traffic = TrafficManager::start(&deployment.backends());
    // What four hosts can do with four instances each is 800 a second; the clients ask for half of it.
    let work = |_| Call::get("/sleep?ms=20");
    let crowd = traffic.clients(40, Duration::from_millis(100), work);
    let goes_on = async |requests: u64| {
        let served = crowd.served();
        while crowd.served() < served + requests {
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(PATIENCE, goes_on(400)).await.expect("it begins");
    let ap: Vec<_> = deployment.addresses()[2]
        .iter()
        .flatten()
        .copied()
        .collect();
    deployment.kill_region(2).await;
    let gone = async {
        while traffic.ready().iter().any(|ready| ap.contains(ready)) {
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it is noticed");
    // Whoever was on the way to it then has been served elsewhere, and nobody goes there any more.
    timeout(PATIENCE, goes_on(400)).await.expect("it goes on");
    let since = Instant::now();
    timeout(PATIENCE, goes_on(800)).await.expect("it goes on");
    assert!(crowd.errors_since(since).is_empty());
    crowd.stop().await;
    eventually(
        &deployment.host(0, 0).operator(),
        "the region is out",
        |fleet| {
            let hosts = fleet["hosts"].as_array().expect("hosts");
            let out = hosts.iter().filter(|host| host["life"] == "out");
            out.filter(|host| host["region"] == "ap").count() == 2
        },
    )
    .await;
}

/// A host whose component `voicemail` is not what it says: the tests' own, which fails from the start.
async fn failing_voicemail() -> (App, Host) {
    let app = App::managed_guest();
    let bad = app.write("bad.wasm", failing_guest("errors"));
    let manifest = std::fs::read_to_string(app.path("spin.toml")).expect("it is readable");
    let guest = starling_tests::paths::component("test_guest.wasm");
    let manifest = manifest
        .replace(&guest.display().to_string(), &bad.display().to_string())
        .replace("\"guest\"", "\"voicemail\"")
        .replace("[component.guest]", "[component.voicemail]");
    app.write("spin.toml", manifest);
    let host = app.launch_with(CONFIG).start().await;
    (app, host)
}

#[tokio::test]
async fn a_host_whose_component_fails_is_found_out_by_probes_alone_and_comes_back() {
    let (_app, host) = failing_voicemail().await;
    // It is asked nothing but what its management asks.
    let degraded = async {
        while ready_reason(&host)
            .await
            .is_none_or(|reason| !reason.contains("degraded"))
        {
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(PATIENCE, degraded).await.expect("it is found out");
    let good = Artifact::new(&guest());
    let words = at_once("voicemail", good.path());
    let rollout = host.operator().run(&words).await;
    assert_eq!(rollout["state"], "done", "{rollout}");
    until_ready(&host, true).await;
}

/// What the admin listener says of the host's readiness.
async fn ready_reason(host: &Host) -> Option<String> {
    let answer = try_call(host.admin(), &Call::get("/ready")).await?;
    Some(answer.text())
}
