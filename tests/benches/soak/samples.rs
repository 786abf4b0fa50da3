//! What was sampled of the host, and the judgement of it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use starling_tests::flat::{Tolerance, judge, median, quantile};
use starling_tests::host::Host;
use starling_tests::plot::{self, Axis, Line, Panel, Scale};
use starling_tests::usage::{self, Usage, mib};

use crate::client::Log;

/// What may vary. Memory: what instances and caches happen to hold. Descriptors: connections that are just ending. Disk:
/// the store gives back what is deleted once it is 64 MiB, and keeps as much in journals. Latency: what else the machine
/// does; a p99 of ten seconds is the slowest of some forty answers.
const MEMORY: Tolerance = tolerance(1.1, 8.0);
const DESCRIPTORS: Tolerance = tolerance(1.0, 16.0);
const THREADS: Tolerance = tolerance(1.0, 2.0);
const DISK: Tolerance = tolerance(1.25, 64.0);
const P50: Tolerance = tolerance(1.5, 1.0);
const P99: Tolerance = tolerance(2.0, 10.0);

/// Points in a line of the plot.
const POINTS_MAX: usize = 120;

/// What is drawn of the kinds of requests. All are judged.
const DRAWN: [&str; 8] = [
    "deposit of 4 KB",
    "deposit of 54 KB",
    "deposit of 480 KB",
    "list",
    "audio",
    "patch",
    "delete",
    "summary",
];

const fn tolerance(ratio: f64, slack: f64) -> Tolerance {
    Tolerance { ratio, slack }
}

/// A figure, and its samples.
struct Figure {
    name: String,
    unit: &'static str,
    tolerance: Tolerance,
    sort: Sort,
    /// The number of the sample, and the value.
    samples: Vec<(usize, f64)>,
}

/// What is drawn together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Bytes,
    Counts,
    Median,
    Tail,
    /// Not at all.
    Aside,
}

/// All samples of a run.
pub(crate) struct Samples {
    interval: Duration,
    taken: usize,
    figures: Vec<Figure>,
}

impl Samples {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            taken: 0,
            figures: Vec::new(),
        }
    }

    /// Takes one of each figure.
    pub(crate) fn take(&mut self, host: &Host, log: &Log) {
        let usage = Usage::of(host.pid());
        let disk = usage::disk_bytes(&host.state().join("stores"));
        self.add("RSS", "MiB", MEMORY, Sort::Bytes, mib(usage.resident_bytes));
        self.add("disk", "MiB", DISK, Sort::Bytes, mib(disk));
        self.add(
            "descriptors",
            "",
            DESCRIPTORS,
            Sort::Counts,
            usage.descriptors as f64,
        );
        self.add("threads", "", THREADS, Sort::Counts, usage.threads as f64);
        for (kind, times) in log.take_times() {
            let drawn = DRAWN.contains(&kind);
            let (median_in, tail_in) = if drawn {
                (Sort::Median, Sort::Tail)
            } else {
                (Sort::Aside, Sort::Aside)
            };
            let (p50, p99) = (median(&times), quantile(&times, 0.99));
            self.add(&format!("{kind}, p50"), "ms", P50, median_in, p50);
            self.add(&format!("{kind}, p99"), "ms", P99, tail_in, p99);
        }
        self.taken += 1;
    }

    fn add(
        &mut self,
        name: &str,
        unit: &'static str,
        tolerance: Tolerance,
        sort: Sort,
        value: f64,
    ) {
        let sample = (self.taken, value);
        if let Some(figure) = self.figures.iter_mut().find(|figure| figure.name == name) {
            figure.samples.push(sample);
            return;
        }
        self.figures.push(Figure {
            name: name.to_owned(),
            unit,
            tolerance,
            sort,
            samples: vec![sample],
        });
    }

    fn minutes(&self, sample: usize) -> f64 {
        (sample + 1) as f64 * self.interval.as_secs_f64() / 60.0
    }

    /// Tells whoever watches how it is going, in one line.
    pub(crate) fn progress(&self, log: &Log) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let requests: u64 = log.counts().values().sum();
        let newest = |name| {
            let figure = self.figures.iter().find(|figure| figure.name == name);
            let sample = figure.and_then(|figure| figure.samples.last());
            sample.map_or(0.0, |(_, value)| *value)
        };
        eprint!(
            "\r{:.1} min: {requests} requests, {} wrong, RSS {:.0} MiB, disk {:.0} MiB, {:.0} descriptors ",
            self.minutes(self.taken.saturating_sub(1)),
            log.failures().len(),
            newest("RSS"),
            newest("disk"),
            newest("descriptors"),
        );
        let _ = std::io::stderr().flush();
    }

    /// Prints what became of each figure, and tells whether all are flat.
    pub(crate) fn print(&self, log: &Log) -> bool {
        println!("\n| what | how often |\n|---|---:|");
        for (kind, count) in log.counts() {
            println!("| {kind} | {count} |");
        }
        println!(
            "\n| what | second quarter | last quarter | flat up to | unit | |\n|---|---:|---:|---:|---|---|"
        );
        let mut is_flat = true;
        for figure in &self.figures {
            let samples: Vec<f64> = figure.samples.iter().map(|(_, value)| *value).collect();
            let (name, unit) = (&figure.name, figure.unit);
            let Some(verdict) = judge(&samples, figure.tolerance) else {
                println!("| {name} | – | – | – | {unit} | too few samples |");
                continue;
            };
            is_flat &= verdict.is_flat();
            println!(
                "| {name} | {:.2} | {:.2} | {:.2} | {unit} | {} |",
                verdict.second,
                verdict.last,
                verdict.bound,
                if verdict.is_flat() {
                    "flat"
                } else {
                    "**grows**"
                },
            );
        }
        is_flat
    }

    /// Draws all figures over the time.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) fn draw(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let lines = |sort| -> Vec<Line> {
            let figures = self.figures.iter().filter(|figure| figure.sort == sort);
            figures.map(|figure| self.line(figure)).collect()
        };
        let (bytes, counts) = (lines(Sort::Bytes), lines(Sort::Counts));
        let (medians, tails) = (lines(Sort::Median), lines(Sort::Tail));
        let panel = |title, label, scale, lines| Panel {
            title,
            x: Axis {
                label: "minutes",
                scale: Scale::Linear,
            },
            y: Axis { label, scale },
            lines,
        };
        let panels = [
            panel("memory and disk", "MiB", Scale::Linear, bytes.as_slice()),
            panel("descriptors and threads", "open", Scale::Linear, &counts),
            panel("time, p50 of 10 s", "ms", Scale::Logarithmic, &medians),
            panel("time, p99 of 10 s", "ms", Scale::Logarithmic, &tails),
        ];
        plot::draw(path, "A host under mixed load", &panels)
    }

    /// A figure's line, of medians where there are many samples.
    fn line(&self, figure: &Figure) -> Line {
        let each = self.taken.div_ceil(POINTS_MAX).max(1);
        let mut groups: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (sample, value) in &figure.samples {
            groups.entry(sample / each).or_default().push(*value);
        }
        let points = groups
            .iter()
            .map(|(group, values)| (self.minutes(group * each), median(values)));
        Line {
            name: figure.name.clone(),
            points: points.collect(),
        }
    }
}
