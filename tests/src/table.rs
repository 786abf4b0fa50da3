//! How a benchmark is told what to do, and tells what it measured: as a table for people, or rows of JSON.

use serde_json::{Value, json};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each load runs.
    pub seconds: u64,
    /// Whether rows are JSON.
    pub json: bool,
    /// What the name of a group holds that is measured. Nothing: all are.
    only: Option<String>,
}

impl Options {
    /// Reads the arguments of the program; where they are not understood it prints `help` and exits with 2.
    #[must_use]
    pub fn read(help: &str) -> Self {
        let arguments = std::env::args().skip(1);
        Self::parse(arguments).unwrap_or_else(|| {
            print!("{help}");
            std::process::exit(2)
        })
    }

    /// Whether this group of rows is asked for.
    #[must_use]
    pub fn wants(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|only| group.contains(only))
    }

    /// Runs a benchmark of one group of rows as the arguments of the program say.
    ///
    /// # Panics
    ///
    /// Where no runtime starts.
    pub fn measure(group: &str, help: &str, benchmark: impl AsyncFnOnce(Self)) {
        let options = Self::read(help);
        if !options.wants(group) {
            return;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime starts");
        runtime.block_on(async {
            if !options.json {
                println!("| what | value | unit |\n|---|---:|---|");
            }
            benchmark(options).await;
        });
    }

    /// `--bench` is cargo's own.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            seconds: 6,
            json: false,
            only: None,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--json" => options.json = true,
                "--seconds" => options.seconds = arguments.next()?.parse().ok()?,
                "--only" => options.only = Some(arguments.next()?),
                _ => return None,
            }
        }
        Some(options)
    }

    /// One figure.
    pub fn row(&self, name: &str, value: f64, unit: &str) {
        if self.json {
            println!("{}", json_row(name, value, unit, None));
        } else {
            println!("| {name} | {value:.2} | {unit} |");
        }
    }
}

/// A figure as a line of JSON, beside the baseline's where there is one. What is not a number is `null`.
#[must_use]
pub fn json_row(name: &str, value: f64, unit: &str, native: Option<f64>) -> Value {
    json!({
        "name": name,
        "value": value,
        "unit": unit,
        "native": native,
        "ratio_to_native": native.map(|native| value / native),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &str) -> Option<Options> {
        Options::parse(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_say_what_is_measured_and_for_how_long() {
        let options = parsed("--bench --seconds 2 --only hello --json").expect("options");
        assert_eq!(options.seconds, 2);
        assert!(options.json);
        assert!(options.wants("hello") && options.wants("half of capacity: hello"));
        assert!(!options.wants("list of 20 messages"));
    }

    #[test]
    fn everything_is_measured_unless_said() {
        let options = parsed("").expect("options");
        assert!(options.wants("hello") && !options.json);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for arguments in ["--seconds", "--seconds some", "--only", "--fast"] {
            assert!(parsed(arguments).is_none(), "{arguments}");
        }
    }

    #[test]
    fn a_row_has_five_keys_always() {
        let row = json_row("hello", 10.0, "requests/s", None);
        let expected = json!({
            "name": "hello", "value": 10.0, "unit": "requests/s",
            "native": null, "ratio_to_native": null,
        });
        assert_eq!(row, expected);
        let row = json_row("hello", 10.0, "requests/s", Some(40.0));
        assert_eq!(row["ratio_to_native"], 0.25);
        assert_eq!(
            json_row("none", 0.0, "", Some(0.0))["ratio_to_native"],
            Value::Null
        );
    }
}
