//! What can go wrong between an operator and a host, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error as DeriveError;

/// Why a call has no result.
#[derive(Debug, DeriveError)]
#[non_exhaustive]
pub enum Error {
    /// No host has written where its management is.
    #[error(
        "no host runs here: there is no {}; start one with `starling up`, name its state directory with --state-dir, or \
         name a host with --host",
        .0.display()
    )]
    NoHost(PathBuf),
    /// The file with the token is not private.
    #[error(
        "{} may be read by other users (its mode is {mode:04o}), and who has read it can manage the fleet; restart the host \
         after `chmod 600`",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file with the token is not what a host writes.
    #[error("{} is not what a host writes; restart the host, which writes it anew", .0.display())]
    MalformedFile(PathBuf),
    /// Not a URL that this can be asked at.
    #[error("`{0}` is not the URL of a host's management, such as https://host.example:8443")]
    Url(String),
    /// Whoever is on the way would read the token.
    #[error("the token is not sent to {0} over http, where others can read it; use https")]
    Plain(String),
    /// No certificate to trust.
    #[error("{0} has no certificate in PEM that can be read")]
    Certificates(String),
    /// Nobody listens there.
    #[error("no host answers at {place}; is it running?")]
    NotRunning {
        /// Where it was looked for.
        place: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// Somebody else may listen there.
    #[error(
        "the host at {place} has no certificate that is trusted; name its authority's, or its own, with --ca"
    )]
    Untrusted {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: reqwest::Error,
    },
    /// The way there is broken.
    #[error("{place} cannot be asked")]
    Unreachable {
        /// Where.
        place: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// It is not known whether the host did what it was asked to.
    #[error(
        "{place} was asked and the answer was lost: it may have done it or not. Look at it with `starling rollout` before \
         you ask again"
    )]
    Undecided {
        /// Where.
        place: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The token is refused.
    #[error(
        "{0}; the token must be of this fleet, valid still, and made with `starling token --scope operator`"
    )]
    Token(Problem),
    /// The host said no.
    #[error(transparent)]
    Problem(Problem),
    /// Not the management API.
    #[error("{place} answers {status} and is not a host's management; look at the URL")]
    NotManagement {
        /// Where.
        place: String,
        /// What it answers.
        status: StatusCode,
    },
    /// Not an answer that is understood.
    #[error("the answer of {place} is not understood; is this `starling` as new as the host?")]
    Answer {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Longer than any answer.
    #[error("the answer of {0} is too long to be one of a host's management; look at the URL")]
    TooLong(String),
}

/// What a host says when it says no: a problem document (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// What kind of problem it is: `urn:starling:problem:…`, stable.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// That in words.
    #[serde(default)]
    pub title: String,
    /// The status of the answer.
    #[serde(default)]
    pub status: u16,
    /// What it is in this case.
    #[serde(default)]
    pub detail: Option<String>,
    /// Anything else that it says.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

/// The kind of a problem that says nothing of it.
fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Error {
    /// What went wrong on the way to `place` and back.
    pub(super) fn on_the_way(place: String, error: reqwest::Error) -> Self {
        // The place says where; the URL would say it once more.
        let source = error.without_url();
        if causes(&source).any(is_refused) {
            Self::NotRunning { place, source }
        } else if causes(&source).any(is_tls) {
            Self::Untrusted { place, source }
        } else {
            Self::Unreachable { place, source }
        }
    }

    /// The failure of a call that the host answered with this problem.
    pub(super) fn of_problem(mut problem: Problem, status: StatusCode) -> Self {
        // Of the answer, whatever the document says.
        problem.status = status.as_u16();
        if problem.title.is_empty() {
            status
                .canonical_reason()
                .unwrap_or("the host refuses")
                .clone_into(&mut problem.title);
        }
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Token(problem),
            _ => Self::Problem(problem),
        }
    }

    /// Whether the same may go well a moment later: the host, or its region's store, is away.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NotRunning { .. } | Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status == 503,
            _ => false,
        }
    }

    /// Whether the host was certainly not asked, and may be a moment later.
    pub(super) fn never_arrived(&self) -> bool {
        match self {
            Self::NotRunning { .. } => true,
            Self::Unreachable { source, .. } => source.is_connect(),
            _ => false,
        }
    }

    /// The same of a call that must not be made twice.
    pub(super) fn or_undecided(self) -> Self {
        match self {
            Self::Unreachable { place, source } if !source.is_connect() => {
                Self::Undecided { place, source }
            }
            error => error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl StdError for Problem {}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&error| {
        // An I/O error passes over what it is made of when asked for its cause.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    matches!(
        error.downcast_ref::<rustls::Error>(),
        Some(rustls::Error::InvalidCertificate(_))
    )
}
