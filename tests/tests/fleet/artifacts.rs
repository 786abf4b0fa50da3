//! What is deployed: from files and registries, and only what the hosts' keys have signed and their world allows.

use std::path::Path;

use serde_json::json;
use starling_test_servers::RegistryServer;
use starling_tests::app::App;
use starling_tests::host::Host;
use starling_tests::operator::Operator;
use starling_tests::versions::{annotated, guest};

use super::{Artifact, all_serve, at_once, eventually, first_version};

/// A host that runs what one key has signed.
struct Signed {
    host: Host,
    app: App,
}

impl Signed {
    async fn start() -> Self {
        let app = App::managed_guest();
        Operator::at(&app.path("state"))
            .sign(&["--new-key", path(&app.path("deploy.pem"))])
            .await;
        let config = format!(
            "[management]\ninterval_ms = 250\n[signatures]\nkeys = [{:?}]\n",
            app.path("deploy.pem.pub")
        );
        let host = app.launch_with(&config).start().await;
        eventually(&host.operator(), "it knows itself", |fleet| {
            fleet["hosts"].as_array().map(Vec::len) == Some(1)
        })
        .await;
        Self { host, app }
    }

    /// Signs a file with the key that the host trusts, or another.
    async fn sign(&self, artifact: &Artifact, key: &str) {
        let (operator, key) = (self.host.operator(), self.app.path(key));
        if !key.exists() {
            operator.sign(&["--new-key", path(&key)]).await;
        }
        operator.sign(&[artifact.path(), "--key", path(&key)]).await;
    }

    /// Deploys a file that must be refused: the message names `culprit`, and nothing has changed.
    async fn refuses(&self, artifact: &str, culprit: &str) {
        let operator = self.host.operator();
        let before = first_version(&operator, "guest").await;
        let failed = operator.refused(&["deploy", "guest", artifact]).await;
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        let told = failed
            .stderr
            .lines()
            .any(|line| line.starts_with("error: "));
        assert!(told && failed.stderr.contains(culprit), "{}", failed.stderr);
        assert!(!failed.stderr.contains("panicked"), "{}", failed.stderr);
        assert_eq!(first_version(&operator, "guest").await, before);
        let rollouts = operator.run(&["rollout", "status"]).await;
        assert_eq!(rollouts["rollouts"].as_array().map(Vec::len), Some(0));
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[tokio::test]
async fn what_a_trusted_key_has_signed_is_deployed_and_nothing_else() {
    let signed = Signed::start().await;
    let version = Artifact::new(&annotated(guest(), "next"));
    signed.refuses(version.path(), "unsigned").await;

    signed.sign(&version, "other.pem").await;
    signed.refuses(version.path(), "wrong-signature").await;

    signed.sign(&version, "deploy.pem").await;
    let tampered = Artifact::new(&annotated(guest(), "evil"));
    std::fs::copy(
        format!("{}.sig", version.path()),
        format!("{}.sig", tampered.path()),
    )
    .unwrap();
    signed.refuses(tampered.path(), "wrong-signature").await;

    let operator = signed.host.operator();
    let words = at_once("guest", version.path());
    let rollout = operator.run(&words).await;
    assert_eq!(rollout["state"], "done");
    let digest = rollout["digest"].as_str().unwrap();
    eventually(&operator, "the new version serves", |fleet| {
        all_serve(fleet, "guest", digest)
    })
    .await;
}

#[tokio::test]
async fn what_is_no_application_component_is_refused_by_name() {
    let signed = Signed::start().await;
    let module = wat::parse_str("(module)").unwrap();
    let managing =
        wat::parse_str(r#"(component (import "starling:management/host@0.1.0" (instance)))"#)
            .unwrap();
    let silent = wat::parse_str("(component)").unwrap();
    let strange = wat::parse_str(
        r#"(component (import "other:world/thing" (instance (export "f" (func)))))"#,
    )
    .unwrap();
    for (bytes, culprit) in [
        (b"not WebAssembly".to_vec(), "not-webassembly"),
        (module, "core-module"),
        (managing, "starling:management/host@0.1.0"),
        (silent, "no-handler"),
        (strange, "other:world/thing"),
    ] {
        let artifact = Artifact::new(&bytes);
        signed.sign(&artifact, "deploy.pem").await;
        signed.refuses(artifact.path(), culprit).await;
    }
    let good = Artifact::new(&annotated(guest(), "next"));
    let words = ["deploy", "nothing", good.path()];
    let failed = signed.host.operator().refused(&words).await;
    assert!(failed.stderr.contains("nothing"), "{}", failed.stderr);
}

#[tokio::test]
async fn an_application_that_would_manage_its_host_does_not_start() {
    let app = App::new("");
    let managing = app.write(
        "managing.wasm",
        wat::parse_str(r#"(component (import "starling:management/traffic@0.1.0" (instance)))"#)
            .unwrap(),
    );
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"tests\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"managing\"\n\
         [component.managing]\nsource = {managing:?}\n"
    );
    app.write("spin.toml", manifest);
    let refusal = app.launch().refused().await;
    refusal.names(&["managing", "starling:management/traffic@0.1.0"]);
}

#[tokio::test]
async fn an_application_that_would_read_what_the_fleet_knows_does_not_start() {
    let app = App::managed_guest();
    let manifest = std::fs::read_to_string(app.path("spin.toml")).unwrap();
    app.write("spin.toml", manifest.replace("\"default\"", "\"fleet\""));
    let refusal = app.launch().refused().await;
    refusal.names(&["`fleet`", "another label"]);
}

#[tokio::test]
async fn a_component_is_deployed_from_a_registry() {
    let signed = Signed::start().await;
    let registry = RegistryServer::start().await;
    let bytes = annotated(guest(), "pushed");
    let artifact = Artifact::new(&bytes);
    signed.sign(&artifact, "deploy.pem").await;
    let signature = std::fs::read_to_string(format!("{}.sig", artifact.path())).unwrap();
    let reference = registry
        .push_component(
            "team/guest",
            "1.0",
            &bytes,
            json!({"io.starling.signature": signature.trim()}),
        )
        .await;
    let unsigned = registry
        .push_component("team/guest", "0.9", &bytes, json!({}))
        .await;
    signed.refuses(&unsigned, "unsigned").await;

    let operator = signed.host.operator();
    let words = at_once("guest", &reference);
    assert_eq!(operator.run(&words).await["state"], "done");
}
