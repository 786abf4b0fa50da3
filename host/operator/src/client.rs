//! The management API of a host, over HTTP.
//!
//! Each method is one call. What failed on the way is tried again, as often as [`Pace`] says, if doing it twice is the same
//! as doing it once. Starting a rollout is not: where an answer is lost, the host is asked whether there is one that was not
//! there before. Approving a step and rolling back are not either, and are then left [undecided](Error::Undecided).
//!
//! A host is trusted with the token by its certificate. Over plain HTTP the token only goes to this machine.

mod connection;
mod error;
mod target;
mod trust;

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use error::{Error, Problem};
pub use target::{InvalidToken, Target, Token};

use crate::Digest;
use crate::api::{ArtifactStatus, Document, Drain, Fleet, Plan, Rollout, Rollouts};
use crate::artifact::Artifact;
use connection::{Call, Connections};

/// How patient a client is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often a call that failed on the way is tried again.
    pub retries: u32,
    /// How long before the first of these; twice as long before each further one.
    pub retry_after: Duration,
    /// How often a host is asked how far something is.
    pub poll_every: Duration,
    /// How long a host may take to check and compile a component.
    pub ready_within: Duration,
    /// How long a host may be out of reach while a rollout is followed.
    pub outage_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retries: 3,
            retry_after: Duration::from_millis(100),
            poll_every: Duration::from_secs(1),
            ready_within: Duration::from_secs(180),
            outage_max: Duration::from_secs(60),
        }
    }
}

/// A client of the management API.
#[derive(Debug)]
pub struct Client {
    connections: Connections,
    pace: Pace,
}

impl Client {
    /// A client of the host at `target`. Nothing is asked or read yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            connections: Connections::new(target),
            pace: Pace::default(),
        }
    }

    /// The same, with another pace.
    #[must_use]
    pub fn with_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// How patient it is.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// All hosts, and what they serve.
    ///
    /// # Errors
    ///
    /// [`Error`], as of all methods.
    pub async fn fleet(&self) -> Result<Document<Fleet>, Error> {
        self.repeat(&Call::get(&["fleet"])).await
    }

    /// How far the host is with a version of a component. None, if the fleet does not have it.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn artifact(
        &self,
        component: &str,
        digest: &Digest,
    ) -> Result<Option<Document<ArtifactStatus>>, Error> {
        let path = ["components", component, "artifacts", digest.as_str()];
        match self.repeat(&Call::get(&path)).await {
            Ok(status) => Ok(Some(status)),
            Err(Error::Problem(problem)) if problem.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the fleet a version of a component.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn upload(
        &self,
        component: &str,
        artifact: &Artifact,
    ) -> Result<Document<ArtifactStatus>, Error> {
        let path = [
            "components",
            component,
            "artifacts",
            artifact.digest.as_str(),
        ];
        let call = Call::new(Method::PUT, &path).component(&artifact.bytes, &artifact.signature);
        self.repeat(&call).await
    }

    /// The rollouts of a component, or of all, the newest first.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn rollouts(&self, component: Option<&str>) -> Result<Document<Rollouts>, Error> {
        let mut call = Call::get(&["rollouts"]);
        if let Some(component) = component {
            call = call.query("component", component);
        }
        self.repeat(&call).await
    }

    /// One rollout.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn rollout(&self, id: &str) -> Result<Document<Rollout>, Error> {
        self.repeat(&Call::get(&["rollouts", id])).await
    }

    /// Starts a rollout of a version that the host has.
    ///
    /// Where the answer is lost, a rollout of that version that was not there before is taken for the one, and else it is
    /// tried again. Should the lost one come after all, the later one takes its place, with the same version.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn start_rollout(
        &self,
        component: &str,
        digest: &Digest,
        plan: &Plan,
    ) -> Result<Document<Rollout>, Error> {
        let mut body = json!(plan);
        body["component"] = component.into();
        body["digest"] = digest.as_str().into();
        let call = Call::new(Method::POST, &["rollouts"]).json(&body);
        let before = self.rollouts(Some(component)).await?;
        let before: HashSet<&str> = before.rollouts.iter().map(|it| it.id.as_str()).collect();
        let mut tries = 0;
        loop {
            let error = match self.once(&call).await {
                Err(error @ Error::Undecided { .. }) => error,
                decided => return decided,
            };
            let now = self.rollouts(Some(component)).await?;
            let is_it = |it: &&Rollout| {
                it.digest.as_ref() == Some(digest) && !before.contains(it.id.as_str())
            };
            if let Some(rollout) = now.rollouts.iter().find(is_it) {
                return self.rollout(&rollout.id).await;
            }
            tries += 1;
            if tries > self.pace.retries {
                return Err(error);
            }
        }
    }

    /// Lets a rollout that waits go on: to its next step, or with `all` to its end.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn approve(&self, id: &str, all: bool) -> Result<Document<Rollout>, Error> {
        let call = Call::new(Method::POST, &["rollouts", id, "approve"]);
        self.once(&call.json(&json!({ "all": all }))).await
    }

    /// Ends a rollout: the old version is back.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn abort(&self, id: &str, reason: Option<&str>) -> Result<Document<Rollout>, Error> {
        let body = match reason {
            Some(reason) => json!({ "reason": reason }),
            None => json!({}),
        };
        let call = Call::new(Method::POST, &["rollouts", id, "abort"]);
        self.repeat(&call.json(&body)).await
    }

    /// Goes back to the version that ruled before, or ends the rollout that runs.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn roll_back(&self, component: &str) -> Result<Document<Rollout>, Error> {
        let call = Call::new(Method::POST, &["components", component, "rollback"]);
        self.once(&call).await
    }

    /// Has a host refuse new traffic until [`undrain`](Self::undrain).
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn drain(&self, host: &str) -> Result<Document<Drain>, Error> {
        self.repeat(&Call::new(Method::PUT, &["hosts", host, "drain"]))
            .await
    }

    /// Has a host take traffic again.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn undrain(&self, host: &str) -> Result<Document<Drain>, Error> {
        self.repeat(&Call::new(Method::DELETE, &["hosts", host, "drain"]))
            .await
    }

    /// Makes a call that may be made twice.
    async fn repeat<T: DeserializeOwned>(&self, call: &Call) -> Result<Document<T>, Error> {
        self.call(call, Error::may_pass).await
    }

    /// Makes a call that must not be made twice: again only where the first try never reached the host.
    async fn once<T: DeserializeOwned>(&self, call: &Call) -> Result<Document<T>, Error> {
        let outcome = self.call(call, Error::never_arrived).await;
        outcome.map_err(Error::or_undecided)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        call: &Call,
        again: fn(&Error) -> bool,
    ) -> Result<Document<T>, Error> {
        let mut wait = self.pace.retry_after;
        let mut retries = self.pace.retries;
        loop {
            match self.connections.send(call).await {
                Err(error) if retries > 0 && again(&error) => {
                    retries -= 1;
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(error),
                Ok((place, text)) => {
                    return Document::parse(text).map_err(|source| Error::Answer { place, source });
                }
            }
        }
    }
}
