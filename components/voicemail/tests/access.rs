//! Who may do what: every route with every scope, for the own mailbox and for another; signing in; and
//! what a stranger can learn, which is nothing.

mod support;

use http::{Method, StatusCode};
use serde_json::json;
use starling_access::{Grant, Keys, Scope, issue};
use support::{Answer, Call, NOON, World, wav};

const KEY: &str = "a key that nobody knows, of 32 bytes or more";
const PIN: &str = "493817";

/// A world with a session key, and the mailboxes `anna` and `bert`, which have a message each.
struct Guarded {
    world: World,
    message: String,
}

impl Guarded {
    fn new() -> Self {
        Self::with_settings(&json!({ "pin": PIN }).to_string())
    }

    fn with_settings(settings: &str) -> Self {
        let world = World::local();
        let mut message = String::new();
        for mailbox in ["anna", "bert"] {
            let path = format!("/v1/mailboxes/{mailbox}");
            let created = world.put(&path).json(settings).send();
            created.expect(StatusCode::CREATED);
            let deposit = world.post(&format!("{path}/messages")).body(&wav(800, 0));
            let answer = deposit.send().expect(StatusCode::CREATED).json();
            if mailbox == "anna" {
                message = answer["id"].as_str().expect("an id").to_owned();
            }
        }
        world.set("session_key", KEY);
        Self { world, message }
    }

    fn sign_in(&self, mailbox: &str, pin: &str) -> Answer {
        let credentials = json!({ "mailbox": mailbox, "pin": pin }).to_string();
        self.world.post("/v1/sessions").json(&credentials).send()
    }
}

fn token(scope: Scope, mailbox: Option<&str>) -> String {
    let keys = Keys::new(KEY, None).expect("a key");
    let mailbox = mailbox.map(|id| id.parse().expect("a mailbox"));
    issue(&keys, &Grant { scope, mailbox }, NOON / 1000, 60)
}

fn with(call: Call, token: &str) -> Call {
    call.header("authorization", &format!("Bearer {token}"))
}

#[test]
fn every_route_takes_its_scopes_and_no_other() {
    use Scope::{Deposit, Operator, Provision, Subscriber};
    let anna = "/v1/mailboxes/anna";
    let all: &[Scope] = &[Subscriber, Deposit, Provision];
    // Method, path, the scopes that may, and whether one that is limited to the mailbox suffices.
    let message = "{message}";
    let table: &[(Method, String, &[Scope], bool)] = &[
        (Method::GET, "/v1/openapi.json".into(), all, true),
        (Method::GET, "/v1/mailboxes".into(), &[Provision], false),
        (Method::POST, "/v1/mailboxes".into(), &[Provision], false),
        (Method::POST, "/v1/messages".into(), &[Deposit], false),
        (Method::GET, anna.into(), &[Subscriber, Provision], true),
        (Method::PUT, anna.into(), &[Subscriber, Provision], true),
        (Method::DELETE, anna.into(), &[Provision], true),
        (
            Method::GET,
            format!("{anna}/summary"),
            &[Subscriber, Provision],
            true,
        ),
        (Method::GET, format!("{anna}/greeting"), all, true),
        (Method::GET, format!("{anna}/greetings/busy"), all, true),
        (
            Method::PUT,
            format!("{anna}/greetings/busy"),
            &[Subscriber, Provision],
            true,
        ),
        (
            Method::DELETE,
            format!("{anna}/greetings/busy"),
            &[Subscriber, Provision],
            true,
        ),
        (Method::GET, format!("{anna}/messages"), &[Subscriber], true),
        (Method::POST, format!("{anna}/messages"), &[Deposit], true),
        (
            Method::PATCH,
            format!("{anna}/messages"),
            &[Subscriber],
            true,
        ),
        (
            Method::DELETE,
            format!("{anna}/messages?folder=trash"),
            &[Subscriber],
            true,
        ),
        (
            Method::GET,
            format!("{anna}/messages/{message}"),
            &[Subscriber],
            true,
        ),
        (
            Method::PATCH,
            format!("{anna}/messages/{message}"),
            &[Subscriber],
            true,
        ),
        (
            Method::DELETE,
            format!("{anna}/messages/{message}"),
            &[Subscriber],
            true,
        ),
        (
            Method::GET,
            format!("{anna}/messages/{message}/audio"),
            &[Subscriber],
            true,
        ),
        (
            Method::GET,
            format!("{anna}/messages/{message}/audio/peaks"),
            &[Subscriber],
            true,
        ),
        (
            Method::GET,
            format!("{anna}/messages/{message}/comment"),
            &[Subscriber],
            true,
        ),
        (
            Method::POST,
            format!("{anna}/messages/{message}/forward"),
            &[Subscriber],
            true,
        ),
    ];
    let mut checked = 0;
    for (method, path, scopes, own_suffices) in table {
        for scope in all.iter().chain([&Operator]) {
            for (mailbox, fits) in [
                (None, *scope != Subscriber),
                (Some("anna"), true),
                (Some("bert"), false),
            ] {
                let public = path == "/v1/openapi.json";
                let limited_too_far = mailbox.is_some() && !own_suffices;
                let expected = public || scopes.contains(scope) && fits && !limited_too_far;
                let guarded = Guarded::with_settings("{}");
                let path = path.replace(message, &guarded.message);
                let call = guarded.world.call(method.clone(), &path);
                let answer = with(call, &token(*scope, mailbox)).send();
                let granted = ![401, 403].contains(&answer.status.as_u16());
                assert_eq!(
                    granted, expected,
                    "{method} {path} as {scope} of {mailbox:?}: {answer:?}"
                );
                if !granted {
                    // A subscriber without a mailbox, or an operator with one, is no valid token at all.
                    let expected = match (scope, mailbox) {
                        (Subscriber, None) | (Operator, Some(_)) => "token-invalid",
                        _ => "scope-insufficient",
                    };
                    assert_eq!(answer.problem(), expected);
                    assert!(answer.header("www-authenticate").is_some());
                }
                checked += 1;
            }
        }
        let guarded = Guarded::with_settings("{}");
        let path = path.replace(message, &guarded.message);
        let answer = guarded.world.call(method.clone(), &path).send();
        if path != "/v1/openapi.json" {
            assert_eq!(
                (answer.status.as_u16(), answer.problem().as_str()),
                (401, "token-missing"),
                "{method} {path}"
            );
        }
    }
    assert_eq!(checked, table.len() * 12);
}

