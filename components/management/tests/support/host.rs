//! A host: what a management component asks of it, and a front door that answers as voicemail does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use http::{Method, Request, StatusCode};
use management::{
    Identity, Platform, RolloutReport, Route, Sibling, StoreError, Variable, Version,
};
use serde_json::{Value, json};
use starling_supervision::{
    ArtifactRecord, ComponentName, Digest, Figures, Readiness, Refusal, Share, VersionState,
    decode, keys,
};

use super::store::MemoryStore;
use super::{World, digest, wait_turns};

/// How the front door does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Door {
    Open,
    Failing,
    Hanging,
    /// Each request takes 600 ms.
    Slow,
    /// It takes messages and garbles them.
    Garbling,
}

/// Id and audio of a message.
type Message = (String, Vec<u8>);

#[derive(Clone)]
pub(crate) struct Host(Rc<State>);

struct State {
    world: World,
    identity: Identity,
    up: Cell<bool>,
    door: Cell<Door>,
    component: RefCell<&'static str>,
    /// Whether the file that its manifest names is there.
    has_file: Cell<bool>,
    versions: RefCell<BTreeMap<Digest, (VersionState, u8)>>,
    readiness: RefCell<Vec<Readiness>>,
    siblings: RefCell<Vec<Sibling>>,
    rollouts: RefCell<Vec<RolloutReport>>,
    staged: RefCell<Vec<Digest>>,
    forgotten: RefCell<Vec<Digest>>,
    served: RefCell<Vec<Request<Vec<u8>>>>,
    /// The messages of the mailboxes that there are.
    mailboxes: RefCell<BTreeMap<String, Vec<Message>>>,
}

impl Host {
    pub(crate) fn new(world: &World, region: &str, n: usize) -> Self {
        let id = format!("{region}-{n}");
        let zone = char::from(b'a' + n as u8).to_string();
        let identity = Identity {
            address: format!("http://{id}.test:3000"),
            management: format!("http://{id}.test:3001"),
            id,
            region: region.to_owned(),
            zone,
            version: "0.1.0".into(),
            started_ms: world.now_ms(),
            instances_max: 256,
            event_loops: 2,
        };
        let host = Self(Rc::new(State {
            world: world.clone(),
            identity,
            up: Cell::new(true),
            door: Cell::new(Door::Open),
            component: RefCell::new("voicemail"),
            has_file: Cell::new(true),
            versions: RefCell::default(),
            readiness: RefCell::default(),
            siblings: RefCell::default(),
            rollouts: RefCell::default(),
            staged: RefCell::default(),
            forgotten: RefCell::default(),
            served: RefCell::default(),
            mailboxes: RefCell::default(),
        }));
        host.restart();
        host
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.identity.id
    }

