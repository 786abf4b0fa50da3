//! The contract of the operator API: who may ask, what is refused and how, and the shapes of the answers.

mod support;

use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use starling_access::{Grant, Keys, Scope, issue};
use support::{NOON, World, digest};

const KEY: &str = "a key that nobody knows, of 32 bytes or more";
const OTHER: &str = "another key that nobody knows, of 32 bytes or more";

fn token(key: &str, scope: Scope, mailbox: Option<&str>) -> String {
    let keys = Keys::new(key, None).expect("keys");
    let mailbox = mailbox.map(|id| id.parse().expect("a mailbox"));
    let token = issue(&keys, &Grant { scope, mailbox }, NOON / 1000, 600);
    format!("Bearer {token}")
}

/// Every route, with a method that it knows.
fn routes() -> Vec<(Method, String)> {
    let artifact = format!("/v1/components/voicemail/artifacts/{}", digest("two"));
    [
        (Method::GET, "/v1/fleet".to_owned()),
        (Method::GET, artifact.clone()),
        (Method::PUT, artifact),
        (Method::GET, "/v1/rollouts".into()),
        (Method::POST, "/v1/rollouts".into()),
        (Method::GET, "/v1/rollouts/1-eu-00000000".into()),
        (Method::POST, "/v1/rollouts/1-eu-00000000/approve".into()),
        (Method::POST, "/v1/rollouts/1-eu-00000000/abort".into()),
        (Method::POST, "/v1/components/voicemail/rollback".into()),
        (Method::PUT, "/v1/hosts/eu-0/drain".into()),
        (Method::DELETE, "/v1/hosts/eu-0/drain".into()),
    ]
    .into()
}

#[test]
fn every_route_takes_an_operators_token_and_no_other() {
    let (world, host) = World::single();
    let set = |name: &str, value: &str| {
        let mut variables = world.shared().variables.borrow_mut();
        variables.insert(name.into(), value.into());
    };
    set("session_key", KEY);
    set("session_key_previous", OTHER);
    let operator = |key| token(key, Scope::Operator, None);
    for (method, path) in routes() {
        let call = || host.call(method.clone(), &path);
        let with = |token: &str| call().header("authorization", token).send();
        for granted in [operator(KEY), operator(OTHER)] {
            let status = with(&granted).status.as_u16();
            assert!(![401, 403].contains(&status), "{method} {path}: {status}");
        }
        let refused = |answer: support::call::Answer, status, name: &str| {
            assert!(answer.header("www-authenticate").is_some());
            assert_eq!(answer.problem(), (status, name.into()), "{method} {path}");
        };
        refused(call().send(), 401, "token-missing");
        for scope in [Scope::Deposit, Scope::Provision] {
            refused(with(&token(KEY, scope, None)), 403, "scope-insufficient");
        }
        let subscriber = token(KEY, Scope::Subscriber, Some("anna"));
        refused(with(&subscriber), 403, "scope-insufficient");
        let limited = token(KEY, Scope::Operator, Some("anna"));
        refused(with(&limited), 401, "token-invalid");
        let forged = token(&KEY.to_uppercase(), Scope::Operator, None);
        refused(with(&forged), 401, "token-invalid");
        refused(with("Basic YTpi"), 401, "token-invalid");
        let twice = call()
            .header("authorization", &operator(KEY))
            .header("authorization", &operator(KEY));
        refused(twice.send(), 401, "token-invalid");
    }
    world.pass(600_000);
    let late = host.call(Method::GET, "/v1/fleet");
    let late = late.header("authorization", &operator(KEY)).send();
    assert_eq!(late.problem(), (401, "token-expired".into()));
}

#[test]
fn supervision_needs_no_token_because_the_timer_has_none() {
    let (world, host) = World::single();
    let mut variables = world.shared().variables.borrow_mut();
    variables.insert("session_key".into(), KEY.into());
    drop(variables);
    host.post("/supervise").send().expect(StatusCode::OK);
}

#[test]
fn key_that_protects_nothing_stops_the_api() {
    let (world, host) = World::single();
    let mut variables = world.shared().variables.borrow_mut();
    variables.insert("session_key".into(), "guessable".into());
    drop(variables);
    let answer = host.call(Method::GET, "/v1/fleet").send();
    assert_eq!(answer.problem(), (500, "misconfigured".into()));
    assert!(world.log().iter().all(|line| !line.contains("guessable")));
}

