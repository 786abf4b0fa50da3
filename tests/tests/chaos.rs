//! Convergence under fire: three regions with two hosts each, clients that go elsewhere when something fails, and
//! servers, hosts and links that are killed, paused and cut. Afterwards all regions tell the same, and nothing that was
//! acknowledged is missing.
//!
//! The schedule comes from a seed, which is printed; `STARLING_SEED` repeats it. `cargo xtask chaos` runs this for as long
//! as it is told (`STARLING_CHAOS_SECONDS`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use starling_tests::audio::{Encoding, speech, tagged};
use starling_tests::client::{Answer, Call};
use starling_tests::deployment::{Deployment, POLL, Shape, try_call};
use starling_tests::mailbox::Mailbox;
use starling_tests::random::Random;
use tokio::time::{Instant, sleep, timeout};

const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const HOSTS: usize = 2;
const CLIENTS: u64 = 6;
const MAILBOXES: u64 = 4;

/// How long faults go on, unless said.
const SECONDS: u64 = 20;

/// How long all may take to agree once everything is mended.
const CONVERGENCE_PATIENCE: Duration = Duration::from_secs(120);

/// A client waits this long between its requests, so that the physical clock passes between them: of two changes in
/// regions that have not heard of each other, the later by the clock wins.
const PACE: Duration = Duration::from_millis(5);

/// Where hosts are now.
type Addresses = Arc<RwLock<Vec<Vec<Option<SocketAddr>>>>>;

/// What a client knows of one message that it left.
#[derive(Debug)]
struct Known {
    mailbox: usize,
    audio: Vec<u8>,
    /// What each flag may be in the end.
    flags: BTreeMap<&'static str, Possible>,
}

/// What a flag may be: what the last acknowledged change said; or, of changes whose answer never came, any, for those
/// may happen at any time.
#[derive(Debug, Default)]
struct Possible {
    acknowledged: bool,
    unanswered: BTreeSet<bool>,
}

impl Possible {
    fn allows(&self, value: bool) -> bool {
        value == self.acknowledged || self.unanswered.contains(&value)
    }
}

struct Client {
    number: u64,
    random: Random,
    addresses: Addresses,
    mailboxes: Arc<Vec<Mailbox>>,
    known: BTreeMap<String, Known>,
}

impl Client {
    /// Any host that is up.
    fn anywhere(&mut self) -> Option<SocketAddr> {
        let addresses = self.addresses.read().expect("nobody panics with it");
        let up: Vec<_> = addresses.iter().flatten().flatten().copied().collect();
        let chosen = usize::try_from(self.random.below(up.len().max(1) as u64)).ok()?;
        up.get(chosen).copied()
    }

    /// Acts until `end`.
    async fn act(mut self, end: Instant) -> BTreeMap<String, Known> {
        let mut deposits = 0;
        while Instant::now() < end {
            sleep(PACE).await;
            if self.known.is_empty() || self.random.below(3) == 0 {
                deposits += 1;
                self.deposit(deposits).await;
            } else {
                self.mark().await;
            }
        }
        self.known
    }

    /// Leaves a message; tries elsewhere, with the same key, until it is taken.
    async fn deposit(&mut self, number: u64) {
        let mailbox = usize::try_from(self.random.below(MAILBOXES)).expect("a small number");
        let audio = tagged(speech(Encoding::MuLaw), self.number << 32 | number);
        let key = format!("client-{}-{number}", self.number);
        let call = self.mailboxes[mailbox].deposit_once(audio.clone(), &key);
        loop {
            let answer = match self.anywhere() {
                Some(address) => try_call(address, &call).await,
                None => None,
            };
            if let Some(answer) = answer.filter(|answer| answer.status.is_success()) {
                let id = answer.json()["id"].as_str().expect("an id").to_owned();
                let known = Known {
                    mailbox,
                    audio,
                    flags: BTreeMap::new(),
                };
                let before = self.known.insert(id.clone(), known);
                assert!(before.is_none(), "{id} stands for two messages");
                return;
            }
            sleep(PACE).await;
        }
    }

