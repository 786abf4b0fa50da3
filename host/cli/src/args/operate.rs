//! The arguments of what an operator does to a fleet.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum, ValueHint};
use jiff::SignedDuration;
use starling_operator::api::Strategy;
use starling_operator::artifact::Source;

use super::Output;
use crate::token::duration;

pub(super) const DEPLOY_EXAMPLES: &str = "\
What is deployed is checked and compiled by the host that is asked before anything is changed: it must be a component
that serves HTTP and imports nothing but what applications are offered, and be signed with a key that the hosts trust
(signatures.keys in their configuration). It is then stored in the region's store, from where every region has it, and
each host compiles it before it takes traffic.

Strategies:
  canary    a small share of the requests of one zone first, then zone by zone, region by region
  rolling   zone by zone, region by region
  all       everywhere at once
A step that does worse than the version before it, in the same minute, takes the whole rollout back by itself.

Examples:
  starling sign --new-key deploy.pem
  starling sign voicemail.wasm --key deploy.pem
  starling deploy voicemail voicemail.wasm
  starling deploy voicemail registry.example/team/voicemail:1.4.0 --signature voicemail.sig
  starling deploy voicemail voicemail.wasm --canary-percent 1 --step 10m --gate
";

pub(super) const ROLLOUT_EXAMPLES: &str = "\
Examples:
  starling rollout status                    the rollouts that the fleet knows, the newest first
  starling rollout status 1767225600123-eu-5bd1e995
  starling rollout approve 1767225600123-eu-5bd1e995
  starling rollout abort 1767225600123-eu-5bd1e995 --reason 'callers complain'
";

pub(super) const SIGN_EXAMPLES: &str = "\
The private key is PKCS#8 in PEM, for this user alone; the public one, beside it with .pub, is what hosts are given in
signatures.keys of their configuration. OpenSSL makes and reads the same files.

Examples:
  starling sign --new-key deploy.pem
  starling sign voicemail.wasm --key deploy.pem      writes voicemail.wasm.sig
";

/// Which host is asked. Every host can do everything, for all regions.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// The state directory of a host on this machine: it has written down there where it is, and a token.
    #[arg(long, value_name = "FOLDER", default_value = ".starling", env = "STARLING_STATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: PathBuf,

    /// The operator API of a host elsewhere, such as https://host.example:8443. The token comes from STARLING_TOKEN or
    /// --token-file.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) host: Option<String>,

    /// A file with a token of scope `operator`, for --host.
    #[arg(long, value_name = "FILE", requires = "host", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,

    /// A PEM file with certificates to trust besides those that everybody trusts, for --host.
    #[arg(long, value_name = "FILE", requires = "host", value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,

    /// How the answer is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// The component's id in the manifests of the hosts.
    pub(crate) component: String,

    /// The file of the component, or its name in an OCI registry, such as registry.example/team/voicemail:1.4.0.
    #[arg(value_name = "FILE|REFERENCE", value_hint = ValueHint::FilePath)]
    pub(crate) artifact: Source,

    /// The file of the signature. Otherwise it is <FILE>.sig, or an annotation of what a registry has.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) signature: Option<PathBuf>,

    /// In which steps.
    #[arg(long, value_name = "STRATEGY", default_value = "canary")]
    pub(crate) strategy: Steps,

    /// Wait for `starling rollout approve` after each step.
    #[arg(long)]
    pub(crate) gate: bool,

    /// The share of requests that the canary step gives the new version; 5 unless said.
    #[arg(long, value_name = "PER CENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) canary_percent: Option<u8>,

    /// How long each step is looked at, such as 30s or 10m; 1m unless said.
    #[arg(long, value_name = "TIME")]
    pub(crate) step: Option<StepTime>,

    /// Return as soon as the rollout has begun, and do not wait for its end.
    #[arg(long)]
    pub(crate) no_wait: bool,

    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// How long a step is looked at, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepTime(pub(crate) u64);

impl std::str::FromStr for StepTime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bounds = SignedDuration::from_secs(1)..=SignedDuration::from_hours(24);
        duration(text)
            .filter(|time| bounds.contains(time))
            .and_then(|time| u64::try_from(time.as_millis()).ok())
            .map(Self)
            .ok_or("it is one second (`1s`) to one day (`1d`)")
    }
}

/// The strategies by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Steps {
    /// A small share first, then zone by zone.
    Canary,
    /// Zone by zone.
    Rolling,
    /// Everywhere at once.
    All,
}

impl From<Steps> for Strategy {
    fn from(steps: Steps) -> Self {
        match steps {
            Steps::Canary => Self::Canary,
            Steps::Rolling => Self::Rolling,
            Steps::All => Self::All,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rollout {
    #[command(subcommand)]
    pub(crate) command: RolloutCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Show how a rollout stands, or all of them.
    Status {
        /// The rollout; all of them, unless said.
        id: Option<String>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Let a rollout that waits at a gate take its next step.
    Approve {
        /// The rollout.
        id: String,
        /// Let it pass all its gates.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// End a rollout, and bring back what was there before.
    Abort {
        /// The rollout.
        id: String,
        /// Why, for those who look at it later.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        asked: Asked,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The component's id in the manifests of the hosts.
    pub(crate) component: String,

    /// Return as soon as it has begun, and do not wait for its end.
    #[arg(long)]
    pub(crate) no_wait: bool,

    #[command(flatten)]
    pub(crate) asked: Asked,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub(crate) asked: Asked,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// The host, as `starling ps` calls it.
    #[arg(value_name = "HOST")]
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) asked: Asked,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The file of the component.
    #[arg(required_unless_present = "new_key", requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// The file of the private key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,

    /// Make a key in this file, and its public half beside it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "key"], value_hint = ValueHint::FilePath)]
    pub(crate) new_key: Option<PathBuf>,

    /// How the answer is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Output,
}
