//! The steps of a rollout: which hosts take how much of the new version, and in which order.

use serde::{Deserialize, Serialize};
use starling_mailbox::Region;

use crate::Zone;

/// How a new version comes into the fleet.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A small share of the requests of one zone, then zone by zone, region by region.
    Canary,
    /// Zone by zone, region by region.
    Rolling,
    /// Everywhere at once.
    All,
}

/// Where a host stands.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// In which region.
    pub region: Region,
    /// In which zone of it.
    pub zone: Zone,
}

/// A step of a rollout.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Step {
    /// What operators call it.
    pub name: String,
    /// The region that it is about; none: all.
    pub region: Option<Region>,
    /// The zone that it is about; none: all.
    pub zone: Option<Zone>,
    /// The part of the requests there that goes to the new version, in per cent.
    pub percent: u8,
}

impl Step {
    fn covers(&self, place: &Place) -> bool {
        self.region
            .as_ref()
            .is_none_or(|region| *region == place.region)
            && self.zone.as_ref().is_none_or(|zone| *zone == place.zone)
    }
}

/// The steps by which a new version comes to these places, that of `first` before other regions'. Never empty.
pub(crate) fn steps(
    strategy: Strategy,
    canary_percent: u8,
    first: &Region,
    places: impl IntoIterator<Item = Place>,
) -> Vec<Step> {
    let all = Step {
        name: "all".into(),
        region: None,
        zone: None,
        percent: 100,
    };
    if strategy == Strategy::All {
        return vec![all];
    }
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by(|a, b| (a.region != *first, a).cmp(&(b.region != *first, b)));
    places.dedup();
    let zones = places.iter().map(|place| Step {
        name: format!("{}/{}", place.region, place.zone),
        region: Some(place.region.clone()),
        zone: Some(place.zone.clone()),
        percent: 100,
    });
    let canary = places.first().filter(|_| strategy == Strategy::Canary);
    let canary = canary.map(|place| Step {
        name: "canary".into(),
        region: Some(place.region.clone()),
        zone: Some(place.zone.clone()),
        percent: canary_percent,
    });
    let steps: Vec<_> = canary.into_iter().chain(zones).collect();
    if steps.is_empty() { vec![all] } else { steps }
}

/// The part of the requests at a place that goes to the new version while `current` is the step, in per cent.
///
/// A place that no step is about, because nobody was there when the rollout was planned, follows with the last step.
pub(crate) fn percent_at(steps: &[Step], current: usize, place: &Place) -> u8 {
    let is_last = current + 1 >= steps.len();
    if is_last && !steps.iter().any(|step| step.covers(place)) {
        return 100;
    }
    let taken = steps.iter().take(current.saturating_add(1));
    let percents = taken
        .filter(|step| step.covers(place))
        .map(|step| step.percent);
    percents.max().unwrap_or(0).min(100)
}