    pub(crate) fn region(&self) -> &str {
        &self.0.identity.region
    }

    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.up.get()
    }

    pub(crate) fn stop(&self) {
        self.0.up.set(false);
    }

    /// Starts it again: it has what its manifest names, and nothing else.
    pub(crate) fn restart(&self) {
        let own = (digest("one"), (VersionState::Ready, 100));
        let own = Some(own).filter(|_| self.0.has_file.get());
        *self.0.versions.borrow_mut() = own.into_iter().collect();
        self.0.up.set(true);
    }

    /// Starts it again without the file that its manifest names.
    pub(crate) fn restart_without_file(&self) {
        self.0.has_file.set(false);
        self.restart();
    }

    pub(crate) fn set_door(&self, door: Door) {
        self.0.door.set(door);
    }

    pub(crate) fn serve(&self, component: &'static str) {
        *self.0.component.borrow_mut() = component;
    }

    /// What it sends where, by the names of versions.
    pub(crate) fn percent(&self, version: &str) -> u8 {
        let versions = self.0.versions.borrow();
        versions
            .get(&digest(version))
            .map_or(0, |(_, percent)| *percent)
    }

    pub(crate) fn state(&self, version: &str) -> Option<VersionState> {
        let versions = self.0.versions.borrow();
        versions
            .get(&digest(version))
            .map(|(state, _)| state.clone())
    }

    /// What it was told last.
    pub(crate) fn readiness(&self) -> Readiness {
        self.0
            .readiness
            .borrow()
            .last()
            .cloned()
            .expect("it was told")
    }

    pub(crate) fn siblings(&self) -> Vec<String> {
        let siblings = self.0.siblings.borrow();
        siblings.iter().map(|sibling| sibling.id.clone()).collect()
    }

    /// What it was told last of the routes of another one.
    pub(crate) fn routes_of(&self, sibling: &str) -> Vec<String> {
        let siblings = self.0.siblings.borrow();
        let known = siblings.iter().find(|it| it.id == sibling);
        known.map_or_else(Vec::new, |it| it.routes.clone())
    }

    pub(crate) fn rollouts(&self) -> Vec<RolloutReport> {
        self.0.rollouts.borrow().clone()
    }

    pub(crate) fn has_forgotten(&self, version: &str) -> bool {
        self.0.forgotten.borrow().contains(&digest(version))
    }

    /// What its front door was asked since the last time.
    pub(crate) fn served(&self) -> Vec<Request<Vec<u8>>> {
        self.0.served.take()
    }

    /// Whether probes have left a mailbox behind.
    pub(crate) fn has_mailbox(&self) -> bool {
        !self.0.mailboxes.borrow().is_empty()
    }

    /// Has it refuse a version that it does not have yet.
    pub(crate) fn refuse(&self, version: &str) {
        self.refuse_as(version, "missing-import", "there is no pony here");
    }

    pub(crate) fn refuse_as(&self, version: &str, kind: &str, detail: &str) {
        let refusal = Refusal {
            kind: kind.into(),
            detail: detail.into(),
        };
        let state = (VersionState::Refused(refusal), 0);
        self.0.versions.borrow_mut().insert(digest(version), state);
    }

    pub(crate) async fn step(&self) {
        let answer = self.post("/supervise").run().await;
        let status = answer.status;
        assert!(
            matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE),
            "{answer:?}"
        );
    }

    /// Reads an artifact as a host does: from the own region's store or a replica, whichever has it.
    fn read(&self, wanted: Digest) -> Result<(), (&'static str, String)> {
        let incomplete = || ("incomplete", "no region has it".to_owned());
        for region in self.0.world.regions() {
            let values = self.0.world.values(self.region(), &region);
            let values = values.borrow();
            let Some(record) = values.get(&keys::artifact(&wanted)) else {
                continue;
            };
            let record: ArtifactRecord = decode(record).expect("a record");
            let chunks = 0..record.chunks;
            let chunks = chunks.map(|n| values.get(&keys::artifact_chunk(&wanted, n)).cloned());
            let bytes = chunks
                .collect::<Option<Vec<_>>>()
                .ok_or_else(incomplete)?
                .concat();
            if Digest::of(&bytes) != wanted || bytes.len() as u64 != record.size_bytes {
                return Err(("digest-mismatch", "it is something else".into()));
            }
            let text = String::from_utf8_lossy(&bytes);
            return match text.find("refuse") {
                Some(_) => Err(("missing-import", "it imports a pony".into())),
                None => Ok(()),
            };
        }
        Err(incomplete())
    }

    /// The front door.
    async fn answer(&self, request: Request<Vec<u8>>) -> Result<(StatusCode, Vec<u8>), String> {
        if !self.is_up() {
            return Err("connection refused".into());
        }
        let door = self.0.door.get();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = request.body().clone();
        self.0.served.borrow_mut().push(request);
        match door {
            Door::Hanging => std::future::pending::<()>().await,
            Door::Failing => return Ok((StatusCode::SERVICE_UNAVAILABLE, Vec::new())),
            Door::Slow => wait_turns(600).await,
            Door::Open | Door::Garbling => {}
        }
        let mut mailboxes = self.0.mailboxes.borrow_mut();
        let name = path.split('/').nth(3).unwrap_or_default().to_owned();
        let segments: Vec<&str> = path.split('/').skip(4).collect();
        let answered = |status: StatusCode, value: Value| Ok((status, value.to_string().into()));
        let found = StatusCode::OK;
        let not_found = || Ok((StatusCode::NOT_FOUND, b"{}".to_vec()));
        match (&method, segments.as_slice(), mailboxes.get_mut(&name)) {
            (&Method::GET, [], _) if path == "/live" => Ok((found, Vec::new())),
            (&Method::PUT, [], None) => {
                mailboxes.insert(name, Vec::new());
                answered(StatusCode::CREATED, json!({}))
            }
            (&Method::PUT, [], Some(_)) => answered(found, json!({})),
            (_, _, None) => not_found(),
            (&Method::DELETE, [], Some(_)) => {
                mailboxes.remove(&name);
                Ok((StatusCode::NO_CONTENT, Vec::new()))
            }
            (_, ["summary"], Some(_)) => answered(found, json!({ "new": 0 })),
            (&Method::POST, ["messages"], Some(messages)) => {
                let id = format!("{:032x}", messages.len() + 1);
                messages.push((id.clone(), body));
                answered(StatusCode::CREATED, json!({ "id": id }))
            }
            (_, ["messages"], Some(messages)) => {
                let list: Vec<_> = messages.iter().map(|(id, _)| json!({ "id": id })).collect();
                answered(found, json!({ "messages": list }))
            }
            (&Method::DELETE, ["messages", id], Some(messages)) => {
                messages.retain(|(known, _)| known != id);
                Ok((StatusCode::NO_CONTENT, Vec::new()))
            }
            (_, ["messages", id, "audio"], Some(messages)) => {
                let message = messages.iter().find(|(known, _)| known == id);
                let mut audio = message.expect("a message").1.clone();
                if door == Door::Garbling {
                    audio.reverse();
                }
                Ok((found, audio))
            }
            _ => not_found(),
        }
    }
}

