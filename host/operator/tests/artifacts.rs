//! Artifacts from files, and from a registry as `wkg oci push` puts them there.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use starling_operator::Digest;
use starling_operator::artifact::{
    Artifact, ArtifactError, BYTES_MAX, ReadError, ReadOptions, RegistryError, SIGNATURE_ANNOTATION,
};
use starling_operator::signing::Signature;
use starling_test_servers::RegistryServer;

const COMPONENT: &[u8] = b"the component";

/// A signature that is told from others by a byte. Whether it is right is for the hosts to say.
fn signature(byte: u8) -> Signature {
    STANDARD.encode([byte; 64]).parse().unwrap()
}

/// Options of somebody who has logged in nowhere.
fn options() -> ReadOptions {
    ReadOptions {
        signature: None,
        docker_config: None,
    }
}

async fn read(source: &str, options: &ReadOptions) -> Result<Artifact, ArtifactError> {
    Artifact::read(&source.parse().unwrap(), options).await
}

async fn refusal(source: &str, options: &ReadOptions) -> RegistryError {
    match read(source, options).await {
        Err(ArtifactError::Registry(error)) => error,
        other => panic!("{other:?}"),
    }
}

// === Files ===

fn file(folder: &Path) -> (PathBuf, String) {
    let path = folder.join("voicemail.wasm");
    fs::write(&path, COMPONENT).unwrap();
    let source = path.to_str().unwrap().to_owned();
    (path, source)
}

#[tokio::test]
async fn a_files_signature_is_beside_it_or_where_it_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let (_, source) = file(folder.path());
    let artifact = read(&source, &options()).await.unwrap();
    assert_eq!(artifact.bytes, COMPONENT);
    assert_eq!(artifact.digest, Digest::of(COMPONENT));
    assert_eq!(artifact.signature, None);

    // Broken into lines, as `base64` breaks it.
    let (head, rest) = (signature(1).to_string(), signature(1).to_string());
    let broken = format!("{}\n{}\n", &head[..76], &rest[76..]);
    fs::write(folder.path().join("voicemail.wasm.sig"), broken).unwrap();
    let artifact = read(&source, &options()).await.unwrap();
    assert_eq!(artifact.signature, Some(signature(1)));

    let named = folder.path().join("named");
    fs::write(&named, signature(2).to_string()).unwrap();
    let options = ReadOptions {
        signature: Some(named),
        ..options()
    };
    let artifact = read(&source, &options).await.unwrap();
    assert_eq!(artifact.signature, Some(signature(2)));
}

#[tokio::test]
async fn what_is_no_signature_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_, source) = file(folder.path());
    fs::write(folder.path().join("voicemail.wasm.sig"), "none").unwrap();
    let error = read(&source, &options()).await.unwrap_err();
    assert!(error.to_string().contains("voicemail.wasm.sig"), "{error}");
    assert!(matches!(error, ArtifactError::Signature { .. }));
}

#[tokio::test]
async fn files_that_are_missing_or_too_long_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, source) = file(folder.path());
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(BYTES_MAX + 1))
        .unwrap();
    let error = read(&source, &options()).await.unwrap_err();
    assert!(
        matches!(&error, ArtifactError::Read(ReadError::TooLarge { path: named, .. }) if *named == path)
    );
    fs::remove_file(&path).unwrap();
    let error = read(&source, &options()).await.unwrap_err();
    assert!(
        matches!(&error, ArtifactError::Read(ReadError::Io { path: named, .. }) if *named == path)
    );
}

// === Registries ===

#[tokio::test]
async fn a_component_is_pulled_by_tag_and_by_digest() {
    let registry = RegistryServer::start().await;
    let reference = registry
        .push_component("team/voicemail", "1.0", COMPONENT, json!({}))
        .await;
    let artifact = read(&reference, &options()).await.unwrap();
    assert_eq!(artifact.bytes, COMPONENT);
    assert_eq!(artifact.digest, Digest::of(COMPONENT));
    assert_eq!(artifact.signature, None);
    let prefixed = read(&format!("oci://{reference}"), &options()).await;
    assert_eq!(prefixed.unwrap().bytes, COMPONENT);
}

