//! Session keys and tokens: a host has a key of its own where none is configured, `starling token` signs with it, and
//! nobody else gets to see it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use starling_access::{Grant, Keys, Scope, TokenError, verify};
use starling_tests::app::{App, guest_manifest};
use starling_tests::client::Call;
use starling_tests::host::{Host, PATIENCE};
use starling_tests::paths;
use tokio::process::Command;
use tokio::time::timeout;

const KEY: &str = "a key for tests, and not a secret";

/// The tests' component, which shows the key that it is given; the manifest has this default for it.
fn app(default: &str) -> App {
    App::new(&format!(
        "{}\nvariables = {{ key = \"{{{{ session_key }}}}\" }}\n\
         [variables]\nsession_key = {{ {default}, secret = true }}\n",
        guest_manifest("/...")
    ))
}

fn key_file(app: &App) -> PathBuf {
    app.path("state/session-key")
}

/// The key that the component is given.
async fn key(host: &Host) -> String {
    let shown = Call::get("/variable?name=key").send(host).await;
    shown.expect(200).text()
}

/// What a run of the host's binary came to.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `starling token` with these arguments, and with this session key in the environment.
async fn token(arguments: &[&str], session_key: Option<&str>) -> Ran {
    let mut command = Command::new(paths::host());
    command.arg("token").args(arguments).kill_on_drop(true);
    command.env_remove("SPIN_VARIABLE_SESSION_KEY");
    if let Some(key) = session_key {
        command.env("SPIN_VARIABLE_SESSION_KEY", key);
    }
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends").expect("it runs");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

// === The key ===

#[tokio::test]
async fn host_without_a_configured_key_keeps_one_of_its_own() {
    for default in ["default = \"\"", "required = true"] {
        let app = app(default);
        let host = app.launch().start().await;
        let first = key(&host).await;
        assert!(first.len() >= 32, "{first}");
        let file = key_file(&app);
        assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), first);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(
            !host.stdout().contains(&first) && !host.stderr().contains(&first),
            "the key is shown"
        );

        let host = host.kill().await.start().await;
        assert_eq!(key(&host).await, first, "another key after a restart");
    }
}

#[tokio::test]
async fn each_state_directory_has_a_key_of_its_own() {
    let app = app("default = \"\"");
    let one = app.launch().start().await;
    let other = starling_tests::host::Launch::new(app.path("spin.toml"), app.path("other"))
        .start()
        .await;
    assert_ne!(key(&one).await, key(&other).await);
}

#[tokio::test]
async fn key_that_is_configured_is_used_and_none_is_made() {
    for (default, set, expected) in [
        ("default = \"\"", Some(KEY), KEY),
        ("default = \"of the manifest\"", Some(KEY), KEY),
        ("default = \"of the manifest\"", None, "of the manifest"),
        ("default = \"of the manifest\"", Some(""), "of the manifest"),
    ] {
        let app = app(default);
        let mut launch = app.launch();
        if let Some(set) = set {
            launch = launch.env("SPIN_VARIABLE_SESSION_KEY", set);
        }
        let host = launch.start().await;
        assert_eq!(key(&host).await, expected);
        assert!(!key_file(&app).exists());
        assert!(!host.stdout().contains("Make a mailbox"));
    }
}

#[tokio::test]
async fn application_that_asks_for_no_key_gets_none() {
    let app = App::guest();
    let _host = app.launch().start().await;
    assert!(!key_file(&app).exists());
}

