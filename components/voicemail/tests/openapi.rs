//! The document of the API against the API: every route, every method, every problem, and answers of all
//! kinds. The support code holds each answer against the document, here as in every other test.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use starling_access::{Grant, Keys, Scope, issue};
use support::contract::{Contract, DOCUMENT};
use support::{Answer, Call, Fault, NOON, World, wav};
use voicemail::PROBLEM_TYPE_PREFIX;

const METHODS: [&str; 8] = [
    "get", "head", "post", "put", "patch", "delete", "options", "trace",
];

/// The operations of a path.
fn operations(path: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    METHODS
        .into_iter()
        .filter_map(|method| Some((method, path.get(method)?)))
}

// === The document by itself ===

#[test]
fn document_is_served_to_anybody_and_kept_by_its_tag() {
    let world = World::local();
    world.set("session_key", KEY);
    let answer = world.get("/v1/openapi.json").send().expect(StatusCode::OK);
    assert_eq!(answer.body, DOCUMENT.as_bytes());
    let tag = answer.header("etag").expect("a tag");
    let again = world.get("/v1/openapi.json").header("if-none-match", tag);
    let again = again.send().expect(StatusCode::NOT_MODIFIED);
    assert_eq!(again.header("etag"), Some(tag));
    let other = world
        .get("/v1/openapi.json")
        .header("if-none-match", "\"other\"");
    other.send().expect(StatusCode::OK);
    let answer = world
        .get("/v1/openapi.json")
        .header("accept", "text/html")
        .send();
    assert_eq!(answer.problem(), "not-acceptable");
}

#[test]
fn document_is_of_this_release() {
    let document = Contract::get().document();
    assert_eq!(document["openapi"], "3.1.1");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        document["info"]["license"]["identifier"],
        env!("CARGO_PKG_LICENSE")
    );
    assert_eq!(document["servers"], json!([{ "url": "/" }]));
}

#[test]
fn every_operation_is_named_once_and_explained() {
    let contract = Contract::get();
    let mut names = BTreeSet::new();
    for (path, item) in contract.paths() {
        for (method, operation) in operations(item) {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name), "{name} is named twice");
            for member in ["summary", "description", "security"] {
                assert!(operation.get(member).is_some(), "{method} {path}: {member}");
            }
        }
    }
}

#[test]
fn every_component_is_used() {
    let components = Contract::get().document()["components"].as_object();
    for (kind, components) in components.expect("components") {
        for name in components.as_object().expect("components").keys() {
            let used = match kind.as_str() {
                "securitySchemes" => format!("\"{name}\""),
                _ => format!("\"#/components/{kind}/{name}\""),
            };
            // What no operation answers with, for no operation has the method.
            let of_no_operation = name == "MethodNotAllowed" || name == "Allow";
            assert!(DOCUMENT.contains(&used) || of_no_operation, "{kind}/{name}");
        }
    }
}