#[test]
fn other_methods_and_paths_are_refused_by_name() {
    let (_, host) = World::single();
    for (_, path) in routes() {
        let answer = host.call(Method::PATCH, &path).send();
        let allow = answer.header("allow").expect("methods").to_owned();
        assert!(!allow.contains("PATCH"), "{path}: {allow}");
        assert_eq!(answer.problem(), (405, "method-not-allowed".into()));
    }
    let answer = host.call(Method::GET, "/supervise").send();
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = host.call(Method::GET, "/v1/nothing").send();
    assert_eq!(answer.problem(), (404, "not-found".into()));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = host.call(Method::GET, "/v1").header("traceparent", &parent);
    let document = answer.send().document();
    assert_eq!(document["instance"], format!("urn:starling:trace:{trace}"));
}

#[test]
fn fleet_shows_its_hosts() {
    let world = World::of(&["eu", "us"], 2);
    world.behave("one", 600, 6);
    world.ticks(2);
    world.host("us-1").stop();
    world.ticks(5);
    let fleet = world.host("eu-0").get("/v1/fleet").json();
    assert_eq!(
        (&fleet["region"], &fleet["host"]),
        (&json!("eu"), &json!("eu-0"))
    );
    let hosts = fleet["hosts"].as_array().expect("hosts");
    let ids: Vec<_> = hosts.iter().map(|host| &host["id"]).collect();
    assert_eq!(ids, ["eu-0", "eu-1", "us-0", "us-1"]);
    let first = &hosts[0];
    let expected = json!({
        "id": "eu-0",
        "region": "eu",
        "zone": "a",
        "address": "http://eu-0.test:3000",
        "management": "http://eu-0.test:3001",
        "version": "0.1.0",
        "life": "alive",
        "readiness": "ready",
        "reason": null,
        "beat_at": "2026-01-01T00:00:07Z",
        "age_ms": 0,
        "started_at": "2026-01-01T00:00:00Z",
        "capacity": { "instances_max": 256, "event_loops": 2 },
        "load": { "in_flight": 0, "requests_per_second": 60.0, "error_ratio": 0.01 },
        "components": [{
            "component": "voicemail",
            "digest": digest("one").to_string(),
            "percent": 100,
            "own": true,
            "state": "ready",
            "reason": null,
            "in_flight": 0,
            "requests": 600,
            "errors": 6,
            "p50_ms": 5.0,
            "p99_ms": 9.9,
        }],
        "drain": false,
    });
    assert_eq!(first, &expected);
    assert_eq!(hosts[3]["life"], "suspected");
    world.ticks(10);
    let fleet = world.host("eu-0").get("/v1/fleet").json();
    assert_eq!(fleet["hosts"][3]["life"], "out");
}

