//! Where a host's management is, and what opens it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use thiserror::Error;

use super::error::Error;
use crate::private_file::{self, ReadError};

/// The file in a host's state directory.
const FILE: &str = "management";

/// Which host to ask.
#[derive(Clone, Debug)]
pub enum Target {
    /// The one whose management is at this URL.
    Url {
        /// Where: `https://host.example:8443`, or `http://127.0.0.1:<port>` on this machine.
        url: String,
        /// A token with scope `operator`.
        token: Token,
        /// A file with certificates in PEM that are trusted as those that everybody trusts: of authorities, or the host's own.
        ca: Option<PathBuf>,
    },
    /// The one on this machine that has this state directory. It writes down there where its management is, and a token, for
    /// its own user alone, and writes it again before the token ends.
    StateDir(PathBuf),
}

/// A bearer token. It is a secret, and `Debug` does not tell it.
#[derive(Clone)]
pub struct Token(HeaderValue);

/// Not a [`Token`]. It does not tell what it is instead.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the token is not one: it is empty, or has spaces or unusual characters in it")]
pub struct InvalidToken;

/// What the host writes into [`FILE`]. No `Debug`: it has the token.
#[derive(Deserialize)]
pub(super) struct Management {
    pub(super) url: String,
    token: String,
    /// The certificate that the listener shows, in PEM.
    #[serde(default)]
    pub(super) ca: Option<String>,
}

impl Token {
    /// `Bearer …`.
    pub(super) fn authorization(&self) -> &HeaderValue {
        &self.0
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        let mut header =
            HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| InvalidToken)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

impl Management {
    /// Reads what the host with this state directory has written, as text first, which tells whether it is new.
    pub(super) fn read_text(state_dir: &Path) -> Result<String, Error> {
        let path = state_dir.join(FILE);
        private_file::read(&path).map_err(|error| match error {
            ReadError::Exposed(mode) => Error::Exposed { path, mode },
            ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => Error::NoHost(path),
            ReadError::Io(source) => Error::File { path, source },
        })
    }

    /// What it says, with the token.
    pub(super) fn parse(text: &str, state_dir: &Path) -> Result<(Self, Token), Error> {
        // What is wrong stays unsaid: it might quote the token.
        let malformed = || Error::MalformedFile(state_dir.join(FILE));
        let management: Self = serde_json::from_str(text).map_err(|_| malformed())?;
        let token = management.token.parse().map_err(|_| malformed())?;
        Ok((management, token))
    }
}
