//! The table at the end, and the rows behind it.

use std::io::IsTerminal as _;

use serde_json::json;

/// One figure, beside the baseline's.
pub(crate) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    native: Option<f64>,
    greater_is_better: bool,
}

impl Row {
    pub(crate) fn greater_is_better(
        name: &str,
        value: f64,
        unit: &'static str,
        native: Option<f64>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit,
            native,
            greater_is_better: true,
        }
    }

    pub(crate) fn smaller_is_better(
        name: &str,
        value: f64,
        unit: &'static str,
        native: Option<f64>,
    ) -> Self {
        Self {
            greater_is_better: false,
            ..Self::greater_is_better(name, value, unit, native)
        }
    }

    /// The figure as a multiple of the baseline's.
    fn ratio(&self) -> Option<f64> {
        self.native.map(|native| self.value / native)
    }
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Says what is being measured, to whoever watches.
    pub(crate) fn progress(&self, what: &str) {
        if std::io::stderr().is_terminal() {
            eprintln!("measuring: {what}");
        }
    }

    /// Prints the rows: as a table, or a JSON object a line.
    pub(crate) fn print(&self, json: bool) {
        if json {
            for row in &self.0 {
                let line = json!({
                    "name": row.name,
                    "value": row.value,
                    "unit": row.unit,
                    "native": row.native,
                    "ratio_to_native": row.ratio(),
                });
                println!("{line}");
            }
            return;
        }
        println!("| what | starling | native | unit | ratio | better |");
        println!("|---|---:|---:|---|---:|---|");
        for row in &self.0 {
            let native = row.native.map_or_else(|| "–".to_owned(), figure);
            let ratio = row
                .ratio()
                .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            let better = if row.greater_is_better {
                "more"
            } else {
                "less"
            };
            println!(
                "| {} | {} | {native} | {} | {ratio} | {better} |",
                row.name,
                figure(row.value),
                row.unit,
            );
        }
    }
}

/// Three significant figures, more where the number is longer.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
