//! The API as its document describes it: schemathesis makes requests out of the document, sensible ones and others, and
//! holds every answer of a real host against it.
//!
//! What it is told besides the document is in `tests/schemathesis`: a token for each request by the scopes that the
//! document asks for, recordings, and what exists.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use starling_access::{Grant, Keys, Scope, issue};
use starling_tests::app::App;
use starling_tests::audio::{self, Encoding};
use starling_tests::client::{Answer, Call};
use starling_tests::host::Host;
use starling_tests::paths;
use tokio::process::Command;
use tokio::time::timeout;

/// What tokens are signed with, here.
const KEY: &str = "the key of a host that lives for one test";

/// The mailbox that the document has as its example, with its PIN; one for what destroys; and one that there is not.
const MAILBOX: &str = "+15551230001";
const PIN: &str = "802317";
const SPARE: &str = "spare";
const MISSING: &str = "nobody";

/// How long schemathesis may take, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is checked of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance,unsupported_method,\
                      allow_header_conformance";

/// The voicemail application, with access control, and without anybody that it could call.
fn application() -> App {
    let built = paths::component("voicemail.wasm");
    let manifest = std::fs::read_to_string(paths::root().join("spin.toml"));
    let lines = manifest.expect("spin.toml is readable");
    let lines = lines.lines().map(|line| match line.split(" = ").next() {
        Some("source") => format!("source = {:?}", built.display().to_string()),
        Some("allowed_outbound_hosts") => "allowed_outbound_hosts = []".to_owned(),
        // Nobody but the test asks this host anything.
        Some("management") => String::new(),
        _ => line.to_owned(),
    });
    App::new(&lines.collect::<Vec<_>>().join("\n"))
}

async fn start(app: &App) -> Host {
    app.launch()
        .env("SPIN_VARIABLE_SESSION_KEY", KEY)
        .env("SPIN_VARIABLE_DEPOSITS_PER_MINUTE", "0")
        .env("SPIN_VARIABLE_DEPOSITS_PER_MINUTE_OF_CALLER", "0")
        .start()
        .await
}

