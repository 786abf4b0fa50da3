//! What moves a rollout.
//!
//! Every management instance asks, each in view of what it has read, and writes what is answered into its own region's
//! state; the join makes one of it. A step lasts at least its time, and until
//!
//! - in the canary step, a host that is alive serves the new version. If none has for ten times the step's time, the old
//!   version is brought back: nobody has seen the new one. A later step whose hosts are all out passes;
//! - every host that it is about, and that is not out, reports the split that the step asks for; a suspected host is
//!   waited for, since its last beat may be from before a failure, and one that refuses the old version is not;
//! - in the canary step, the new version was seen enough to be trusted, or ten times the step's time is over: a fleet
//!   with little traffic gets its new version all the same;
//! - an operator approves, if each step is to wait for that. That wait has no end.
//!
//! At any time a regression brings the old version back; or a host in the step that refuses the new version; or that most
//! hosts which serve the new version are degraded, and most others are not.
//!
//! A rollback rules already and has nothing to prove: it lasts until every host that is alive reports it, suspected ones
//! are not waited for, and nothing but a refusal ends it otherwise. The time of its step only says how long a refusal that
//! may pass is waited for.

use std::fmt;

use crate::desired::RolloutView;
use crate::serving::worse_off;
use crate::{
    ComponentReport, Desired, Digest, Fleet, Heartbeat, Life, Refusal, RolloutId, Share, Verdict,
    VersionState, assess, observe, split,
};

/// For how many times its own time a step waits for requests, or for hosts whose refusal may pass.
pub const STEPS_WAITED_MAX: u64 = 10;

/// How a rollout moves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transition {
    /// To this step.
    Step(u32),
    /// It is done.
    Done,
    /// The old version is brought back.
    Revert {
        /// Why, in words for an operator.
        reason: String,
    },
}

/// As a sentence about a rollout goes on.
impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "goes on to step {step}"),
            Self::Done => f.write_str("is done"),
            Self::Revert { reason } => write!(f, "is taken back: {reason}"),
        }
    }
}

/// How the rollouts that run move now.
///
/// `desired` is the join of all regions'. Every management instance may ask, and all may do what is answered
/// ([`Desired::apply`]).
pub fn advance(desired: &Desired, fleet: &Fleet) -> Vec<(RolloutId, Transition)> {
    let components = desired.components.keys();
    let running = components.filter_map(|component| desired.running(component));
    running
        .filter_map(|view| Some((view.id.clone(), next(desired, &view, fleet)?)))
        .collect()
}

fn next(desired: &Desired, view: &RolloutView<'_>, fleet: &Fleet) -> Option<Transition> {
    let rollout = view.rollout;
    let waited_ms = rollout.waited_ms(fleet.now_ms());
    let waited = rollout.steps_in(waited_ms);
    let waited_out = waited >= STEPS_WAITED_MAX;

    let refused = scope(view, fleet).find_map(|it| it.refusal(view, waited_out));
    if let Some(reason) = refused {
        return Some(Transition::Revert { reason });
    }
    if rollout.spec.rollback {
        let mut alive = scope(view, fleet).filter(|it| it.life == Life::Alive);
        let everywhere = alive.all(|it| it.follows(desired, view));
        return everywhere.then_some(Transition::Done);
    }
    let observed = observe(view, fleet);
    let verdict = assess(&observed.new, &observed.old, waited_ms);
    if let Verdict::Worse(regression) = verdict {
        let reason = regression.to_string();
        return Some(Transition::Revert { reason });
    }
    if let Some(reason) = worse_off(view, fleet) {
        return Some(Transition::Revert { reason });
    }
    if rollout.is_in_canary_step() && !scope(view, fleet).any(|it| it.serves(view)) {
        let in_vain = rollout.steps_in(unserved_ms(view, fleet)) >= STEPS_WAITED_MAX;
        let reason = "no host of the canary step serves it".to_owned();
        return in_vain.then_some(Transition::Revert { reason });
    }

    let unproven = rollout.is_in_canary_step() && verdict == Verdict::TooFew && !waited_out;
    let ready = || {
        scope(view, fleet).all(|it| {
            let settled = it.follows(desired, view) || it.cannot_follow(desired, view, waited_out);
            it.life == Life::Alive && settled
        })
    };
    if waited == 0 || rollout.is_gated() || unproven || !ready() {
        return None;
    }
    Some(if rollout.is_in_last_step() {
        Transition::Done
    } else {
        Transition::Step(rollout.progress.step + 1)
    })
}

