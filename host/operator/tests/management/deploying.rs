//! From a file to a rollout's end.

use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use starling_operator::api::{Plan, RolloutState};
use starling_operator::artifact::Artifact;
use starling_operator::client::{Client, Error, Pace};
use starling_operator::deploy::{DeployError, Progress, deploy, follow};
use starling_operator::output;

use crate::host::{Answer, Asked, Host, digest, rollout};

fn artifact() -> Artifact {
    Artifact {
        bytes: "the component".into(),
        digest: digest(),
        signature: Some(STANDARD.encode([1; 64]).parse().unwrap()),
    }
}

/// A host whose version of the component takes the states of `artifact`, one after the other each time it is asked, and
/// whose rollout the states of `rollout`. An empty word: it has none.
async fn host(artifact: &'static [&'static str], states: &'static [&'static str]) -> Host {
    let turns = Mutex::new((0, 0));
    Host::start(move |asked: &Asked| {
        let mut turns = turns.lock().unwrap();
        let next = |turn: &mut usize, words: &[&'static str]| {
            let word = words[(*turn).min(words.len() - 1)];
            *turn += 1;
            word
        };
        match asked.line.as_str() {
            "GET /v1/rollouts?component=voicemail" => Answer::Json(200, json!({ "rollouts": [] })),
            "POST /v1/rollouts" => Answer::Json(201, rollout("r1", next(&mut turns.1, states))),
            "GET /v1/rollouts/r1" => match next(&mut turns.1, states) {
                "" => Answer::Lost,
                state => Answer::Json(200, rollout("r1", state)),
            },
            _ => match next(&mut turns.0, artifact) {
                "" => Answer::Problem(404, json!({ "title": "Not found" })),
                state => Answer::Json(200, status(state)),
            },
        }
    })
    .await
}

fn status(state: &str) -> Value {
    let refusal = json!({ "kind": "unsigned", "detail": "it has no signature" });
    let refusal = if state == "refused" {
        refusal
    } else {
        Value::Null
    };
    json!({ "component": "voicemail", "digest": digest(), "size_bytes": 13, "state": state, "refusal": refusal })
}

/// Deploys and follows. What was told meanwhile, and how it ended.
async fn run(client: &Client) -> (Vec<String>, Result<RolloutState, DeployError>) {
    let told = Mutex::new(Vec::new());
    let mut report = |progress: Progress<'_>| {
        told.lock().unwrap().push(output::progress(&progress));
    };
    let (artifact, plan) = (artifact(), Plan::default());
    let ended = match deploy(client, "voicemail", &artifact, &plan, &mut report).await {
        Ok(rollout) => follow(client, rollout, &mut report)
            .await
            .map(|rollout| rollout.state.clone())
            .map_err(DeployError::from),
        Err(error) => Err(error),
    };
    (told.into_inner().unwrap(), ended)
}

#[tokio::test]
async fn a_component_is_sent_and_followed_to_its_rollouts_end() {
    let artifact_states = &["", "staging", "staging", "ready"];
    let host = host(artifact_states, &["canary", "canary", "ramping", "done"]).await;
    let (told, ended) = run(&host.client()).await;
    assert_eq!(ended.unwrap(), RolloutState::Done);
    let short = digest().short().to_owned();
    let expected = [
        format!("sending {short} (13 B)"),
        format!("{short} is checked and compiled"),
        format!("{short} is ready"),
        "r1 is canary, at step 1/1: canary 5%".to_owned(),
        "r1 is ramping, at step 1/1: canary 5%".to_owned(),
        "r1 is done".to_owned(),
    ];
    assert_eq!(told, expected);
    let sent = &host.asked()[1];
    assert_eq!(
        sent.line,
        format!("PUT /v1/components/voicemail/artifacts/{}", digest())
    );
    assert_eq!(sent.body, "the component");
    assert_eq!(
        sent.signature,
        artifact().signature.map(|it| it.to_string())
    );
}

#[tokio::test]
async fn what_the_fleet_has_is_not_sent_again() {
    let host = host(&["ready"], &["reverted"]).await;
    let (told, ended) = run(&host.client()).await;
    assert_eq!(ended.unwrap(), RolloutState::Reverted);
    assert!(told[0].ends_with("is in the fleet already"), "{told:?}");
    assert!(!host.lines().iter().any(|line| line.starts_with("PUT")));
}

#[tokio::test]
async fn a_refusal_tells_why_and_starts_nothing() {
    // Of the second kind is one that was refused before, and is given again.
    for states in [&["", "staging", "refused"][..], &["refused", "refused"]] {
        let host = host(states, &["done"]).await;
        let (_, ended) = run(&host.client()).await;
        let error = ended.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the host refuses {} as voicemail: unsigned, it has no signature",
                digest().short()
            )
        );
        let lines = host.lines();
        assert!(
            lines.iter().any(|line| line.starts_with("PUT")),
            "{lines:?}"
        );
        assert!(
            !lines.iter().any(|line| line.starts_with("POST")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn a_component_that_never_becomes_ready_is_not_waited_for_for_ever() {
    let host = host(&["", "staging"], &["done"]).await;
    let pace = Pace {
        ready_within: Duration::ZERO,
        ..*host.client().pace()
    };
    let (_, ended) = run(&host.client().with_pace(pace)).await;
    let error = ended.unwrap_err();
    assert!(matches!(error, DeployError::NotReady { .. }), "{error:?}");
}

#[tokio::test]
async fn a_host_that_is_out_of_reach_for_a_while_is_asked_again() {
    // Three times lost is a call that failed, with its retries.
    let states = &["canary", "", "", "", "", "", "", "done"];
    let host = host(&["ready"], states).await;
    let pace = Pace {
        outage_max: Duration::from_secs(30),
        ..*host.client().pace()
    };
    let (told, ended) = run(&host.client().with_pace(pace)).await;
    assert_eq!(ended.unwrap(), RolloutState::Done);
    let outages = told.iter().filter(|line| line.ends_with("Asking again."));
    assert_eq!(outages.count(), 1, "{told:?}");

    let host = self::host(&["ready"], &["canary", ""]).await;
    let (_, ended) = run(&host.client()).await;
    let error = ended.unwrap_err();
    assert!(
        matches!(error, DeployError::Client(Error::Unreachable { .. })),
        "{error:?}"
    );
}