    /// Changes a flag of a message of its own; tries elsewhere a few times.
    async fn mark(&mut self) {
        let chosen = usize::try_from(self.random.below(self.known.len() as u64)).unwrap_or(0);
        let id = self.known.keys().nth(chosen).expect("it is known").clone();
        let flag = ["seen", "saved", "deleted"][usize::try_from(self.random.below(3)).unwrap_or(0)];
        let value = self.random.below(2) == 0;
        for _ in 0..3 {
            let Some(address) = self.anywhere() else {
                continue;
            };
            let known = self.known.get_mut(&id).expect("it is known");
            let message = self.mailboxes[known.mailbox].message(&id);
            let call = Call::patch(message).json(&json!({ flag: value }));
            let answer = try_call(address, &call).await;
            let possible = known.flags.entry(flag).or_default();
            match answer.as_ref().map(|answer| answer.status.as_u16()) {
                Some(200..300) => {
                    possible.acknowledged = value;
                    return;
                }
                // Not heard of there yet: nothing has happened.
                Some(404) => {}
                Some(400..500) => panic!("{call}: {answer:?}"),
                Some(_) | None => {
                    possible.unanswered.insert(value);
                }
            }
            sleep(PACE).await;
        }
    }
}

/// One thing that breaks, and how it is mended.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillServer(usize),
    PauseServer(usize),
    KillHost(usize, usize),
    PauseHost(usize, usize),
    Cut(usize, usize),
    Stall(usize, usize),
}

impl Fault {
    fn choose(random: &mut Random) -> Self {
        let mut below = |bound: usize| usize::try_from(random.below(bound as u64)).unwrap_or(0);
        let (kind, region, host) = (below(6), below(REGIONS.len()), below(HOSTS));
        let other = (region + 1 + below(REGIONS.len() - 1)) % REGIONS.len();
        match kind {
            0 => Self::KillServer(region),
            1 => Self::PauseServer(region),
            2 => Self::KillHost(region, host),
            3 => Self::PauseHost(region, host),
            4 => Self::Cut(region, other),
            _ => Self::Stall(region, other),
        }
    }

    /// What it breaks, by kind and number.
    fn place(self) -> (&'static str, usize, usize) {
        match self {
            Self::KillServer(region) | Self::PauseServer(region) => ("server", region, 0),
            Self::KillHost(region, host) | Self::PauseHost(region, host) => ("host", region, host),
            Self::Cut(one, other) | Self::Stall(one, other) => {
                ("link", one.min(other), one.max(other))
            }
        }
    }

    async fn begin(self, deployment: &mut Deployment) {
        match self {
            Self::KillServer(region) => deployment.regions[region].nats.kill(),
            Self::PauseServer(region) => deployment.regions[region].nats.pause(),
            Self::KillHost(region, host) => deployment.kill_host(region, host).await,
            Self::PauseHost(region, host) => deployment.host(region, host).signal(Signal::STOP),
            Self::Cut(one, other) => deployment.cut(one, other),
            Self::Stall(one, other) => deployment.stall(one, other),
        }
    }

    async fn end(self, deployment: &mut Deployment) {
        match self {
            Self::KillServer(region) => deployment.regions[region].nats.restart().await,
            Self::PauseServer(region) => deployment.regions[region].nats.resume(),
            Self::KillHost(region, host) => deployment.start_host(region, host).await,
            Self::PauseHost(region, host) => deployment.host(region, host).signal(Signal::CONT),
            Self::Cut(one, other) | Self::Stall(one, other) => deployment.heal(one, other),
        }
    }
}

/// Breaks one or two things at a time until `end`, and mends them all.
async fn break_things(
    deployment: &mut Deployment,
    random: &mut Random,
    addresses: &Addresses,
    end: Instant,
) {
    let publish = |deployment: &Deployment| {
        *addresses.write().expect("nobody panics with it") = deployment.addresses();
    };
    while Instant::now() < end {
        let first = Fault::choose(random);
        let second = Fault::choose(random);
        // Two at the same place would mend each other.
        let faults = match first.place() == second.place() {
            true => vec![first],
            false => vec![first, second],
        };
        println!("{faults:?}");
        for fault in &faults {
            fault.begin(deployment).await;
            publish(deployment);
            sleep(random.milliseconds(100, 1_000)).await;
        }
        sleep(random.milliseconds(200, 2_000)).await;
        for fault in &faults {
            fault.end(deployment).await;
            publish(deployment);
        }
        sleep(random.milliseconds(200, 1_500)).await;
    }
}