#[test]
fn refusal_says_nothing_of_what_exists() {
    let guarded = Guarded::new();
    for token in [None, Some(token(Scope::Subscriber, Some("bert")))] {
        let mut answers = Vec::new();
        for mailbox in ["anna", "nobody", "NO MAILBOX"] {
            let path = format!("/v1/mailboxes/{}/messages", mailbox.replace(' ', "%20"));
            let call = guarded.world.get(&path).header(
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            );
            let call = match &token {
                Some(token) => with(call, token),
                None => call,
            };
            guarded.world.reads();
            let answer = call.send();
            assert_eq!(
                guarded.world.reads(),
                [] as [&str; 0],
                "nothing is looked up"
            );
            answers.push((answer.status, answer.body));
        }
        assert!(
            answers.windows(2).all(|pair| pair[0] == pair[1]),
            "{answers:?}"
        );
    }
}

#[test]
fn token_that_is_wrong_or_old_is_refused() {
    let guarded = Guarded::new();
    let get = || guarded.world.get("/v1/mailboxes/anna");
    let check = |call: Call, problem: &str| {
        let answer = call.send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (401, problem)
        );
    };
    let valid = token(Scope::Provision, None);
    with(get(), &valid).send().expect(StatusCode::OK);
    get()
        .header("authorization", &format!("bearer {valid}"))
        .send()
        .expect(StatusCode::OK);
    check(get().header("authorization", &valid), "token-invalid");
    check(
        get().header("authorization", &format!("Basic {valid}")),
        "token-invalid",
    );
    check(with(get(), &format!("{valid}x")), "token-invalid");
    check(with(with(get(), &valid), &valid), "token-invalid");
    check(with(get(), &"x".repeat(5000)), "token-invalid");
    guarded.world.now_ms.set(NOON + 60_000);
    check(with(get(), &valid), "token-expired");
}

#[test]
fn without_a_key_everything_is_open_and_says_so() {
    let world = World::with_mailbox();
    let answer = world
        .get("/v1/mailboxes/anna")
        .send()
        .expect(StatusCode::OK);
    assert_eq!(answer.header("voicemail-access"), Some("open"));
    let guarded = Guarded::new();
    let answer = guarded.world.get("/v1/mailboxes/anna").send();
    assert_eq!(answer.header("voicemail-access"), None);
}

