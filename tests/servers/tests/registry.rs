//! docker-registry starts, dies, comes back and forgets as a test tells it to, and keeps what is pushed to it.

use serde_json::json;
use starling_test_servers::RegistryServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The answer to one question, in full. A manifest is only shown to those who say that they know its kind.
async fn get(server: &RegistryServer, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\n\
         Connection: close\r\n\r\n",
        server.address()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn status(server: &RegistryServer, path: &str) -> String {
    let answer = get(server, path).await;
    answer["HTTP/1.1 ".len()..][..3].to_owned()
}

const MANIFEST: &str = "/v2/team/voicemail/manifests/1.0";

#[tokio::test]
async fn a_component_that_is_pushed_can_be_pulled() {
    let server = RegistryServer::start().await;
    let annotations = json!({ "key": "value" });
    let reference = server
        .push_component("team/voicemail", "1.0", b"the component", annotations)
        .await;
    let address = server.address();
    assert_eq!(reference, format!("{address}/team/voicemail:1.0"));
    let manifest = get(&server, MANIFEST).await;
    let (_, manifest) = manifest.split_once("\r\n\r\n").unwrap();
    let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap();
    assert_eq!(manifest["annotations"]["key"], "value");
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/wasm");
    let digest = layer["digest"].as_str().unwrap();
    let blob = get(&server, &format!("/v2/team/voicemail/blobs/{digest}")).await;
    assert!(blob.ends_with("\r\n\r\nthe component"), "{blob}");
}

#[tokio::test]
async fn a_restart_keeps_address_and_data_and_a_wipe_the_address_alone() {
    let server = RegistryServer::start().await;
    let address = server.address();
    server
        .push_component("team/voicemail", "1.0", b"the component", json!({}))
        .await;
    server.kill();
    assert!(!server.is_up());
    assert!(TcpStream::connect(address).await.is_err());
    server.restart().await;
    assert_eq!(server.address(), address);
    assert_eq!(status(&server, MANIFEST).await, "200");
    server.stop();
    server.wipe();
    server.restart().await;
    assert_eq!(server.address(), address);
    assert_eq!(status(&server, MANIFEST).await, "404");
}

#[tokio::test]
async fn a_protected_registry_lets_its_user_in_alone() {
    let server = RegistryServer::options().protected().start().await;
    assert_eq!(status(&server, "/v2/").await, "401");
    server
        .push_component("team/voicemail", "1.0", b"the component", json!({}))
        .await;
    assert_eq!(status(&server, MANIFEST).await, "401");
}

/// Servers that start together do not take each other's ports.
#[tokio::test]
async fn many_start_at_once() {
    let start = || tokio::spawn(RegistryServer::start());
    let starting: Vec<_> = std::iter::repeat_with(start).take(4).collect();
    for server in starting {
        assert_eq!(status(&server.await.unwrap(), "/v2/").await, "200");
    }
}
