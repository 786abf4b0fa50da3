//! Passwords of registries, as `docker login`, `oras login` and the like keep them in Docker's configuration file.
//!
//! Those that a program keeps (`credsStore`, `credHelpers`) are not asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;
use thiserror::Error;

/// Docker's configuration file, as far as it is used.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

/// What it has for a registry. No `Debug`: all of it is secret.
#[derive(Default, Deserialize)]
struct Login {
    /// The base64 of `user:password`.
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    /// A bearer token.
    #[serde(default)]
    registrytoken: String,
}

/// Why the passwords cannot be used. It never quotes them.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("{}, which may have a password for the registry, cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what Docker writes.
    #[error("{} is not a configuration file of Docker; mend or move it", .0.display())]
    Malformed(PathBuf),
    /// What it has for a registry is not what Docker writes.
    #[error("{} has a password for {registry} that cannot be read; log in to the registry again", path.display())]
    Login {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
}

/// Where Docker has its configuration: `config.json` in `$DOCKER_CONFIG`, else in `~/.docker`. `environment` looks up one
/// environment variable.
pub(super) fn docker_config(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| environment(name).filter(|text| !text.is_empty());
    let folder = match folder("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&folder("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// Who to be at `registry`, by the file at `path`. Nobody, if it has nothing for that registry, or is not there.
pub(super) fn find(registry: &str, path: &Path) -> Result<RegistryAuth, CredentialsError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(RegistryAuth::Anonymous);
        }
        Err(source) => {
            let path = path.to_owned();
            return Err(CredentialsError::Io { path, source });
        }
    };
    // What is wrong stays unsaid: it might quote a password.
    let config: Config =
        serde_json::from_slice(&text).map_err(|_| CredentialsError::Malformed(path.to_owned()))?;
    let login = config
        .auths
        .into_iter()
        .find(|(name, _)| host(name) == registry)
        .map(|(_, login)| login)
        .unwrap_or_default();
    login.into_auth().ok_or_else(|| CredentialsError::Login {
        path: path.to_owned(),
        registry: registry.to_owned(),
    })
}

/// The registry that a name of `auths` is about. Some programs write a URL: `https://registry.example/v1/`.
fn host(name: &str) -> &str {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    name.split('/').next().unwrap_or(name)
}

impl Login {
    /// None, if it cannot be read.
    fn into_auth(self) -> Option<RegistryAuth> {
        if !self.registrytoken.is_empty() {
            return Some(RegistryAuth::Bearer(self.registrytoken));
        }
        if !self.auth.is_empty() {
            let text = STANDARD.decode(self.auth).ok()?;
            let text = String::from_utf8(text).ok()?;
            let (user, password) = text.split_once(':')?;
            // Docker ends some passwords with a NUL.
            let password = password.trim_end_matches('\0');
            return Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()));
        }
        if self.username.is_empty() {
            return Some(RegistryAuth::Anonymous);
        }
        Some(RegistryAuth::Basic(self.username, self.password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, registry: &str, expected: RegistryAuth) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, config).unwrap();
        let found = find(registry, &path).unwrap();
        assert!(found == expected, "{config}: {found:?}");
    }

    fn basic(user: &str, password: &str) -> RegistryAuth {
        RegistryAuth::Basic(user.to_owned(), password.to_owned())
    }

    #[test]
    fn a_login_is_found_by_the_registrys_name() {
        // `anna:s3:cret`
        let config = r#"{ "auths": { "registry.example:5000": { "auth": "YW5uYTpzMzpjcmV0" },
            "https://other.example/v1/": { "username": "bert", "password": "pass" },
            "token.example": { "registrytoken": "t" }, "kept.example": {} }, "credsStore": "desktop" }"#;
        check(config, "registry.example:5000", basic("anna", "s3:cret"));
        check(config, "other.example", basic("bert", "pass"));
        check(
            config,
            "token.example",
            RegistryAuth::Bearer("t".to_owned()),
        );
        check(config, "kept.example", RegistryAuth::Anonymous);
        check(config, "registry.example", RegistryAuth::Anonymous);
        check("{}", "registry.example", RegistryAuth::Anonymous);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let found = find("registry.example", &path).unwrap();
        assert!(found == RegistryAuth::Anonymous);
        for config in [
            r#"{ "auths": { "registry.example": "s3cret" } }"#,
            r#"{ "auths": { "registry.example": { "auth": "s3cret" } } }"#,
        ] {
            fs::write(&path, config).unwrap();
            let error = find("registry.example", &path).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains("config.json"), "{told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn the_file_is_where_docker_has_it() {
        let check = |set: &[(&str, &str)], expected: Option<&str>| {
            let path = docker_config(|name| {
                let (_, value) = set.iter().find(|(set, _)| *set == name)?;
                Some(value.into())
            });
            assert_eq!(path, expected.map(PathBuf::from));
        };
        check(
            &[("DOCKER_CONFIG", "/etc/docker"), ("HOME", "/users/anna")],
            Some("/etc/docker/config.json"),
        );
        check(
            &[("DOCKER_CONFIG", ""), ("HOME", "/users/anna")],
            Some("/users/anna/.docker/config.json"),
        );
        check(&[], None);
    }
}