/// For how long no host of the current step can have served the new version, at least: a host that is not alive has
/// beaten since, or one that is alive has started since. A host that starts again has some time to serve it again.
fn unserved_ms(view: &RolloutView<'_>, fleet: &Fleet) -> u64 {
    let hosts = fleet
        .hosts()
        .filter(|(host, _)| view.rollout.percent_at(&host.place()) > 0);
    let known = hosts.map(|(host, life)| match life {
        Life::Alive => host.started_ms,
        Life::Suspected | Life::Out => host.beat_ms,
    });
    let since_ms = known.fold(view.rollout.progress.since_ms, u64::max);
    fleet.now_ms().saturating_sub(since_ms)
}

/// A host that sends requests to the new version, or is to.
struct Concerned<'a> {
    host: &'a Heartbeat,
    life: Life,
    report: &'a ComponentReport,
}

/// The hosts that the steps up to the current one are about, but those that are out or lack the component.
fn scope<'a>(view: &RolloutView<'a>, fleet: &'a Fleet) -> impl Iterator<Item = Concerned<'a>> {
    let (rollout, component) = (view.rollout, view.component);
    let hosts = fleet.hosts().filter(|(_, life)| *life != Life::Out);
    hosts
        .filter(move |(host, _)| rollout.percent_at(&host.place()) > 0)
        .filter_map(move |(host, life)| {
            let report = host.component(component)?;
            Some(Concerned { host, life, report })
        })
}

impl Concerned<'_> {
    /// Why the host cannot serve the new version, if it never will; or not so far, once it was waited for.
    fn refusal(&self, view: &RolloutView<'_>, waited_out: bool) -> Option<String> {
        let new = view.rollout.spec.digest.or(self.report.own)?;
        let refusal = self.refused(new, waited_out)?;
        let (host, kind, detail) = (&self.host.host, &refusal.kind, &refusal.detail);
        Some(format!("host {host} refused it: {kind}: {detail}"))
    }

    /// Whether the host is alive and sends requests to the new version.
    fn serves(&self, view: &RolloutView<'_>) -> bool {
        let new = view.rollout.spec.digest.or(self.report.own);
        let reported = new.and_then(|new| self.report.version(new));
        self.life == Life::Alive && reported.is_some_and(|it| it.percent > 0)
    }

    /// Whether the host reports the split that is asked for.
    fn follows(&self, desired: &Desired, view: &RolloutView<'_>) -> bool {
        let mut asked = self.asked(desired, view);
        asked.sort();
        let versions = self.report.versions.iter().filter(|it| it.percent > 0);
        let mut reported: Vec<_> = versions
            .map(|it| Share {
                digest: it.digest,
                percent: it.percent,
            })
            .collect();
        reported.sort();
        asked == reported
    }

    /// Whether the host refuses the old version and so cannot split anything with it: one that was out while the old
    /// version came in. It is not waited for before the new version is to get all its requests, or the rollout that is
    /// to help it would never end.
    fn cannot_follow(&self, desired: &Desired, view: &RolloutView<'_>, waited_out: bool) -> bool {
        let new = view.rollout.spec.digest.or(self.report.own);
        let asked = self.asked(desired, view);
        let mut others = asked.iter().filter(|share| Some(share.digest) != new);
        others.any(|share| self.refused(share.digest, waited_out).is_some())
    }

    /// The split that is asked for.
    fn asked(&self, desired: &Desired, view: &RolloutView<'_>) -> Vec<Share> {
        split(desired, view.component, self.report.own, &self.host.place())
    }

    /// The refusal of a version, if it is final, or was waited for.
    fn refused(&self, digest: Digest, waited_out: bool) -> Option<&Refusal> {
        match &self.report.version(digest)?.state {
            VersionState::Refused(refusal) => {
                Some(refusal).filter(|refusal| waited_out || !refusal.is_passing())
            }
            VersionState::Staging | VersionState::Ready => None,
        }
    }
}
