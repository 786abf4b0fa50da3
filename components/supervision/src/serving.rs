//! Which hosts serve which version of a rollout, and how they do.

use crate::desired::RolloutView;
use crate::{Fleet, Heartbeat, PROBE_RECENT_MS, Readiness, VersionReport};

/// A host that is alive and on which a rollout's two versions differ, with what it says of them.
pub(crate) struct Serving<'a> {
    pub(crate) host: &'a Heartbeat,
    pub(crate) new: Option<&'a VersionReport>,
    pub(crate) old: Option<&'a VersionReport>,
}

impl Serving<'_> {
    /// Whether it sends requests to the new version.
    pub(crate) fn serves_new(&self) -> bool {
        self.new.is_some_and(|version| version.percent > 0)
    }

    /// Whether it sends requests to the old version.
    pub(crate) fn serves_old(&self) -> bool {
        self.old.is_some_and(|version| version.percent > 0)
    }
}

/// The hosts that tell something about the difference of a rollout's two versions. One whose old version is the new one
/// does not.
pub(crate) fn serving<'a>(view: &RolloutView<'_>, fleet: &'a Fleet) -> Vec<Serving<'a>> {
    let hosts = fleet.alive().filter_map(|host| {
        let report = host.component(view.component)?;
        let new = view.rollout.spec.digest.or(report.own);
        let old = view.base.or(report.own);
        (new != old).then(|| Serving {
            host,
            new: new.and_then(|digest| report.version(digest)),
            old: old.and_then(|digest| report.version(digest)),
        })
    });
    hosts.collect()
}

/// In what the hosts that serve the new version are worse off than those that serve the old one alone, if they are: more
/// than half of them are degraded, and fewer than half of the others, or there are no others.
///
/// What a step begins with is not its doing: it is judged once it has lasted as long as a host looks back at itself, or
/// at its end. Otherwise no version could be brought to hosts that are degraded by the old one.
pub(crate) fn worse_off(view: &RolloutView<'_>, fleet: &Fleet) -> Option<String> {
    let rollout = view.rollout;
    if rollout.waited_ms(fleet.now_ms()) < rollout.spec.step_ms.min(PROBE_RECENT_MS) {
        return None;
    }
    let is_degraded = |it: &&Serving| matches!(it.host.readiness, Readiness::Degraded { .. });
    let count = |hosts: &[Serving], serves: fn(&Serving) -> bool| {
        let those = hosts.iter().filter(|it| serves(it));
        (those.clone().filter(is_degraded).count(), those.count())
    };
    let hosts = serving(view, fleet);
    let (new_degraded, new) = count(&hosts, |it| it.serves_new());
    let (old_degraded, old) = count(&hosts, |it| it.serves_old() && !it.serves_new());
    let is_worse_off = 2 * new_degraded > new && (old == 0 || 2 * old_degraded < old);
    is_worse_off.then(|| {
        format!(
            "{new_degraded} of {new} hosts that serve the new version are degraded, and {old_degraded} of {old} that \
             serve the old one alone"
        )
    })
}