#[test]
fn rollout_is_shown_as_it_was_asked_for() {
    let (_, host) = World::single();
    host.store("two");
    let asked = r#", "strategy": "canary", "gate": true, "canary_percent": 10, "step_ms": 30000"#;
    let created = host
        .rollout_of("two", asked)
        .send()
        .expect(StatusCode::CREATED);
    let shown = created.json();
    let id = shown["id"].as_str().expect("an id");
    let path = format!("/v1/rollouts/{id}");
    assert_eq!(created.header("location"), Some(path.as_str()));
    let none = json!({ "requests": 0, "errors": 0, "p50_ms": null, "p99_ms": null });
    let expected = json!({
        "id": id,
        "component": "voicemail",
        "digest": digest("two").to_string(),
        "base": null,
        "strategy": "canary",
        "gate": true,
        "canary_percent": 10,
        "step_ms": 30000,
        "state": "canary",
        "reason": null,
        "step": 0,
        "steps": [
            { "name": "canary", "region": "eu", "zone": "a", "percent": 10 },
            { "name": "eu/a", "region": "eu", "zone": "a", "percent": 100 },
        ],
        "created_at": "2026-01-01T00:00:01Z",
        "created_in": "eu",
        "step_since": "2026-01-01T00:00:01Z",
        "approved": null,
        "observed": { "new": none, "old": none },
    });
    assert_eq!(shown, expected);
    assert_eq!(host.get(&path).json(), expected);
    let approved = host.post(&format!("{path}/approve")).send();
    assert_eq!(approved.expect(StatusCode::OK).json()["approved"], 0);
    let approved = host
        .post(&format!("{path}/approve"))
        .json(r#"{"all": true}"#);
    assert_eq!(approved.send().expect(StatusCode::OK).json()["approved"], 1);
    let aborted = host
        .post(&format!("{path}/abort"))
        .json(r#"{"reason": "not today"}"#);
    let aborted = aborted.send().expect(StatusCode::OK).json();
    assert_eq!(
        (&aborted["state"], &aborted["reason"]),
        (&json!("aborted"), &json!("not today"))
    );
    for what in ["approve", "abort"] {
        let again = host.post(&format!("{path}/{what}")).send();
        assert_eq!(again.problem(), (409, "rollout-conflict".into()));
    }
}

#[test]
fn rollouts_are_listed_newest_first() {
    let (world, host) = World::single();
    host.store("two");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, host.roll_out("two", ""));
        world.pass(10);
    }
    let listed = |query: &str| {
        let list = host.get(&format!("/v1/rollouts{query}")).json();
        let list = list["rollouts"].as_array().expect("rollouts").clone();
        let ids = list
            .iter()
            .map(|it| it["id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(listed(""), ids);
    assert_eq!(listed("?component=voicemail"), ids);
    assert_eq!(listed("?component=other"), [""; 0]);
    let states = host.get("/v1/rollouts").json();
    let states = [0, 1, 2].map(|n| states["rollouts"][n]["state"].clone());
    assert_eq!(states, ["canary", "superseded", "superseded"]);
}

#[test]
fn query_that_means_nothing_is_refused() {
    let (_, host) = World::single();
    for path in [
        "/v1/rollouts?limit=3",
        "/v1/rollouts?component=a/b",
        "/v1/rollouts?component",
        "/v1/fleet?region=eu",
    ] {
        let answer = host.call(Method::GET, path).send();
        assert_eq!(
            answer.problem(),
            (400, "parameter-invalid".into()),
            "{path}"
        );
    }
}

#[test]
fn body_that_makes_no_sense_is_refused_by_its_member() {
    let (_, host) = World::single();
    host.store("two");
    let two = digest("two");
    let with = |more: &str| format!(r#"{{"component": "voicemail", "digest": "{two}"{more}}}"#);
    let check = |body: &str, status: u16, name: &str, detail: &str| {
        let answer = host.post("/v1/rollouts").json(body).send();
        assert_eq!(answer.problem(), (status, name.into()), "{body}");
        let said = answer.document()["detail"].to_string();
        assert!(said.contains(detail), "{body}: {said}");
    };
    check("", 400, "body-malformed", "no JSON");
    check("[]", 400, "body-malformed", "no object");
    check("{}", 422, "member-invalid", "component");
    check(
        r#"{"component": "voicemail"}"#,
        422,
        "member-invalid",
        "digest",
    );
    check(r#"{"component": 1}"#, 422, "member-invalid", "no text");
    check(
        r#"{"component": "a/b"}"#,
        422,
        "member-invalid",
        "component",
    );
    check(
        r#"{"digest": "sha256:0a"}"#,
        422,
        "member-invalid",
        "digest",
    );
    check(&with(r#", "speed": 9"#), 422, "member-invalid", "speed");
    check(
        &with(r#", "strategy": "blue-green""#),
        422,
        "member-invalid",
        "canary, rolling, all",
    );
    check(&with(r#", "gate": "yes""#), 422, "member-invalid", "gate");
    check(
        &with(r#", "canary_percent": 0"#),
        422,
        "member-invalid",
        "canary_percent",
    );
    check(
        &with(r#", "canary_percent": 101"#),
        422,
        "member-invalid",
        "canary_percent",
    );
    check(
        &with(r#", "canary_percent": 1000"#),
        422,
        "member-invalid",
        "canary_percent",
    );
    check(
        &with(r#", "canary_percent": 2.5"#),
        422,
        "member-invalid",
        "canary_percent",
    );
    check(
        &with(r#", "step_ms": 10"#),
        422,
        "member-invalid",
        "step_ms",
    );
    check(
        &with(r#", "step_ms": 864000001"#),
        422,
        "member-invalid",
        "step_ms",
    );
    let large = format!(r#"{{"component": "{}"}}"#, "a".repeat(64 * 1024));
    check(&large, 413, "body-too-large", "65536");
    let untyped = host.post("/v1/rollouts").body(with("").as_bytes()).send();
    assert_eq!(untyped.problem(), (415, "media-type-unsupported".into()));
    let id = host.roll_out("two", "");
    let long = format!(r#"{{"reason": "{}"}}"#, "a".repeat(1000));
    for (path, body) in [
        (format!("/v1/rollouts/{id}/approve"), r#"{"all": 1}"#),
        (format!("/v1/rollouts/{id}/approve"), r#"{"step": 1}"#),
        (format!("/v1/rollouts/{id}/abort"), r#"{"reason": 1}"#),
        (format!("/v1/rollouts/{id}/abort"), &long),
        ("/v1/components/voicemail/rollback".into(), r#"{"to": "x"}"#),
    ] {
        let answer = host.post(&path).json(body).send();
        assert_eq!(
            answer.problem(),
            (422, "member-invalid".into()),
            "{path} {body}"
        );
    }
}

#[test]
fn what_does_not_exist_is_not_found() {
    let (_, host) = World::single();
    let check = |method: Method, path: &str, name: &str| {
        let answer = host.call(method, path).send();
        assert_eq!(answer.problem(), (404, name.into()), "{path}");
    };
    let digest = digest("two");
    for id in ["1-eu-00000000", "nonsense"] {
        check(
            Method::GET,
            &format!("/v1/rollouts/{id}"),
            "rollout-not-found",
        );
        check(
            Method::POST,
            &format!("/v1/rollouts/{id}/abort"),
            "rollout-not-found",
        );
        check(
            Method::POST,
            &format!("/v1/rollouts/{id}/approve"),
            "rollout-not-found",
        );
    }
    for host in ["eu-9", "NOBODY", "%20"] {
        check(
            Method::PUT,
            &format!("/v1/hosts/{host}/drain"),
            "host-not-found",
        );
    }
    for component in ["other", "a%2Fb"] {
        let path = format!("/v1/components/{component}/artifacts/{digest}");
        check(Method::GET, &path, "component-not-found");
        check(Method::PUT, &path, "component-not-found");
    }
    let path = format!("/v1/components/voicemail/artifacts/{digest}");
    check(Method::GET, &path, "artifact-not-found");
    check(
        Method::POST,
        "/v1/components/a%2Fb/rollback",
        "component-not-found",
    );
}

#[test]
fn only_what_is_ready_here_is_rolled_out() {
    let (_, host) = World::single();
    let unknown = host.rollout_of("two", "").send();
    assert_eq!(unknown.problem(), (409, "artifact-not-ready".into()));
    let missing = host.rollout_of("two", "").send();
    let refusal: Value = missing.document()["refusal"].clone();
    assert_eq!(
        refusal,
        json!({ "kind": "incomplete", "detail": "no region has it" })
    );
    host.store("two");
    host.roll_out("two", "");
}

#[test]
fn host_is_drained_and_filled_again() {
    let world = World::of(&["eu", "us"], 1);
    world.tick();
    world.tick();
    let drained = world
        .host("eu-0")
        .call(Method::PUT, "/v1/hosts/us-0/drain")
        .send();
    let drained = drained.expect(StatusCode::OK).json();
    assert_eq!(drained, json!({ "host": "us-0", "drain": true }));
    world.ticks(2);
    let us = world.host("us-0");
    assert_eq!(us.readiness(), starling_supervision::Readiness::Draining);
    let fleet = world.host("eu-0").get("/v1/fleet").json();
    let shown = &fleet["hosts"][1];
    assert_eq!(
        (&shown["readiness"], &shown["drain"]),
        (&json!("draining"), &json!(true))
    );
    // From the other region, where it was not entered.
    let filled = us.call(Method::DELETE, "/v1/hosts/us-0/drain").send();
    assert_eq!(filled.expect(StatusCode::OK).json()["drain"], false);
    world.ticks(2);
    assert_eq!(us.readiness(), starling_supervision::Readiness::Ready);
}

#[test]
fn rollback_aborts_what_runs_or_brings_back_what_ruled() {
    let (world, host) = World::single();
    let rollback = || host.post("/v1/components/voicemail/rollback").send();
    assert_eq!(rollback().problem(), (409, "nothing-to-roll-back".into()));
    host.store("two");
    let id = host.roll_out("two", "");
    let aborted = rollback().expect(StatusCode::OK).json();
    assert_eq!(
        (&aborted["id"], &aborted["state"]),
        (&json!(id), &json!("aborted"))
    );
    let id = host.roll_out("two", r#", "strategy": "all", "step_ms": 1000"#);
    world.until(20, || world.rollout("eu-0", &id)["state"] == "done");
    assert_eq!(host.percent("two"), 100);
    let begun = rollback().expect(StatusCode::CREATED);
    let shown = begun.json();
    assert_eq!(
        (&shown["digest"], &shown["strategy"]),
        (&Value::Null, &json!("all"))
    );
    assert_eq!(shown["base"], digest("two").to_string());
    world.ticks(2);
    assert_eq!((host.percent("one"), host.percent("two")), (100, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever is sent, the answer is JSON or a problem, and never the fault of the host.
    #[test]
    fn any_request_has_an_answer(
        route in 0..11_usize,
        digest in "(sha256:)?[0-9a-f]{0,64}",
        body in prop_oneof![
            "\\PC*",
            r#"\{"(component|digest|all|reason|step_ms)": (true|-1|"[a-z]*"|null|\[\])\}"#,
        ],
    ) {
        let (_, host) = World::single();
        let (method, path) = routes().swap_remove(route);
        let path = match path.rsplit_once("artifacts/") {
            Some((begin, _)) => format!("{begin}artifacts/{digest}"),
            None => path,
        };
        let answer = host.call(method, &path).json(&body).send();
        prop_assert!(!answer.status.is_server_error(), "{answer:?}");
        if answer.status.is_success() {
            answer.json();
        } else {
            answer.document();
        }
    }
}
