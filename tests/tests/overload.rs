//! A host that is asked for more than it can do refuses some at once, and what matters most last.

use std::sync::Arc;
use std::time::Duration;

use starling_tests::app::{App, guest_manifest};
use starling_tests::client::{Answer, Call, Connection};
use starling_tests::host::{Host, PATIENCE};
use tokio::task::JoinHandle;

/// Which paths of the tests' own component go first, and which last.
const PRIORITY: &str = "key_value_stores = [\"default\"]\n\
    [component.guest.tool.starling.priority]\nhigh = [\"GET /hello\"]\nlow = [\"GET /count\"]";

/// The tests' own component, at the paths that are needed here: `/live` and `/ready` are the host's.
fn app() -> App {
    let more = ["/hello", "/count", "/status", "/kv/..."]
        .map(|route| format!("[[trigger.http]]\nroute = {route:?}\ncomponent = \"guest\"\n"));
    let manifest = guest_manifest("/sleep");
    App::new(&format!("{manifest}\n{PRIORITY}\n{}", more.concat()))
}

/// A host that takes at most `requests` at once.
async fn host(app: &App, requests: u32) -> Host {
    app.launch_with(&format!("[admission]\nrequests_max = {requests}\n"))
        .arg("--event-loops")
        .arg("1")
        .start()
        .await
}

/// So many requests that hold a place each, for longer than it takes to try what there is to try.
async fn hold(host: &Host, count: usize) -> Vec<JoinHandle<Answer>> {
    let address = host.address();
    let held = || tokio::spawn(Call::get(HOLD).send_to(address));
    let held = (0..count).map(|_| held()).collect();
    in_flight(host, "loop", count).await;
    held
}

const HOLD: &str = "/sleep?ms=4000";

/// Waits until so many requests that are read have been taken and not answered.
async fn in_flight(host: &Host, resource: &str, count: usize) {
    let name = "starling_admission_in_flight";
    let line = format!("{name}{{starling_admission_resource={resource:?}}} {count}.0");
    let seen = async {
        while !metrics(host).await.lines().any(|other| other == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    assert!(seen.is_ok(), "{line} in {}", metrics(host).await);
}

async fn metrics(host: &Host) -> String {
    Call::get("/metrics")
        .send_to(host.admin())
        .await
        .expect(200)
        .text()
}

fn refused(answer: &Answer) {
    let problem = answer.problem(503);
    assert_eq!(problem["type"], "urn:starling:problem:overloaded");
    let seconds: u32 = answer.header("retry-after").parse().expect("whole seconds");
    assert!((1..=10).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn what_matters_most_is_refused_last_and_health_never() {
    let app = app();
    let host = host(&app, 4).await;
    // Of four places, requests that nothing is said of may have two.
    let held = hold(&host, 2).await;
    refused(&Call::get("/count").send(&host).await);
    refused(&Call::get("/status?code=204").send(&host).await);
    Call::get("/hello").send(&host).await.expect(200);
    Call::get("/live").send(&host).await.expect(204);
    Call::get("/ready").send(&host).await.expect(204);
    let text = metrics(&host).await;
    for (priority, count) in [("low", 1), ("normal", 1), ("high", 0)] {
        let name = "starling_admission_refused_total";
        let line = format!("{name}{{starling_admission_priority={priority:?}}} {count}");
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    released(&host, held).await;
}

/// Waits until the requests that are held have been answered.
async fn released(host: &Host, held: Vec<JoinHandle<Answer>>) {
    for answer in held {
        answer.await.expect("it is answered").expect(200);
    }
    in_flight(host, "loop", 0).await;
}

#[tokio::test]
async fn a_host_takes_all_again_as_soon_as_the_load_has_gone() {
    let app = app();
    let host = host(&app, 4).await;
    let held = hold(&host, 2).await;
    refused(&Call::get("/status?code=204").send(&host).await);
    released(&host, held).await;
    for _ in 0..20 {
        Call::get("/status?code=204").send(&host).await.expect(204);
    }
}

#[tokio::test]
async fn who_asks_again_at_once_is_refused_again_and_served_once_there_is_room() {
    let app = app();
    let host = host(&app, 4).await;
    let held = hold(&host, 2).await;
    let mut connection = Connection::open(host.address()).await.expect("it is taken");
    for _ in 0..6 {
        let answer = connection.send(Call::get("/status?code=204")).await;
        refused(&answer.expect("it is told"));
    }
    // What matters most does not suffer for what was refused before it.
    let answer = connection.send(Call::get("/hello")).await;
    answer.expect("it is served").expect(200);
    released(&host, held).await;
    tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = connection.send(Call::get("/status?code=204")).await;
            if answer.expect("the connection stays open").status == 204 {
                return;
            }
        }
    })
    .await
    .expect("there is room for it");
}

#[tokio::test]
async fn a_client_that_is_still_sending_hears_that_it_is_refused() {
    let app = app();
    let host = host(&app, 2).await;
    let held = tokio::spawn(Call::post(HOLD).send_to(host.address()));
    in_flight(&host, "store", 1).await;
    let mut connection = Connection::open(host.address()).await.expect("it is taken");
    let large = Call::put("/kv/default/large").body(vec![0; 8 << 20]);
    refused(&connection.send(large).await.expect("it is told"));
    // And it may go on over the same connection.
    let answer = connection.send(Call::get("/hello")).await;
    answer.expect("it is served").expect(200);
    Call::get("/kv/default/large").send(&host).await.expect(404);
    held.await.expect("it is answered").expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_flood_each_request_is_served_or_refused_and_what_is_written_stays() {
    let app = app();
    let host = Arc::new(host(&app, 8).await);
    let clients = (0..64).map(|client| {
        let host = host.clone();
        tokio::spawn(async move {
            let mut connection = Connection::open(host.address()).await.expect("it is taken");
            let (mut written, mut refusals) = (Vec::new(), 0);
            for number in 0..20 {
                let key = format!("/kv/default/{client}-{number}");
                let answer = connection.send(Call::put(key.clone()).body("x")).await;
                let answer = answer.expect("a flood closes no connection");
                if answer.status.is_success() {
                    written.push(key);
                } else {
                    refused(&answer);
                    refusals += 1;
                }
            }
            (written, refusals)
        })
    });
    let (mut written, mut refusals) = (Vec::new(), 0);
    for client in clients.collect::<Vec<_>>() {
        let (keys, refused) = client.await.expect("a client does not panic");
        written.extend(keys);
        refusals += refused;
    }
    assert!(refusals > 0, "64 clients were to be too many for 8 places");
    assert!(!written.is_empty());
    for key in written {
        let stored = Call::get(key).send(&host).await.expect(200);
        assert_eq!(stored.text(), "x");
    }
}
