//! What a host does about what is wanted: which versions it has, and which of them gets how many requests.

use std::collections::BTreeSet;

use crate::{ComponentName, Desired, Digest, Place};

/// A version's part of a component's requests.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Share {
    /// Which version.
    pub digest: Digest,
    /// Its part, in per cent; more than 0.
    pub percent: u8,
}

/// How the requests of a component are to be split on a host at `place` whose manifest names the version `own`.
///
/// `desired` is the join of all regions'. The shares sum to 100. They name the version that rules and, while a rollout
/// runs, the new one; nothing else.
///
/// Empty means that nothing is served: on a host without a version of its own while none rules and no rollout has reached
/// it. One that reaches it has all its requests there at once, for there is nothing to share them with.
pub fn split(
    desired: &Desired,
    component: &ComponentName,
    own: Option<Digest>,
    place: &Place,
) -> Vec<Share> {
    let versions = Versions::of(desired, component, own);
    let percent = desired
        .running(component)
        .map_or(0, |it| it.rollout.percent_at(place));
    let shares = match (versions.new, versions.old) {
        (Some(new), Some(old)) if new != old => vec![(old, 100 - percent), (new, percent)],
        (None, Some(only)) | (Some(_), Some(only)) => vec![(only, 100)],
        (Some(only), None) if percent > 0 => vec![(only, 100)],
        (_, None) => Vec::new(),
    };
    let shares = shares.into_iter().filter(|(_, percent)| *percent > 0);
    shares
        .map(|(digest, percent)| Share { digest, percent })
        .collect()
}

/// The versions that a host should have ready: the one that rules; while a rollout runs, the new one, whether or not the
/// host's turn has come, and its base, so that it can be gone back to at any time.
///
/// `desired` is the join of all regions', so a host that was down comes to what the others have.
pub fn wanted(
    desired: &Desired,
    component: &ComponentName,
    own: Option<Digest>,
) -> BTreeSet<Digest> {
    let Versions { new, old } = Versions::of(desired, component, own);
    new.into_iter().chain(old).collect()
}

/// The versions that matter on a host.
struct Versions {
    /// The one of the rollout that runs, if one does.
    new: Option<Digest>,
    /// The one that rules without it, and is back if it ends badly.
    old: Option<Digest>,
}

impl Versions {
    fn of(desired: &Desired, component: &ComponentName, own: Option<Digest>) -> Self {
        let running = desired.running(component);
        Self {
            new: running.and_then(|it| it.rollout.spec.digest.or(own)),
            old: running
                .map_or_else(|| desired.ruling(component), |it| it.base)
                .or(own),
        }
    }
}
