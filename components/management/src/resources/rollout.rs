//! `/v1/rollouts`, one of them, and what operators do about it; `/v1/components/{component}/rollback`.

use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};
use starling_supervision::{
    CANARY_PERCENT_DEFAULT, ChangeError, ComponentName, Desired, Digest, Draft, InvalidDraft,
    Rollback, RolloutId, RolloutView, STEP_MS_DEFAULT, Spec, Strategy, VersionState,
};

use crate::fleet::{Access, View};
use crate::json;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::response::{self, Body};
use crate::shapes::{RolloutJson, RolloutsJson};

/// Lists the rollouts, those of one component if the query names one.
pub(crate) async fn list<P: Platform>(
    access: &Access<'_, P>,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let component = component_of(query)?;
    let view = access.sound_view().await?;
    let wanted = |it: &RolloutView| component.as_ref().is_none_or(|only| only == it.component);
    let mut rollouts: Vec<_> = view.desired.rollouts().filter(wanted).collect();
    rollouts.sort_by(|a, b| b.id.cmp(a.id));
    let fleet = view.fleet(access.platform().now_ms());
    let bounds_us = access.platform().latency_bounds_us();
    let shown = rollouts
        .iter()
        .map(|it| RolloutJson::of(it, &fleet, &bounds_us));
    let shown = RolloutsJson {
        rollouts: shown.collect(),
    };
    Ok(response::json(StatusCode::OK, &shown))
}

/// Shows a rollout.
pub(crate) async fn get<P: Platform>(
    access: &Access<'_, P>,
    id: &str,
) -> Result<Response<Body>, Problem> {
    let id = known(id)?;
    let view = access.sound_view().await?;
    shown(access, &view, &id, StatusCode::OK)
}

/// Begins a rollout of an artifact that is ready here.
pub(crate) async fn create<P: Platform>(
    access: &Access<'_, P>,
    body: &[u8],
) -> Result<Response<Body>, Problem> {
    let (component, digest, draft) = json::rollout(body)?;
    match access.platform().stage(&component, digest) {
        VersionState::Ready => {}
        VersionState::Staging => return Err(Problem::ArtifactNotReady { refusal: None }),
        VersionState::Refused(refusal) => {
            let refusal = Some(refusal);
            return Err(Problem::ArtifactNotReady { refusal });
        }
    }
    let view = access.sound_view().await?;
    // From here on it does not leave, until the next steps of the supervision see that a rollout refers to it.
    access
        .change_artifacts(|present| present.keep(&digest))
        .await?;
    start(access, view, &component, draft).await
}

/// Approves of the step that a rollout is in, or of all.
pub(crate) async fn approve<P: Platform>(
    access: &Access<'_, P>,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, Problem> {
    let id = known(id)?;
    let all = json::approval(body)?;
    let origin = access.origin();
    change(access, &id, |desired| desired.approve(&id, all, &origin)).await
}

/// Brings the old version back.
pub(crate) async fn abort<P: Platform>(
    access: &Access<'_, P>,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, Problem> {
    let id = known(id)?;
    let reason = json::abortion(body)?;
    let origin = access.origin();
    change(access, &id, |desired| {
        desired.abort(&id, reason.clone(), &origin)
    })
    .await
}

/// Brings back what ruled a component before: by aborting the rollout that runs, or by a new one.
pub(crate) async fn rollback<P: Platform>(
    access: &Access<'_, P>,
    component: String,
    body: &[u8],
) -> Result<Response<Body>, Problem> {
    json::nothing(body)?;
    let named = component.parse::<ComponentName>();
    let component = named.map_err(|_| Problem::ComponentNotFound { component })?;
    let view = access.sound_view().await?;
    let rollback = view.desired.rollback(&component);
    match rollback.map_err(|error| refused(&error))? {
        Rollback::Abort(id) => {
            let origin = access.origin();
            let reason = Some("an operator rolled the component back".to_owned());
            change(access, &id, |desired| {
                desired.abort(&id, reason.clone(), &origin)
            })
            .await
        }
        Rollback::Underway(id) => shown(access, &view, &id, StatusCode::OK),
        Rollback::RollOut(digest) => start(access, view, &component, back_to(digest)).await,
    }
}

