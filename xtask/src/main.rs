//! The chores of the repository, behind one command:
//! `cargo xtask build | up | regions | test | servers | fuzz | chaos | bench | growth | soak | help`.
//!
//! Everything a person or a continuous-integration machine does to this repository goes through here, so that
//! both do the same. The alias `cargo xtask` lives in `.cargo/config.toml`.
//!
//! - [`step`] announces a command, runs it and stops at the first failure;
//! - [`workspace`] knows where things are and which packages are guests;
//! - [`toolchain`] finds, or installs, what compiles the guests to wasm32-wasip2;
//! - [`debian`] installs Debian packages, [`python`] what the tests need of Python, and [`servers`] provides the servers
//!   that tests start, from the archives that [`sources`] knows; all say so first;
//! - [`build`], [`up`], [`regions`], [`test`], [`fuzz`], [`chaos`] and [`bench`] (which is also growth and soak) are the commands; [`help`] explains
//!   them.

mod bench;
mod build;
mod chaos;
mod debian;
mod fuzz;
mod help;
mod python;
mod regions;
mod servers;
mod sources;
mod step;
mod test;
mod toolchain;
mod up;
mod workspace;

use std::process::ExitCode;

use step::Failure;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(failure) => {
            step::report(&failure);
            match failure {
                Failure::Usage(_) => ExitCode::from(2),
                Failure::Step { .. } | Failure::Message(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Picks the command. A `--help` before any `--` explains the command instead of running it.
fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let Some((command, rest)) = args.split_first() else {
        print!("{}", help::OVERVIEW);
        return Ok(ExitCode::SUCCESS);
    };
    let own = rest.split(|arg| arg == "--").next().unwrap_or_default();
    if own.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{}", help::of(command)?);
        return Ok(ExitCode::SUCCESS);
    }
    match command.as_str() {
        "build" => build::run(&build::Options::parse(rest)?)?,
        "up" => return up::run(rest),
        "regions" => return regions::run(rest),
        "test" => test::run(&test::Options::parse(rest)?)?,
        "servers" => servers::run(rest)?,
        "fuzz" => fuzz::run(&fuzz::Options::parse(rest)?)?,
        "chaos" => chaos::run(&chaos::Options::parse(rest)?)?,
        "bench" => bench::BENCH.run(rest)?,
        "growth" => bench::GROWTH.run(rest)?,
        "soak" => bench::SOAK.run(rest)?,
        "help" | "--help" | "-h" => print!(
            "{}",
            match rest.first() {
                Some(topic) => help::of(topic)?,
                None => help::OVERVIEW,
            }
        ),
        unknown => return Err(help::unknown(unknown)),
    }
    Ok(ExitCode::SUCCESS)
}
