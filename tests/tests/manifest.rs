//! spin.toml: what it says happens, and what cannot happen is refused by name.

use starling_tests::app::{App, guest_manifest};
use starling_tests::client::Call;
use starling_tests::paths;

/// Serves the manifest's refusal: `from` in a good manifest is replaced by `to`, and the message names `culprits`.
async fn refused(from: &str, to: &str, culprits: &[&str]) {
    let good = guest_manifest("/...");
    assert!(good.contains(from), "{from:?} is not in {good}");
    let app = App::new(&good.replacen(from, to, 1));
    app.launch().refused().await.names(culprits);
}

// === Routes ===

#[tokio::test]
async fn address_and_routes_are_printed_as_spin_prints_them() {
    let app = App::guest();
    let host = app.launch().start().await;
    let url = host.url("");
    let listing = format!("Serving {url}\nAvailable Routes:\n  guest: {url} (wildcard)\n");
    host.printed(&listing).await;
}

#[tokio::test]
async fn exact_route_wins_over_wildcard_and_longer_over_shorter() {
    let source = paths::component("test_guest.wasm").display().to_string();
    let component = |id: &str, route: &str| {
        format!(
            "[[trigger.http]]\nroute = {route:?}\ncomponent = {id:?}\n\
             [component.{id}]\nsource = {source:?}\nenvironment = {{ WHO = {id:?} }}\n"
        )
    };
    // The order in the manifest does not matter: the widest comes first.
    let routes = [
        ("widest", "/..."),
        ("wide", "/env/..."),
        ("narrow", "/env/narrow/..."),
        ("exact", "/env"),
    ];
    let components: String = routes.map(|(id, route)| component(id, route)).concat();
    let app = App::new(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"routes\"\n{components}"
    ));
    let host = app.launch().start().await;
    let check = async |path: &str, expected: &str| {
        // The tests' component looks at the whole path, so only /env tells its environment; /echo tells the route.
        let echo = Call::get(path).send(&host).await;
        let told = echo.text();
        assert!(told.contains(expected), "{path}: {told}");
    };
    check("/env", "\"WHO\":\"exact\"").await;
    check("/echo", "\"/...\"").await;
    check("/hello", "hello").await;
    for path in ["/env/a", "/env/narrow", "/env/narrow/b"] {
        check(path, "the test guest knows no").await;
    }
}

#[tokio::test]
async fn path_without_a_route_is_not_found() {
    let app = App::new(&guest_manifest("/hello"));
    let host = app.launch().start().await;
    assert_eq!(Call::get("/hello").send(&host).await.text(), "hello\n");
    for path in ["/", "/hello/more", "/other"] {
        Call::get(path).send(&host).await.problem(404);
    }
}

#[tokio::test]
async fn private_route_is_not_served() {
    let manifest = guest_manifest("/...").replace("route = \"/...\"", "route = \"/hello\"");
    let app = App::new(&format!(
        "{manifest}\n[[trigger.http]]\nroute = {{ private = true }}\ncomponent = \"inside\"\n\
         [component.inside]\nsource = {:?}\n",
        paths::component("test_guest.wasm").display().to_string()
    ));
    let host = app.launch().start().await;
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
    assert!(!host.stdout().contains("inside"), "{}", host.stdout());
    Call::get("/env").send(&host).await.problem(404);
}

#[tokio::test]
async fn two_components_cannot_have_one_route() {
    let manifest = guest_manifest("/same");
    let app = App::new(&format!(
        "{manifest}\n[[trigger.http]]\nroute = \"/same\"\ncomponent = \"guest\"\n"
    ));
    app.launch().refused().await.names(&["/same"]);
}

// === What is refused ===

#[tokio::test]
async fn manifest_that_is_no_toml_is_refused_with_the_line() {
    let app = App::new("spin_manifest_version = 2\n[application\nname = \"x\"\n");
    app.launch().refused().await.names(&["spin.toml", "line 2"]);
}

#[tokio::test]
async fn manifest_of_another_version_is_refused() {
    refused(
        "spin_manifest_version = 2",
        "spin_manifest_version = 1",
        &["spin_manifest_version", "1"],
    )
    .await;
}

