//! The key that tokens are signed with: the one that is configured, else one of the host's own in its state directory.
//!
//! The key is a secret. It is in a file that only the host's user may read, and in no message.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use starling_access::KEY_BYTES_MIN;
use thiserror::Error;

use crate::manifest::Variable;

/// The variable of the application that holds the key.
pub(crate) const VARIABLE: &str = "session_key";

/// What sets it.
pub(crate) const ENVIRONMENT: &str = "SPIN_VARIABLE_SESSION_KEY";

/// Random bytes of a key; its text has two digits for each.
const KEY_BYTES: usize = 32;

/// Whose key an application gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The one that the environment or the manifest sets, if the application asks for one at all.
    Configured,
    /// This host's own.
    Own,
    /// None: the application is to ask nobody for a token.
    Open,
}

/// `--insecure-open`, although there is a key.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "--insecure-open is for applications without a session key, and this one has one from {0}; \
     leave out one of the two"
)]
pub(crate) struct NotOpen(&'static str);

/// Why there is no key.
#[derive(Debug, Error)]
pub(crate) enum KeyError {
    /// No host has made one there.
    #[error(
        "there is no session key at {}; name the state directory of a host with --state-dir, run \
         `starling up` once, which makes a key, or set {ENVIRONMENT}",
        .0.display()
    )]
    Missing(PathBuf),
    /// Not a secret any more.
    #[error(
        "the session key {} may be read by other users (its mode is {mode:04o}), and who has read \
         it can make tokens; delete the file, and the next `starling up` makes another key, or \
         `chmod 600` it if nobody has",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Too easy to guess.
    #[error(
        "the session key {} has {bytes} bytes, and it needs at least {KEY_BYTES_MIN}; delete the file, \
         and the next `starling up` makes another key",
        path.display()
    )]
    Weak {
        /// The file.
        path: PathBuf,
        /// What is in it.
        bytes: usize,
    },
    /// The file cannot be read or made.
    #[error("the session key {} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Whose key an application that declares these variables gets. `environment` looks up one environment variable.
///
/// # Errors
/// When it is to have none, and has one.
pub(crate) fn source(
    declared: &BTreeMap<String, Variable>,
    environment: impl Fn(&str) -> Option<String>,
    insecure_open: bool,
) -> Result<Source, NotOpen> {
    let Some(variable) = declared.get(VARIABLE) else {
        return Ok(Source::Configured);
    };
    let says = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    let configured = if says(environment(ENVIRONMENT).as_deref()) {
        Some(ENVIRONMENT)
    } else {
        says(variable.default.as_deref()).then_some("the manifest")
    };
    match (configured, insecure_open) {
        (Some(place), true) => Err(NotOpen(place)),
        (Some(_), false) => Ok(Source::Configured),
        (None, true) => Ok(Source::Open),
        (None, false) => Ok(Source::Own),
    }
}

/// The key of the host that has this state directory. The host may be running.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn read(state_dir: &Path) -> Result<String, KeyError> {
    let path = path(state_dir);
    let failed = |source| KeyError::Io {
        path: path.clone(),
        source,
    };
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyError::Missing(path));
        }
        opened => opened.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path, mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    text.truncate(text.trim_end().len());
    match text.len() {
        bytes if bytes < KEY_BYTES_MIN => Err(KeyError::Weak { path, bytes }),
        _ => Ok(text),
    }
}

/// The same, for the one host that holds the state directory: it makes the key if there is none.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn read_or_make(state_dir: &Path) -> Result<String, KeyError> {
    match read(state_dir) {
        Err(KeyError::Missing(path)) => {
            make(state_dir, &path).map_err(|source| KeyError::Io { path, source })?;
            read(state_dir)
        }
        found => found,
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("session-key")
}

/// Writes a fresh key beside `path` and moves it there, so that it is there whole or not at all.
fn make(state_dir: &Path, path: &Path) -> io::Result<()> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push('\n');
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        // Of a host that was killed here.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(state_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn declared(default: Option<&str>) -> BTreeMap<String, Variable> {
        let variable = Variable {
            default: default.map(str::to_owned),
            required: default.is_none(),
            ..Variable::default()
        };
        [(VARIABLE.to_owned(), variable)].into()
    }

    fn check(
        default: Option<&str>,
        set: Option<&str>,
        open: bool,
        expected: Result<Source, NotOpen>,
    ) {
        let environment = |name: &str| {
            assert_eq!(name, ENVIRONMENT);
            set.map(str::to_owned)
        };
        assert_eq!(
            source(&declared(default), environment, open),
            expected,
            "{default:?} {set:?} {open}"
        );
    }

    #[test]
    fn a_host_uses_its_own_key_where_none_is_configured() {
        for default in [None, Some("")] {
            for set in [None, Some("")] {
                check(default, set, false, Ok(Source::Own));
                check(default, set, true, Ok(Source::Open));
            }
        }
    }

    #[test]
    fn a_key_that_is_configured_is_used_and_is_not_thrown_open() {
        for default in [None, Some(""), Some("of the manifest")] {
            check(default, Some("set"), false, Ok(Source::Configured));
            check(default, Some("set"), true, Err(NotOpen(ENVIRONMENT)));
        }
        check(Some("given"), None, false, Ok(Source::Configured));
        check(Some("given"), Some(""), true, Err(NotOpen("the manifest")));
    }

    #[test]
    fn an_application_that_asks_for_no_key_gets_none() {
        for open in [false, true] {
            let source = source(&BTreeMap::new(), |_| Some("set".to_owned()), open);
            assert_eq!(source, Ok(Source::Configured));
        }
    }

    #[test]
    fn a_key_is_made_once_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("session-key.new"), "of a killed host").unwrap();
        let key = read_or_make(folder.path()).unwrap();
        assert_eq!(key.len(), 2 * KEY_BYTES);
        assert_eq!(read_or_make(folder.path()).unwrap(), key);
        assert_eq!(read(folder.path()).unwrap(), key);
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        let [Ok(file)] = &files[..] else {
            panic!("{files:?}")
        };
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);

        let other = tempfile::tempdir().unwrap();
        assert_ne!(read_or_make(other.path()).unwrap(), key);
    }

    #[test]
    fn a_key_that_others_may_read_or_guess_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        read_or_make(folder.path()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o700 | 0o001] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_or_make(folder.path()).unwrap_err().to_string();
            let said = format!("{mode:04o}");
            assert!(
                error.contains(&said) && error.contains("chmod 600"),
                "{error}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        read(folder.path()).unwrap();

        fs::remove_file(&path).unwrap();
        read_or_make(folder.path()).unwrap();
        fs::write(&path, "short and secret\n").unwrap();
        let error = read_or_make(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("16 bytes") && error.contains("delete"),
            "{error}"
        );
        assert!(!error.contains("secret\n"), "{error}");
    }

    #[test]
    fn a_key_that_is_not_there_says_how_to_get_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        for word in ["session-key", "--state-dir", "starling up", ENVIRONMENT] {
            assert!(error.contains(word), "{error}");
        }
    }
}