#[tokio::test]
async fn a_signature_is_an_annotation_of_the_manifest_or_the_layer_or_a_file() {
    let registry = RegistryServer::start().await;
    let annotations = json!({ SIGNATURE_ANNOTATION: signature(1).to_string() });
    let of_manifest = registry
        .push_component("voicemail", "1", COMPONENT, annotations.clone())
        .await;
    let artifact = read(&of_manifest, &options()).await.unwrap();
    assert_eq!(artifact.signature, Some(signature(1)));

    let mut layer = registry
        .push_blob("voicemail", "application/wasm", COMPONENT)
        .await;
    layer["annotations"] = annotations;
    let of_layer = push(&registry, &[layer]).await;
    let artifact = read(&of_layer, &options()).await.unwrap();
    assert_eq!(artifact.signature, Some(signature(1)));

    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("named");
    fs::write(&named, signature(2).to_string()).unwrap();
    let options = ReadOptions {
        signature: Some(named),
        ..options()
    };
    let artifact = read(&of_manifest, &options).await.unwrap();
    assert_eq!(artifact.signature, Some(signature(2)));
}

#[tokio::test]
async fn an_annotation_that_is_no_signature_is_not_passed_over() {
    let registry = RegistryServer::start().await;
    let annotations = json!({ SIGNATURE_ANNOTATION: "none" });
    let reference = registry
        .push_component("voicemail", "1", COMPONENT, annotations)
        .await;
    let error = read(&reference, &options()).await.unwrap_err();
    assert!(
        matches!(error, ArtifactError::Signature { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(SIGNATURE_ANNOTATION), "{error}");
}

/// Pushes a manifest with these layers.
async fn push(registry: &RegistryServer, layers: &[Value]) -> String {
    let config = registry
        .push_blob("voicemail", "application/vnd.oci.empty.v1+json", b"{}")
        .await;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": layers,
    });
    registry.push_manifest("voicemail", "2", &manifest).await
}

#[tokio::test]
async fn what_is_not_one_layer_of_webassembly_is_no_component() {
    let registry = RegistryServer::start().await;
    let wasm = registry
        .push_blob("voicemail", "application/wasm", COMPONENT)
        .await;
    let image = registry
        .push_blob("voicemail", "application/vnd.oci.image.layer.v1.tar", b"x")
        .await;
    for (layers, found) in [
        (vec![], "has 0 layers"),
        (vec![wasm.clone(), image.clone()], "has 2 layers"),
        (
            vec![image],
            "has a layer of `application/vnd.oci.image.layer.v1.tar`",
        ),
    ] {
        let reference = push(&registry, &layers).await;
        let error = refusal(&reference, &options()).await;
        assert!(error.to_string().contains(found), "{error}");
    }
    let mut long = wasm;
    long["size"] = (BYTES_MAX + 1).into();
    let reference = push(&registry, &[long]).await;
    let error = refusal(&reference, &options()).await;
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_not_taken() {
    let registry = RegistryServer::start().await;
    let reference = registry
        .push_component("voicemail", "1", COMPONENT, json!({}))
        .await;
    registry.corrupt_blob(COMPONENT);
    let error = refusal(&reference, &options()).await;
    assert!(
        matches!(error, RegistryError::DigestMismatch { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_the_registry_lacks_is_told() {
    let registry = RegistryServer::start().await;
    registry
        .push_component("voicemail", "1", COMPONENT, json!({}))
        .await;
    for name in ["voicemail:2", "voicemial:1"] {
        let error = refusal(&format!("{}/{name}", registry.address()), &options()).await;
        assert!(matches!(error, RegistryError::NotFound(_)), "{error:?}");
    }
    let reference = format!("{}/voicemail:1", registry.address());
    registry.stop();
    let error = refusal(&reference, &options()).await;
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_password_is_taken_from_dockers_configuration() {
    let registry = RegistryServer::options().protected().start().await;
    let reference = registry
        .push_component("voicemail", "1", COMPONENT, json!({}))
        .await;
    let error = refusal(&reference, &options()).await;
    assert!(matches!(error, RegistryError::Denied(_)), "{error:?}");

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let options = ReadOptions {
        docker_config: Some(config.clone()),
        ..options()
    };
    let log_in = |password: &str| {
        let auth = STANDARD.encode(format!("{}:{password}", RegistryServer::USER));
        let address = registry.address().to_string();
        let json = json!({ "auths": { address: { "auth": auth } } });
        fs::write(&config, json.to_string()).unwrap();
    };
    log_in("wr0ng");
    let error = refusal(&reference, &options).await;
    let told = format!("{error} {error:?}");
    assert!(matches!(error, RegistryError::Denied(_)), "{told}");
    assert!(!told.contains("wr0ng"), "{told}");
    log_in(RegistryServer::PASSWORD);
    let artifact = read(&reference, &options).await.unwrap();
    assert_eq!(artifact.bytes, COMPONENT);
}