#[tokio::test]
async fn missing_manifest_is_refused_with_its_path() {
    let app = App::guest();
    std::fs::remove_file(app.path("spin.toml")).unwrap();
    app.launch().refused().await.names(&["spin.toml", "-f"]);
}

#[tokio::test]
async fn unknown_keys_are_refused_by_name() {
    refused(
        "name = \"tests\"",
        "name = \"tests\"\ncolour = \"red\"",
        &["colour"],
    )
    .await;
    refused("route = ", "timeout = 3\nroute = ", &["timeout"]).await;
    refused(
        "[component.guest]",
        "[component.guest]\nreplicas = 3",
        &["replicas"],
    )
    .await;
    refused("[application]", "[surprise]\n[application]", &["surprise"]).await;
}

#[tokio::test]
async fn keys_that_would_change_behaviour_and_are_not_supported_are_refused_by_name() {
    for (settings, culprit) in [
        ("files = [\"static/*\"]", "component.guest.files"),
        (
            "sqlite_databases = [\"default\"]",
            "component.guest.sqlite_databases",
        ),
        ("ai_models = [\"llama\"]", "component.guest.ai_models"),
        (
            "allowed_http_hosts = [\"example.com\"]",
            "component.guest.allowed_http_hosts",
        ),
    ] {
        refused(
            "[component.guest]",
            &format!("[component.guest]\n{settings}"),
            &[culprit],
        )
        .await;
    }
    refused(
        "[[trigger.http]]",
        "[[trigger.redis]]\nchannel = \"a\"\ncomponent = \"guest\"\n[[trigger.http]]",
        &["trigger.redis"],
    )
    .await;
}

#[tokio::test]
async fn trigger_of_a_component_that_is_not_there_is_refused() {
    refused("component = \"guest\"", "component = \"ghost\"", &["ghost"]).await;
}

#[tokio::test]
async fn route_that_is_none_is_refused() {
    for route in ["hello", "/a/.../b", ""] {
        refused("route = \"/...\"", &format!("route = {route:?}"), &[route]).await;
    }
}

#[tokio::test]
async fn required_variable_without_a_value_is_refused_with_how_to_set_it() {
    let manifest = format!(
        "{}\n[variables]\napi_key = {{ required = true, secret = true }}\n",
        guest_manifest("/...")
    );
    let app = App::new(&manifest);
    app.launch()
        .refused()
        .await
        .names(&["api_key", "SPIN_VARIABLE_API_KEY"]);
    let host = app
        .launch()
        .env("SPIN_VARIABLE_API_KEY", "sesame")
        .start()
        .await;
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
    assert!(!host.stderr().contains("sesame"), "a secret is logged");
}

#[tokio::test]
async fn template_of_an_unknown_variable_is_refused() {
    let app = App::guest_with("variables = { a = \"{{ nobody }}\" }");
    app.launch().refused().await.names(&["guest", "nobody"]);
}

#[tokio::test]
async fn outbound_host_that_is_none_is_refused() {
    for wrong in ["example.com", "http://", "http://example.com:99999"] {
        let app = App::guest_with(&format!("allowed_outbound_hosts = [{wrong:?}]"));
        app.launch().refused().await.names(&["guest", wrong]);
    }
}

#[tokio::test]
async fn secret_in_a_wrong_outbound_host_is_not_told() {
    let manifest = format!(
        "{}\nallowed_outbound_hosts = [\"https://{{{{ token }}}}\"]\n\
         [variables]\ntoken = {{ required = true, secret = true }}\n",
        guest_manifest("/...")
    );
    let refusal = App::new(&manifest)
        .launch()
        .env("SPIN_VARIABLE_TOKEN", "sesame x/y")
        .refused()
        .await;
    refusal.names(&["guest", "{{ token }}"]);
    assert!(!refusal.stderr.contains("sesame"), "{}", refusal.stderr);
}

#[tokio::test]
async fn store_label_that_is_a_path_is_refused() {
    for label in ["../up", "/tmp/elsewhere"] {
        let app = App::guest_with(&format!("key_value_stores = [{label:?}]"));
        app.launch().refused().await.names(&[label]);
    }
}