/// All that a host says of a mailbox, in the words of its answers.
async fn state(address: SocketAddr, mailbox: &Mailbox) -> Option<(String, Vec<Value>)> {
    let mut texts = String::new();
    let mut messages = Vec::new();
    for folder in ["inbox", "saved", "trash"] {
        let mut cursor = String::new();
        loop {
            let path = format!("{}?folder={folder}&limit=100{cursor}", mailbox.messages());
            let answer = success(address, &Call::get(path)).await?;
            texts.push_str(&answer.text());
            let page = answer.json();
            messages.extend(page["messages"].as_array()?.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    for path in [mailbox.path(), format!("{}/summary", mailbox.path())] {
        texts.push_str(&success(address, &Call::get(path)).await?.text());
    }
    Some((texts, messages))
}

async fn success(address: SocketAddr, call: &Call) -> Option<Answer> {
    let answer = try_call(address, call).await?;
    answer.status.is_success().then_some(answer)
}

/// Waits until all hosts tell the same of a mailbox, and all that was acknowledged is among it.
async fn agreed(
    hosts: &[SocketAddr],
    mailbox: &Mailbox,
    acknowledged: &BTreeSet<&str>,
) -> Vec<Value> {
    let mut why = String::new();
    let agreed = async {
        'again: loop {
            sleep(POLL).await;
            let mut first: Option<(String, Vec<Value>)> = None;
            for host in hosts {
                let Some((text, messages)) = state(*host, mailbox).await else {
                    why = format!("{host} does not answer");
                    continue 'again;
                };
                let ids: Vec<_> = messages
                    .iter()
                    .filter_map(|message| message["id"].as_str())
                    .collect();
                if let Some(missing) = acknowledged.iter().find(|id| !ids.contains(id)) {
                    why = format!("{host} has no {missing}, with {} messages", ids.len());
                    continue 'again;
                }
                match &first {
                    None => first = Some((text, messages)),
                    Some((other, _)) if *other != text => {
                        why = format!("{} and {host} differ:\n{other}\n{text}", hosts[0]);
                        continue 'again;
                    }
                    Some(_) => {}
                }
            }
            return first.expect("there are hosts").1;
        }
    };
    match timeout(CONVERGENCE_PATIENCE, agreed).await {
        Ok(messages) => messages,
        Err(_) => panic!("the regions do not come to agree: {why}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_is_everywhere_after_servers_hosts_and_links_have_failed() {
    let mut random = Random::from_environment();
    let seconds = std::env::var("STARLING_CHAOS_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(SECONDS);
    let mut deployment = Deployment::start(&Shape {
        regions: &REGIONS,
        hosts: HOSTS,
        ..Shape::VOICEMAIL
    })
    .await;
    let mut mailboxes = Vec::new();
    for number in 0..MAILBOXES {
        let home = usize::try_from(number).unwrap_or(0) % REGIONS.len();
        mailboxes.push(Mailbox::create(deployment.host(home, 0), &format!("box-{number}")).await);
    }
    let everywhere: Vec<SocketAddr> = deployment
        .addresses()
        .concat()
        .into_iter()
        .flatten()
        .collect();
    for mailbox in &mailboxes {
        agreed(&everywhere, mailbox, &BTreeSet::new()).await;
    }

    let mailboxes = Arc::new(mailboxes);
    let addresses: Addresses = Arc::new(RwLock::new(deployment.addresses()));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            number,
            random: Random::new(random.number()),
            addresses: addresses.clone(),
            mailboxes: mailboxes.clone(),
            known: BTreeMap::new(),
        };
        clients.spawn(client.act(end));
    }
    break_things(&mut deployment, &mut random, &addresses, end).await;
    let mut known = BTreeMap::new();
    while let Some(client) = clients.join_next().await {
        for (id, message) in client.expect("the client ends") {
            assert!(
                known.insert(id.clone(), message).is_none(),
                "{id} stands for two messages"
            );
        }
    }
    println!("{} messages were acknowledged", known.len());
    assert!(known.len() as u64 > CLIENTS, "hardly anything was tried");

    let mended = Instant::now();
    let everywhere: Vec<SocketAddr> = deployment
        .addresses()
        .concat()
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(everywhere.len(), REGIONS.len() * HOSTS);
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let own: BTreeMap<_, _> = known
            .iter()
            .filter(|(_, known)| known.mailbox == index)
            .collect();
        let ids = own.keys().map(|id| id.as_str()).collect();
        let messages = agreed(&everywhere, mailbox, &ids).await;
        let mut seen = BTreeSet::new();
        for message in &messages {
            let id = message["id"].as_str().expect("an id");
            assert!(seen.insert(id), "{id} is there twice");
            let known = own.get(&id.to_owned());
            let known = known.unwrap_or_else(|| panic!("nobody left {id}, or it was given up on"));
            for (flag, possible) in &known.flags {
                let value = message[flag].as_bool().expect("a flag");
                assert!(
                    possible.allows(value),
                    "{flag} of {id} is {value}: {possible:?}"
                );
            }
        }
        for (region, name) in REGIONS.iter().enumerate() {
            for (id, known) in &own {
                let audio = mailbox.fetch(deployment.host(region, 0), id).await;
                assert!(audio == known.audio, "the audio of {id} differs in {name}");
            }
        }
    }
    println!(
        "all agreed {:.1} s after everything was mended",
        mended.elapsed().as_secs_f64()
    );
}