/// A rollout of what ruled before, to all hosts at once.
fn back_to(digest: Option<Digest>) -> Draft {
    Draft {
        digest,
        strategy: Strategy::All,
        gate: false,
        canary_percent: CANARY_PERCENT_DEFAULT,
        step_ms: STEP_MS_DEFAULT,
        rollback: true,
    }
}

async fn start<P: Platform>(
    access: &Access<'_, P>,
    mut view: View,
    component: &ComponentName,
    draft: Draft,
) -> Result<Response<Body>, Problem> {
    let origin = access.origin();
    let spec = Spec::plan(draft, &access.region, &view.fleet(origin.now_ms));
    let spec = spec.map_err(|error| {
        let member = match error {
            InvalidDraft::CanaryPercent(_) => "canary_percent",
            InvalidDraft::StepMs(_) => "step_ms",
        };
        json::invalid(member, error.to_string())
    })?;
    let bits = u128::from_be_bytes(access.platform().random_bits());
    // The id needs no more of them than these.
    let random = bits as u32;
    let started = access.change_desired(&mut view.desired, |desired| {
        Ok(desired.start(component, spec.clone(), random, &origin))
    });
    let id = started.await?;
    access
        .platform()
        .inform(&format!("rollout {id} of component {component} begins"));
    let mut response = shown(access, &view, &id, StatusCode::CREATED)?;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/rollouts/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Changes a rollout and shows it.
async fn change<P: Platform>(
    access: &Access<'_, P>,
    id: &RolloutId,
    make: impl Fn(&Desired) -> Result<Desired, ChangeError>,
) -> Result<Response<Body>, Problem> {
    let mut view = access.sound_view().await?;
    let changed = access.change_desired(&mut view.desired, |desired| {
        make(desired)
            .map(|change| ((), change))
            .map_err(|error| refused(&error))
    });
    changed.await?;
    let response = shown(access, &view, id, StatusCode::OK)?;
    access
        .platform()
        .inform(&format!("an operator changed rollout {id}"));
    Ok(response)
}

fn shown<P: Platform>(
    access: &Access<'_, P>,
    view: &View,
    id: &RolloutId,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    let rollout = view.desired.rollout(id);
    let rollout = rollout.ok_or_else(|| Problem::RolloutNotFound {
        rollout: id.to_string(),
    })?;
    let fleet = view.fleet(access.platform().now_ms());
    let bounds_us = access.platform().latency_bounds_us();
    Ok(response::json(
        status,
        &RolloutJson::of(&rollout, &fleet, &bounds_us),
    ))
}

/// What cannot be the id of a rollout is the id of none that exists.
fn known(id: &str) -> Result<RolloutId, Problem> {
    id.parse().map_err(|_| Problem::RolloutNotFound {
        rollout: id.to_owned(),
    })
}

fn refused(error: &ChangeError) -> Problem {
    match error {
        ChangeError::UnknownRollout(id) => Problem::RolloutNotFound {
            rollout: id.to_string(),
        },
        ChangeError::NotRunning { .. } => Problem::RolloutConflict {
            detail: error.to_string(),
        },
        ChangeError::NothingToRollBack(_) => Problem::NothingToRollBack,
    }
}

/// The component that a query asks for, which is the only thing to ask for.
fn component_of(query: &str) -> Result<Option<ComponentName>, Problem> {
    let mut component = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (parameter, value) = pair.split_once('=').unwrap_or((pair, ""));
        let invalid = |detail: String| Problem::ParameterInvalid {
            parameter: parameter.to_owned(),
            detail,
        };
        if parameter != "component" {
            return Err(invalid("it is not known; known is component".into()));
        }
        // A name needs no escapes.
        component = Some(value.parse().map_err(|error| invalid(format!("{error}")))?);
    }
    Ok(component)
}
