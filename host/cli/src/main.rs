//! `starling`: runs voicemail components on this machine, and everything an operator does from a shell.
//!
//! This crate is the composition root. It reads what was said (arguments, manifest, runtime configuration), works
//! out what that means, wires the other crates together and owns the exit codes: 0 after a drain, 1 for a failure,
//! 2 for wrong usage.

mod admin;
mod args;
mod listing;
mod management;
mod manifest;
mod metrics;
mod operate;
mod regions;
mod runtime_config;
mod session_key;
mod state_dir;
mod stores;
mod template;
mod token;
mod up;
mod variables;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Up(args) => up::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Regions(args) => regions::run(&args),
        Command::Deploy(args) => operate::deploy(&args),
        Command::Rollout(args) => operate::rollout(&args),
        Command::Rollback(args) => operate::rollback(&args),
        Command::Ps(args) => operate::ps(&args),
        Command::Drain(args) => operate::drain(&args, true),
        Command::Undrain(args) => operate::drain(&args, false),
        Command::Sign(args) => operate::sign(&args),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Args::command(),
                "starling",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", listing::failure(&error));
            ExitCode::FAILURE
        }
    }
}