impl Platform for Host {
    type Store = MemoryStore;

    async fn open(&self, label: &str) -> Result<MemoryStore, StoreError> {
        let region = match label.split_once('@') {
            None if label == "fleet" => self.region(),
            Some(("fleet", region)) => region,
            _ => return Err(StoreError::NoSuchStore),
        };
        if !self.0.world.regions().iter().any(|known| known == region) {
            return Err(StoreError::NoSuchStore);
        }
        Ok(MemoryStore {
            world: self.0.world.clone(),
            viewer: self.region().to_owned(),
            region: region.to_owned(),
            values: self.0.world.values(self.region(), region),
        })
    }

    async fn variable(&self, name: &str) -> Variable {
        let shared = self.0.world.shared();
        match (name, shared.variables.borrow().get(name)) {
            (_, Some(value)) => Variable::Set(value.clone()),
            ("regions", None) => Variable::Set(self.0.world.regions().join(",")),
            _ => Variable::Unset,
        }
    }

    fn now_ms(&self) -> u64 {
        self.0.world.now_ms()
    }

    fn random_bits(&self) -> [u8; 16] {
        let halves = [self.0.world.next_random(), self.0.world.next_random()];
        let halves = halves.map(u64::to_be_bytes);
        halves.as_flattened().try_into().expect("16 bytes")
    }

    async fn pause(&self, ms: u64) {
        // As many turns as milliseconds: whoever does something meanwhile is done long before, unless it hangs.
        wait_turns(ms).await;
    }

    async fn send(
        &self,
        request: Request<Vec<u8>>,
        body_bytes_max: usize,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        self.0.world.give_way().await;
        let address = format!(
            "http://{}",
            request.uri().authority().expect("an authority")
        );
        let mut hosts = self.0.world.hosts().into_iter();
        let target = hosts.find(|host| host.0.identity.address == address);
        let answer = target.ok_or("no such host")?.answer(request).await?;
        assert!(answer.1.len() <= body_bytes_max);
        Ok(answer)
    }