#[test]
fn key_that_is_too_short_protects_nothing_and_is_refused() {
    let world = World::with_mailbox();
    world.set("session_key", "secret");
    let answer = world.get("/v1/mailboxes/anna").send();
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (500, "misconfigured")
    );
    assert!(!world.log().concat().contains("secret\""));
}

// === Signing in ===

#[test]
fn subscriber_signs_in_and_reads_their_own_messages() {
    let guarded = Guarded::new();
    let session = guarded.sign_in("anna", PIN).expect(StatusCode::OK);
    assert_eq!(session.header("cache-control"), Some("no-store"));
    let session = session.json();
    assert_eq!(
        (
            &session["token_type"],
            &session["expires_in"],
            &session["mailbox"]
        ),
        (&json!("Bearer"), &json!(900), &json!("anna"))
    );
    let token = session["access_token"].as_str().expect("a token");
    let read = |mailbox: &str| {
        with(
            guarded
                .world
                .get(&format!("/v1/mailboxes/{mailbox}/messages")),
            token,
        )
        .send()
    };
    assert_eq!(
        read("anna").expect(StatusCode::OK).json()["messages"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    read("bert").expect(StatusCode::FORBIDDEN);
    guarded.world.now_ms.set(NOON + 900_000);
    assert_eq!(read("anna").problem(), "token-expired");
}

#[test]
fn token_of_one_region_is_valid_in_another() {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    let pin = json!({ "pin": PIN }).to_string();
    eu.put("/v1/mailboxes/anna")
        .json(&pin)
        .send()
        .expect(StatusCode::CREATED);
    eu.set("session_key", KEY);
    let credentials = json!({ "mailbox": "anna", "pin": PIN }).to_string();
    let session = us
        .post("/v1/sessions")
        .json(&credentials)
        .send()
        .expect(StatusCode::OK)
        .json();
    let token = session["access_token"].as_str().expect("a token");
    with(eu.get("/v1/mailboxes/anna/messages"), token)
        .send()
        .expect(StatusCode::OK);
}

#[test]
fn failed_sign_in_looks_the_same_whatever_the_reason() {
    let guarded = Guarded::new();
    guarded.world.put("/v1/mailboxes/nopin").send();
    let mut answers = Vec::new();
    for (mailbox, pin) in [
        ("anna", "000000"),
        ("nobody", PIN),
        ("nopin", PIN),
        ("NOT ONE", PIN),
        ("anna", "1"),
        ("anna", "abcdef"),
    ] {
        let credentials = json!({ "mailbox": mailbox, "pin": pin }).to_string();
        let answer = guarded
            .world
            .post("/v1/sessions")
            .json(&credentials)
            .header(
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            )
            .send();
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (401, "sign-in-failed")
        );
        answers.push((answer.headers, answer.body));
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
}

#[test]
fn wrong_pins_lock_the_mailbox_in_every_region() {
    let eu = World::of("eu", "eu,us");
    let us = eu.from("us");
    let pin = json!({ "pin": PIN }).to_string();
    eu.put("/v1/mailboxes/anna")
        .json(&pin)
        .send()
        .expect(StatusCode::CREATED);
    eu.set("session_key", KEY);
    let sign_in = |world: &World, pin: &str| {
        let credentials = json!({ "mailbox": "anna", "pin": pin }).to_string();
        world.post("/v1/sessions").json(&credentials).send().status
    };
    // Whoever tries wrong ones in one region and then goes to another.
    for n in 0..4 {
        assert_eq!(sign_in(if n % 2 == 0 { &eu } else { &us }, "111112"), 401);
    }
    assert_eq!(sign_in(&eu, PIN), 200, "four are forgiven");
    for _ in 0..5 {
        assert_eq!(sign_in(&eu, "111112"), 401);
    }
    for world in [&eu, &us] {
        assert_eq!(sign_in(world, PIN), 401, "locked");
    }
    for world in [&eu, &us] {
        world.now_ms.set(NOON + 30_000);
    }
    assert_eq!(sign_in(&us, PIN), 200, "the lock is over");
}

#[test]
fn attempts_at_once_do_not_get_past_the_lock() {
    let guarded = Guarded::new();
    let attempt = |n: u32| {
        let credentials =
            json!({ "mailbox": "anna", "pin": format!("{:06}", 222_000 + n) }).to_string();
        guarded.world.post("/v1/sessions").json(&credentials)
    };
    support::at_once((0..20).map(attempt));
    assert_eq!(guarded.sign_in("anna", PIN).status, 401);
    // What was counted is not more than what locks: the rest was turned away.
    guarded.world.now_ms.set(NOON + 30_000);
    guarded.sign_in("anna", PIN).expect(StatusCode::OK);
}

#[test]
fn subscriber_changes_the_pin_by_the_present_one() {
    let guarded = Guarded::new();
    let token = token(Scope::Subscriber, Some("anna"));
    let put = |settings: serde_json::Value| {
        with(guarded.world.put("/v1/mailboxes/anna"), &token)
            .json(&settings.to_string())
            .send()
    };
    assert_eq!(put(json!({ "pin": "738291" })).problem(), "pin-wrong");
    assert_eq!(
        put(json!({ "pin": "738291", "current_pin": "000000" })).problem(),
        "pin-wrong"
    );
    put(json!({ "pin": "738291", "current_pin": PIN })).expect(StatusCode::OK);
    guarded
        .sign_in("anna", PIN)
        .expect(StatusCode::UNAUTHORIZED);
    guarded.sign_in("anna", "738291").expect(StatusCode::OK);
    for pin in ["123456", "12345", "one two"] {
        assert_eq!(
            put(json!({ "pin": pin, "current_pin": "738291" })).problem(),
            "member-invalid"
        );
    }
}

#[test]
fn subscriber_changes_what_is_theirs_alone() {
    let guarded = Guarded::new();
    let token = token(Scope::Subscriber, Some("anna"));
    let put =
        |path: &str, settings: &str| with(guarded.world.put(path), &token).json(settings).send();
    let path = "/v1/mailboxes/anna";
    let changed = put(
        path,
        r#"{"time_zone": "Europe/Vienna", "language": "de-at", "greeting": "standard"}"#,
    );
    let changed = changed.expect(StatusCode::OK).json();
    assert_eq!(
        (
            &changed["time_zone"],
            &changed["language"],
            &changed["greeting"]
        ),
        (&json!("Europe/Vienna"), &json!("de-AT"), &json!("standard"))
    );
    for member in [
        r#""quota_messages": 5"#,
        r#""quota_bytes": 5"#,
        r#""retention_days": 5"#,
        r#""message_duration_ms_max": 5"#,
        r#""webhooks": []"#,
    ] {
        let answer = put(path, &format!("{{{member}}}"));
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (403, "member-forbidden"),
            "{member}"
        );
    }
    // Nor does a subscriber whose mailbox has been deleted make it anew.
    with(
        guarded.world.delete(path),
        &self::token(Scope::Provision, None),
    )
    .send()
    .expect(StatusCode::NO_CONTENT);
    put(path, "{}").expect(StatusCode::NOT_FOUND);
}

#[test]
fn operator_sets_a_pin_without_the_present_one_and_ends_a_lock() {
    let guarded = Guarded::new();
    for _ in 0..5 {
        guarded.sign_in("anna", "111112");
    }
    guarded
        .sign_in("anna", PIN)
        .expect(StatusCode::UNAUTHORIZED);
    let token = token(Scope::Provision, None);
    let put = |settings: &str| {
        with(guarded.world.put("/v1/mailboxes/anna"), &token)
            .json(settings)
            .send()
    };
    let shown = put(r#"{"pin": "738291"}"#).expect(StatusCode::OK);
    assert_eq!(shown.json()["pin_set"], true);
    assert!(
        !String::from_utf8_lossy(&shown.body).contains("argon"),
        "never the PIN"
    );
    guarded.sign_in("anna", "738291").expect(StatusCode::OK);
    put(r#"{"pin": null}"#).expect(StatusCode::OK);
    guarded
        .sign_in("anna", "738291")
        .expect(StatusCode::UNAUTHORIZED);
}

#[test]
fn no_secret_gets_into_the_log_or_an_answer() {
    let guarded = Guarded::new();
    guarded.sign_in("anna", "738291");
    guarded.sign_in("anna", PIN);
    guarded.world.set_fault(Some(support::Fault {
        from: 1,
        with_effect: false,
    }));
    let answer = guarded
        .sign_in("anna", PIN)
        .expect(StatusCode::SERVICE_UNAVAILABLE);
    let told = format!("{:?} {answer:?}", guarded.world.log());
    for secret in [PIN, "738291", KEY] {
        assert!(!told.contains(secret), "{told}");
    }
}