#[tokio::test]
async fn key_that_others_may_read_or_guess_is_refused() {
    let app = app("default = \"\"");
    let launch = app.launch().start().await.stop().await;
    for mode in [0o640, 0o604] {
        std::fs::set_permissions(key_file(&app), PermissionsExt::from_mode(mode)).unwrap();
        let refusal = launch.refused().await;
        refusal.names(&["session-key", &format!("{mode:04o}"), "delete", "chmod 600"]);
    }
    std::fs::set_permissions(key_file(&app), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(key_file(&app), "sesame\n").unwrap();
    let refusal = launch.refused().await;
    refusal.names(&["session-key", "6 bytes", "32", "delete"]);
    assert!(!refusal.stderr.contains("sesame"), "{}", refusal.stderr);

    std::fs::remove_file(key_file(&app)).unwrap();
    let host = launch.start().await;
    assert!(key(&host).await.len() >= 32);
}

// === --insecure-open ===

#[tokio::test]
async fn insecure_open_leaves_the_key_empty_and_says_what_that_means() {
    for as_variable in [false, true] {
        let app = app("required = true");
        let launch = match as_variable {
            true => app.launch().env("STARLING_INSECURE_OPEN", "1"),
            false => app.launch().arg("--insecure-open"),
        };
        let host = launch.start().await;
        assert_eq!(key(&host).await, "");
        host.logged("anything").await;
        assert!(host.stderr().contains("--insecure-open"));
        assert!(!key_file(&app).exists());
        assert!(!host.stdout().contains("Make a mailbox"));
    }
}

#[tokio::test]
async fn insecure_open_does_not_throw_a_configured_key_away() {
    let app = app("default = \"\"");
    let launch = app.launch().arg("--insecure-open");
    let refusal = launch.env("SPIN_VARIABLE_SESSION_KEY", KEY).refused().await;
    refusal.names(&["--insecure-open", "SPIN_VARIABLE_SESSION_KEY"]);
    assert!(!refusal.stderr.contains(KEY), "{}", refusal.stderr);
}

// === Tokens ===

#[tokio::test]
async fn token_is_made_beside_a_running_host() {
    let app = app("default = \"\"");
    let host = app.launch().start().await;
    let state = app.path("state").display().to_string();
    let keys = Keys::new(&key(&host).await, None).unwrap();
    for (arguments, scope, mailbox, ttl_s) in [
        (&["--scope=provision"][..], Scope::Provision, None, 3_600),
        (
            &["--scope=deposit", "--ttl=30d"],
            Scope::Deposit,
            None,
            30 * 86_400,
        ),
        (
            &[
                "--scope=subscriber",
                "--mailbox=+15551230001",
                "--ttl",
                "15m",
            ],
            Scope::Subscriber,
            Some("+15551230001"),
            900,
        ),
    ] {
        let arguments = [arguments, &["--state-dir", &state]].concat();
        let before = now_s();
        let ran = token(&arguments, None).await;
        let after = now_s();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let token = ran.stdout.strip_suffix('\n').unwrap();
        assert!(!token.contains(char::is_whitespace), "{token:?}");
        let grant = Grant {
            scope,
            mailbox: mailbox.map(|mailbox| mailbox.parse().unwrap()),
        };
        assert_eq!(verify(&keys, token, before + ttl_s - 1), Ok(grant));
        assert_eq!(
            verify(&keys, token, after + ttl_s),
            Err(TokenError::Expired)
        );
    }
}

#[tokio::test]
async fn token_is_signed_with_the_key_of_the_environment_where_there_is_one() {
    let app = App::guest();
    let state = app.path("state").display().to_string();
    let arguments = ["--scope=provision", "--state-dir", &state];
    let ran = token(&arguments, Some(KEY)).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let keys = Keys::new(KEY, None).unwrap();
    assert!(verify(&keys, ran.stdout.trim_end(), now_s()).is_ok());
}

#[tokio::test]
async fn token_without_a_key_is_refused_with_what_to_do() {
    let app = App::guest();
    let state = app.path("state").display().to_string();
    let arguments = ["--scope=provision", "--state-dir", &state];
    for (key, said) in [
        (None, "starling up"),
        (Some(""), "--state-dir"),
        (Some("short"), "32"),
    ] {
        let ran = token(&arguments, key).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("SPIN_VARIABLE_SESSION_KEY"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert!(!app.path("state").exists(), "nothing is made");
}

#[tokio::test]
async fn wrong_usage_of_token_exits_with_2_and_explains() {
    for (arguments, said) in [
        (&[][..], "--scope"),
        (&["--scope=admin"], "provision"),
        (&["--scope=subscriber"], "--mailbox"),
        (&["--scope=deposit", "--mailbox=No One"], "E.164"),
        (&["--scope=deposit", "--ttl=soon"], "`15m`"),
        (&["--scope=deposit", "--ttl=0s"], "365 days"),
        (&["--scope=deposit", "--ttl=366d"], "365 days"),
    ] {
        let ran = token(arguments, Some(KEY)).await;
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    let help = token(&["--help"], None).await;
    assert_eq!(help.code, Some(0));
    for taught in ["Examples:", "subscriber", "SPIN_VARIABLE_SESSION_KEY"] {
        assert!(help.stdout.contains(taught), "{}", help.stdout);
    }
}

#[tokio::test]
async fn line_that_a_host_prints_can_be_pasted_into_a_shell() {
    let app = app("default = \"\"");
    // A name that a shell would take apart.
    let state = app.path("it's $HOME");
    let launch = starling_tests::host::Launch::new(app.path("spin.toml"), &state);
    let host = launch.start().await;
    host.printed("Make a mailbox:\n").await;
    host.printed("--scope provision)\"\n").await;
    let printed = host.stdout();
    let line = printed
        .lines()
        .find(|line| line.trim_start().starts_with("curl "))
        .expect("a line of curl");
    assert!(
        line.contains(&host.url("/v1/mailboxes/+15551230001")),
        "{line}"
    );

    // The tests' component knows no mailboxes; it tells, instead, what it is sent.
    let line = line.replace("/v1/mailboxes/+15551230001", "/echo");
    let run = Command::new("bash").args(["-c", &line]).output();
    let output = timeout(PATIENCE, run).await.expect("it ends").unwrap();
    let echo: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error} after {line}: {output:?}"));
    assert_eq!(echo["method"], "PUT");
    let headers = echo["headers"].as_array().unwrap();
    let authorization = headers
        .iter()
        .find(|header| header[0] == "authorization")
        .and_then(|header| header[1].as_str())
        .expect("the line sends a token");
    let token = authorization.strip_prefix("Bearer ").unwrap();
    assert!(!printed.contains(token), "the token is not printed");
    let keys = Keys::new(&key(&host).await, None).unwrap();
    let granted = verify(&keys, token, now_s()).unwrap();
    assert!(granted.covers_all(Scope::Provision), "{granted:?}");
}
