//! How a benchmark is told what to do, and tells what it measured: as a table for people, or rows of JSON.

use serde_json::json;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long each load runs.
    pub seconds: u64,
    json: bool,
}

impl Options {
    /// Runs a benchmark as the arguments of the program say; where they are not understood it prints `help` and exits
    /// with 2.
    ///
    /// # Panics
    ///
    /// Where no runtime starts.
    pub fn measure(help: &str, benchmark: impl AsyncFnOnce(Self)) {
        let arguments = std::env::args().skip(1);
        let Some(options) = Self::parse(arguments) else {
            print!("{help}");
            std::process::exit(2)
        };
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
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--json" => options.json = true,
                "--seconds" => options.seconds = arguments.next()?.parse().ok()?,
                _ => return None,
            }
        }
        Some(options)
    }

    /// One figure.
    pub fn row(&self, name: &str, value: f64, unit: &str) {
        if self.json {
            println!("{}", json!({"name": name, "value": value, "unit": unit}));
        } else {
            println!("| {name} | {value:.2} | {unit} |");
        }
    }
}
