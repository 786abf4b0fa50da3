//! What a client does, and how often: mostly what callers and subscribers do, some of it badly.

use std::time::Duration;

use http::Method;
use serde_json::json;
use starling_tests::audio;
use starling_tests::client::Call;
use starling_tests::mailbox::created_id;
use starling_tests::wire::{Wire, status_of};

use crate::client::{Client, Known};

/// Messages in one mailbox at most.
const MESSAGES_MAX: usize = 12;

/// What is left: a sigh, some sentences, half a minute. Each with how many in a hundred it is.
const DEPOSITS: [(&str, usize, u64); 3] = [
    ("deposit of 4 KB", 4_000, 60),
    ("deposit of 54 KB", 54_000, 30),
    ("deposit of 480 KB", 480_000, 10),
];

impl Client {
    /// Does something to some mailbox.
    pub(crate) async fn act(&mut self) {
        let index = self.choose(self.held.len());
        if !self.held[index].exists {
            self.create(index).await;
            return;
        }
        match self.random.below(100) {
            0..35 if self.held[index].messages.len() >= MESSAGES_MAX => self.purge(index).await,
            0..35 => self.deposit(index).await,
            35..50 => self.check_list(index).await,
            50..65 => self.hear(index).await,
            65..73 => self.patch(index).await,
            73..83 => self.purge(index).await,
            83..93 => self.summarise(index).await,
            93..95 => self.send_nonsense(index).await,
            95..97 => self.go_away(index).await,
            97..98 => self.deposit_slowly(index).await,
            _ => self.delete(index).await,
        }
    }

    async fn create(&mut self, index: usize) {
        let call = Call::new(Method::PUT, self.held[index].mailbox.path());
        self.held[index].exists = self.send("new mailbox", call, 201).await.is_some();
    }

    /// Deletes the mailbox, to be made anew.
    async fn delete(&mut self, index: usize) {
        let call = Call::delete(self.held[index].mailbox.path());
        if self.send("delete a mailbox", call, 204).await.is_some() {
            self.held[index].exists = false;
            self.held[index].messages.clear();
        }
    }

    /// What will be left, under which key.
    fn recording(&mut self) -> (&'static str, Known, String) {
        let mut chance = self.random.below(100);
        let (kind, bytes, _) = *DEPOSITS
            .iter()
            .find(|(_, _, share)| {
                let taken = chance < *share;
                chance = chance.saturating_sub(*share);
                taken
            })
            .expect("they make a hundred");
        let seed = self.random.number();
        (kind, Known { bytes, seed }, format!("key-{seed}"))
    }

    async fn deposit(&mut self, index: usize) {
        let (kind, known, key) = self.recording();
        let wav = audio::noise(known.bytes, known.seed);
        let call = self.held[index].mailbox.deposit_once(wav, &key);
        if let Some(answer) = self.send(kind, call, 201).await {
            self.held[index].messages.insert(created_id(&answer), known);
        }
    }

    /// A message of chance, if there is one.
    fn any(&mut self, index: usize) -> Option<(String, Known)> {
        let chosen = self.choose(self.held[index].messages.len());
        let message = self.held[index].messages.iter().nth(chosen);
        message.map(|(id, known)| (id.clone(), *known))
    }

    async fn hear(&mut self, index: usize) {
        if let Some((id, known)) = self.any(index) {
            self.check_audio(index, &id, known).await;
        }
    }

    async fn patch(&mut self, index: usize) {
        if let Some((id, _)) = self.any(index) {
            let seen = self.random.below(2) == 0;
            let call =
                Call::patch(self.held[index].mailbox.message(&id)).json(&json!({ "seen": seen }));
            self.send("patch", call, 200).await;
        }
    }

    /// Deletes a message for good, and looks whether it is gone.
    async fn purge(&mut self, index: usize) {
        if let Some((id, _)) = self.any(index) {
            let path = self.held[index].mailbox.message(&id);
            let call = Call::delete(format!("{path}?purge=true"));
            if self.send("delete", call, 204).await.is_some() {
                self.held[index].messages.remove(&id);
                self.send("message that is gone", Call::get(path), 404)
                    .await;
            }
        }
    }

    async fn summarise(&mut self, index: usize) {
        let path = format!("{}/summary", self.held[index].mailbox.path());
        if let Some(answer) = self.send("summary", Call::get(path.clone()), 200).await {
            let (told, held) = (answer.json(), self.held[index].messages.len());
            if told["messages"] != held {
                self.log
                    .wrong(format!("{path}: {told}, and {held} were left"));
            }
        }
    }

    /// What no program should send. The host says so, and nothing happens.
    async fn send_nonsense(&mut self, index: usize) {
        let mailbox = &self.held[index].mailbox;
        let (call, status) = match self.random.below(4) {
            0 => (mailbox.deposit("this is no audio"), 415),
            1 => (
                Call::put(mailbox.path())
                    .header("content-type", "application/json")
                    .body("{"),
                400,
            ),
            2 => (Call::get(mailbox.message("no-id")), 404),
            _ => {
                let status = status_of(self.address, "NONSENSE\r\n\r\n").await;
                if status.is_some_and(|status| status != 400) {
                    self.log
                        .wrong(format!("nonsense was answered with {status:?}"));
                }
                self.log.count("nonsense");
                return;
            }
        };
        self.send("nonsense", call, status).await;
    }

    /// Ends a connection in the middle: of an upload, of which nothing may be left, or of a download.
    async fn go_away(&mut self, index: usize) {
        self.log.count("gone away");
        let mut wire = Wire::open(self.address).await;
        if self.random.below(2) == 0 {
            let (_, known, key) = self.recording();
            let wav = audio::noise(known.bytes, known.seed);
            wire.send(self.head_of_deposit(index, wav.len(), &key))
                .await;
            wire.send(&wav[..wav.len() / 2]).await;
        } else if let Some((id, _)) = self.any(index) {
            let path = self.held[index].mailbox.audio(&id);
            wire.send(format!("GET {path} HTTP/1.1\r\nhost: soak.test\r\n\r\n"))
                .await;
            wire.read(1_000).await;
        }
    }

    /// A deposit that takes two seconds, as over a bad line; sent again in one piece, to learn its id.
    async fn deposit_slowly(&mut self, index: usize) {
        const PIECES: usize = 10;
        const PAUSE: Duration = Duration::from_millis(200);

        if self.held[index].messages.len() >= MESSAGES_MAX {
            return;
        }
        let known = Known {
            bytes: 54_000,
            seed: self.random.number(),
        };
        let (wav, key) = (
            audio::noise(known.bytes, known.seed),
            format!("key-{}", known.seed),
        );
        let mut wire = Wire::open(self.address).await;
        wire.send(self.head_of_deposit(index, wav.len(), &key))
            .await;
        for piece in wav.chunks(wav.len().div_ceil(PIECES)) {
            wire.send(piece).await;
            tokio::time::sleep(PAUSE).await;
        }
        let status = wire.status().await;
        if status != Some(201) {
            self.log
                .wrong(format!("a slow deposit was answered with {status:?}"));
        }
        let call = self.held[index].mailbox.deposit_once(wav, &key);
        if let Some(answer) = self.send("deposit, repeated", call, 201).await {
            self.held[index].messages.insert(created_id(&answer), known);
        }
    }

    fn head_of_deposit(&self, index: usize, length: usize, key: &str) -> String {
        let path = self.held[index].mailbox.messages();
        format!(
            "POST {path} HTTP/1.1\r\nhost: soak.test\r\ncontent-type: audio/wav\r\n\
             content-length: {length}\r\nidempotency-key: {key}\r\n\r\n"
        )
    }
}
