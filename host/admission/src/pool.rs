//! The requests that wait for one resource: their places, their baselines, their limit.

use std::time::{Duration, Instant};

use crate::baseline::Baseline;
use crate::limit::Limit;
use crate::priority::Priority;
use crate::probe::Probe;
use crate::snapshot::PoolSnapshot;
use crate::weights::Weights;
use crate::{Arrival, Config, Resource};

/// What nobody asked for this long starts again from the initial limit.
const FORGOTTEN: Duration = Duration::from_secs(1);
/// So many may have come after a request that measures a baseline.
const JOINED_MAX: u64 = 8;

#[derive(Debug)]
pub(crate) struct Pool {
    limit: Limit,
    /// By index of kind; as many as were asked for.
    baselines: Vec<Baseline>,
    probe: Probe,
    weights: Weights,
    /// Requests that hold a place.
    in_flight: u32,
    /// What they weigh together, by rank of priority.
    loads: [f64; 3],
    /// Those of them that wait for their answer.
    unanswered: u32,
    /// Requests admitted. It tells how many came after another.
    entries: u64,
    /// When somebody last asked for a place.
    asked: Option<Instant>,
}

/// What is remembered of an admitted request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    kind: usize,
    rank: usize,
    /// The part of the limit that it takes.
    weight: f64,
    admitted: Instant,
    /// There was nothing else to answer when it came.
    into_empty: bool,
    /// One request at a time was taken when it came.
    in_probe: bool,
    number: u64,
}

impl Pool {
    pub(crate) fn new(resource: Resource, config: &Config) -> Self {
        Self {
            limit: Limit::new(config.tolerance[resource.index()], config),
            baselines: Vec::new(),
            probe: Probe::default(),
            weights: Weights::default(),
            in_flight: 0,
            loads: [0.0; 3],
            unanswered: 0,
            entries: 0,
            asked: None,
        }
    }

    /// Takes a place for a request of a kind and a rank of priority, if there is one.
    pub(crate) fn admit(
        &mut self,
        rank: usize,
        kind: usize,
        arrival: Arrival,
        now: Instant,
        config: &Config,
    ) -> Option<Entry> {
        self.ask(kind, now, config);
        let unheard =
            arrival == Arrival::Late && !matters_most(rank) && self.limit.is_refusing(now);
        let entry = (!unheard)
            .then(|| self.take(rank, kind, now, config))
            .flatten();
        self.limit.asked(entry.is_none());
        entry
    }

    fn take(&mut self, rank: usize, kind: usize, now: Instant, config: &Config) -> Option<Entry> {
        let in_probe = self.probe.is_running(now, self.unanswered == 0);
        let weight = self.weights.of(self.baselines[kind].seconds());
        let has_room = self.has_room(rank, weight, config);
        // What matters most does not wait while something else is measured.
        let exempt = matters_most(rank) && !self.probe.is_of(kind);
        if has_room && (!in_probe || self.unanswered == 0 || exempt) {
            return Some(self.enter(kind, rank, weight, in_probe, now));
        }
        if !in_probe {
            self.refuse(rank, kind, now, config);
        }
        None
    }

    /// Takes note that a request was answered, and whether its latency counts.
    pub(crate) fn answer(&mut self, entry: &Entry, sampled: bool, now: Instant, config: &Config) {
        self.unanswered -= 1;
        if !sampled {
            return;
        }
        let latency = now.saturating_duration_since(entry.admitted).as_secs_f64();
        let was_alone = self.was_alone(entry);
        let baseline = &mut self.baselines[entry.kind];
        if was_alone {
            baseline.measure(latency, now);
            self.probe.measured(entry.kind, now);
        }
        let baseline = baseline.seconds();
        // What was taken one at a time does not say what the limit does.
        if !entry.in_probe {
            self.limit.found(entry.into_empty);
            if let Some(baseline) = baseline {
                self.limit.answered(latency, baseline, now);
                self.weights.answered(baseline);
                let load = self.load_from(0);
                if self.limit.adjust(self.in_flight, load, now, config) {
                    self.weights.renew();
                }
            }
        }
    }

    /// Gives a place back.
    pub(crate) fn leave(&mut self, entry: &Entry, answered: bool) {
        self.in_flight -= 1;
        self.loads[entry.rank] -= entry.weight;
        if self.in_flight == 0 {
            // What rounding left over must not add up.
            self.loads = [0.0; 3];
        }
        self.unanswered -= u32::from(!answered);
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let baselines = self.baselines.iter().map(Baseline::seconds);
        PoolSnapshot {
            limit: self.limit.value(),
            in_flight: self.in_flight,
            load: self.load_from(0),
            baselines: baselines
                .map(|seconds| seconds.map(Duration::from_secs_f64))
                .collect(),
        }
    }

    fn ask(&mut self, kind: usize, now: Instant, config: &Config) {
        while self.baselines.len() <= kind {
            self.baselines.push(Baseline::default());
        }
        let forgotten = self
            .asked
            .is_some_and(|at| now.saturating_duration_since(at) > FORGOTTEN);
        if forgotten && self.in_flight == 0 {
            self.limit.forget(config);
        }
        self.asked = Some(now);
    }

    /// Whether a request that is answered now had the resource to itself, or nearly so. To insist
    /// on none that came after it would be to prefer the short ones wherever there is some load.
    fn was_alone(&self, entry: &Entry) -> bool {
        let joined = self.entries - entry.number;
        entry.into_empty && (entry.in_probe || self.limit.is_idle() && joined <= JOINED_MAX)
    }

    /// Whether there is a place for a rank of priority: within its share, of which those of lesser
    /// priority take nothing, and within the limit, while none of greater priority was refused just
    /// now. An empty pool has one for everyone: else a low
    /// limit would shut out the lesser priorities for good.
    fn has_room(&self, rank: usize, weight: f64, config: &Config) -> bool {
        let limit = self.limit.value();
        let within_share = self.load_from(rank) + weight <= limit * config.shares[rank];
        let fits =
            within_share && self.load_from(0) + weight <= limit && !self.limit.is_short_above(rank);
        self.in_flight == 0 || fits && self.in_flight < config.limit_max
    }

    /// What requests of this rank of priority and of greater ones weigh.
    fn load_from(&self, rank: usize) -> f64 {
        self.loads[rank..].iter().sum()
    }

    fn enter(
        &mut self,
        kind: usize,
        rank: usize,
        weight: f64,
        in_probe: bool,
        now: Instant,
    ) -> Entry {
        let into_empty = self.unanswered == 0;
        self.in_flight += 1;
        self.loads[rank] += weight;
        self.unanswered += 1;
        self.entries += 1;
        self.limit.admitted(self.in_flight, self.load_from(0));
        Entry {
            kind,
            rank,
            weight,
            admitted: now,
            into_empty,
            in_probe,
            number: self.entries,
        }
    }

    fn refuse(&mut self, rank: usize, kind: usize, now: Instant, config: &Config) {
        self.limit.refused(rank, now);
        let baseline = &mut self.baselines[kind];
        if baseline.is_stale(now, config.baseline_age_max)
            && self.probe.start(kind, baseline.is_young(), now, config)
        {
            baseline.doubt();
        }
    }
}

/// Whether this is the greatest rank of those that can be refused.
fn matters_most(rank: usize) -> bool {
    rank + 1 == Priority::REFUSABLE.len()
}
