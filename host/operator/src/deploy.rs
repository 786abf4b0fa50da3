//! Deploying: a component to the fleet, a rollout of it, and watching that to its end.

use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::Digest;
use crate::api::{ArtifactState, ArtifactStatus, Document, Plan, Refusal, Rollout};
use crate::artifact::Artifact;
use crate::client::{self, Client};

/// What happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'p> {
    /// The fleet has the component already.
    Present(&'p Digest),
    /// It is sent.
    Uploading {
        /// What.
        digest: &'p Digest,
        /// How long it is.
        bytes: usize,
    },
    /// The host checks and compiles it.
    Staging(&'p Digest),
    /// The host is done with that.
    Ready(&'p Digest),
    /// A rollout stands otherwise than before, or has begun. Figures alone are no news.
    Rollout(&'p Rollout),
    /// The host cannot be reached. It is asked again.
    OutOfReach(&'p client::Error),
}

/// Why nothing is deployed.
#[derive(Debug, Error)]
pub enum DeployError {
    /// A call failed.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The host refuses the component.
    #[error("the host refuses {} as {component}: {}{}", digest.short(), refusal.kind, detail(refusal))]
    Refused {
        /// As what it was to serve.
        component: String,
        /// What.
        digest: Digest,
        /// Why.
        refusal: Refusal,
    },
    /// It takes longer than it should.
    #[error(
        "the host has not made {} ready within {} s; it goes on, so look at `starling ps` and deploy again",
        digest.short(),
        waited.as_secs()
    )]
    NotReady {
        /// What.
        digest: Digest,
        /// How long was waited.
        waited: Duration,
    },
}

fn detail(refusal: &Refusal) -> String {
    match refusal.detail.as_str() {
        "" => String::new(),
        detail => format!(", {detail}"),
    }
}

/// Gives the fleet a component, unless it has it, waits until the host has made it ready, and starts a rollout of it.
///
/// # Errors
///
/// [`DeployError`].
pub async fn deploy(
    client: &Client,
    component: &str,
    artifact: &Artifact,
    plan: &Plan,
    report: &mut dyn FnMut(Progress<'_>),
) -> Result<Document<Rollout>, DeployError> {
    provide(client, component, artifact, report).await?;
    let rollout = client
        .start_rollout(component, &artifact.digest, plan)
        .await?;
    report(Progress::Rollout(&rollout));
    Ok(rollout)
}

/// Waits until a rollout has ended, however it does: [`RolloutState`](crate::api::RolloutState) tells. One that waits for
/// approvals may never.
///
/// # Errors
///
/// [`client::Error`], where the host is out of reach for longer than [`Pace::outage_max`](client::Pace::outage_max), or no
/// longer knows the rollout.
pub async fn follow(
    client: &Client,
    rollout: Document<Rollout>,
    report: &mut dyn FnMut(Progress<'_>),
) -> Result<Document<Rollout>, client::Error> {
    let mut known = rollout;
    let mut out_since: Option<Instant> = None;
    while !known.state.is_ended() {
        sleep(client.pace().poll_every).await;
        match client.rollout(&known.id).await {
            Ok(now) => {
                out_since = None;
                if is_news(&known, &now) {
                    report(Progress::Rollout(&now));
                }
                known = now;
            }
            Err(error) if error.may_pass() => {
                let since = *out_since.get_or_insert_with(|| {
                    report(Progress::OutOfReach(&error));
                    Instant::now()
                });
                if since.elapsed() > client.pace().outage_max {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

fn is_news(before: &Rollout, now: &Rollout) -> bool {
    (&before.state, &before.reason, before.step, before.approved)
        != (&now.state, &now.reason, now.step, now.approved)
}

/// Sees to it that the host has the component ready.
async fn provide(
    client: &Client,
    component: &str,
    artifact: &Artifact,
    report: &mut dyn FnMut(Progress<'_>),
) -> Result<(), DeployError> {
    let digest = &artifact.digest;
    let mut status = match client.artifact(component, digest).await? {
        // What was refused may have been unsigned: it is given again, with the signature of now.
        Some(status) if status.state != ArtifactState::Refused => {
            report(Progress::Present(digest));
            status
        }
        _ => {
            let bytes = artifact.bytes.len();
            report(Progress::Uploading { digest, bytes });
            client.upload(component, artifact).await?
        }
    };
    let begun = Instant::now();
    let mut staging = false;
    loop {
        match &status.state {
            ArtifactState::Ready => {
                report(Progress::Ready(digest));
                return Ok(());
            }
            ArtifactState::Refused => return Err(refused(&status)),
            ArtifactState::Staging | ArtifactState::Other(_) => {}
        }
        if !staging {
            report(Progress::Staging(digest));
            staging = true;
        }
        if begun.elapsed() > client.pace().ready_within {
            return Err(DeployError::NotReady {
                digest: digest.clone(),
                waited: client.pace().ready_within,
            });
        }
        sleep(client.pace().poll_every).await;
        status = match client.artifact(component, digest).await? {
            Some(status) => status,
            // Removed, as what is refused is, and the reason with it.
            None => return Err(refused(&status)),
        };
    }
}

fn refused(status: &ArtifactStatus) -> DeployError {
    DeployError::Refused {
        component: status.component.clone(),
        digest: status.digest.clone(),
        refusal: status.refusal.clone().unwrap_or_else(|| Refusal {
            kind: "it does not say why".to_owned(),
            detail: String::new(),
        }),
    }
}