#[test]
fn examples_are_what_they_are_examples_of() {
    fn check(contract: &Contract, value: &Value, count: &mut usize) {
        match value {
            Value::Object(members) => {
                if let (Some(schema), Some(example)) =
                    (members.get("schema"), members.get("example"))
                {
                    contract.validate("an example", schema, example);
                    *count += 1;
                }
                members
                    .values()
                    .for_each(|value| check(contract, value, count));
            }
            Value::Array(items) => items.iter().for_each(|item| check(contract, item, count)),
            _ => {}
        }
    }
    let contract = Contract::get();
    let mut count = 0;
    check(contract, contract.document(), &mut count);
    let schemas = contract.document()["components"]["schemas"].as_object();
    for (name, schema) in schemas.expect("schemas") {
        for example in schema["examples"].as_array().into_iter().flatten() {
            contract.validate_named(name, example);
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

// === Routes ===

#[test]
fn documented_methods_are_those_that_the_routes_allow() {
    let world = World::local();
    for (template, item) in Contract::get().paths() {
        let path = template
            .replace("{mailbox}", "anna")
            .replace("{message}", &"0a".repeat(16))
            .replace("{kind}", "busy")
            .replace("{order}", "17");
        let brew = Method::from_bytes(b"BREW").expect("a method");
        let answer = world.call(brew, &path).send();
        assert_eq!(answer.problem(), "method-not-allowed", "{template}");
        let allowed: BTreeSet<_> = answer
            .header("allow")
            .expect("methods")
            .split(", ")
            .map(str::to_ascii_lowercase)
            .collect();
        let documented = operations(item).map(|(method, _)| method.to_owned());
        assert_eq!(allowed, documented.collect(), "{template}");
    }
}

#[test]
fn documented_scopes_are_those_that_are_asked_for() {
    let world = World::local();
    world.set("session_key", KEY);
    for (template, item) in Contract::get().paths() {
        let path = template
            .replace("{mailbox}", "anna")
            .replace("{message}", &"0a".repeat(16))
            .replace("{kind}", "busy")
            .replace("{order}", "17");
        for (method, operation) in operations(item) {
            let security = operation["security"].as_array().expect("scopes");
            let documented: BTreeSet<_> = security
                .iter()
                .map(|needed| needed["bearer"][0].as_str().expect("a scope"))
                .collect();
            let passes = |token: Option<String>| {
                let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
                let mut call = world.call(method.expect("a method"), &path);
                if let Some(token) = token {
                    call = call.header("authorization", &format!("Bearer {token}"));
                }
                ![401, 403].contains(&call.send().status.as_u16())
            };
            if template != "/v1/sessions" {
                let anybody = documented.is_empty();
                assert_eq!(passes(None), anybody, "{method} {template}");
            }
            for scope in [Scope::Subscriber, Scope::Deposit, Scope::Provision] {
                let name = scope.to_string();
                if !documented.is_empty() {
                    let may = documented.contains(&*name);
                    let limit = (scope == Scope::Subscriber).then_some("anna");
                    let what = format!("{method} {template} with {name}");
                    assert_eq!(passes(Some(token(scope, limit))), may, "{what}");
                }
            }
        }
    }
}

// === Problems ===

/// The table of problem.rs: the status of each type.
fn table() -> BTreeMap<String, u64> {
    let source = include_str!("../src/problem.rs");
    let (_, rows) = source.split_once("fn row(").expect("the table");
    let (rows, _) = rows.split_once("\n    }\n").expect("its end");
    let rows = rows.split("=>").skip(1).map(|row| {
        let (status, rest) = row
            .trim_start_matches(|c: char| !c.is_ascii_digit())
            .split_once(',')
            .expect("a status");
        let name = rest.split('"').nth(1).expect("a name");
        (name.to_owned(), status.parse().expect("a number"))
    });
    rows.collect()
}

/// What the host answers in place of the component.
const OF_THE_HOST: [(&str, u64); 13] = [
    ("body-incomplete", 400),
    ("body-too-slow", 408),
    ("component-cpu-exhausted", 504),
    ("sibling-failed", 504),
    ("component-failed", 500),
    ("component-out-of-memory", 500),
    ("component-refused", 500),
    ("component-timeout", 504),
    ("invalid-host", 400),
    ("no-route", 404),
    ("no-version", 503),
    ("not-ready", 503),
    ("overloaded", 503),
];

#[test]
fn documented_problems_are_those_of_the_table() {
    let contract = Contract::get();
    let mut table = table();
    assert!(table.len() > 30, "{table:?}");
    table.extend(OF_THE_HOST.map(|(name, status)| (name.to_owned(), status)));

    let documented = &contract.document()["components"]["schemas"]["Problem"];
    let documented = types(&documented["properties"]["type"]);
    assert_eq!(
        documented,
        table.keys().cloned().collect(),
        "the types of the schema Problem"
    );

    // Each under its status, and each somewhere.
    let mut seen = BTreeSet::new();
    let responses = contract.document()["components"]["responses"].as_object();
    for (name, response) in responses.expect("responses") {
        let schema = &response["content"]["application/problem+json"]["schema"]["allOf"][1];
        if schema.is_null() {
            assert_eq!(name, "Refused");
            continue;
        }
        let status = schema["properties"]["status"]["const"].as_u64();
        for name in types(&schema["properties"]["type"]) {
            assert_eq!(Some(table[&name]), status, "{name}");
            seen.insert(name);
        }
    }
    seen.insert("no-route".to_owned());
    assert_eq!(seen, documented, "the types of the responses");

    for (path, item) in contract.paths() {
        for (method, operation) in operations(item) {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let response = contract.resolve(response);
                let schema = &response["content"]["application/problem+json"]["schema"];
                let of = &schema["allOf"][1]["properties"]["status"]["const"];
                if !schema.is_null() {
                    assert_eq!(of.to_string(), *status, "{method} {path}");
                }
            }
        }
    }
}

fn types(schema: &Value) -> BTreeSet<String> {
    let types = schema["enum"].as_array().expect("types").iter();
    types
        .map(|it| it.as_str().expect("a type"))
        .map(|it| it.strip_prefix(PROBLEM_TYPE_PREFIX).expect(it).to_owned())
        .collect()
}

#[test]
fn table_of_the_manual_is_complete() {
    let manual = include_str!("../../../docs/api.md");
    let (_, problems) = manual.split_once("\n## Problems\n").expect("the table");
    let mut table = table();
    table.extend(OF_THE_HOST.map(|(name, status)| (name.to_owned(), status)));
    let mut told = BTreeMap::new();
    for row in problems
        .lines()
        .filter(|line| line.starts_with("| `") && !line.contains("`type`"))
    {
        let mut cells = row.split('|').skip(1);
        let names = cells.next().expect("types");
        let status: u64 = cells.next().expect("a status").trim().parse().expect(row);
        for name in names.split('`').skip(1).step_by(2) {
            assert_eq!(told.insert(name.to_owned(), status), None, "{name}");
        }
    }
    assert_eq!(told, table);
}

// === Answers ===

const KEY: &str = "a key that only the tests have, and nobody else";

fn token(scope: Scope, mailbox: Option<&str>) -> String {
    let keys = Keys::new(KEY, None).expect("a key");
    let mailbox = mailbox.map(|mailbox| mailbox.parse().expect("a mailbox"));
    issue(&keys, &Grant { scope, mailbox }, NOON / 1000, 900)
}

/// A world in which there is `anna`, and access is controlled.
struct Guarded {
    world: World,
    used: BTreeSet<(String, String)>,
}

impl Guarded {
    fn new() -> Self {
        let world = World::local();
        world.set("session_key", KEY);
        let mut guarded = Self {
            world,
            used: BTreeSet::new(),
        };
        let path = "/v1/mailboxes/anna";
        guarded.ok("PUT", path, 201, |call| call.json(r#"{"pin": "802317"}"#));
        guarded
    }

    /// Sends a request with a token that will do, and checks status and document.
    #[track_caller]
    fn ok(
        &mut self,
        method: &str,
        path: &str,
        status: u16,
        dress: impl FnOnce(Call) -> Call,
    ) -> Answer {
        self.with(method, path, status, |call| {
            let anna = path.starts_with("/v1/mailboxes/anna");
            let scope = match (method, path) {
                ("POST", path) if path.ends_with("/messages") => Scope::Deposit,
                ("POST", "/v1/mailboxes") | ("GET" | "HEAD", "/v1/mailboxes") => Scope::Provision,
                ("PUT" | "DELETE", "/v1/mailboxes/anna") => Scope::Provision,
                _ if anna => Scope::Subscriber,
                _ => Scope::Provision,
            };
            let limit = (scope == Scope::Subscriber).then_some("anna");
            let token = token(scope, limit);
            dress(call.header("authorization", &format!("Bearer {token}")))
        })
    }

    /// Sends a request as it is, and checks status and document.
    #[track_caller]
    fn with(
        &mut self,
        method: &str,
        path: &str,
        status: u16,
        dress: impl FnOnce(Call) -> Call,
    ) -> Answer {
        let verb = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = dress(self.world.call(verb, path)).send();
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        self.used.insert((method.into(), path.into()));
        answer
    }
}

fn deposit(call: Call) -> Call {
    call.header("content-type", "audio/wav")
        .body(&wav(16_000, 0))
}

fn plain(call: Call) -> Call {
    call
}

fn form(call: Call, fields: &[(&str, &[u8])]) -> Call {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(b"--sep\r\nContent-Disposition: form-data; name=\"");
        body.extend(name.bytes().chain(*b"\"\r\n\r\n"));
        body.extend(value.iter().chain(b"\r\n"));
    }
    body.extend(b"--sep--\r\n");
    call.header("content-type", "multipart/form-data; boundary=sep")
        .body(&body)
}

#[test]
fn every_operation_succeeds_as_documented() {
    let mut world = Guarded::new();
    let anna = "/v1/mailboxes/anna";
    let credentials = r#"{"mailbox": "anna", "pin": "802317"}"#;
    world.with("POST", "/v1/sessions", 200, |call| call.json(credentials));
    world.with("GET", "/v1/openapi.json", 200, plain);
    world.with("HEAD", "/v1/openapi.json", 200, plain);
    world.ok("GET", "/v1/mailboxes?limit=1", 200, plain);
    world.ok("HEAD", "/v1/mailboxes", 200, plain);
    let lines = "{\"mailbox\": \"bob\"}\n\n{\"mailbox\": \"bob\", \"pin\": \"111111\"}\n{}\n[]\n{\"mailbox\": \"B\"}\n";
    world.ok("POST", "/v1/mailboxes", 200, |call| {
        call.header("content-type", "application/x-ndjson")
            .body(lines.as_bytes())
    });
    let settings = json!({
        "pin": "802318", "time_zone": "Europe/Vienna", "language": "de-at", "greeting": "standard",
        "quota_messages": 100, "quota_bytes": 1_000_000, "retention_days": 30,
        "message_duration_ms_max": 60_000,
        "webhooks": [{ "url": "https://hooks.example.com/mwi", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }],
    });
    world.ok("PUT", anna, 200, |call| {
        call.header("if-match", "*").json(&settings.to_string())
    });
    let shown = world.ok("GET", anna, 200, plain);
    let tag = shown.header("etag").expect("a tag").to_owned();
    world.ok("GET", anna, 304, |call| call.header("if-none-match", &tag));
    world.ok("HEAD", anna, 200, plain);
    world.ok("HEAD", anna, 304, |call| call.header("if-none-match", &tag));
    for part in ["summary", "messages", "greeting?reason=busy"] {
        world.ok("GET", &format!("{anna}/{part}"), 200, plain);
        world.ok("HEAD", &format!("{anna}/{part}"), 200, plain);
    }

    let left = world.ok("POST", &format!("{anna}/messages"), 201, |call| {
        deposit(call)
            .header("idempotency-key", "call-17")
            .header("voicemail-from", "+15551239999")
            .header("voicemail-reply-to", "+15551230099")
            .header("voicemail-urgent", "true")
            .header("voicemail-received-at", "2025-12-31T23:59:59.5Z")
    });
    let id = left.json()["id"].as_str().expect("an id").to_owned();
    let said = wav(8_000, 1);
    let fields: &[(&str, &[u8])] = &[("audio", &said), ("private", b"true"), ("from", b"Bob")];
    let private = world.ok("POST", &format!("{anna}/messages"), 201, |call| {
        form(call, fields)
    });
    let private = private.json()["id"].as_str().expect("an id").to_owned();
    let search = "folder=inbox&from=555&since=2025-12-01T00:00:00Z&until=2026-12-01T00:00:00Z";
    world.ok("GET", &format!("{anna}/messages?{search}"), 200, plain);
    let page = world.ok("GET", &format!("{anna}/messages?limit=1"), 200, plain);
    let cursor = page.json()["next_cursor"]
        .as_str()
        .expect("more")
        .to_owned();
    let next = format!("{anna}/messages?limit=1&cursor={cursor}");
    world.ok("GET", &next, 200, plain);

    let message = format!("{anna}/messages/{id}");
    let shown = world.ok("GET", &message, 200, plain);
    let tag = shown.header("etag").expect("a tag").to_owned();
    world.ok("GET", &message, 304, |call| {
        call.header("if-none-match", &tag)
    });
    world.ok("HEAD", &message, 200, plain);
    world.ok("PATCH", &message, 200, |call| {
        call.header("if-match", &tag).json(r#"{"seen": true}"#)
    });
    let both = json!({ "messages": [id, "nothing"], "saved": true }).to_string();
    world.ok("PATCH", &format!("{anna}/messages"), 200, |call| {
        call.header("content-type", "application/merge-patch+json")
            .body(both.as_bytes())
    });

    let audio = format!("{message}/audio");
    let played = world.ok("GET", &audio, 200, plain);
    let tag = played.header("etag").expect("a tag").to_owned();
    world.ok("GET", &audio, 206, |call| {
        call.header("range", "bytes=0-99").header("if-range", &tag)
    });
    world.ok("GET", &audio, 304, |call| {
        call.header("if-none-match", &tag)
    });
    world.ok("GET", &format!("{audio}?format=wav"), 200, plain);
    world.ok("HEAD", &audio, 200, |call| {
        call.header("range", "bytes=0-9")
    });
    world.ok("GET", &format!("{audio}/peaks?points=10"), 200, plain);
    world.ok("HEAD", &format!("{audio}/peaks"), 200, plain);

    let to = r#"{"to": ["bob", "anna", "nobody", "No Body"]}"#;
    let forward = format!("{message}/forward");
    world.ok("POST", &forward, 207, |call| {
        call.header("idempotency-key", "forward-1").json(to)
    });
    let fields: &[(&str, &[u8])] = &[("to", b"anna"), ("audio", &said)];
    let forwarded = world.ok("POST", &forward, 207, |call| form(call, fields));
    let forwarded = &forwarded.json()["results"][0]["message"]["id"];
    let comment = format!(
        "{anna}/messages/{}/comment",
        forwarded.as_str().expect("an id")
    );
    world.ok("GET", &comment, 200, plain);
    world.ok("HEAD", &comment, 200, plain);
    world.ok("POST", "/v1/messages", 207, |call| {
        deposit(call).header("voicemail-to", "anna, bob, nobody")
    });

    let greeting = format!("{anna}/greetings/temporary");
    world.ok(
        "PUT",
        &format!("{greeting}?expires_at=2026-02-01T00:00:00Z"),
        201,
        deposit,
    );
    world.ok("PUT", &greeting, 200, |call| {
        form(call, &[("audio", &said)])
    });
    world.ok("GET", &greeting, 200, plain);
    world.ok("HEAD", &greeting, 200, plain);
    world.ok("GET", &format!("{anna}/greeting"), 200, plain);
    world.ok("PUT", &format!("{anna}/greetings/name"), 201, deposit);
    world.ok("DELETE", &greeting, 204, plain);
    world.ok("GET", &format!("{anna}/greeting"), 200, plain);

    world.ok("DELETE", &message, 204, plain);
    world.ok("DELETE", &format!("{message}?purge=true"), 204, plain);
    world.ok(
        "DELETE",
        &format!("{anna}/messages?id={private}&id=0a"),
        204,
        plain,
    );
    world.ok(
        "DELETE",
        &format!("{anna}/messages?folder=trash"),
        204,
        plain,
    );
    world.world.grant_spool();
    let fault = Fault {
        from: 1,
        with_effect: false,
    };
    world.world.set_fault(Some(fault));
    for mailbox in ["carl", "dora"] {
        let path = format!("/v1/mailboxes/{mailbox}/messages");
        world.ok("POST", &path, 202, deposit);
    }
    world.world.set_fault(None);
    world.ok("GET", "/v1/spool?state=waiting&limit=1", 200, plain);
    world.world.maintain();
    world.ok("GET", "/v1/spool?cursor=0", 200, plain);
    world.ok("HEAD", "/v1/spool", 200, plain);
    world.ok("POST", "/v1/spool/1/retry", 204, plain);
    world.ok("DELETE", "/v1/spool/2", 204, plain);
    world.ok("DELETE", anna, 204, plain);

    for (template, item) in Contract::get().paths() {
        for (method, _) in operations(item) {
            let used = world.used.iter().any(|(verb, target)| {
                let path = target.split('?').next().unwrap_or_default();
                verb.eq_ignore_ascii_case(method) && Contract::get().names(template, path)
            });
            assert!(used, "{method} {template} is never tried");
        }
    }
}

#[test]
fn refusals_are_as_documented() {
    let mut world = Guarded::new();
    let anna = "/v1/mailboxes/anna";
    let messages = format!("{anna}/messages");
    let left = world.ok("POST", &messages, 201, |call| {
        deposit(call)
            .header("idempotency-key", "call-17")
            .header("voicemail-private", "true")
    });
    let id = left.json()["id"].as_str().expect("an id").to_owned();
    let message = format!("{messages}/{id}");
    let nothing = format!("{messages}/{}", "0b".repeat(16));
    let bearer = |scope, limit| {
        let token = token(scope, limit);
        move |call: Call| call.header("authorization", &format!("Bearer {token}"))
    };
    let mut told = BTreeSet::new();
    let mut refused = |problem: &str, answer: Answer| {
        assert_eq!(answer.problem(), problem);
        told.insert(problem.to_owned());
    };

    // Who asks.
    refused("token-missing", world.with("GET", anna, 401, plain));
    let wrong = |call: Call| call.header("authorization", "Bearer a.b.c");
    refused("token-invalid", world.with("GET", anna, 401, wrong));
    let as_bob = bearer(Scope::Subscriber, Some("bob"));
    refused("scope-insufficient", world.with("GET", anna, 403, as_bob));
    let sign_in = |mailbox: &str| {
        let body = json!({ "mailbox": mailbox, "pin": "000000" }).to_string();
        move |call: Call| call.json(&body)
    };
    let sessions = "/v1/sessions";
    refused(
        "sign-in-failed",
        world.with("POST", sessions, 401, sign_in("anna")),
    );
    refused(
        "sign-in-failed",
        world.with("POST", sessions, 401, sign_in("?")),
    );
    let as_anna = bearer(Scope::Subscriber, Some("anna"));
    let sets = |body: &'static str| {
        let as_anna = bearer(Scope::Subscriber, Some("anna"));
        move |call: Call| as_anna(call).json(body)
    };
    let quota = sets(r#"{"quota_bytes": 1}"#);
    refused("member-forbidden", world.with("PUT", anna, 403, quota));
    let pin = sets(r#"{"pin": "802318", "current_pin": "802310"}"#);
    refused("pin-wrong", world.with("PUT", anna, 403, pin));
    let to = sets(r#"{"to": ["bob"]}"#);
    let forward = format!("{message}/forward");
    refused("message-private", world.with("POST", &forward, 403, to));

    // What there is not.
    refused("not-found", world.with("GET", "/v1/nothing", 404, plain));
    refused(
        "not-found",
        world.ok("GET", &format!("{anna}/greetings/loud"), 404, plain),
    );
    let bob = "/v1/mailboxes/bob";
    refused("mailbox-not-found", world.ok("GET", bob, 404, plain));
    refused("message-not-found", world.ok("GET", &nothing, 404, plain));
    refused(
        "comment-not-found",
        world.ok("GET", &format!("{message}/comment"), 404, plain),
    );
    let greeting = format!("{anna}/greetings/busy");
    refused("greeting-not-found", world.ok("GET", &greeting, 404, plain));
    refused(
        "greeting-not-found",
        world.ok("DELETE", &greeting, 404, plain),
    );
    world.world.grant_spool();
    refused(
        "spool-entry-not-found",
        world.ok("DELETE", "/v1/spool/17", 404, plain),
    );
    refused("method-not-allowed", world.ok("POST", anna, 405, plain));

    // What cannot be given.
    let html = |call: Call| call.header("accept", "text/html");
    refused("not-acceptable", world.ok("GET", anna, 406, html));
    let far = |call: Call| call.header("range", "bytes=100000-");
    let audio = format!("{message}/audio");
    refused("range-not-satisfiable", world.ok("GET", &audio, 416, far));
    let other = |call: Call| call.header("if-match", "\"other\"");
    refused(
        "precondition-failed",
        world.ok("DELETE", &message, 412, other),
    );

    // What makes no sense.
    let colour = format!("{messages}?colour=red");
    refused("parameter-invalid", world.ok("GET", &colour, 400, plain));
    let no_type = |call: Call| call.header("content-type", "what").body(b"{}");
    refused("header-invalid", world.ok("PATCH", &message, 400, no_type));
    let cut = |call: Call| call.json("{");
    refused("body-malformed", world.ok("PATCH", &message, 400, cut));
    let many = |call: Call| call.json(&format!("{{\"seen\": {}}}", " ".repeat(70_000)));
    refused("body-too-large", world.ok("PATCH", &message, 413, many));
    let text = |call: Call| call.header("content-type", "text/plain").body(b"true");
    refused(
        "media-type-unsupported",
        world.ok("PATCH", &message, 415, text),
    );
    refused(
        "media-type-unsupported",
        world.ok("POST", &messages, 415, |call| call.body(b"GIF89a")),
    );
    let unknown = |call: Call| call.json(r#"{"heard": true}"#);
    refused("member-invalid", world.ok("PATCH", &message, 422, unknown));
    refused(
        "mailbox-id-invalid",
        world.ok("PUT", "/v1/mailboxes/Anna", 422, plain),
    );
    let mut broken = wav(16_000, 0);
    broken.truncate(1_000);
    let broken = |call: Call| call.header("content-type", "audio/wav").body(&broken);
    refused("audio-broken", world.ok("POST", &messages, 422, broken));
    let reused = |call: Call| {
        call.header("idempotency-key", "call-17")
            .body(&wav(16_000, 3))
    };
    refused(
        "idempotency-key-reused",
        world.ok("POST", &messages, 422, reused),
    );
    let short = |call: Call| call.json(r#"{"message_duration_ms_max": 1}"#);
    world.ok("PUT", "/v1/mailboxes/anna", 200, short);
    refused("deposit-refused", world.ok("POST", &messages, 422, deposit));
    let long = |call: Call| call.json(r#"{"message_duration_ms_max": 60000}"#);
    world.ok("PUT", "/v1/mailboxes/anna", 200, long);

    // What is too much, or fails.
    world.world.set("deposits_per_minute", "1");
    refused(
        "too-many-deposits",
        world.ok("POST", &messages, 429, deposit),
    );
    world.world.set("deposits_per_minute", "0");
    world.ok("PUT", anna, 200, |call| {
        call.json(r#"{"quota_messages": 1}"#)
    });
    refused("mailbox-full", world.ok("POST", &messages, 507, deposit));
    let seen = |call: Call| call.json(r#"{"seen": true}"#);
    world.world.lose_every_race();
    refused("contention", world.ok("PATCH", &message, 503, seen));
    world.world.set_fault(Some(Fault {
        from: 1,
        with_effect: false,
    }));
    refused("store-unavailable", world.ok("GET", &message, 503, plain));
    world.world.set_fault(None);
    world.world.values("local").borrow_mut().retain(|_, value| {
        value.truncate(3);
        true
    });
    refused(
        "stored-data-damaged",
        world.with("GET", anna, 500, &as_anna),
    );
    world.world.set("session_key", "short");
    refused("misconfigured", world.with("GET", anna, 500, plain));

    let told_elsewhere = [
        "clock-skew",
        "newer-release",
        "not-decodable",
        "token-expired",
    ];
    told.extend(told_elsewhere.map(str::to_owned));
    assert_eq!(told, table().into_keys().collect());
}

#[test]
fn expired_token_is_refused_as_documented() {
    let mut world = Guarded::new();
    let token = token(Scope::Subscriber, Some("anna"));
    world.world.now_ms.set(NOON + 900_000);
    let answer = world.with("GET", "/v1/mailboxes/anna", 401, |call| {
        call.header("authorization", &format!("Bearer {token}"))
    });
    assert_eq!(answer.problem(), "token-expired");
}

#[test]
fn webhooks_are_called_as_documented() {
    let world = World::with_mailbox();
    let webhooks = json!({ "webhooks": [{
        "url": "https://hooks.example.com/mwi", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }]});
    let put = world.put("/v1/mailboxes/anna").json(&webhooks.to_string());
    put.send().expect(StatusCode::OK);
    world
        .deposit(&wav(16_000, 0))
        .send()
        .expect(StatusCode::CREATED);
    world.maintain();
    let sent = world.sent();
    let call = sent.first().expect("a call");
    let contract = Contract::get();
    let documented = &contract.document()["webhooks"]["mailboxChanged"]["post"];
    for parameter in documented["parameters"].as_array().expect("headers") {
        let name = parameter["name"].as_str().expect("a name");
        let value = call.headers()[name].to_str().expect("ASCII");
        let value = match parameter["schema"]["type"].as_str() {
            Some("integer") => json!(value.parse::<u64>().expect("a number")),
            _ => json!(value),
        };
        contract.validate(name, &parameter["schema"], &value);
    }
    let declared = call.headers()["content-type"].to_str().expect("ASCII");
    let schema = &documented["requestBody"]["content"][declared]["schema"];
    let body = serde_json::from_slice(call.body()).expect("JSON");
    contract.validate("the event", schema, &body);
}
