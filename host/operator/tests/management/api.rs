//! What the client asks, and what it makes of the answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use starling_operator::api::{ArtifactState, Plan, RolloutState, Strategy};
use starling_operator::client::Error;

use crate::host::{Answer, Host, digest, rollout};

/// Answers the first requests with `first`, one after the other, and all others with `rest`.
fn in_turn(
    first: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static,
    rest: impl Fn() -> Answer + Send + Sync + 'static,
) -> impl Fn(&crate::host::Asked) -> Answer + Send + Sync + 'static {
    let turn = AtomicUsize::new(0);
    move |_| first(turn.fetch_add(1, Ordering::SeqCst)).unwrap_or_else(&rest)
}

#[tokio::test]
async fn a_call_is_what_the_api_says_and_keeps_the_answers_text() {
    let answer = rollout("r1", "ramping");
    let text = answer.to_string();
    let host = Host::start(move |_| Answer::Json(200, answer.clone())).await;
    let client = host.client();
    let got = client.rollout("r1").await.unwrap();
    assert_eq!(
        (got.id.as_str(), &got.state),
        ("r1", &RolloutState::Ramping)
    );
    assert_eq!(got.text(), text);
    client.approve("r1", true).await.unwrap();
    client.abort("r1", Some("too slow")).await.unwrap();
    client.abort("r1", None).await.unwrap();
    client.roll_back("voicemail").await.unwrap();
    let asked = host.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/rollouts/r1",
            "POST /v1/rollouts/r1/approve",
            "POST /v1/rollouts/r1/abort",
            "POST /v1/rollouts/r1/abort",
            "POST /v1/components/voicemail/rollback",
        ]
    );
    assert_eq!(asked[1].json(), json!({ "all": true }));
    assert_eq!(asked[2].json(), json!({ "reason": "too slow" }));
    assert_eq!(asked[3].json(), json!({}));
}

#[tokio::test]
async fn hosts_are_drained_and_names_are_parts_of_paths_alone() {
    let drained = json!({ "host": "eu/1", "drain": true });
    let host = Host::start(move |_| Answer::Json(200, drained.clone())).await;
    assert!(host.client().drain("eu/1").await.unwrap().drain);
    host.client().undrain("eu/1").await.unwrap();
    let _ = host.client().rollouts(Some("a&b=c")).await;
    assert_eq!(
        host.lines(),
        [
            "PUT /v1/hosts/eu%2F1/drain",
            "DELETE /v1/hosts/eu%2F1/drain",
            "GET /v1/rollouts?component=a%26b%3Dc",
        ]
    );
}

#[tokio::test]
async fn words_of_later_releases_are_kept() {
    let host = Host::start(|_| Answer::Json(200, rollout("r1", "paused"))).await;
    let got = host.client().rollout("r1").await.unwrap();
    assert_eq!(got.state.as_str(), "paused");
    assert!(!got.state.is_ended());
}

#[tokio::test]
async fn a_version_that_the_fleet_lacks_is_no_failure() {
    let host = Host::start(in_turn(
        |turn| {
            let problem = json!({ "type": "urn:starling:problem:not-found", "title": "Not found" });
            (turn == 0).then_some(Answer::Problem(404, problem))
        },
        || {
            let state = json!({ "component": "voicemail", "digest": digest(), "size_bytes": 13, "state": "refused",
                "refusal": { "kind": "unsigned", "detail": "no signature" } });
            Answer::Json(200, state)
        },
    ))
    .await;
    let client = host.client();
    assert!(
        client
            .artifact("voicemail", &digest())
            .await
            .unwrap()
            .is_none()
    );
    let status = client
        .artifact("voicemail", &digest())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.state, ArtifactState::Refused);
    assert_eq!(status.refusal.as_ref().unwrap().kind, "unsigned");
    assert_eq!(
        host.lines()[0],
        format!("GET /v1/components/voicemail/artifacts/{}", digest())
    );
}

