//! How a new version goes over a fleet: step by step, without a failed request, and back by itself if it is worse.

use std::time::Duration;

use serde_json::{Value, json};
use starling_tests::app::App;
use starling_tests::audio::{Encoding, speech};
use starling_tests::client::Call;
use starling_tests::deployment::{Deployment, Shape};
use starling_tests::load::Load;
use starling_tests::mailbox::Mailbox;
use starling_tests::operator::Operator;
use starling_tests::versions::{annotated, failing_guest, guest, voicemail};
use tokio::time::timeout;

use super::{
    Artifact, CLIENT_PATIENCE, PAIR, PAUSE, SIX, all_serve, at_once, eventually, first_version,
    hello, start,
};

/// Longest wait for a rollout to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// All hosts' addresses.
fn addresses(deployment: &Deployment) -> Vec<std::net::SocketAddr> {
    let addresses = deployment.addresses().into_iter().flatten();
    addresses.flatten().collect()
}

/// The words that start a rollout of quick steps, of which half the canary zone's requests are part.
fn quick<'w>(component: &'w str, artifact: &'w Artifact) -> Vec<&'w str> {
    let words = ["deploy", component, artifact.path(), "--step", "1s"];
    [&words[..], &["--canary-percent", "50"]].concat()
}

/// Waits until a rollout is in one of these states, as one host tells it.
async fn reaches(operator: &Operator, id: &str, states: &[&str]) -> Value {
    let reached = async {
        loop {
            if let Ok(rollout) = operator.attempt(&["rollout", "status", id]).await
                && states.iter().any(|state| rollout["state"] == *state)
            {
                return rollout;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    match timeout(PATIENCE, reached).await {
        Ok(rollout) => rollout,
        Err(_) => panic!(
            "{id} never is {states:?}: {:?}",
            operator.attempt(&["rollout", "status", id]).await
        ),
    }
}

#[tokio::test]
async fn a_good_version_goes_over_three_regions_under_load_without_a_failed_request() {
    let deployment = start(&Shape {
        app: App::managed_voicemail,
        ..SIX
    })
    .await;
    let operator = deployment.host(0, 0).operator();
    for region in 0..3 {
        Mailbox::create(deployment.host(region, 0), &format!("m{region}")).await;
    }
    let audio = speech(Encoding::MuLaw);
    // A mailbox is known everywhere before the load begins.
    for region in 0..3 {
        for mailbox in 0..3 {
            let list = Call::get(format!("/v1/mailboxes/m{mailbox}/messages"));
            let known = |answer: &starling_tests::client::Answer| answer.status == 200;
            for host in 0..2 {
                starling_tests::deployment::until(deployment.host(region, host), &list, known)
                    .await;
            }
        }
    }
    let load = Load::start(
        &addresses(&deployment),
        Duration::from_millis(100),
        Duration::from_secs(8),
        move |number| match number % 4 {
            0 => Mailbox::named(format!("m{}", number % 3)).deposit(audio),
            _ => Call::get(format!("/v1/mailboxes/m{}/messages?limit=5", number % 3)),
        },
    );
    let before = first_version(&operator, "voicemail").await;
    let next = Artifact::new(&annotated(voicemail(), "next"));
    let rollout = operator.run(&quick("voicemail", &next)).await;
    assert_eq!(rollout["state"], "done", "{rollout}");
    let digest = rollout["digest"].as_str().unwrap();
    assert_ne!(digest, before);
    // By another region's word.
    eventually(&deployment.host(2, 1).operator(), "all serve it", |fleet| {
        all_serve(fleet, "voicemail", digest)
    })
    .await;

    let rollout = operator.run(&["rollback", "voicemail"]).await;
    assert_eq!(rollout["state"], "done", "{rollout}");
    eventually(&operator, "the first version is back", |fleet| {
        all_serve(fleet, "voicemail", &before)
    })
    .await;
    load.stop().await.is_clean();
}

/// A version that fails like this reverts by itself, before many requests are hurt.
async fn reverts(variant: &str) {
    let deployment = start(&PAIR).await;
    let operator = deployment.host(0, 0).operator();
    let before = first_version(&operator, "guest").await;
    let load = Load::start(&addresses(&deployment), PAUSE, CLIENT_PATIENCE, hello);
    let bad = Artifact::new(&failing_guest(variant));
    // A twentieth of one host's requests.
    let words = [
        "deploy",
        "guest",
        bad.path(),
        "--step",
        "20s",
        "--canary-percent",
        "5",
    ];
    let failed = operator.refused(&words).await;
    assert!(failed.stderr.contains("reverted"), "{}", failed.stderr);
    eventually(&operator, "the first version is back", |fleet| {
        all_serve(fleet, "guest", &before)
    })
    .await;
    let toll = load.stop().await;
    assert!(toll.ratio() < 0.05, "{variant}: {toll:?}");
    let rollouts = operator.run(&["rollout", "status"]).await;
    let rollout = &rollouts["rollouts"][0];
    assert_eq!(rollout["state"], "reverted", "{rollout}");
    assert!(rollout["reason"].is_string(), "{rollout}");
}

#[tokio::test]
async fn a_version_that_answers_with_errors_reverts_by_itself() {
    reverts("errors").await;
}

#[tokio::test]
async fn a_version_that_is_slow_reverts_by_itself() {
    reverts("slow").await;
}

#[tokio::test]
async fn a_version_that_crashes_reverts_by_itself() {
    reverts("crashing").await;
}

#[tokio::test]
async fn a_version_that_eats_memory_reverts_by_itself() {
    reverts("hungry").await;
}

#[tokio::test]
async fn a_gate_waits_until_somebody_approves() {
    let deployment = start(&PAIR).await;
    let operator = deployment.host(0, 0).operator();
    let other = deployment.host(0, 1).operator();
    let load = Load::start(&addresses(&deployment), PAUSE, CLIENT_PATIENCE, hello);
    let next = Artifact::new(&annotated(guest(), "next"));
    let words = [&quick("guest", &next)[..], &["--gate", "--no-wait"]].concat();
    let rollout = operator.run(&words).await;
    let id = rollout["id"].as_str().unwrap();
    for step in 0..2 {
        let waiting = reaches(&other, id, &["waiting"]).await;
        assert_eq!(waiting["step"], json!(step), "{waiting}");
        // Neither time nor requests open it: a few more rounds of the supervision change nothing.
        let sent = load.toll().sent;
        while load.toll().sent < sent + 400 {
            tokio::time::sleep(PAUSE).await;
        }
        let still = other.run(&["rollout", "status", id]).await;
        assert_eq!(
            (&still["state"], &still["step"]),
            (&json!("waiting"), &json!(step))
        );
        other.run(&["rollout", "approve", id]).await;
    }
    reaches(&operator, id, &["done"]).await;
    load.stop().await.is_clean();
}

#[tokio::test]
async fn an_aborted_rollout_leaves_what_was_there() {
    let deployment = start(&PAIR).await;
    let operator = deployment.host(0, 0).operator();
    let before = first_version(&operator, "guest").await;
    let next = Artifact::new(&annotated(guest(), "next"));
    let words = [&quick("guest", &next)[..], &["--gate", "--no-wait"]].concat();
    let rollout = operator.run(&words).await;
    let id = rollout["id"].as_str().unwrap();
    let words = ["rollout", "abort", id, "--reason", "callers complain"];
    let aborted = deployment.host(0, 1).operator().run(&words).await;
    assert_eq!(aborted["state"], "aborted");
    assert_eq!(aborted["reason"], "callers complain");
    eventually(&operator, "the first version is back", |fleet| {
        all_serve(fleet, "guest", &before)
    })
    .await;
}

#[tokio::test]
async fn of_two_rollouts_at_once_the_same_one_rules_everywhere() {
    let deployment = start(&SIX).await;
    let (eu, us) = (
        deployment.host(0, 0).operator(),
        deployment.host(1, 0).operator(),
    );
    let versions = ["one", "two"].map(|note| Artifact::new(&annotated(guest(), note)));
    let words = versions.each_ref().map(|version| {
        [
            &quick("guest", version)[..],
            &["--strategy", "rolling", "--no-wait"],
        ]
        .concat()
    });
    let (first, second) = tokio::join!(eu.run(&words[0]), us.run(&words[1]));
    let ids = [first, second].map(|rollout| rollout["id"].as_str().unwrap().to_owned());
    let winner = ids.iter().max().unwrap();
    let loser = ids.iter().min().unwrap();
    let done = reaches(&eu, winner, &["done"]).await;
    let digest = done["digest"].as_str().unwrap();
    for region in 0..3 {
        let operator = deployment.host(region, 1).operator();
        reaches(&operator, winner, &["done"]).await;
        reaches(&operator, loser, &["superseded"]).await;
        eventually(&operator, "all serve the later one", |fleet| {
            all_serve(fleet, "guest", digest)
        })
        .await;
    }
}

#[tokio::test]
async fn a_region_that_is_cut_off_during_a_rollout_is_managed_and_follows_afterwards() {
    const AP: usize = 2;
    let mut deployment = start(&SIX).await;
    let eu = deployment.host(0, 0).operator();
    let next = Artifact::new(&annotated(guest(), "next"));
    let words = [&quick("guest", &next)[..], &["--gate", "--no-wait"]].concat();
    let load = Load::start(&addresses(&deployment)[..2], PAUSE, CLIENT_PATIENCE, hello);
    let id = eu.run(&words).await["id"].as_str().unwrap().to_owned();
    reaches(&eu, &id, &["waiting"]).await;
    deployment.isolate(AP);

    // The isolated region goes on alone, with a deploy of its own: it is managed.
    let own = Artifact::new(&annotated(guest(), "own"));
    let ap = deployment.host(AP, 0).operator();
    let words = at_once("guest", own.path());
    let urgent = ap.run(&words).await;
    assert_eq!(urgent["state"], "done", "{urgent}");
    let digest = urgent["digest"].as_str().unwrap().to_owned();

    // Meanwhile a host of the others dies, and comes back after the rest has gone on without it.
    deployment.kill_host(1, 1).await;
    eu.run(&["rollout", "approve", &id, "--all"]).await;
    reaches(&eu, &id, &["done"]).await;
    load.stop().await.is_clean();
    deployment.rejoin(AP);
    deployment.start_host(1, 1).await;

    // What was entered last rules, everywhere.
    for (region, host) in [(0, 0), (1, 0), (1, 1), (AP, 0), (AP, 1)] {
        let operator = deployment.host(region, host).operator();
        eventually(&operator, "all six serve the last version", |fleet| {
            fleet["hosts"].as_array().is_some_and(|hosts| {
                hosts.len() == 6 && hosts.iter().all(|host| host["life"] == "alive")
            }) && all_serve(fleet, "guest", &digest)
        })
        .await;
    }
}

#[tokio::test]
async fn a_rollout_outlives_every_instance_that_moves_it() {
    // Each instance, of management too, is gone after one request.
    let deployment = start(&Shape {
        config: "[management]\ninterval_ms = 250\n[signatures]\nallow_unsigned = true\n\
                 [limits]\ninstance_requests_max = 1\n",
        ..PAIR
    })
    .await;
    let operator = deployment.host(0, 0).operator();
    let load = Load::start(&addresses(&deployment), PAUSE, CLIENT_PATIENCE, hello);
    let next = Artifact::new(&annotated(guest(), "next"));
    let rollout = operator.run(&quick("guest", &next)).await;
    assert_eq!(rollout["state"], "done", "{rollout}");
    load.stop().await.is_clean();
}

#[tokio::test]
async fn a_host_that_was_down_serves_the_version_of_now() {
    let mut deployment = start(&PAIR).await;
    let operator = deployment.host(0, 0).operator();
    deployment.kill_host(0, 1).await;
    let next = Artifact::new(&annotated(guest(), "next"));
    let words = at_once("guest", next.path());
    let rollout = operator.run(&words).await;
    let digest = rollout["digest"].as_str().unwrap();
    deployment.start_host(0, 1).await;
    let returned = deployment.host(0, 1).operator();
    eventually(&returned, "it serves the new version", |fleet| {
        fleet["hosts"].as_array().map(Vec::len) == Some(2) && all_serve(fleet, "guest", digest)
    })
    .await;
}
