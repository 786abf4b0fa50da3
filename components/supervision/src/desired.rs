//! What is wanted of a fleet, and how it is changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_mailbox::{AHEAD_MAX_MS, ClockSkew, Join, Region, Register, Stamp};

use crate::{
    ComponentName, Digest, End, EndKind, History, HostId, Rollout, RolloutId, RolloutState, Spec,
    Transition,
};

/// What was entered or decided in one region, or the join of what was in several.
///
/// Every change is made in view of the join of all regions, and comes back as a small `Desired` to be joined to the own
/// region's.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Desired {
    /// The rollouts of each component.
    pub components: BTreeMap<ComponentName, History>,
    /// Which hosts are to be emptied, or were once and are not any more.
    pub drains: BTreeMap<HostId, Register<bool>>,
}

/// Field by field.
impl Join for Desired {
    fn join(&mut self, other: Self) {
        self.components.join(other.components);
        self.drains.join(other.drains);
    }
}

/// Where and when a change is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// In which region.
    pub region: Region,
    /// When, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Why a change cannot be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such rollout, or it is forgotten.
    #[error("there is no rollout {0}")]
    UnknownRollout(RolloutId),
    /// The rollout has ended or a later one took its place.
    #[error("rollout {rollout} is {}", state.as_str())]
    NotRunning {
        /// Which rollout.
        rollout: RolloutId,
        /// Where it stands.
        state: RolloutState,
    },
    /// Each host's own version of the component rules, or what ruled before is forgotten; and no rollout is running.
    #[error("there is no earlier version of component {0} to go back to")]
    NothingToRollBack(ComponentName),
}

/// A rollout, and how it stands among the others of its component.
#[derive(Clone, Copy, Debug)]
pub struct RolloutView<'a> {
    /// Which rollout.
    pub id: &'a RolloutId,
    /// Of which component.
    pub component: &'a ComponentName,
    /// The rollout itself.
    pub rollout: &'a Rollout,
    /// The version that the new one is to take the place of, and that is back if it ends badly; none: each host's own.
    pub base: Option<Digest>,
    /// Whether no later rollout took its place.
    pub is_current: bool,
}

impl RolloutView<'_> {
    /// Whether it moves.
    pub fn is_running(&self) -> bool {
        self.is_current && self.rollout.ended.is_none()
    }

    /// Where it stands, for operators, at `now_ms`, milliseconds since the Unix epoch.
    pub fn state(&self, now_ms: u64) -> RolloutState {
        self.rollout.state(self.is_current, now_ms)
    }
}

/// How a component is rolled back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rollback {
    /// By aborting the rollout that runs.
    Abort(RolloutId),
    /// By rolling out what ruled before, as a [rollback](crate::Draft::rollback); none: each host's own version.
    RollOut(Option<Digest>),
    /// By nothing more: this rollback runs already.
    Underway(RolloutId),
}