#[tokio::test]
async fn a_problem_keeps_its_kind_and_tells_title_and_detail() {
    let host = Host::start(|_| {
        let problem = json!({ "type": "urn:starling:problem:not-ready", "title": "Not ready", "status": 409,
            "detail": "it is refused", "refusal": { "kind": "unsigned" } });
        Answer::Problem(409, problem)
    })
    .await;
    let error = host.client().roll_back("voicemail").await.unwrap_err();
    assert_eq!(error.to_string(), "Not ready: it is refused");
    let Error::Problem(problem) = error else {
        panic!("{error:?}");
    };
    assert_eq!(problem.kind, "urn:starling:problem:not-ready");
    assert_eq!(problem.status, 409);
    assert_eq!(problem.members["refusal"]["kind"], "unsigned");
}

#[tokio::test]
async fn a_page_of_somebody_else_is_not_taken_for_an_answer() {
    for status in [200, 302, 404, 500] {
        let host = Host::start(move |_| Answer::Page(status)).await;
        let error = host.client().fleet().await.unwrap_err();
        assert!(matches!(error, Error::NotManagement { .. }), "{error:?}");
    }
    let host = Host::start(|_| Answer::Json(200, json!({ "hosts": 1 }))).await;
    let error = host.client().fleet().await.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error:?}");
}

// === What is lost on the way ===

#[tokio::test]
async fn what_may_be_asked_twice_is_asked_again() {
    let host = Host::start(in_turn(
        |turn| (turn < 2).then_some(Answer::Lost),
        || Answer::Json(200, json!({ "host": "h1", "drain": true })),
    ))
    .await;
    host.client().drain("h1").await.unwrap();
    assert_eq!(host.lines(), ["PUT /v1/hosts/h1/drain"; 3]);

    let host = Host::start(|_| Answer::Lost).await;
    let error = host.client().drain("h1").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(host.lines().len(), 3);
}

#[tokio::test]
async fn what_must_not_be_asked_twice_is_left_undecided() {
    let host = Host::start(|_| Answer::Lost).await;
    let client = host.client();
    for error in [
        client.roll_back("voicemail").await.unwrap_err(),
        client.approve("r1", false).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Undecided { .. }), "{error:?}");
    }
    assert_eq!(host.lines().len(), 2);
}

/// Loses the answer to the first request for a rollout, which the host has `done` or not.
async fn check_lost_start(done: bool, expected: &str, asked: &[&str]) {
    let started = AtomicUsize::new(0);
    let host = Host::start(move |asked| {
        let of_other = rollout("r0", "done");
        let lost = rollout("r1", "canary");
        match asked.line.as_str() {
            "POST /v1/rollouts" if started.fetch_add(1, Ordering::SeqCst) == 0 => Answer::Lost,
            "POST /v1/rollouts" => Answer::Json(201, rollout("r2", "canary")),
            "GET /v1/rollouts/r1" => Answer::Json(200, lost),
            _ => {
                let mut all: Vec<Value> = vec![of_other];
                if done && started.load(Ordering::SeqCst) > 0 {
                    all.insert(0, lost);
                }
                Answer::Json(200, json!({ "rollouts": all }))
            }
        }
    })
    .await;
    let plan = Plan {
        strategy: Strategy::Rolling,
        step_ms: Some(1000),
        ..Plan::default()
    };
    let (client, digest) = (host.client(), digest());
    let started = client.start_rollout("voicemail", &digest, &plan).await;
    assert_eq!(started.unwrap().id, expected);
    assert_eq!(host.lines(), asked);
    let expected = json!({ "component": "voicemail", "digest": digest, "strategy": "rolling", "gate": false,
        "step_ms": 1000 });
    assert_eq!(host.asked()[1].json(), expected);
}

#[tokio::test]
async fn a_rollout_whose_answer_is_lost_is_found_and_else_started_again() {
    let list = "GET /v1/rollouts?component=voicemail";
    let start = "POST /v1/rollouts";
    check_lost_start(true, "r1", &[list, start, list, "GET /v1/rollouts/r1"]).await;
    check_lost_start(false, "r2", &[list, start, list, start]).await;
}
