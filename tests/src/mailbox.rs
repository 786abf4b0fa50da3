//! The voicemail API as a client sees it: paths, deposits, lists.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Answer, Call, Connection, Lost};
use crate::host::Host;

/// Messages asked for at a time.
const PAGE: usize = 50;

/// A mailbox on a host.
#[derive(Clone, Debug)]
pub struct Mailbox {
    name: String,
}

impl Mailbox {
    /// A mailbox that exists already.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Creates it.
    ///
    /// # Panics
    ///
    /// Where the host does not answer with success.
    pub async fn create(host: &Host, name: &str) -> Self {
        let mailbox = Self::named(name);
        Call::put(mailbox.path())
            .json(&json!({}))
            .send(host)
            .await
            .expect_success();
        mailbox
    }

    /// `/v1/mailboxes/<name>`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/v1/mailboxes/{}", self.name.replace('+', "%2B"))
    }

    /// `/v1/mailboxes/<name>/messages`.
    #[must_use]
    pub fn messages(&self) -> String {
        format!("{}/messages", self.path())
    }

    /// The path of one message.
    #[must_use]
    pub fn message(&self, id: &str) -> String {
        format!("{}/{id}", self.messages())
    }

    /// The path of the audio of one message.
    #[must_use]
    pub fn audio(&self, id: &str) -> String {
        format!("{}/audio", self.message(id))
    }

    /// A deposit of a WAV file.
    #[must_use]
    pub fn deposit(&self, wav: impl Into<Bytes>) -> Call {
        Call::post(self.messages())
            .header("content-type", "audio/wav")
            .header("voicemail-from", "+15551230099")
            .body(wav)
    }

    /// A deposit that a retry repeats without a second effect.
    #[must_use]
    pub fn deposit_once(&self, wav: impl Into<Bytes>, key: &str) -> Call {
        self.deposit(wav).header("idempotency-key", key)
    }

    /// Deposits and returns the new message's id.
    ///
    /// # Panics
    ///
    /// Where the answer is not 201 with a `Location`.
    pub async fn leave(&self, host: &Host, wav: impl Into<Bytes>) -> String {
        created_id(&self.deposit(wav).send(host).await)
    }

    /// One message.
    ///
    /// # Panics
    ///
    /// Where the host does not answer with it.
    pub async fn get(&self, host: &Host, id: &str) -> Value {
        Call::get(self.message(id))
            .send(host)
            .await
            .expect(200)
            .json()
    }

    /// The audio of one message.
    ///
    /// # Panics
    ///
    /// Where the host does not answer with it.
    pub async fn fetch(&self, host: &Host, id: &str) -> Bytes {
        Call::get(self.audio(id)).send(host).await.expect(200).body
    }

    /// Changes flags of a message.
    ///
    /// # Panics
    ///
    /// Where the host does not answer with success.
    pub async fn patch(&self, host: &Host, id: &str, flags: Value) {
        Call::patch(self.message(id))
            .json(&flags)
            .send(host)
            .await
            .expect_success();
    }

    /// Every message of a folder, newest first, by following the cursor.
    ///
    /// # Panics
    ///
    /// Where the host does not answer with a list, or the list does not end.
    pub async fn list(&self, host: &Host, folder: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut cursor = None;
        for _ in 0..1000 {
            let more =
                cursor.map_or_else(String::new, |cursor: String| format!("&cursor={cursor}"));
            let path = format!("{}?folder={folder}&limit={PAGE}{more}", self.messages());
            let page = Call::get(path).send(host).await.expect(200).json();
            messages.extend(
                page["messages"]
                    .as_array()
                    .expect("a list of messages")
                    .iter()
                    .cloned(),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return messages,
            }
        }
        panic!("the list of {} does not end", self.name);
    }

    /// The ids in a folder, newest first.
    ///
    /// # Panics
    ///
    /// As [`Mailbox::list`].
    pub async fn ids(&self, host: &Host, folder: &str) -> Vec<String> {
        let ids = |message: &Value| message["id"].as_str().expect("an id").to_owned();
        self.list(host, folder).await.iter().map(ids).collect()
    }
}

/// The id that an answer to a deposit tells: in the body and at the end of `Location`.
///
/// # Panics
///
/// Where the answer is not 201 or the two differ.
#[track_caller]
pub fn created_id(answer: &Answer) -> String {
    assert_eq!(
        answer.status,
        StatusCode::CREATED,
        "body: {}",
        answer.text()
    );
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    let location = answer.header("location");
    assert!(
        location.ends_with(&format!("/messages/{id}")),
        "location {location}, id {id}"
    );
    id
}

/// Sends a deposit until it is answered, as a client does that trusts its Idempotency-Key: again after a busy answer (503
/// or 429), on a new connection after a lost one.
///
/// # Errors
///
/// [`Lost::NotConnected`], where nobody listens any more.
pub async fn persist(
    connection: &mut Option<Connection>,
    host: std::net::SocketAddr,
    call: &Call,
) -> Result<Answer, Lost> {
    loop {
        let kept = match connection {
            Some(kept) if !kept.is_closed() => kept,
            _ => connection.insert(Connection::open(host).await?),
        };
        match kept.send(call.clone()).await {
            Ok(answer) if matches!(answer.status.as_u16(), 429 | 503) => {
                tokio::task::yield_now().await
            }
            Ok(answer) => return Ok(answer),
            Err(_) => *connection = None,
        }
    }
}