fn token(scope: Scope, mailbox: Option<&str>) -> String {
    let keys = Keys::new(KEY, None).expect("a key");
    let mailbox = mailbox.map(|mailbox| mailbox.parse().expect("a mailbox"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.expect("a time after 1970").as_secs();
    issue(&keys, &Grant { scope, mailbox }, now_s, 3600)
}

async fn send(host: &Host, call: Call, token: &str) -> Answer {
    let call = call.header("authorization", format!("Bearer {token}"));
    call.send(host).await
}

/// Puts something into the mailbox that schemathesis can find, and tells it where.
async fn furnish(app: &App, host: &Host) -> PathBuf {
    let provision = token(Scope::Provision, None);
    let deposit = token(Scope::Deposit, None);
    let subscriber = token(Scope::Subscriber, Some(MAILBOX));
    let path = format!("/v1/mailboxes/{MAILBOX}");
    for mailbox in [MAILBOX, SPARE] {
        let put = Call::put(format!("/v1/mailboxes/{mailbox}")).json(&json!({ "pin": PIN }));
        send(host, put, &provision).await.expect(201);
    }
    let recording = audio::speech(Encoding::MuLaw);
    let mut messages = Vec::new();
    for (number, encoding) in (0..).zip(Encoding::ALL) {
        let recording = audio::tagged(audio::speech(encoding), number);
        let post = Call::post(format!("{path}/messages")).body(recording);
        let left = send(host, post, &deposit).await.expect(201).json();
        messages.push(left["id"].as_str().expect("an id").to_owned());
    }
    // One with a comment.
    let mut form = format!(
        "--sep\r\ncontent-disposition: form-data; name=\"to\"\r\n\r\n{MAILBOX}\r\n\
         --sep\r\ncontent-disposition: form-data; name=\"audio\"\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(recording);
    form.extend_from_slice(b"\r\n--sep--\r\n");
    let post = Call::post(format!("{path}/messages/{}/forward", messages[0]))
        .header("content-type", "multipart/form-data; boundary=sep")
        .body(form);
    let forwarded = send(host, post, &subscriber).await.expect(207).json();
    let forwarded = forwarded["results"][0]["message"]["id"].as_str();
    messages.push(forwarded.expect("an id").to_owned());
    for kind in ["unavailable", "busy", "temporary", "name"] {
        let put = Call::put(format!("{path}/greetings/{kind}")).body(recording);
        send(host, put, &subscriber).await.expect(201);
    }
    let subscribers = [MAILBOX, SPARE, MISSING].map(|mailbox| {
        let token = token(Scope::Subscriber, Some(mailbox));
        (mailbox.to_owned(), Value::String(token))
    });
    let known = json!({
        "base": host.url(""),
        "mailbox": MAILBOX,
        "spare": SPARE,
        "missing": MISSING,
        "messages": messages,
        "recording": app.write("recording.wav", recording),
        "answers": app.path("answers.json"),
        "tokens": {
            "provision": provision,
            "deposit": deposit,
            "subscribers": Value::Object(subscribers.into_iter().collect()),
        },
    });
    app.write("known.json", known.to_string())
}

async fn run(app: &App, command: &mut Command) -> Output {
    let run = command
        .current_dir(app.path(""))
        .env("NO_COLOR", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("it ends in time");
    output.expect("it runs")
}

#[track_caller]
fn check(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test]
async fn document_that_is_served_is_valid() {
    let app = application();
    let host = start(&app).await;
    let served = Call::get("/v1/openapi.json").send(&host).await.expect(200);
    let served = app.write("openapi.json", served.body);
    let mut validator = Command::new(paths::python("openapi-spec-validator"));
    check(&run(&app, validator.arg(served)).await);
}

#[tokio::test]
async fn answers_are_as_documented_whatever_is_asked() {
    let app = application();
    let host = start(&app).await;
    let known = furnish(&app, &host).await;
    let document = Call::get("/v1/openapi.json").send(&host).await.expect(200);
    // From a file, because schemathesis leaves out the path that it has a document from.
    let file = app.write("openapi.json", &document.body);
    let folder = paths::root().join("tests/schemathesis");
    let mut schemathesis = Command::new(paths::python("schemathesis"));
    schemathesis
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .args(["run", "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .arg("--url")
        .arg(host.url("/"))
        .arg(file)
        .env("SCHEMATHESIS_HOOKS", folder.join("hooks.py"))
        .env("STARLING_CONTRACT", known);
    check(&run(&app, &mut schemathesis).await);

    // Who is refused everywhere checks little: every operation has succeeded, too.
    let answers = std::fs::read(app.path("answers.json")).expect("the answers");
    let answers: Value = serde_json::from_slice(&answers).expect("JSON");
    let document = document.json();
    let mut never = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "head", "post", "put", "patch", "delete"] {
            if item.get(method).is_none() {
                continue;
            }
            // The store of this host does not fail, so there is nothing undeliverable to be seen to.
            if path.starts_with("/v1/spool/") {
                continue;
            }
            let name = format!("{} {path}", method.to_uppercase());
            let statuses = answers[&name].as_object().into_iter().flatten();
            if !statuses
                .into_iter()
                .any(|(status, _)| status < &"400".to_owned())
            {
                never.insert(name);
            }
        }
    }
    assert!(
        never.is_empty(),
        "never answered with success: {never:?}\n{answers:#}"
    );
}

#[test]
fn problems_that_the_host_tells_are_documented() {
    let document = paths::root().join("components/voicemail/src/openapi.json");
    let document = std::fs::read_to_string(document).expect("the document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let types = &document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let source = paths::root().join("host/server/src/problem.rs");
    let source = std::fs::read_to_string(source).expect("the host's problems");
    let (_, names) = source.split_once("pub fn name(").expect("the names");
    let (names, _) = names.split_once("\n    }\n").expect("their end");
    let names: BTreeSet<_> = names.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        let documented = types.as_array().expect("types").iter();
        let name = format!("urn:starling:problem:{name}");
        assert!(documented.into_iter().any(|it| *it == name), "{name}");
    }
}
