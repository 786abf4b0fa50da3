//! The table at the end, and the rows behind it.

use std::io::IsTerminal as _;

use starling_tests::aim::Aim;
use starling_tests::table::json_row;

use crate::measured::Measured;

/// One figure, beside the baseline's.
pub(crate) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    native: Option<f64>,
    greater_is_better: bool,
    aim: Option<Aim>,
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
            aim: None,
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

    /// Says what the figure should be, if anything.
    pub(crate) fn aim(self, aim: impl Into<Option<Aim>>) -> Self {
        Self {
            aim: aim.into(),
            ..self
        }
    }

    /// The figure as a multiple of the baseline's.
    fn ratio(&self) -> Option<f64> {
        self.native.map(|native| self.value / native)
    }

    /// The aim, where it is missed.
    fn missed(&self) -> Option<Aim> {
        self.aim.filter(|aim| !aim.is_met(self.value, self.ratio()))
    }
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A row about what this part of the answers stayed below. Where there was no answer, there is no row.
    pub(crate) fn add_latency(
        &mut self,
        name: &str,
        quantile: f64,
        (ours, base): (&Measured, &Measured),
        aim: Option<Aim>,
    ) {
        let Some(value) = ours.latency_us(quantile) else {
            return self.note(format!("{name}: there was no answer; try more --seconds"));
        };
        let native = base.latency_us(quantile);
        self.add(Row::smaller_is_better(name, value, "µs", native).aim(aim));
    }

    /// What a reader of the rows must know.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Says so, where some of a load was refused: then figures are about what was admitted.
    pub(crate) fn note_refusals(&mut self, name: &str, measured: &Measured) {
        let Measured { refused, asked, .. } = measured;
        if *refused > 0 {
            self.note(format!(
                "{name}: {refused} of {asked} requests were refused"
            ));
        }
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
            for row in &self.rows {
                println!("{}", json_row(&row.name, row.value, row.unit, row.native));
            }
            return;
        }
        println!("| what | starling | native | unit | ratio | better | aim |");
        println!("|---|---:|---:|---|---:|---|---|");
        self.rows.iter().for_each(print_row);
        let missed = self.rows.iter().filter(|row| row.missed().is_some());
        for row in missed {
            println!("Aim missed: {}", row.name);
        }
        for note in &self.notes {
            println!("Note: {note}");
        }
    }
}

fn print_row(row: &Row) {
    let native = row.native.map_or_else(|| "–".to_owned(), figure);
    let ratio = row
        .ratio()
        .filter(|ratio| ratio.is_finite())
        .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    let better = match row.greater_is_better {
        true => "more",
        false => "less",
    };
    let aim = row
        .aim
        .map_or_else(|| "–".to_owned(), |aim| aim.display(row.unit).to_string());
    println!(
        "| {} | {} | {native} | {} | {ratio} | {better} | {aim} |",
        row.name,
        figure(row.value),
        row.unit,
    );
}

/// Three significant figures, more where the number is longer.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
