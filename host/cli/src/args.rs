//! What can be said on the command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use starling_telemetry::LogFormat;

/// Carrier-grade voicemail at the edge.
#[derive(Debug, Parser)]
#[command(name = "starling", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the application of a spin.toml on this machine.
    ///
    /// Compiles the components (once; the result is kept in the state directory), opens the stores that they
    /// name, and serves their HTTP routes until SIGINT or SIGTERM. It then takes no new connections, finishes
    /// what is in flight, and exits with 0.
    #[command(after_help = UP_EXAMPLES)]
    Up(Up),
    /// Print a completion script for a shell.
    ///
    /// For bash: `starling completions bash > /etc/bash_completion.d/starling`
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const UP_EXAMPLES: &str = "\
Examples:
  starling up                             the application in ./spin.toml, on http://127.0.0.1:3000
  starling up --listen 0.0.0.0:8080       for other machines too
  starling up --listen 127.0.0.1:0        on any free port, which it prints
  SPIN_VARIABLE_REGION=eu starling up     with the application variable `region` set
";

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// The application: a Spin manifest of version 2.
    #[arg(short = 'f', long = "from", value_name = "SPIN_TOML", default_value = "spin.toml", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,

    /// The address to serve on. Port 0 takes any free port.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:3000",
        env = "STARLING_LISTEN"
    )]
    pub(crate) listen: SocketAddr,

    /// The host's own configuration: limits, and where each key-value store lives. `edge.toml` in the repository
    /// is a commented example. Without it, stores are embedded in the state directory.
    #[arg(long, value_name = "EDGE_TOML", env = "STARLING_RUNTIME_CONFIG_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) runtime_config_file: Option<PathBuf>,

    /// Where this host keeps its stores and compiled components. One host at a time.
    #[arg(long, value_name = "FOLDER", default_value = ".starling", env = "STARLING_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: PathBuf,

    /// Event loops that serve requests. As many as there are cores, unless said.
    #[arg(long, value_name = "NUMBER", env = "STARLING_EVENT_LOOPS")]
    pub(crate) event_loops: Option<NonZeroUsize>,

    /// How log lines on standard error are written: `text` or `json`.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        env = "STARLING_LOG_FORMAT"
    )]
    pub(crate) log_format: LogFormat,

    /// Which log lines are written, such as `warn` or `info,starling_server=debug`.
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "STARLING_LOG"
    )]
    pub(crate) log: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn up_needs_nothing_said() {
        let Command::Up(up) = Args::parse_from(["starling", "up"]).command else {
            panic!("not up")
        };
        assert_eq!(up.manifest, PathBuf::from("spin.toml"));
        assert_eq!(up.listen, "127.0.0.1:3000".parse().unwrap());
        assert_eq!(up.state_dir, PathBuf::from(".starling"));
    }
}
