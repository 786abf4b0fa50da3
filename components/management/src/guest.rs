//! The component: the world of [`Platform`] as Starling offers it, and the way in from `wasi:http`.
//!
//! What waits goes through the asynchronous `spin:key-value`; compare-and-swap exists only in the synchronous
//! `wasi:keyvalue`, where a call holds up the whole instance, so nothing else is asked of that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use spin_sdk::experimental::wasi::keyvalue::{atomics, store as buckets};
use spin_sdk::http::FullBody;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::random::random::get_random_u64;
use spin_sdk::{key_value, variables};
use starling_handler::RequestBody;
use starling_supervision::{
    ComponentName, Digest, Figures, Readiness, Refusal, RolloutState, Share, VersionState,
};

use self::bindings::starling::management::{artifacts, host, instances, traffic};
use crate::platform::{
    Identity, Platform, RolloutReport, Route, Sibling, Store, StoreError, Swap, Swapped,
    UploadError, Variable, Version,
};
use crate::respond::respond;
use crate::response::Body;

/// What `wit/management.wit` describes, as Rust.
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit",
        world: "starling:edge/management-imports",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

starling_handler::handle_with!(super::handle);

async fn handle(request: http::Request<RequestBody>) -> http::Response<Body> {
    respond(&Host, request.map(Upload)).await
}

/// The host around this component.
struct Host;

thread_local! {
    // For as long as an instance lives, what it may open does not change.
    static STORES: RefCell<BTreeMap<String, Rc<key_value::Store>>> =
        const { RefCell::new(BTreeMap::new()) };
}

impl Platform for Host {
    type Store = HostStore;

    async fn open(&self, label: &str) -> Result<HostStore, StoreError> {
        let label = label.to_owned();
        if let Some(store) = STORES.with_borrow(|stores| stores.get(&label).cloned()) {
            return Ok(HostStore { label, store });
        }
        let store = Rc::new(key_value::Store::open(&label).await?);
        STORES.with_borrow_mut(|stores| stores.insert(label.clone(), Rc::clone(&store)));
        Ok(HostStore { label, store })
    }

    async fn variable(&self, name: &str) -> Variable {
        match variables::get(name).await {
            Ok(value) => Variable::Set(value),
            Err(variables::Error::Undefined(_)) => Variable::Unset,
            Err(error) => Variable::Unreadable(error.to_string()),
        }
    }

    fn now_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn random_bits(&self) -> [u8; 16] {
        let halves = [get_random_u64(), get_random_u64()].map(u64::to_be_bytes);
        let mut bits = [0; 16];
        bits.copy_from_slice(halves.as_flattened());
        bits
    }

    async fn pause(&self, ms: u64) {
        spin_sdk::time::sleep(Duration::from_millis(ms)).await;
    }

    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        body_bytes_max: usize,
    ) -> Result<(http::StatusCode, Vec<u8>), String> {
        let request = request.map(|body| FullBody::new(Bytes::from(body)));
        let answer = spin_sdk::http::send(request).await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let (status, mut body, mut bytes) = (answer.status(), answer.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("{error:?}"))?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
            if bytes.len() > body_bytes_max {
                return Err("the answer is too large".into());
            }
        }
        Ok((status, bytes))
    }

    fn inform(&self, line: &str) {
        // The host logs what is printed as information, and what goes to standard error as a warning.
        println!("{line}");
    }

    fn warn(&self, line: &str) {
        eprintln!("{line}");
    }

    fn identity(&self) -> Identity {
        let it = host::identity();
        Identity {
            id: it.id,
            region: it.region,
            zone: it.zone,
            address: it.address,
            management: it.management,
            version: it.version,
            started_ms: it.started_ms,
            instances_max: it.instances_max,
            event_loops: it.event_loops,
        }
    }

    fn routes(&self) -> Vec<Route> {
        let routes = host::routes().into_iter().map(|it| Route {
            pattern: it.pattern,
            component: it.component,
        });
        routes.collect()
    }

    fn set_readiness(&self, readiness: &Readiness) {
        host::set_readiness(&match readiness {
            Readiness::Ready => host::Readiness::Ready,
            Readiness::Degraded { reason } => host::Readiness::Degraded(reason.clone()),
            Readiness::Draining => host::Readiness::Draining,
        });
    }

    fn set_siblings(&self, siblings: &[Sibling]) {
        let siblings = siblings.iter().map(|it| host::Sibling {
            id: it.id.clone(),
            address: it.address.clone(),
            routes: it.routes.clone(),
        });
        host::set_siblings(&siblings.collect::<Vec<_>>());
    }

    fn report_rollouts(&self, rollouts: &[RolloutReport]) {
        let rollouts = rollouts.iter().map(|it| host::Rollout {
            id: it.id.clone(),
            component: it.component.clone(),
            state: match it.state {
                RolloutState::Canary => host::RolloutState::Canary,
                RolloutState::Ramping => host::RolloutState::Ramping,
                RolloutState::Waiting => host::RolloutState::Waiting,
                RolloutState::Done => host::RolloutState::Done,
                RolloutState::Reverted => host::RolloutState::Reverted,
                RolloutState::Aborted => host::RolloutState::Aborted,
                RolloutState::Superseded => host::RolloutState::Superseded,
            },
            step: it.step,
            steps: it.steps,
        });
        host::report_rollouts(&rollouts.collect::<Vec<_>>());
    }

    fn versions(&self, window_ms: u64) -> Vec<Version> {
        let versions = instances::list(window_ms).into_iter();
        versions.filter_map(version).collect()
    }

    fn latency_bounds_us(&self) -> Vec<u64> {
        instances::latency_bounds_us()
    }

    fn stage(&self, component: &ComponentName, digest: Digest) -> VersionState {
        state(artifacts::stage(component.as_str(), &digest.to_string()))
    }

    fn forget(&self, component: &ComponentName, digest: Digest) {
        artifacts::forget(component.as_str(), &digest.to_string());
    }

    fn shift(&self, component: &ComponentName, shares: &[Share]) -> Result<(), String> {
        let shares = shares.iter().map(|share| traffic::Share {
            digest: share.digest.to_string(),
            percent: share.percent,
        });
        traffic::shift(component.as_str(), &shares.collect::<Vec<_>>())
    }
}