    fn inform(&self, line: &str) {
        let line = format!("{}: {line}", self.id());
        self.0.world.shared().news.borrow_mut().push(line);
    }

    fn warn(&self, line: &str) {
        let line = format!("{}: {line}", self.id());
        self.0.world.shared().log.borrow_mut().push(line);
    }

    fn identity(&self) -> Identity {
        self.0.identity.clone()
    }

    fn routes(&self) -> Vec<Route> {
        let component = (*self.0.component.borrow()).to_owned();
        let pattern = "/v1/...".into();
        vec![Route { pattern, component }]
    }

    fn set_readiness(&self, readiness: &Readiness) {
        self.0.readiness.borrow_mut().push(readiness.clone());
    }

    fn set_siblings(&self, siblings: &[Sibling]) {
        *self.0.siblings.borrow_mut() = siblings.to_vec();
    }

    fn report_rollouts(&self, rollouts: &[RolloutReport]) {
        *self.0.rollouts.borrow_mut() = rollouts.to_vec();
    }

    fn versions(&self, _window_ms: u64) -> Vec<Version> {
        let behaviours = self.0.world.shared().behaviours.borrow();
        let versions = self.0.versions.borrow();
        let versions = versions.iter().map(|(version, (state, percent))| {
            let share = |count: u64| count * u64::from(*percent) / 100;
            let behaviour = behaviours.get(version);
            let requests = behaviour.map_or(0, |it| share(it.requests));
            Version {
                component: self.0.component.borrow().parse().expect("a component"),
                digest: *version,
                percent: *percent,
                own: *version == digest("one") && self.0.has_file.get(),
                in_flight: 0,
                state: state.clone(),
                recent: Figures {
                    requests,
                    errors: behaviour.map_or(0, |it| share(it.errors)),
                    latency: vec![requests, 0, 0],
                    memory_bytes_mean: 1 << 20,
                },
            }
        });
        versions.collect()
    }

    fn latency_bounds_us(&self) -> Vec<u64> {
        vec![10_000, 100_000]
    }

    fn stage(&self, _component: &ComponentName, digest: Digest) -> VersionState {
        let known = self.0.versions.borrow().get(&digest).cloned();
        self.0.staged.borrow_mut().push(digest);
        let state = match &known {
            // It takes a while.
            None => VersionState::Staging,
            Some((VersionState::Refused(refusal), _)) if !refusal.is_passing() => {
                return VersionState::Refused(refusal.clone());
            }
            Some((VersionState::Ready, _)) => return VersionState::Ready,
            Some(_) => match self.read(digest) {
                Ok(()) => VersionState::Ready,
                Err((kind, detail)) => {
                    let kind = kind.to_owned();
                    VersionState::Refused(Refusal { kind, detail })
                }
            },
        };
        let mut versions = self.0.versions.borrow_mut();
        versions.insert(digest, (state.clone(), 0));
        state
    }

    fn forget(&self, _component: &ComponentName, digest: Digest) {
        self.0.forgotten.borrow_mut().push(digest);
        self.0.versions.borrow_mut().remove(&digest);
    }

    fn shift(&self, _component: &ComponentName, shares: &[Share]) -> Result<(), String> {
        let mut versions = self.0.versions.borrow_mut();
        let total: u64 = shares.iter().map(|share| u64::from(share.percent)).sum();
        let ready = |share: &Share| {
            let version = versions.get(&share.digest);
            version.is_some_and(|(state, _)| *state == VersionState::Ready)
        };
        if (total != 100 && !shares.is_empty()) || !shares.iter().all(ready) {
            return Err("that cannot be".into());
        }
        versions.values_mut().for_each(|(_, percent)| *percent = 0);
        for share in shares {
            if let Some((_, percent)) = versions.get_mut(&share.digest) {
                *percent = share.percent;
            }
        }
        Ok(())
    }
}
