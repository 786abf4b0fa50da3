//! What an operator may say about a store on Redis.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::OpenError;

/// The configuration of a [`RedisStore`](crate::RedisStore).
///
/// As read from a configuration file, only `address` must be given and an unknown key is an error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server, as `host:port`; an IPv6 address in brackets.
    pub address: String,

    /// What the names of all keys in the server begin with, so that stores can share one. Letters, digits, `-`, `_` and
    /// `.`. Default `starling`.
    #[serde(default = "namespace")]
    pub namespace: String,

    /// The number of the database. Default 0.
    #[serde(default)]
    pub database: u32,

    /// The user, where the server has users beside the default one.
    #[serde(default)]
    pub username: Option<String>,

    /// The user's password.
    #[serde(default)]
    pub password: Option<Password>,

    /// Encrypts the connection, and checks who the server is. Without this, neither.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

/// How to encrypt, and whom to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The authorities that may have signed the server's certificate, as a PEM file. Default: those that browsers trust.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,

    /// The certificate that this host shows, with those between it and the authority, as a PEM file. With
    /// [`key_file`](Self::key_file) alone.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,

    /// The certificate's key, as a PEM file.
    #[serde(default)]
    pub key_file: Option<PathBuf>,

    /// The name that the server's certificate must have. Default: the host of the address.
    #[serde(default)]
    pub server_name: Option<String>,
}

impl Config {
    /// The defaults, for a server at `address`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            namespace: namespace(),
            database: 0,
            username: None,
            password: None,
            tls: None,
        }
    }

    /// The host of the address, without brackets.
    pub(crate) fn host(&self) -> Result<&str, OpenError> {
        self.address
            .rsplit_once(':')
            .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            .map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']'))
            .ok_or_else(|| OpenError::Address(self.address.clone()))
    }

    /// Checks the namespace: nothing that is special in a pattern, and no colon, so that none begins another's keys.
    pub(crate) fn check_namespace(&self) -> Result<(), OpenError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.namespace.is_empty() || !self.namespace.chars().all(plain) {
            return Err(OpenError::Namespace(self.namespace.clone()));
        }
        Ok(())
    }
}

fn namespace() -> String {
    "starling".to_owned()
}

impl Password {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Into<String>> From<S> for Password {
    fn from(password: S) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_must_be_given_and_unknown_keys_are_errors() {
        let config: Config = toml::from_str("address = \"cache:6379\"").unwrap();
        assert_eq!(config, Config::new("cache:6379"));
        assert!(toml::from_str::<Config>("").is_err());
        assert!(toml::from_str::<Config>("address = \"a:1\"\nurl = \"x\"").is_err());
        assert!(toml::from_str::<Config>("address = \"a:1\"\ntls = { verify = false }").is_err());
    }

    #[test]
    fn everything_can_be_given() {
        let config: Config = toml::from_str(
            r#"
            address = "cache:6380"
            namespace = "voicemail"
            database = 2
            username = "edge"
            password = "s3cret"
            tls = { ca_file = "/ca.pem", server_name = "cache.example" }
            "#,
        )
        .unwrap();
        assert_eq!(config.database, 2);
        assert_eq!(config.password, Some("s3cret".into()));
        let printed = format!("{config:?}");
        assert!(!printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let host = |address: &str| Config::new(address).host().map(str::to_owned).ok();
        assert_eq!(host("cache:6379").as_deref(), Some("cache"));
        assert_eq!(host("[::1]:6379").as_deref(), Some("::1"));
        for address in [
            "cache",
            "cache:",
            ":6379",
            "redis://cache:6379/0",
            "cache:99999",
        ] {
            assert_eq!(host(address), None, "{address}");
        }
    }

    #[test]
    fn a_namespace_holds_nothing_special() {
        let check = |namespace: &str| {
            let mut config = Config::new("cache:6379");
            config.namespace = namespace.to_owned();
            config.check_namespace().is_ok()
        };
        assert!(check("voicemail_eu-1.a"));
        for namespace in ["", "a:b", "a*", "a b", "é"] {
            assert!(!check(namespace), "{namespace}");
        }
    }
}
