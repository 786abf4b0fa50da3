//! Artifacts from an OCI registry, as `wkg oci push` puts them there: a manifest with one layer, which is the component.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use thiserror::Error;

use super::BYTES_MAX;
use super::credentials::{self, CredentialsError};
use super::source::Image;
use crate::loopback::is_loopback;

/// The annotation, of the manifest or of its layer, that holds the component's signature in base64.
pub const SIGNATURE_ANNOTATION: &str = "io.starling.signature";

/// The media type of the layer. The manifest's config is not looked at: tools differ in it, and nothing depends on it.
const WASM: &str = "application/wasm";

/// How long a connection may take to be made, and the registry to send the next bytes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What a registry had.
pub(super) struct Pulled {
    pub(super) bytes: Bytes,
    /// The text of the annotation.
    pub(super) signature: Option<String>,
}

/// Why there is nothing from the registry.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// No such repository or tag.
    #[error("the registry has no {0}; look for a slip in its name or tag")]
    NotFound(String),
    /// It wants a password, or another.
    #[error(
        "the registry does not let this user pull {0}; log in to it, so that Docker's config.json has the password under \
         `auths` (passwords that a credential helper keeps are not asked for)"
    )]
    Denied(String),
    /// It does not answer.
    #[error("the registry of {image} does not answer; is its name right?")]
    Unreachable {
        /// What was to be pulled.
        image: String,
        /// What happened.
        source: Box<OciDistributionError>,
    },
    /// Something else.
    #[error(
        "{image} is no component: it {found}, and a component is one layer of `{WASM}`, as `wkg oci push` makes it"
    )]
    NotAComponent {
        /// What was to be pulled.
        image: String,
        /// What it is instead.
        found: String,
    },
    /// Longer than any component may be.
    #[error("{image} is longer than {BYTES_MAX} bytes")]
    TooLarge {
        /// What was to be pulled.
        image: String,
    },
    /// What came is not what its digest says.
    #[error(
        "the registry sent other bytes for {image} than its digest says; try again, and mistrust it if that repeats"
    )]
    DigestMismatch {
        /// What was to be pulled.
        image: String,
    },
    /// The password cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Anything else.
    #[error("{image} cannot be pulled")]
    Failed {
        /// What was to be pulled.
        image: String,
        /// What happened.
        source: Box<OciDistributionError>,
    },
}

/// Pulls an artifact. Registries of the loopback interface are spoken to in plain HTTP, all others by TLS.
pub(super) async fn pull(
    image: &Image,
    docker_config: Option<&Path>,
) -> Result<Pulled, RegistryError> {
    let failed = |error| failure(image, error);
    let registry = image.0.resolve_registry();
    let auth = match docker_config {
        Some(path) => credentials::find(registry, path)?,
        None => RegistryAuth::Anonymous,
    };
    let client = client(registry).map_err(failed)?;
    let (manifest, _) = client
        .pull_image_manifest(&image.0, &auth)
        .await
        .map_err(failed)?;
    let layer = component_layer(image, &manifest)?;
    let bytes = blob(&client, image, &layer.digest).await?;
    let annotation =
        |from: &Option<BTreeMap<String, String>>| from.as_ref()?.get(SIGNATURE_ANNOTATION).cloned();
    Ok(Pulled {
        bytes,
        signature: annotation(&manifest.annotations).or_else(|| annotation(&layer.annotations)),
    })
}

fn client(registry: &str) -> Result<Client, OciDistributionError> {
    // That client takes the process's default, and has no other way to be given one. An error: there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Registries are not named by IPv6 addresses: what follows a colon is a port.
    let host = registry.split(':').next().unwrap_or(registry);
    let plain = is_loopback(host).then(|| registry.to_owned());
    Client::try_from(ClientConfig {
        protocol: ClientProtocol::HttpsExcept(Vec::from_iter(plain)),
        // An index of images for several platforms is no component.
        platform_resolver: None,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("starling/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

/// The one layer that there must be.
fn component_layer<'m>(
    image: &Image,
    manifest: &'m OciImageManifest,
) -> Result<&'m OciDescriptor, RegistryError> {
    let image = || image.to_string();
    let found = match manifest.layers.as_slice() {
        [layer] if layer.media_type != WASM => format!("has a layer of `{}`", layer.media_type),
        [layer] if u64::try_from(layer.size).is_ok_and(|size| size > BYTES_MAX) => {
            return Err(RegistryError::TooLarge { image: image() });
        }
        [layer] => return Ok(layer),
        layers => format!("has {} layers", layers.len()),
    };
    let image = image();
    Err(RegistryError::NotAComponent { image, found })
}

/// The bytes of a digest. They are checked while they come.
async fn blob(client: &Client, image: &Image, digest: &str) -> Result<Bytes, RegistryError> {
    let mut stream = client
        .pull_blob_stream(&image.0, digest)
        .await
        .map_err(|error| failure(image, error))?;
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| failure(image, of_stream(error)))?;
        // Whatever the manifest says of its length.
        if (bytes.len() + part.len()) as u64 > BYTES_MAX {
            let image = image.to_string();
            return Err(RegistryError::TooLarge { image });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.into())
}

/// What was wrapped to come through a stream.
fn of_stream(error: io::Error) -> OciDistributionError {
    match error.downcast::<DigestError>() {
        Ok(mismatch) => mismatch.into(),
        Err(error) => error.into(),
    }
}

fn failure(image: &Image, error: OciDistributionError) -> RegistryError {
    use OciDistributionError as E;

    let name = image.to_string();
    match &error {
        E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => RegistryError::Denied(name),
        E::ServerError { code: 403, .. } => RegistryError::Denied(name),
        E::ServerError { code: 404, .. } => RegistryError::NotFound(name),
        E::RegistryError { envelope, .. } => {
            let is = |codes: &[OciErrorCode]| {
                let mut errors = envelope.errors.iter();
                errors.any(|error| codes.contains(&error.code))
            };
            if is(&[OciErrorCode::Denied, OciErrorCode::Unauthorized]) {
                RegistryError::Denied(name)
            } else if is(&[
                OciErrorCode::ManifestUnknown,
                OciErrorCode::NameUnknown,
                OciErrorCode::NotFound,
            ]) {
                RegistryError::NotFound(name)
            } else {
                let (image, source) = (name, Box::new(error));
                RegistryError::Failed { image, source }
            }
        }
        E::DigestError(DigestError::VerificationError { .. }) => {
            RegistryError::DigestMismatch { image: name }
        }
        E::ImageIndexParsingNoPlatformResolverError => RegistryError::NotAComponent {
            image: name,
            found: "is an index of images".to_owned(),
        },
        E::RequestError(request) if request.is_connect() || request.is_timeout() => {
            let (image, source) = (name, Box::new(error));
            RegistryError::Unreachable { image, source }
        }
        _ => {
            let (image, source) = (name, Box::new(error));
            RegistryError::Failed { image, source }
        }
    }
}
