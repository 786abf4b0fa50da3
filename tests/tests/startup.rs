//! Starting: what is missing, damaged or taken is said clearly, and a compiled component is used only where it can be
//! trusted.

use std::path::{Path, PathBuf};

use starling_tests::app::{App, guest_manifest};
use starling_tests::client::Call;
use starling_tests::paths;
use tokio::net::TcpListener;

/// An application whose component is the file `component.wasm` beside the manifest.
fn app_of(component: &[u8]) -> App {
    let built = paths::component("test_guest.wasm").display().to_string();
    let app = App::new(&guest_manifest("/...").replace(&built, "component.wasm"));
    app.write("component.wasm", component);
    app
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is WebAssembly")
}

/// What happens to the bytes of a file.
type Damage = fn(&[u8]) -> Vec<u8>;

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

// === Components ===

#[tokio::test]
async fn missing_component_is_named() {
    let app = app_of(b"");
    std::fs::remove_file(app.path("component.wasm")).unwrap();
    app.launch()
        .refused()
        .await
        .names(&["guest", "component.wasm"]);
}

#[tokio::test]
async fn core_module_is_told_from_a_component() {
    let app = app_of(&wat("(module)"));
    app.launch()
        .refused()
        .await
        .names(&["guest", "component.wasm", "module"]);
}

#[tokio::test]
async fn file_that_is_no_webassembly_is_refused() {
    for junk in [
        &b""[..],
        b"#!/bin/sh\necho hello\n",
        b"\0asm",
        b"\0asm\x0d\0\x01\0junk",
    ] {
        let app = app_of(junk);
        app.launch()
            .refused()
            .await
            .names(&["guest", "component.wasm"]);
    }
}

#[tokio::test]
async fn truncated_component_is_refused() {
    let whole = std::fs::read(paths::component("test_guest.wasm")).unwrap();
    let app = app_of(&whole[..whole.len() / 2]);
    app.launch()
        .refused()
        .await
        .names(&["guest", "component.wasm"]);
}

#[tokio::test]
async fn import_that_nobody_offers_is_named() {
    let component = r#"(component
        (import "nobody:offers/this@1.2.3" (instance (export "do-it" (func)))))"#;
    let app = app_of(&wat(component));
    app.launch()
        .refused()
        .await
        .names(&["guest", "nobody:offers/this@1.2.3"]);
}

#[tokio::test]
async fn component_that_handles_no_requests_is_refused() {
    let app = app_of(&wat("(component)"));
    app.launch()
        .refused()
        .await
        .names(&["guest", "wasi:http/handler"]);
}

// === The cache of compiled components ===

#[tokio::test]
async fn compiled_component_is_kept_and_a_damaged_one_is_compiled_again() {
    let app = App::guest();
    let host = app.launch().start().await;
    assert_eq!(Call::get("/hello").send(&host).await.text(), "hello\n");
    let launch = host.stop().await;
    let cache = app.path("state/cache");
    let kept: Vec<_> = files(&cache)
        .into_iter()
        .map(|path| (std::fs::read(&path).unwrap(), path))
        .collect();
    assert!(!kept.is_empty(), "nothing is kept in {}", cache.display());

    let damages: [Damage; 4] = [
        |_| Vec::new(),
        |_| b"not compiled code at all".to_vec(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xFF;
            bytes
        },
    ];
    let mut launch = launch;
    for damage in damages {
        for (bytes, path) in &kept {
            std::fs::write(path, damage(bytes)).unwrap();
        }
        let host = launch.start().await;
        assert_eq!(Call::get("/hello").send(&host).await.text(), "hello\n");
        launch = host.stop().await;
        for (bytes, path) in &kept {
            assert!(
                std::fs::read(path).unwrap() == *bytes,
                "the damaged entry is replaced by the right one"
            );
        }
    }
}

#[tokio::test]
async fn component_that_changed_is_not_served_from_the_cache() {
    let app = app_of(&std::fs::read(paths::component("test_guest.wasm")).unwrap());
    let host = app.launch().start().await;
    let launch = host.stop().await;
    app.write("component.wasm", wat("(component)"));
    launch.refused().await.names(&["wasi:http/handler"]);
}

// === Ports, directories, configuration ===

#[tokio::test]
async fn port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let app = App::guest();
    app.launch()
        .listen(&address)
        .refused()
        .await
        .names(&[&address]);
}

#[tokio::test]
async fn second_host_on_a_state_directory_is_refused_and_the_first_goes_on() {
    let app = App::guest();
    let host = app.launch().start().await;
    let pid = host.pid().as_raw_nonzero().to_string();
    app.launch()
        .refused()
        .await
        .names(&["state", &pid, "--state-dir"]);
    Call::put("/kv/default/a")
        .body("still mine")
        .send(&host)
        .await
        .expect(200);
    assert_eq!(
        Call::get("/kv/default/a").send(&host).await.text(),
        "still mine"
    );
}

#[tokio::test]
async fn lock_of_a_killed_host_holds_nobody_up() {
    let app = App::guest();
    let host = app.launch().start().await.kill().await.start().await;
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
}

#[tokio::test]
async fn runtime_configuration_with_an_unknown_key_is_refused_by_name() {
    let app = App::guest();
    for (config, culprit) in [
        ("[limits]\nrequest_timeout = 5\n", "request_timeout"),
        ("[limit]\n", "limit"),
        (
            "[key_value_store.default]\ntype = \"cassandra\"\n",
            "cassandra",
        ),
        (
            "[limits]\nrequest_timeout_ms = \"5 s\"\n",
            "request_timeout_ms",
        ),
        ("[limits\n", "edge.toml"),
    ] {
        app.launch_with(config)
            .refused()
            .await
            .names(&["edge.toml", culprit]);
    }
    let missing = app.path("nothing.toml");
    app.launch()
        .runtime_config(missing)
        .refused()
        .await
        .names(&["nothing.toml"]);
}

#[tokio::test]
async fn example_configuration_is_taken_as_it_is() {
    let app = App::guest();
    let host = app
        .launch()
        .runtime_config(paths::root().join("edge.toml"))
        .start()
        .await;
    assert_eq!(Call::get("/hello").send(&host).await.status, 200);
}

#[tokio::test]
async fn wrong_usage_exits_with_2_and_explains() {
    let app = App::guest();
    for wrong in ["--lisen=127.0.0.1:0", "--log-format=xml", "stray"] {
        let refusal = app.launch().arg(wrong).refused().await;
        assert_eq!(refusal.code, Some(2), "{wrong}\n{}", refusal.stderr);
        assert!(refusal.stderr.contains("error:"), "{}", refusal.stderr);
    }
}
