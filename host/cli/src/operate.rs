//! What an operator does to a fleet from a shell, through `starling-operator`.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use starling_operator::api::{Document, Plan, Rollout, RolloutState};
use starling_operator::artifact::{Artifact, ReadOptions};
use starling_operator::client::{Client, Target, Token};
use starling_operator::deploy::{Progress, deploy as deploy_artifact, follow};
use starling_operator::output::{self, Colours, Format, Show};
use starling_operator::signing;

use crate::args::{self, Asked, Output, RolloutCommand};

/// Where a token for another machine's host is looked for.
const TOKEN_ENVIRONMENT: &str = "STARLING_TOKEN";

/// `starling deploy`.
pub(crate) fn deploy(args: &args::Deploy) -> Result<()> {
    let plan = Plan {
        strategy: args.strategy.into(),
        gate: args.gate,
        canary_percent: args.canary_percent,
        step_ms: args.step.map(|step| step.0),
    };
    let options = ReadOptions {
        signature: args.signature.clone(),
        ..ReadOptions::default()
    };
    run(async {
        let client = client(&args.asked)?;
        let artifact = Artifact::read(&args.artifact, &options).await?;
        let rollout =
            deploy_artifact(&client, &args.component, &artifact, &plan, &mut tell).await?;
        finish(&client, rollout, args.no_wait, &args.asked).await
    })
}

/// `starling rollout`.
pub(crate) fn rollout(args: &args::Rollout) -> Result<()> {
    run(async {
        match &args.command {
            RolloutCommand::Status { id: None, asked } => {
                print(&client(asked)?.rollouts(None).await?, asked.output);
            }
            RolloutCommand::Status {
                id: Some(id),
                asked,
            } => {
                print(&client(asked)?.rollout(id).await?, asked.output);
            }
            RolloutCommand::Approve { id, all, asked } => {
                print(&client(asked)?.approve(id, *all).await?, asked.output);
            }
            RolloutCommand::Abort { id, reason, asked } => {
                let rollout = client(asked)?.abort(id, reason.as_deref()).await?;
                print(&rollout, asked.output);
            }
        }
        Ok(())
    })
}

/// `starling rollback`.
pub(crate) fn rollback(args: &args::Rollback) -> Result<()> {
    run(async {
        let client = client(&args.asked)?;
        let rollout = client.roll_back(&args.component).await?;
        tell(Progress::Rollout(&rollout));
        // One that was under way is ended by that: which is what was asked for.
        if args.no_wait || rollout.state.is_ended() {
            print(&rollout, args.asked.output);
            return Ok(());
        }
        finish(&client, rollout, false, &args.asked).await
    })
}

/// `starling ps`.
pub(crate) fn ps(args: &args::Ps) -> Result<()> {
    run(async {
        let fleet = client(&args.asked)?.fleet().await?;
        print(&fleet, args.asked.output);
        Ok(())
    })
}

/// `starling drain` and `starling undrain`.
pub(crate) fn drain(args: &args::Drain, drained: bool) -> Result<()> {
    run(async {
        let client = client(&args.asked)?;
        let state = if drained {
            client.drain(&args.id).await?
        } else {
            client.undrain(&args.id).await?
        };
        print(&state, args.asked.output);
        Ok(())
    })
}

/// `starling sign`.
pub(crate) fn sign(args: &args::Sign) -> Result<()> {
    let (what, path) = match (&args.new_key, &args.file, &args.key) {
        (Some(key), ..) => ("public_key", signing::new_key(key)?),
        (None, Some(file), Some(key)) => ("signature", signing::sign(file, key)?),
        _ => bail!("say what to sign, and with which key; `starling sign --help` has examples"),
    };
    let path = path.display().to_string();
    say(&match args.output {
        Output::Table => format!("{path}\n"),
        Output::Json => format!("{}\n", serde_json::json!({ what: path })),
    });
    Ok(())
}

/// Waits for the end of a rollout, unless told not to, and prints how it stands. One that came to nothing is a failure.
async fn finish(
    client: &Client,
    rollout: Document<Rollout>,
    no_wait: bool,
    asked: &Asked,
) -> Result<()> {
    if no_wait {
        print(&rollout, asked.output);
        return Ok(());
    }
    let rollout = follow(client, rollout, &mut tell).await?;
    print(&rollout, asked.output);
    if rollout.state != RolloutState::Done {
        let reason = rollout.reason.as_deref().unwrap_or("it was not said why");
        bail!("the rollout is {}: {reason}", rollout.state.as_str());
    }
    Ok(())
}

fn client(asked: &Asked) -> Result<Client> {
    let Some(url) = asked.host.clone() else {
        return Ok(Client::new(Target::StateDir(asked.state_dir.clone())));
    };
    let text = match &asked.token_file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("the token file {} cannot be read", file.display()))?,
        None => std::env::var(TOKEN_ENVIRONMENT).with_context(|| {
            format!(
                "--host needs a token: `starling token --scope operator` makes one where the hosts' key is; \
                 put it into {TOKEN_ENVIRONMENT}, or into a file for --token-file"
            )
        })?,
    };
    let token: Token = text.parse()?;
    Ok(Client::new(Target::Url {
        url,
        token,
        ca: asked.ca.clone(),
    }))
}

/// Says on standard error what happens meanwhile.
fn tell(progress: Progress<'_>) {
    let _ = writeln!(io::stderr(), "{}", output::progress(&progress));
}

fn print<T: Show>(document: &Document<T>, output: Output) {
    let terminal = io::stdout().is_terminal();
    let format = match output {
        Output::Json if terminal => Format::JsonPretty,
        Output::Json => Format::Json,
        Output::Table if terminal => Format::Table(Colours::On),
        Output::Table => Format::Table(Colours::Off),
    };
    say(&output::render(document, format));
}

fn say(text: &str) {
    // Nobody may be reading.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
