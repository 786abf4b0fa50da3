//! What can be said on the command line.

mod operate;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use starling_access::{InvalidScope, Scope};
use starling_mailbox::MailboxId;
use starling_telemetry::LogFormat;

use crate::token::Ttl;

pub(crate) use operate::{Asked, Deploy, Drain, Ps, Rollback, Rollout, RolloutCommand, Sign};

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
    /// Make a token for the API of a host, and print it.
    ///
    /// A token says what its bearer may do, and until when. It is signed with the key in SPIN_VARIABLE_SESSION_KEY,
    /// else with the one that `starling up` keeps in the state directory; a host with the same key accepts it. The
    /// host may be running. A token cannot be taken back before its time, except with all others, by changing the
    /// key: give short ones.
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(Token),
    /// Show how the regions stand to each other, as a running host sees it.
    ///
    /// For each other region: whether it answers, how far the replica of its store here is, what it lacks and for how
    /// long it may have lacked something; and what waits in the host's spool. The same figures are metrics, at
    /// /metrics of the host's admin listener.
    Regions(Regions),
    /// Give a component a new version in the whole fleet, step by step, without dropping a request.
    #[command(after_help = operate::DEPLOY_EXAMPLES)]
    Deploy(Deploy),
    /// Look at rollouts, let one pass a gate, or end one.
    #[command(after_help = operate::ROLLOUT_EXAMPLES)]
    Rollout(Rollout),
    /// Bring back what served a component before its last rollout; ends a rollout that is under way.
    Rollback(Rollback),
    /// Show the hosts of the fleet, and the versions of components that they serve.
    Ps(Ps),
    /// Take a host out of the traffic: it says so at /ready, and serves whoever comes all the same.
    Drain(Drain),
    /// Give a host that was drained its traffic back.
    Undrain(Drain),
    /// Sign a component, so that hosts take it; or make the key for that.
    #[command(after_help = operate::SIGN_EXAMPLES)]
    Sign(Sign),
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

const TOKEN_EXAMPLES: &str = "\
Scopes:
  subscriber   what the owner of one mailbox does: listen, mark, delete, forward, record greetings
  deposit      what callers and gateways do: leave messages, hear greetings
  provision    what makes, changes, lists and deletes mailboxes; it reads no messages
  operator     what those do who run the hosts: deploy, roll back, drain; nothing with mailboxes

Examples:
  starling token --scope provision
  starling token --scope subscriber --mailbox +15551230001 --ttl 15m
  starling token --scope deposit --ttl 30d --state-dir /var/lib/starling
  curl -X PUT http://127.0.0.1:3000/v1/mailboxes/+15551230001 \\
    -H \"Authorization: Bearer $(starling token --scope provision)\"
";

#[derive(Debug, clap::Args)]
pub(crate) struct Regions {
    /// The state directory of the host to ask, in which it has written down where its admin listener is.
    #[arg(long, value_name = "FOLDER", default_value = ".starling", env = "STARLING_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: PathBuf,

    /// The address of the host's admin listener, in place of a state directory.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,

    /// How the answer is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Output,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    /// What the bearer may do.
    #[arg(
        long,
        value_name = "SCOPE",
        value_parser = PossibleValuesParser::new(["subscriber", "deposit", "provision", "operator"])
            .try_map(|scope| -> Result<Scope, InvalidScope> { scope.parse() })
    )]
    pub(crate) scope: Scope,

    /// With this mailbox alone: a number such as +15551230001, or a name. Needed for `subscriber`.
    #[arg(long, value_name = "MAILBOX", required_if_eq("scope", "subscriber"))]
    pub(crate) mailbox: Option<MailboxId>,

    /// For how long, such as 15m, 1h or 30d; from one second to 365 days.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1h",
        allow_hyphen_values = true
    )]
    pub(crate) ttl: Ttl,

    /// The state directory of the host whose key to use.
    #[arg(long, value_name = "FOLDER", default_value = ".starling", env = "STARLING_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: PathBuf,
}

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

    /// Where those who run this host find metrics (/metrics) and the state of the regions (/regions). Whoever reaches
    /// it sees them: keep it from strangers. By default a free port of this machine alone; `starling regions` finds it.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        env = "STARLING_ADMIN_LISTEN"
    )]
    pub(crate) admin_listen: SocketAddr,

    /// The host's own configuration: limits, and where each key-value store lives. `edge.toml` in the repository
    /// is a commented example. Without it, stores are embedded in the state directory.
    #[arg(long, value_name = "EDGE_TOML", env = "STARLING_RUNTIME_CONFIG_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) runtime_config_file: Option<PathBuf>,

    /// Where this host keeps its stores and compiled components. One host at a time.
    #[arg(long, value_name = "FOLDER", default_value = ".starling", env = "STARLING_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: PathBuf,

    /// Serve an application that has no session key without one: it then asks nobody for a token, and whoever
    /// reaches this host may do anything. For trying things out.
    #[arg(long, env = "STARLING_INSECURE_OPEN", value_parser = FalseyValueParser::new())]
    pub(crate) insecure_open: bool,

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
        assert!(!up.insecure_open);
    }

    fn token(words: &[&str]) -> Result<Token, String> {
        let words = ["starling", "token"].iter().chain(words);
        match Args::try_parse_from(words) {
            Ok(Args {
                command: Command::Token(token),
            }) => Ok(token),
            Ok(_) => panic!("not token"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn operators_are_told_what_is_missing_or_wrong() {
        for (words, said) in [
            (&["deploy", "voicemail"][..], "<FILE|REFERENCE>"),
            (&["deploy", "voicemail", "nothing"], "neither a file"),
            (
                &["deploy", "v", "v.wasm", "--strategy=blue"],
                "canary, rolling, all",
            ),
            (&["deploy", "v", "v.wasm", "--canary-percent=0"], "1..=100"),
            (&["deploy", "v", "v.wasm", "--step=soon"], "one day"),
            (&["rollout", "approve"], "<ID>"),
            (&["ps", "--ca=x"], "--host"),
            (&["ps", "--output=xml"], "table, json"),
            (&["sign"], "<FILE"),
            (&["sign", "v.wasm"], "--key"),
            (&["sign", "v.wasm", "--new-key=k"], "cannot be used with"),
        ] {
            let words = ["starling"].iter().chain(words);
            let error = Args::try_parse_from(words).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn a_token_needs_a_scope_and_a_subscribers_a_mailbox() {
        let provision = token(&["--scope", "provision"]).unwrap();
        assert_eq!(
            (provision.scope, provision.mailbox),
            (Scope::Provision, None)
        );
        let anna = token(&["--scope=subscriber", "--mailbox=anna"]).unwrap();
        assert_eq!(anna.mailbox, Some("anna".parse().unwrap()));
        for (words, said) in [
            (&[][..], "--scope"),
            (&["--scope=subscriber"], "--mailbox"),
            (
                &["--scope=admin"],
                "subscriber, deposit, provision, operator",
            ),
            (&["--scope=deposit", "--mailbox=+0"], "E.164"),
            (&["--scope=deposit", "--ttl=soon"], "`15m`"),
            (&["--scope=deposit", "--ttl", "-1h"], "365 days"),
        ] {
            let error = token(words).unwrap_err();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
