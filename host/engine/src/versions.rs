//! The versions of one component that take requests on a host, and how requests are shared among them.
//!
//! A version is a [`Component`]: loaded once, never changed, replaced by another. [`Versions`] says which of them take
//! which share of the requests; every event loop follows it by its own [`Balanced`]. A request stays with the version
//! that it was given to, however the shares move meanwhile.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;

use crate::component::{Component, INSTANCES_APART};
use crate::instances::Instances;
use crate::pool::Places;

/// Shares are counted in hundredths.
const WHOLE: u8 = 100;

/// Requests are dealt out in steps of this many hundredths: prime to [`WHOLE`], so each hundredth comes up once in a
/// hundred requests, and a small share is spread over them.
const STRIDE: u32 = 61;

/// One version, and the hundredths of the requests that it takes.
#[derive(Clone, Debug)]
pub struct Share {
    /// The version.
    pub component: Component,
    /// From 0 to 100.
    pub percent: u8,
}

/// Shares that do not make a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the shares make {0} per cent, and not 100")]
pub struct NotWhole(u32);

/// How the requests for one component are shared among its versions. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct Versions {
    name: Arc<str>,
    current: Arc<Current>,
}

#[derive(Debug, Default)]
struct Current {
    /// Raised with each change, after it: all that the way of a request looks at while nothing changes.
    generation: AtomicU64,
    shares: RwLock<Arc<[Share]>>,
}

impl Versions {
    /// No version yet: nothing of this component can be served here.
    pub fn none(name: &str) -> Self {
        Self {
            name: name.into(),
            current: Arc::default(),
        }
    }

    /// One version, which takes everything.
    pub fn only(component: Component) -> Self {
        let versions = Self::none(component.name());
        versions.set(Arc::new([Share {
            component,
            percent: WHOLE,
        }]));
        versions
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shares as they are.
    pub fn shares(&self) -> Arc<[Share]> {
        self.current
            .shares
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shares requests in this way from now on. Those under way stay where they are.
    ///
    /// Without any, nothing of the component is served.
    ///
    /// # Errors
    /// When the shares do not make a hundred per cent. Nothing changes then.
    pub fn shift(&self, shares: Vec<Share>) -> Result<(), NotWhole> {
        let sum = shares.iter().map(|share| u32::from(share.percent)).sum();
        if sum != u32::from(WHOLE) && !shares.is_empty() {
            return Err(NotWhole(sum));
        }
        self.set(shares.into());
        Ok(())
    }

    fn set(&self, shares: Arc<[Share]>) {
        let mut current = self
            .current
            .shares
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = shares;
        self.current.generation.fetch_add(1, Ordering::Release);
    }

    fn generation(&self) -> u64 {
        self.current.generation.load(Ordering::Acquire)
    }

    /// Instances of the versions for one of `event_loops` event loops. What one component may keep busy is the same
    /// however many versions it has.
    pub fn balanced(&self, event_loops: u32) -> Balanced {
        Balanced {
            versions: self.clone(),
            event_loops: event_loops.max(1),
            dealt: RefCell::default(),
        }
    }

    /// An instance of the version with the greatest share, outside of what clients' requests have: `last`, what this
    /// answered before, for as long as it is one.
    pub fn apart(&self, last: Option<Instances>) -> Option<Instances> {
        let shares = self.shares();
        let greatest = &shares.iter().max_by_key(|share| share.percent)?.component;
        last.filter(|last| last.component().is(greatest))
            .or_else(|| {
                let places = Places::new(INSTANCES_APART as usize);
                Some(Instances::apart(greatest.clone(), places))
            })
    }
}

/// The instances of a component's versions on one event loop.
#[derive(Debug)]
pub struct Balanced {
    versions: Versions,
    event_loops: u32,
    dealt: RefCell<Dealt>,
}

/// What an event loop has made of the shares that it saw last.
#[derive(Debug, Default)]
struct Dealt {
    generation: u64,
    /// Places for busy instances, which the versions share.
    places: Option<Arc<Places>>,
    shares: Vec<(u8, Instances)>,
    requests: u32,
}

impl Balanced {
    /// The instances for the next request, or `None` where the component has no version.
    pub fn next(&self) -> Option<Instances> {
        let mut dealt = self.dealt.borrow_mut();
        if dealt.generation != self.versions.generation() {
            self.follow(&mut dealt);
        }
        let [(_, only)] = &dealt.shares[..] else {
            return dealt.deal();
        };
        Some(only.clone())
    }

    fn follow(&self, dealt: &mut Dealt) {
        // Before the shares: a change in between is then seen once more.
        dealt.generation = self.versions.generation();
        let shares = self.versions.shares();
        let mut known = std::mem::take(&mut dealt.shares);
        for share in shares.iter().filter(|share| share.percent > 0) {
            let places = dealt.places.get_or_insert_with(|| {
                let places = share.component.busy_max() / self.event_loops;
                Places::new(places.max(1) as usize)
            });
            let kept = known
                .iter()
                .position(|(_, instances)| instances.component().is(&share.component))
                .map(|place| known.swap_remove(place).1);
            let instances =
                kept.unwrap_or_else(|| Instances::new(share.component.clone(), places.clone()));
            dealt.shares.push((share.percent, instances));
        }
    }
}

impl Dealt {
    fn deal(&mut self) -> Option<Instances> {
        let percents = self.shares.iter().map(|(percent, _)| *percent);
        let place = taker(percents, self.requests);
        self.requests = (self.requests + 1) % u32::from(WHOLE);
        place.map(|place| self.shares[place].1.clone())
    }
}

/// Which of the shares takes the request with this number, counted from 0 to 99 and again from 0.
fn taker(percents: impl Iterator<Item = u8>, request: u32) -> Option<usize> {
    let hundredth = request * STRIDE % u32::from(WHOLE);
    let mut below = 0;
    percents
        .map(|percent| {
            below += u32::from(percent);
            below
        })
        .position(|below| hundredth < below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of two shares takes each of a hundred requests.
    fn takers(percents: [u8; 2]) -> Vec<usize> {
        let taken = (0..u32::from(WHOLE)).map(|request| taker(percents.into_iter(), request));
        taken.map(Option::unwrap).collect()
    }

    #[test]
    fn a_hundred_requests_are_dealt_out_exactly() {
        for percent in 0..=WHOLE {
            let takers = takers([percent, WHOLE - percent]);
            let first = takers.iter().filter(|place| **place == 0).count();
            assert_eq!(first, usize::from(percent));
        }
    }

    #[test]
    fn a_small_share_is_spread_out() {
        let takers = takers([5, 95]);
        for window in takers.windows(10) {
            assert!(window.iter().filter(|place| **place == 0).count() <= 1);
        }
    }

    #[test]
    fn who_has_no_share_takes_nothing() {
        assert_eq!(taker([].into_iter(), 0), None);
        assert!(!takers([0, 100]).contains(&0));
    }

    #[test]
    fn without_shares_nothing_is_served() {
        let versions = Versions::none("guest");
        versions.shift(Vec::new()).unwrap();
        assert!(versions.shares().is_empty());
        assert!(versions.balanced(2).next().is_none());
    }
}
