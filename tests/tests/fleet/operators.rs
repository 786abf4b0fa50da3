//! The doors of operators: who gets in, what commands say to people and to programs.

use std::os::unix::fs::PermissionsExt;

use starling_test_servers::Certificates;
use starling_tests::app::App;
use starling_tests::client::Call;
use starling_tests::host::Host;
use starling_tests::paths;
use tokio::process::Command;

use super::{CONFIG, PAIR, start};

/// Where the operator API of a host is, as it has written it down.
fn door(host: &Host) -> (String, String) {
    let path = host.state().join("management");
    let mode = std::fs::metadata(&path).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).expect("it is readable");
    let door: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let said = |name: &str| door[name].as_str().expect("a text").to_owned();
    (said("url"), said("token"))
}

#[tokio::test]
async fn only_operators_get_in() {
    let app = App::managed_guest();
    let host = app.launch_with(CONFIG).start().await;
    let (url, token) = door(&host);
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let fleet = |authorization: &str| Call::get("/v1/fleet").header("authorization", authorization);
    let good = fleet(&format!("Bearer {token}")).send_to(address).await;
    assert_eq!(good.status, 200);
    let nobody = Call::get("/v1/fleet").send_to(address).await;
    assert_eq!(nobody.status, 401);
    assert_eq!(
        fleet("Bearer eyJ0.e30.x").send_to(address).await.status,
        401
    );
    let deposit = Command::new(paths::host())
        .args(["token", "--scope", "provision", "--state-dir"])
        .arg(host.state())
        .output()
        .await
        .unwrap();
    let deposit = String::from_utf8(deposit.stdout).unwrap();
    let other = fleet(&format!("Bearer {}", deposit.trim()));
    assert_eq!(other.send_to(address).await.status, 403);
    // What the host itself calls is not for operators.
    let supervise = Call::post("/supervise").header("authorization", format!("Bearer {token}"));
    assert_eq!(supervise.send_to(address).await.status, 404);
}

#[tokio::test]
async fn every_command_speaks_to_people_and_to_programs() {
    let deployment = start(&PAIR).await;
    let operator = deployment.host(0, 0).operator();
    let table = operator.table(&["ps"]).await;
    for word in ["REGION", "TRAFFIC", "guest", "100%", "alive"] {
        assert!(table.contains(word), "{word} in {table}");
    }
    let fleet = operator.run(&["ps"]).await;
    assert_eq!(fleet["hosts"].as_array().map(Vec::len), Some(2));
    let rollouts = operator.run(&["rollout", "status"]).await;
    assert_eq!(rollouts["rollouts"].as_array().map(Vec::len), Some(0));
    assert!(!operator.table(&["rollout", "status"]).await.is_empty());
    let regions = operator.run(&["regions"]).await;
    assert_eq!(regions["region"], "eu");

    for (words, said) in [
        (&["rollback", "guest"][..], "nothing to go back to"),
        (&["drain", "nobody"], "nobody"),
        (&["rollout", "status", "1-eu-00000000"], "1-eu-00000000"),
        (&["rollout", "approve", "no-rollout"], "no-rollout"),
    ] {
        let failed = operator.refused(words).await;
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.starts_with("error: "), "{}", failed.stderr);
        assert!(failed.stderr.contains(said), "{}", failed.stderr);
    }
    let usage = operator.refused(&["deploy", "guest"]).await;
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
}

#[tokio::test]
async fn an_operator_elsewhere_gets_in_over_tls_with_a_token() {
    let app = App::managed_guest();
    let certificates = Certificates::make();
    let config = format!(
        "{CONFIG}[management.tls]\ncert_file = {:?}\nkey_file = {:?}\n",
        certificates.server.certificate, certificates.server.key
    );
    let host = app.launch_with(&config).start().await;
    let (url, token) = door(&host);
    assert!(url.starts_with("https://"), "{url}");
    // On this machine it is found as ever.
    let fleet = host.operator().run(&["ps"]).await;
    let ps = |extra: &[&str], token: &str| {
        let mut command = Command::new(paths::host());
        command
            .args(["ps", "--output", "json", "--host", &url])
            .args(extra)
            .env("STARLING_TOKEN", token);
        async move { command.output().await.expect("the command runs") }
    };
    let ca = certificates.authority.to_str().unwrap().to_owned();
    let with_ca = ["--ca", ca.as_str()];
    let known = ps(&with_ca, &token).await;
    let stderr = String::from_utf8_lossy(&known.stderr).into_owned();
    assert!(known.status.success(), "{stderr}");
    let seen: serde_json::Value = serde_json::from_slice(&known.stdout).unwrap();
    assert_eq!(seen["host"], fleet["host"]);
    let stranger = ps(&[], &token).await;
    assert!(!stranger.status.success());
    let told = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(told.contains("--ca") && !told.contains(&token), "{told}");
    let wrong = ps(&with_ca, "wrong").await;
    assert!(!wrong.status.success());
}
