//! What was measured of a subject: as a table, as rows of JSON, as a plot.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::json;
use starling_tests::plot::{self, Axis, Line, Panel, Scale};

/// What grows, and what was found of each operation.
pub(crate) struct Subject {
    /// The name of the plot's file, too.
    pub(crate) name: &'static str,
    /// For the plot.
    pub(crate) title: &'static str,
    /// What is counted along the axis.
    pub(crate) of: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// A figure against sizes, in their order.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) points: Vec<(f64, f64)>,
}

/// In which unit, and so in which panel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Mib,
    /// In the table alone.
    Kib,
}

impl Unit {
    fn symbol(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Mib => "MiB",
            Self::Kib => "KiB",
        }
    }
}

impl Curve {
    pub(crate) fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self {
            name: name.into(),
            unit,
            points: Vec::new(),
        }
    }

    /// The exponent `k` of the power law `size^k` through the last two points: 0 is constant, 1 linear; whatever grows as
    /// the logarithm comes ever closer to 0.
    fn exponent(&self) -> Option<f64> {
        let [.., (from, before), (to, after)] = self.points.as_slice() else {
            return None;
        };
        let exponent = (after / before).ln() / (to / from).ln();
        exponent.is_finite().then_some(exponent)
    }
}

/// Where what was measured goes.
pub(crate) struct Report {
    json: bool,
    plots: Option<PathBuf>,
}

impl Report {
    pub(crate) fn new(json: bool, plots: Option<PathBuf>) -> Self {
        Self { json, plots }
    }

    /// Prints a subject's curves.
    pub(crate) fn print(&self, subject: &Subject) {
        if self.json {
            for curve in &subject.curves {
                for (size, value) in &curve.points {
                    let name = format!("{}, {size} {}", curve.name, subject.of);
                    let unit = curve.unit.symbol();
                    let row = json!({
                        "name": name, "value": value, "unit": unit, "native": null, "ratio_to_native": null,
                    });
                    println!("{row}");
                }
            }
            return;
        }
        let sizes = subject.curves.first().map(|curve| curve.points.as_slice());
        let sizes: Vec<_> = sizes
            .unwrap_or_default()
            .iter()
            .map(|(size, _)| size)
            .collect();
        let heads: String = sizes.iter().map(|size| format!(" {size} |")).collect();
        println!("\n| {} |{heads} unit | exponent |", subject.of);
        println!("|---|{}---|---:|", "---:|".repeat(sizes.len()));
        for curve in &subject.curves {
            let cells: String = sizes
                .iter()
                .map(|size| {
                    let point = curve.points.iter().find(|(at, _)| at == *size);
                    point.map_or_else(
                        || " – |".to_owned(),
                        |(_, value)| format!(" {} |", figure(*value)),
                    )
                })
                .collect();
            let exponent = curve
                .exponent()
                .map_or_else(|| "–".to_owned(), |k| format!("{k:.2}"));
            println!(
                "| {} |{cells} {} | {exponent} |",
                curve.name,
                curve.unit.symbol()
            );
        }
    }

    /// Draws a subject's curves, if plots are wanted.
    ///
    /// # Panics
    ///
    /// Where the file cannot be written.
    pub(crate) fn draw(&self, subject: &Subject) {
        let Some(folder) = &self.plots else {
            return;
        };
        let lines = |unit| {
            let curves = subject.curves.iter().filter(|curve| curve.unit == unit);
            let line = |curve: &Curve| Line {
                name: curve.name.clone(),
                points: curve.points.clone(),
            };
            curves.map(line).collect::<Vec<_>>()
        };
        let (times, sizes) = (lines(Unit::Milliseconds), lines(Unit::Mib));
        let axis = |label| Axis {
            label,
            scale: Scale::Logarithmic,
        };
        let panels = [
            Panel {
                title: "time of one operation (median, unless said)",
                x: axis(subject.of),
                y: axis("ms"),
                lines: &times,
            },
            Panel {
                title: "memory and disk",
                x: axis(subject.of),
                y: axis("MiB"),
                lines: &sizes,
            },
        ];
        let path = folder.join(subject.name).with_extension("svg");
        std::fs::create_dir_all(folder).expect("the folder of the plots is made");
        plot::draw(&path, subject.title, &panels)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Says what is being done, to whoever watches.
pub(crate) fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{what}");
    }
}

/// Three significant figures, more where the number is longer.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
