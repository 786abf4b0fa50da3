//! What the admission of one event loop knows.

use std::time::Instant;

use crate::pool::{Entry, Pool};
use crate::refusals::Refusals;
use crate::{Arrival, Config, Kind, Outcome, Priority, Refused, Resource, Snapshot};

#[derive(Debug)]
pub(crate) struct State {
    config: Config,
    /// By resource.
    pools: [Pool; 2],
    /// By rank of priority.
    refusals: [Refusals; 3],
    critical_in_flight: u32,
    critical_admitted: u64,
}

/// What is remembered of an admitted request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// It takes none.
    Critical,
    Taken(Resource, Entry),
}

impl State {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            pools: Resource::ALL.map(|resource| Pool::new(resource, &config)),
            config,
            refusals: Default::default(),
            critical_in_flight: 0,
            critical_admitted: 0,
        }
    }

    pub(crate) fn admit(
        &mut self,
        priority: Priority,
        kind: Kind,
        arrival: Arrival,
        now: Instant,
    ) -> Result<Place, Refused> {
        let Some(rank) = priority.rank() else {
            self.critical_in_flight += 1;
            self.critical_admitted += 1;
            return Ok(Place::Critical);
        };
        let pool = &mut self.pools[kind.resource.index()];
        let entry = pool.admit(rank, usize::from(kind.index), arrival, now, &self.config);
        let refusals = &mut self.refusals[rank];
        refusals.record(entry.is_none(), now);
        match entry {
            Some(entry) => Ok(Place::Taken(kind.resource, entry)),
            None => Err(Refused {
                retry_after: refusals.retry_after(),
            }),
        }
    }

    /// Takes note of the head of a response.
    pub(crate) fn answer(&mut self, place: &Place, now: Instant, outcome: Outcome) {
        if let Place::Taken(resource, entry) = place {
            let sampled = outcome == Outcome::Served;
            self.pools[resource.index()].answer(entry, sampled, now, &self.config);
        }
    }

    /// Gives the place back.
    pub(crate) fn leave(&mut self, place: &Place, answered: bool) {
        match place {
            Place::Critical => self.critical_in_flight -= 1,
            Place::Taken(resource, entry) => self.pools[resource.index()].leave(entry, answered),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            pools: self.pools.each_ref().map(Pool::snapshot),
            admitted: self.refusals.each_ref().map(Refusals::admitted),
            refused: self.refusals.each_ref().map(Refusals::refused),
            critical_in_flight: self.critical_in_flight,
            critical_admitted: self.critical_admitted,
        }
    }
}
