//! One client: its mailboxes, what has to be in them, and how it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use starling_tests::audio;
use starling_tests::client::{Answer, Call, Connection};
use starling_tests::mailbox::Mailbox;
use starling_tests::random::Random;

/// Mailboxes of one client. They are deleted and made anew under the same names.
const MAILBOXES: u32 = 8;

/// How often a refusal (429, 503) is taken for an answer to come back later.
const REFUSALS_MAX: u32 = 20;

/// After so many wrong answers nothing more is to be learnt.
const FAILURES_MAX: usize = 50;

/// What all clients have found.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Milliseconds of the answers since they were last taken, by kind.
    times: Mutex<BTreeMap<&'static str, Vec<f64>>>,
    failures: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Log {
    /// Counts an answer, and how long it took.
    fn answered(&self, kind: &'static str, elapsed: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times
            .entry(kind)
            .or_default()
            .push(elapsed.as_secs_f64() * 1e3);
        self.count(kind);
    }

    /// Counts what is not timed.
    pub(crate) fn count(&self, kind: &'static str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind).or_default() += 1;
    }

    /// Notes an answer that is wrong.
    pub(crate) fn wrong(&self, what: String) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.push(what);
    }

    /// Takes the times since the last call.
    pub(crate) fn take_times(&self) -> BTreeMap<&'static str, Vec<f64>> {
        std::mem::take(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is no use in going on.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.failures().len() >= FAILURES_MAX
    }

    /// What was wrong so far.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.clone()
    }

    /// How often what was done.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}

/// What is known of a message: what makes its audio anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) bytes: usize,
    pub(crate) seed: u64,
}

/// A mailbox, and all that has to be in it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) mailbox: Mailbox,
    pub(crate) exists: bool,
    pub(crate) messages: BTreeMap<String, Known>,
}

pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) random: Random,
    pub(crate) log: Arc<Log>,
    pub(crate) held: Vec<Held>,
    connection: Option<Connection>,
}

impl Client {
    pub(crate) fn new(number: u32, address: SocketAddr, random: Random, log: Arc<Log>) -> Self {
        let held = (0..MAILBOXES).map(|mailbox| Held {
            mailbox: Mailbox::named(format!("client-{number}.{mailbox}")),
            exists: false,
            messages: BTreeMap::new(),
        });
        Self {
            address,
            random,
            log,
            held: held.collect(),
            connection: None,
        }
    }

    /// Acts until `end`, unless it is hopeless, with a pause from the begin of one action to that of the next. Then checks everything.
    pub(crate) async fn run(mut self, end: Instant, pause: Duration) -> Self {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < end && !self.log.is_hopeless() {
            ticks.tick().await;
            self.act().await;
        }
        self.check_everything(self.address).await;
        self
    }

    /// A number of chance below a length.
    pub(crate) fn choose(&mut self, length: usize) -> usize {
        let index = self.random.below(length.max(1) as u64);
        usize::try_from(index).expect("it is below a length")
    }

    /// Sends a request, again where it is refused for now, and takes the time. Nothing where the answer is not of the
    /// status that it has to be: that has been noted.
    pub(crate) async fn send(
        &mut self,
        kind: &'static str,
        call: Call,
        status: u16,
    ) -> Option<Answer> {
        for _ in 0..REFUSALS_MAX {
            let begun = Instant::now();
            let answer = match self.try_send(call.clone()).await {
                Ok(answer) => answer,
                Err(how) => {
                    self.log.wrong(format!("{call}: {how}"));
                    return None;
                }
            };
            match answer.status.as_u16() {
                found if found == status => {
                    self.log.answered(kind, begun.elapsed());
                    return Some(answer);
                }
                429 | 503 if !answer.header("retry-after").is_empty() => {
                    self.log.count("refused for now");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                found => {
                    let text = answer.text();
                    self.log
                        .wrong(format!("{call}: {found} instead of {status}: {text}"));
                    return None;
                }
            }
        }
        self.log
            .wrong(format!("{call}: refused {REFUSALS_MAX} times"));
        None
    }

    async fn try_send(&mut self, call: Call) -> Result<Answer, String> {
        let kept = match &mut self.connection {
            Some(kept) if !kept.is_closed() => kept,
            _ => {
                let opened = Connection::open(self.address).await;
                self.connection
                    .insert(opened.map_err(|lost| format!("{lost:?}"))?)
            }
        };
        let answer = kept.send(call).await;
        answer.map_err(|lost| {
            self.connection = None;
            format!("{lost:?}")
        })
    }

    /// Whether a list tells of exactly the messages that have to be there.
    pub(crate) async fn check_list(&mut self, index: usize) {
        let held = &self.held[index];
        let path = format!("{}?limit=100", held.mailbox.messages());
        let Some(answer) = self.send("list", Call::get(path.clone()), 200).await else {
            return;
        };
        let json = answer.json();
        let listed = json["messages"].as_array().into_iter().flatten();
        let listed: BTreeSet<_> = listed
            .filter_map(|message| message["id"].as_str())
            .collect();
        let held: BTreeSet<_> = self.held[index]
            .messages
            .keys()
            .map(String::as_str)
            .collect();
        if listed != held {
            let (lost, risen) = (&held - &listed, &listed - &held);
            let what = format!("{path}: lost {lost:?}, and came {risen:?}");
            self.log.wrong(what);
        }
    }

    /// Whether the audio of a message is what was left.
    pub(crate) async fn check_audio(&mut self, index: usize, id: &str, known: Known) {
        let path = self.held[index].mailbox.audio(id);
        let Some(answer) = self.send("audio", Call::get(path.clone()), 200).await else {
            return;
        };
        if answer.body != audio::noise(known.bytes, known.seed) {
            self.log
                .wrong(format!("{path}: other audio than what was left"));
        }
    }

    /// Checks every message in every mailbox, at a host that need not be the one that took them.
    pub(crate) async fn check_everything(&mut self, address: SocketAddr) {
        self.address = address;
        self.connection = None;
        for index in 0..self.held.len() {
            if !self.held[index].exists {
                continue;
            }
            self.check_list(index).await;
            for (id, known) in self.held[index].messages.clone() {
                self.check_audio(index, &id, known).await;
            }
        }
    }
}
