//! One event loop and one disk in virtual time, under an open load.
//!
//! The loop gives each request that is runnable a slice of processor time in turn, as an event loop
//! does with tasks that yield. A request that writes then waits for the disk, which syncs all that
//! wait together (group commit) and takes as long for one as for many. Now and then the machine
//! takes the processor away for a while. Requests come on their own, however long the answers take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use starling_admission::{Admission, Arrival, Kind, Outcome, Permit, Priority, Resource};

/// A stream of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) priority: Priority,
    pub(crate) kind: Kind,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Processor time of a request in seconds, on average. One that needs the store then waits for
    /// the disk.
    pub(crate) work: f64,
    /// How the time of a request differs from the average.
    pub(crate) spread: Spread,
}

/// How requests of one source differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    /// They do not.
    None,
    /// Evenly, from half to one and a half times the average.
    Even,
    /// Nine of ten take half the average, one takes five and a half times as long.
    Skewed,
}

/// What became of the requests of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) refused: u64,
    /// Seconds from arrival to answer.
    pub(crate) latencies: Vec<f64>,
    /// Processor seconds of those that were answered.
    pub(crate) worked: f64,
}

impl Tally {
    /// The latency, in seconds, that a part of the answers undercut.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * part) as usize]
    }

    pub(crate) fn refused_part(&self) -> f64 {
        self.refused as f64 / self.offered.max(1) as f64
    }
}

/// Numerical Recipes' 64-bit linear congruential generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    /// Above 0, at most 1.
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// The time to the next of events that come at random.
    fn gap(&mut self, rate: f64) -> f64 {
        -self.next().ln() / rate
    }
}

struct Job {
    permit: Permit,
    source: usize,
    arrived: f64,
    work: f64,
    left: f64,
}

/// The loop, its disk and its door.
pub(crate) struct Simulation {
    pub(crate) admission: Admission,
    start: Instant,
    /// Seconds since the start.
    pub(crate) clock: f64,
    numbers: Numbers,
    /// Times as long as stated that everything takes.
    pub(crate) slowness: f64,
    /// Seconds of processor time in one turn.
    pub(crate) slice: f64,
    /// Seconds of a sync.
    pub(crate) sync: f64,
    /// The machine takes the processor away this often, in seconds, and for so long.
    pub(crate) steal: Option<(f64, f64)>,
    stolen: f64,
    runnable: VecDeque<Job>,
    to_sync: Vec<Job>,
    syncing: Vec<Job>,
    synced_at: f64,
}

impl Simulation {
    pub(crate) fn new(admission: Admission) -> Self {
        Self {
            admission,
            start: Instant::now(),
            clock: 0.0,
            numbers: Numbers(42),
            slowness: 1.0,
            slice: 50e-6,
            sync: 5e-3,
            steal: None,
            stolen: 0.0,
            runnable: VecDeque::new(),
            to_sync: Vec::new(),
            syncing: Vec::new(),
            synced_at: f64::INFINITY,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.clock)
    }

    /// Runs for some seconds; one tally for each source.
    pub(crate) fn run(&mut self, seconds: f64, sources: &[Source]) -> Vec<Tally> {
        let end = self.clock + seconds;
        let mut tallies = vec![Tally::default(); sources.len()];
        let mut arrivals: Vec<f64> = sources
            .iter()
            .map(|source| self.clock + self.numbers.gap(source.rate))
            .collect();
        while self.clock < end {
            self.arrive(sources, &mut arrivals, &mut tallies);
            self.complete_sync(&mut tallies);
            if let Some(job) = self.runnable.pop_front() {
                self.turn(job, sources, &mut tallies);
            } else {
                let next = arrivals.iter().copied().fold(self.synced_at, f64::min);
                self.clock = next.min(end);
            }
        }
        tallies
    }

    /// Lets everything in that has arrived by now.
    fn arrive(&mut self, sources: &[Source], arrivals: &mut [f64], tallies: &mut [Tally]) {
        for (index, source) in sources.iter().enumerate() {
            while arrivals[index] <= self.clock {
                let arrived = arrivals[index];
                arrivals[index] += self.numbers.gap(source.rate);
                tallies[index].offered += 1;
                let work = source.work * self.part(source.spread) * self.slowness;
                match self
                    .admission
                    .admit(source.priority, source.kind, Arrival::Fresh, self.now())
                {
                    Ok(permit) => self.runnable.push_back(Job {
                        permit,
                        source: index,
                        arrived,
                        work,
                        left: work,
                    }),
                    Err(_) => tallies[index].refused += 1,
                }
            }
        }
    }

    fn part(&mut self, spread: Spread) -> f64 {
        let number = self.numbers.next();
        match spread {
            Spread::None => 1.0,
            Spread::Even => 0.5 + number,
            Spread::Skewed if number < 0.9 => 0.5,
            Spread::Skewed => 5.5,
        }
    }

    /// Gives a job its slice.
    fn turn(&mut self, mut job: Job, sources: &[Source], tallies: &mut [Tally]) {
        let slice = job.left.min(self.slice);
        self.clock += slice;
        if let Some((every, duration)) = self.steal
            && self.clock >= self.stolen + every
        {
            self.clock += duration;
            self.stolen = self.clock;
        }
        job.left -= slice;
        if job.left > 0.0 {
            self.runnable.push_back(job);
        } else if sources[job.source].kind.resource == Resource::Store {
            self.to_sync.push(job);
            self.start_sync();
        } else {
            self.answer(job, tallies);
        }
    }

    /// Begins a sync of all that wait, unless one is under way.
    fn start_sync(&mut self) {
        if self.syncing.is_empty() && !self.to_sync.is_empty() {
            std::mem::swap(&mut self.syncing, &mut self.to_sync);
            self.synced_at = self.clock + self.sync * self.slowness;
        }
    }

    fn complete_sync(&mut self, tallies: &mut [Tally]) {
        if self.clock >= self.synced_at {
            self.synced_at = f64::INFINITY;
            for job in std::mem::take(&mut self.syncing) {
                self.answer(job, tallies);
            }
            self.start_sync();
        }
    }

    fn answer(&self, mut job: Job, tallies: &mut [Tally]) {
        job.permit.answered(self.now(), Outcome::Served);
        let tally = &mut tallies[job.source];
        tally.latencies.push(self.clock - job.arrived);
        tally.worked += job.work;
    }
}