/// A version as the host describes it; `None` if its names are none that a fleet knows.
fn version(it: instances::Version) -> Option<Version> {
    Some(Version {
        component: it.component.parse().ok()?,
        digest: it.digest.parse().ok()?,
        percent: it.percent,
        own: it.own,
        in_flight: it.in_flight,
        state: state(it.state),
        recent: Figures {
            requests: it.recent.requests,
            errors: it.recent.errors,
            latency: it.recent.latency,
            memory_bytes_mean: it.recent.memory_bytes_mean,
        },
    })
}

fn state(state: artifacts::State) -> VersionState {
    match state {
        artifacts::State::Staging => VersionState::Staging,
        artifacts::State::Ready => VersionState::Ready,
        artifacts::State::Refused(refusal) => VersionState::Refused(Refusal {
            kind: kind(refusal.kind).to_owned(),
            detail: refusal.detail,
        }),
    }
}

/// The name that operators' tools know.
fn kind(kind: artifacts::RefusalKind) -> &'static str {
    use artifacts::RefusalKind as Kind;
    match kind {
        Kind::TooLarge => "too-large",
        Kind::NotWebassembly => "not-webassembly",
        Kind::CoreModule => "core-module",
        Kind::InvalidComponent => "invalid-component",
        Kind::ImportNotAllowed => "import-not-allowed",
        Kind::MissingImport => "missing-import",
        Kind::NoHandler => "no-handler",
        Kind::Unsigned => "unsigned",
        Kind::WrongSignature => "wrong-signature",
        Kind::DigestMismatch => "digest-mismatch",
        Kind::Incomplete => "incomplete",
        Kind::UnknownComponent => "unknown-component",
        Kind::Store => "store",
    }
}

/// A store, open in the asynchronous interface, and to be opened by its label in the other when that is needed.
struct HostStore {
    label: String,
    store: Rc<key_value::Store>,
}

impl Store for HostStore {
    type Swap = HostSwap;

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.store.get(key).await?)
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        Ok(self.store.set(key, value).await?)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        Ok(self.store.delete(key).await?)
    }

    async fn begin_swap(&self, key: &str) -> Result<HostSwap, StoreError> {
        let bucket = buckets::open(&self.label)?;
        HostSwap::of(atomics::Cas::new(&bucket, key)?)
    }
}

/// A compare-and-swap handle with the value that it compares with.
struct HostSwap {
    handle: atomics::Cas,
    current: Option<Vec<u8>>,
}

impl HostSwap {
    fn of(handle: atomics::Cas) -> Result<Self, StoreError> {
        let current = handle.current()?;
        Ok(Self { handle, current })
    }
}

impl Swap for HostSwap {
    fn current(&self) -> Option<&[u8]> {
        self.current.as_deref()
    }

    async fn swap(self, value: Vec<u8>) -> Result<Swapped<Self>, StoreError> {
        match atomics::swap(self.handle, &value) {
            Ok(()) => Ok(Swapped::Won),
            Err(atomics::CasError::CasFailed(fresh)) => Ok(Swapped::Lost(Self::of(fresh)?)),
            Err(atomics::CasError::StoreError(error)) => Err(error.into()),
        }
    }
}

impl From<key_value::Error> for StoreError {
    fn from(error: key_value::Error) -> Self {
        match error {
            key_value::Error::NoSuchStore | key_value::Error::AccessDenied => Self::NoSuchStore,
            key_value::Error::StoreTableFull => Self::Failed("too many stores are open".into()),
            key_value::Error::Other(why) => Self::Failed(why),
        }
    }
}

impl From<buckets::Error> for StoreError {
    fn from(error: buckets::Error) -> Self {
        match error {
            buckets::Error::NoSuchStore | buckets::Error::AccessDenied => Self::NoSuchStore,
            buckets::Error::Other(why) => Self::Failed(why),
        }
    }
}

/// The body of the request, with the host's errors told apart as far as they matter.
struct Upload(RequestBody);

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        Pin::new(&mut self.0)
            .poll_frame(context)
            .map_err(|error| match error {
                types::ErrorCode::HttpRequestBodySize(_) => UploadError::TooLarge,
                _ => UploadError::Broken,
            })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
