//! One component of the application under management: the versions of it that this host has.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use starling_engine::management::{artifacts, instances, traffic};
use starling_engine::{Component, FiguresSnapshot, Grant, Share, Versions};

use crate::recent::Recent;

/// A component, and its versions by digest.
#[derive(Debug)]
pub(crate) struct Managed {
    /// What each version of it may use.
    pub(crate) grant: Grant,
    versions: Versions,
    /// The digest of the version that the manifest gave, if it gave one that could be loaded.
    own: Option<String>,
    known: BTreeMap<String, Version>,
}

#[derive(Debug)]
enum Version {
    Staging,
    Ready {
        component: Component,
        recent: Recent,
    },
    Refused(artifacts::Refusal),
}

impl Version {
    fn ready(component: Component) -> Self {
        Self::Ready {
            component,
            recent: Recent::default(),
        }
    }

    fn state(&self) -> artifacts::State {
        match self {
            Self::Staging => artifacts::State::Staging,
            Self::Ready { .. } => artifacts::State::Ready,
            Self::Refused(refusal) => artifacts::State::Refused(refusal.clone()),
        }
    }
}

impl Managed {
    /// The component whose requests `versions` shares: with what the manifest gave, which it has as its only one.
    pub(crate) fn new(versions: Versions, grant: Grant) -> Self {
        let shares = versions.shares();
        let own = shares.first().map(|share| &share.component);
        Self {
            own: own.map(|component| component.digest().to_owned()),
            known: own
                .map(|component| {
                    let digest = component.digest().to_owned();
                    (digest, Version::ready(component.clone()))
                })
                .into_iter()
                .collect(),
            versions,
            grant,
        }
    }

    /// How far a version is, and whether it is to be staged now.
    pub(crate) fn stage(&mut self, digest: &str) -> (artifacts::State, bool) {
        match self.known.get(digest) {
            Some(Version::Refused(refusal)) if is_passing(refusal) => {}
            Some(version) => return (version.state(), false),
            None => {}
        }
        self.known.insert(digest.to_owned(), Version::Staging);
        (artifacts::State::Staging, true)
    }

    /// A version that was being staged is ready, or refused.
    pub(crate) fn staged(&mut self, digest: &str, outcome: Result<Component, artifacts::Refusal>) {
        // Forgotten meanwhile, it stays so; and what is ready is not replaced.
        if let Some(version @ Version::Staging) = self.known.get_mut(digest) {
            *version = match outcome {
                Ok(component) => Version::ready(component),
                Err(refusal) => Version::Refused(refusal),
            };
        }
    }

    /// Drops a version, unless it takes requests or is the manifest's.
    pub(crate) fn forget(&mut self, digest: &str) {
        if self.percent(digest) == 0 && self.own.as_deref() != Some(digest) {
            self.known.remove(digest);
        }
    }

    /// Shares requests among versions that are ready.
    pub(crate) fn shift(&self, shares: &[traffic::Share]) -> Result<(), String> {
        let shares = shares
            .iter()
            .map(|share| match self.known.get(&share.digest) {
                Some(Version::Ready { component, .. }) => Ok(Share {
                    component: component.clone(),
                    percent: share.percent,
                }),
                _ => Err(format!("the version {} is not ready here", share.digest)),
            });
        let shares: Vec<_> = shares.collect::<Result<_, _>>()?;
        self.versions
            .shift(shares)
            .map_err(|error| error.to_string())
    }

    /// All versions, with their figures of the last `window`.
    pub(crate) fn list(&mut self, now: Instant, window: Duration) -> Vec<instances::Version> {
        let shares = self.versions.shares();
        let component = self.versions.name();
        let own = self.own.as_deref();
        let version = |(digest, version): (&String, &mut Version)| {
            let state = version.state();
            let (in_flight, recent) = match version {
                Version::Ready { component, recent } => {
                    let figures = component.figures();
                    let recent = recent.since(now, figures.snapshot(), window);
                    (figures.in_flight(), recent)
                }
                _ => (0, FiguresSnapshot::default()),
            };
            instances::Version {
                component: component.to_owned(),
                digest: digest.clone(),
                percent: percent(&shares, digest),
                own: own == Some(digest),
                in_flight,
                state,
                recent: instances::Figures {
                    requests: recent.requests,
                    errors: recent.errors,
                    latency: recent.latency.into(),
                    memory_bytes_mean: recent
                        .memory_bytes
                        .checked_div(recent.requests)
                        .unwrap_or_default(),
                },
            }
        };
        self.known.iter_mut().map(version).collect()
    }

    fn percent(&self, digest: &str) -> u8 {
        percent(&self.versions.shares(), digest)
    }
}

fn percent(shares: &[Share], digest: &str) -> u8 {
    shares
        .iter()
        .find(|share| share.component.digest() == digest)
        .map_or(0, |share| share.percent)
}

/// Whether a version that was refused for this may be taken a moment later.
fn is_passing(refusal: &artifacts::Refusal) -> bool {
    use artifacts::RefusalKind::{Incomplete, Store};
    matches!(refusal.kind, Incomplete | Store)
}
