//! Artifacts for a registry, by as much of the distribution's protocol as pushing takes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::RegistryServer;

/// The media type of a manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl RegistryServer {
    /// Pushes a component as `wkg oci push` does: one layer of WebAssembly. `annotations` are of the manifest, an object
    /// of strings. Returns the reference: `127.0.0.1:<port>/<repository>:<tag>`.
    ///
    /// # Panics
    ///
    /// Where the registry takes it not.
    pub async fn push_component(
        &self,
        repository: &str,
        tag: &str,
        component: &[u8],
        annotations: Value,
    ) -> String {
        let config = json!({
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [digest(component)],
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self
                .push_blob(repository, "application/vnd.wasm.config.v0+json", config.as_bytes())
                .await,
            "layers": [self.push_blob(repository, "application/wasm", component).await],
            "annotations": annotations,
        });
        self.push_manifest(repository, tag, &manifest).await
    }

    /// Pushes bytes, and returns their descriptor for a manifest.
    ///
    /// # Panics
    ///
    /// Where the registry takes them not.
    pub async fn push_blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Value {
        let begin = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.request("POST", &begin, media_type, &[]).await;
        let location = begun
            .lines()
            .find_map(|line| line.strip_prefix("Location: "))
            .unwrap_or_else(|| panic!("an upload has a place: {begun}"));
        let base = format!("http://{}", self.address());
        let path = location.strip_prefix(&base).unwrap_or(location).trim_end();
        let separator = if path.contains('?') { '&' } else { '?' };
        let end = format!("{path}{separator}digest={}", digest(bytes));
        self.request("PUT", &end, "application/octet-stream", bytes)
            .await;
        json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
    }

    /// Pushes a manifest whose blobs are there. Returns the reference.
    ///
    /// # Panics
    ///
    /// Where the registry takes it not.
    pub async fn push_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let media_type = manifest["mediaType"].as_str().unwrap_or(MANIFEST);
        self.request("PUT", &path, media_type, manifest.to_string().as_bytes())
            .await;
        format!("{}/{repository}:{tag}", self.address())
    }

    /// Asks for something that must succeed, and returns the head of the answer.
    async fn request(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> String {
        let credentials = STANDARD.encode(format!("{}:{}", Self::USER, Self::PASSWORD));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\n\
             Content-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address(),
            body.len()
        );
        let ask = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = ask
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 20"),
            "{method} {path}: {answer}"
        );
        answer
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex_digest(bytes))
}

/// The digits of a digest.
pub(super) fn hex_digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