impl Desired {
    /// All rollouts that are not forgotten, the latest of each component last.
    pub fn rollouts(&self) -> impl Iterator<Item = RolloutView<'_>> {
        self.components.iter().flat_map(|(component, history)| {
            let ids = history.rollouts.keys();
            ids.filter_map(move |id| view(component, history, id))
        })
    }

    /// One rollout, if it is not forgotten.
    pub fn rollout(&self, id: &RolloutId) -> Option<RolloutView<'_>> {
        let mut components = self.components.iter();
        components.find_map(|(component, history)| view(component, history, id))
    }

    /// The rollout of a component that moves, if one does.
    pub fn running(&self, component: &ComponentName) -> Option<RolloutView<'_>> {
        let (component, history) = self.components.get_key_value(component)?;
        let (id, _) = history.current()?;
        view(component, history, id).filter(RolloutView::is_running)
    }

    /// The version that rules a component: that of the greatest rollout that is done, or of a rollback from the moment it
    /// is entered; none: each host's own.
    pub fn ruling(&self, component: &ComponentName) -> Option<Digest> {
        let ruled = self.components.get(component)?.ruled(None);
        ruled.last().copied().flatten()
    }

    /// Whether a host is to be emptied.
    pub fn is_drained(&self, host: &HostId) -> bool {
        self.drains.get(host).is_some_and(|drain| drain.value)
    }

    /// Begins a rollout, which takes the place of the one that runs, if one does. `random` tells its id from those of
    /// other rollouts that begin at the same time.
    ///
    /// The id is greater than those of all rollouts in sight, even if a clock is behind.
    pub fn start(
        &self,
        component: &ComponentName,
        spec: Spec,
        random: u32,
        origin: &Origin,
    ) -> (RolloutId, Self) {
        let mut history = self.components.get(component).cloned().unwrap_or_default();
        let greatest = history
            .current()
            .map(|(id, _)| id.created_ms.saturating_add(1));
        let id = RolloutId {
            created_ms: origin.now_ms.max(greatest.unwrap_or(0)),
            created_in: origin.region.clone(),
            random,
        };
        let rollout = Rollout::new(spec, origin.now_ms);
        history.rollouts.insert(id.clone(), rollout.clone());
        let change = History {
            floor: history.floor_when_full(),
            rollouts: BTreeMap::from([(id.clone(), rollout)]),
        };
        (id, Self::of_component(component, change))
    }

    /// Approves of the step that a rollout is in, or of all its steps; for good.
    ///
    /// # Errors
    ///
    /// [`ChangeError::UnknownRollout`], [`ChangeError::NotRunning`].
    pub fn approve(&self, id: &RolloutId, all: bool, origin: &Origin) -> Result<Self, ChangeError> {
        self.change(id, origin, |rollout| {
            let step = if all {
                rollout.last_step()
            } else {
                rollout.progress.step
            };
            rollout.approved = rollout.approved.max(Some(step));
        })
    }

    /// Brings the old version back.
    ///
    /// # Errors
    ///
    /// [`ChangeError::UnknownRollout`], [`ChangeError::NotRunning`].
    pub fn abort(
        &self,
        id: &RolloutId,
        reason: Option<String>,
        origin: &Origin,
    ) -> Result<Self, ChangeError> {
        self.change(id, origin, |rollout| {
            rollout.ended = Some(end(EndKind::Aborted, reason, origin));
        })
    }

    /// Makes a transition that [`advance`](crate::advance) decided on in view of this state.
    ///
    /// # Errors
    ///
    /// [`ChangeError::UnknownRollout`], [`ChangeError::NotRunning`].
    pub fn apply(
        &self,
        id: &RolloutId,
        transition: Transition,
        origin: &Origin,
    ) -> Result<Self, ChangeError> {
        self.change(id, origin, |rollout| match transition {
            Transition::Step(step) => rollout.progress.join(crate::Progress {
                step,
                since_ms: origin.now_ms,
            }),
            Transition::Done => rollout.ended = Some(end(EndKind::Done, None, origin)),
            Transition::Revert { reason } => {
                rollout.ended = Some(end(EndKind::Reverted, Some(reason), origin));
            }
        })
    }

    /// How a component is rolled back: the caller aborts or starts what is answered.
    ///
    /// A rollback that runs is left alone, or whoever asks twice would have the version back that is to go. Once it is
    /// done, the next one goes one version further back.
    ///
    /// # Errors
    ///
    /// [`ChangeError::NothingToRollBack`].
    pub fn rollback(&self, component: &ComponentName) -> Result<Rollback, ChangeError> {
        if let Some(running) = self.running(component) {
            let id = running.id.clone();
            return Ok(if running.rollout.spec.rollback {
                Rollback::Underway(id)
            } else {
                Rollback::Abort(id)
            });
        }
        let history = self.components.get(component);
        let ruled = history.map_or_else(Vec::new, |history| history.ruled(None));
        match ruled[..] {
            [.., before, _] => Ok(Rollback::RollOut(before)),
            _ => Err(ChangeError::NothingToRollBack(component.clone())),
        }
    }

    /// Has a host emptied, or filled again.
    ///
    /// # Errors
    ///
    /// [`ClockSkew`] if it was last told by a clock that is far ahead.
    pub fn drain(&self, host: &HostId, drain: bool, origin: &Origin) -> Result<Self, ClockSkew> {
        let newest = self.drains.get(host).map(|register| &register.stamp);
        let stamp = Stamp::next(origin.now_ms, newest, &origin.region, AHEAD_MAX_MS)?;
        let register = Register {
            stamp,
            value: drain,
        };
        Ok(Self {
            drains: BTreeMap::from([(host.clone(), register)]),
            ..Self::default()
        })
    }

    /// The change of one rollout that runs.
    fn change(
        &self,
        id: &RolloutId,
        origin: &Origin,
        change: impl FnOnce(&mut Rollout),
    ) -> Result<Self, ChangeError> {
        let unknown = || ChangeError::UnknownRollout(id.clone());
        let view = self.rollout(id).ok_or_else(unknown)?;
        if !view.is_running() {
            return Err(ChangeError::NotRunning {
                rollout: id.clone(),
                state: view.state(origin.now_ms),
            });
        }
        let mut rollout = view.rollout.clone();
        change(&mut rollout);
        let history = History {
            floor: None,
            rollouts: BTreeMap::from([(id.clone(), rollout)]),
        };
        Ok(Self::of_component(view.component, history))
    }

    fn of_component(component: &ComponentName, history: History) -> Self {
        Self {
            components: BTreeMap::from([(component.clone(), history)]),
            ..Self::default()
        }
    }
}

fn view<'a>(
    component: &'a ComponentName,
    history: &'a History,
    id: &RolloutId,
) -> Option<RolloutView<'a>> {
    let (id, rollout) = history.rollouts.get_key_value(id)?;
    Some(RolloutView {
        id,
        component,
        rollout,
        base: history.ruled(Some(id)).last().copied().flatten(),
        is_current: history
            .current()
            .is_some_and(|(greatest, _)| greatest == id),
    })
}

fn end(kind: EndKind, reason: Option<String>, origin: &Origin) -> End {
    End {
        kind,
        at_ms: origin.now_ms,
        region: origin.region.clone(),
        reason,
    }
}
