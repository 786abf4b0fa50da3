//! Where an artifact is, as it is said on a command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use oci_client::Reference;
use thiserror::Error;

/// How a reference may begin, to tell it from a file in any case.
const SCHEME: &str = "oci://";

/// Where an artifact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// An artifact in an OCI registry.
    Registry(Image),
}

/// An artifact in a registry: `registry.example/team/voicemail:1.0`, or `…@sha256:…`, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(pub(super) Reference);

/// Why a text is no [`Source`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is neither a file that exists nor an artifact in a registry, such as `registry.example/team/voicemail:1.0`"
)]
pub struct InvalidSource(String);

/// What exists, ends in `.wasm`, or begins with `./`, `../` or `/` is a file; anything else an artifact in a registry, and
/// what begins with `oci://` too. No registry is taken for granted: its name is part of the reference.
impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let invalid = || InvalidSource(text.to_owned());
        let reference = match text.strip_prefix(SCHEME) {
            Some(reference) => reference,
            None if is_file(text) => return Ok(Self::File(text.into())),
            None => text,
        };
        let (registry, _) = reference.split_once('/').ok_or_else(invalid)?;
        if registry != "localhost" && !registry.contains(['.', ':']) {
            return Err(invalid());
        }
        let reference = Reference::try_from(reference).map_err(|_| invalid())?;
        Ok(Self::Registry(Image(reference)))
    }
}

fn is_file(text: &str) -> bool {
    text.ends_with(".wasm")
        || ["./", "../", "/"]
            .iter()
            .any(|start| text.starts_with(start))
        || Path::new(text).exists()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Registry(image) => image.fmt(f),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match text.parse() {
            Ok(Source::File(path)) => format!("file {}", path.display()),
            Ok(Source::Registry(image)) => format!("registry {image}"),
            Err(InvalidSource(text)) => format!("invalid {text}"),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn files_are_told_from_artifacts_in_registries() {
        check("voicemail.wasm", "file voicemail.wasm");
        check(
            "some/where/voicemail.wasm",
            "file some/where/voicemail.wasm",
        );
        check("./voicemail", "file ./voicemail");
        check("../voicemail", "file ../voicemail");
        check("/a/registry.example/b", "file /a/registry.example/b");
        check("Cargo.toml", "file Cargo.toml");
        check(
            "registry.example/team/voicemail:1.0",
            "registry registry.example/team/voicemail:1.0",
        );
        check("localhost/a:1", "registry localhost/a:1");
        check("oci://127.0.0.1:5000/a:1", "registry 127.0.0.1:5000/a:1");
        check(
            "oci://registry.example/a.wasm:1",
            "registry registry.example/a.wasm:1",
        );
        let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check(
            &format!("registry.example/a@{digest}"),
            &format!("registry registry.example/a@{digest}"),
        );
    }

    #[test]
    fn what_is_neither_is_refused_and_no_registry_is_taken_for_granted() {
        for text in [
            "",
            "voicemial",
            "team/voicemail:1.0",
            "oci://voicemail",
            "registry.example/A B",
        ] {
            check(text, &format!("invalid {text}"));
        }
    }
}
