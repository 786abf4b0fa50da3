//! What the host is to do about what is wanted: which versions it gets ready and drops, and where its requests go.

use std::collections::{BTreeMap, BTreeSet};

use starling_supervision::{
    ComponentName, Digest, Place, Readiness, Share, VersionState, split, wanted,
};

use crate::artifacts::Artifacts;
use crate::components::components;
use crate::fleet::{Access, View};
use crate::platform::{Platform, Version};

/// Why a host is to get no requests while another version rules than the one that it serves.
const LACKS: &str = "it does not have the version yet that rules";

/// The same, if it never will have it.
const REFUSES: &str = "it refuses the version that rules";

/// What came of steering.
#[derive(Default)]
pub(crate) struct Steered {
    /// How many components were shifted.
    pub(crate) shifted: usize,
    /// Why the host serves something else than what rules, if it does while nothing moves.
    pub(crate) behind: Option<String>,
}

/// Has the host get ready what is wanted, and send requests where they belong.
pub(crate) fn steer<P: Platform>(access: &Access<'_, P>, view: &View, place: &Place) -> Steered {
    let platform = access.platform();
    let mut steered = Steered::default();
    for (component, (own, versions)) in components(platform, 0) {
        let states = staged(
            platform,
            &component,
            &wanted(&view.desired, &component, own),
            &versions,
        );
        let shares = split(&view.desired, &component, own, place);
        let lacking = shares
            .iter()
            .find(|share| states.get(&share.digest) != Some(&VersionState::Ready));
        if let Some(share) = lacking {
            // While a rollout runs, its steps wait for the host.
            if view.desired.running(&component).is_none() {
                let why = behind(&component, states.get(&share.digest));
                steered.behind.get_or_insert(why);
            }
        } else if !holds(&shares, &versions) {
            match platform.shift(&component, &shares) {
                Ok(()) => steered.shifted += 1,
                Err(why) => platform.warn(&format!("shift component {component}: {why}")),
            }
        }
    }
    steered
}

/// How far the versions are that are wanted; those that nobody has begun to get ready are begun with.
fn staged(
    platform: &impl Platform,
    component: &ComponentName,
    wanted: &BTreeSet<Digest>,
    versions: &[Version],
) -> BTreeMap<Digest, VersionState> {
    let state = |digest: &Digest| {
        let known = versions.iter().find(|version| version.digest == *digest);
        match known {
            Some(version) if version.state == VersionState::Ready => VersionState::Ready,
            _ => platform.stage(component, *digest),
        }
    };
    let states = wanted.iter().map(|digest| (*digest, state(digest)));
    states.collect()
}

/// Whether these versions share a component's requests like that already.
fn holds(shares: &[Share], versions: &[Version]) -> bool {
    let serving = versions.iter().filter(|version| version.percent > 0);
    let is_asked_for = |version: &Version| {
        let mut shares = shares.iter();
        shares.any(|it| (it.digest, it.percent) == (version.digest, version.percent))
    };
    serving.clone().count() == shares.len() && serving.into_iter().all(is_asked_for)
}

/// Why a host is behind that does not have the version that rules.
fn behind(component: &ComponentName, state: Option<&VersionState>) -> String {
    match state {
        Some(VersionState::Refused(refusal)) => {
            let what = if refusal.is_passing() { LACKS } else { REFUSES };
            let (kind, detail) = (&refusal.kind, &refusal.detail);
            format!("{what} component {component}: {kind}: {detail}")
        }
        Some(VersionState::Staging | VersionState::Ready) | None => {
            format!("{LACKS} component {component}")
        }
    }
}

/// Whether a host said of itself that it serves something else than what rules.
pub(crate) fn is_behind(readiness: &Readiness) -> bool {
    match readiness {
        Readiness::Degraded { reason } => [LACKS, REFUSES].iter().any(|it| reason.starts_with(it)),
        Readiness::Ready | Readiness::Draining => false,
    }
}

/// Drops the versions that nobody wants and that get no requests: a host gets one ready again quickly that it once had.
/// But it keeps those that were just stored, by the lists of artifacts, for they are about to be rolled out; and those
/// that are being got ready, for that ends by itself, and is not in vain.
pub(crate) fn forget<P: Platform>(access: &Access<'_, P>, view: &View, lists: &[Artifacts]) {
    let platform = access.platform();
    let now_ms = platform.now_ms();
    for (component, (own, versions)) in components(platform, 0) {
        let wanted = wanted(&view.desired, &component, own);
        let is_new = |digest: &Digest| {
            let mut lists = lists.iter();
            lists.any(|list| list.is_new(digest, &view.desired, now_ms))
        };
        for version in versions {
            let is_idle = !version.own && version.percent == 0 && version.in_flight == 0;
            let goes = is_idle
                && version.state != VersionState::Staging
                && !wanted.contains(&version.digest)
                && !is_new(&version.digest);
            if goes {
                platform.forget(&component, version.digest);
            }
        }
    }
}
