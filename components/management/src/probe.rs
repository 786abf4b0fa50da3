//! How other hosts look from outside: real requests through their front doors, as a client sends them.
//!
//! Nearly every probe is light: one read, which goes all the way to the region's store. Now and then one host gets a
//! full one: a message is left in a mailbox of this observer's own, listed, heard and compared, and the mailbox deleted,
//! so that nothing is left behind. A host without the voicemail component is asked for `/live`.
//!
//! A failure is a 5xx, or no answer in time; or, in a full probe, a message that is not what was left. Whatever else a
//! host answers, it answers.
//!
//! Instances have no memory: how many probes of a host failed in a row is read from what this host said last. So it goes
//! on saying for a while what it saw of hosts whose turn it is not.

use std::time::Duration;

use futures::future::{Either, join_all, select};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use starling_access::{Grant, Keys, Scope, issue};
use starling_mailbox::MailboxId;
use starling_supervision::{Heartbeat, HostId, PROBE_KEPT_MS, Probe};

use crate::platform::Platform;
use crate::response::JSON;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long one probe may take, of however many requests: the host ends a step of the supervision after five seconds.
const PROBE_MS_MAX: u64 = 2_000;

/// How often one of the hosts gets a full probe.
const FULL_EVERY_MS: u64 = 30_000;

/// The component that a full probe is for.
const VOICEMAIL: &str = "voicemail";

/// For how long a probe's tokens are valid, in seconds: clocks differ a little.
const TOKEN_TTL_S: u64 = 60;

/// The largest answer that is read: a list with one message, or its audio.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Probes these hosts, all at once, and adds what is known of others. `last` is what this host said last.
pub(crate) async fn all<P: Platform>(
    platform: &P,
    observer: &HostId,
    keys: Option<&Keys>,
    targets: &[&Heartbeat],
    last: Option<&Heartbeat>,
) -> Vec<Probe> {
    let now_ms = platform.now_ms();
    let period = now_ms / FULL_EVERY_MS;
    let is_due = last.is_some_and(|last| last.beat_ms / FULL_EVERY_MS < period);
    // One after the other gets it; which one, the time says.
    let full = (period % targets.len().max(1) as u64) as usize;
    let probes = targets.iter().enumerate().map(async |(index, target)| {
        let prober = Prober::of(platform, observer, keys, target);
        let outcome = prober.probe_in_time(is_due && index == full).await;
        let before = last.and_then(|last| last.probe(&target.host));
        let latency_ms = platform.now_ms().saturating_sub(now_ms);
        Probe::next(&target.host, before, now_ms, latency_ms, outcome)
    });
    let mut probes = join_all(probes).await;
    let known = last.into_iter().flat_map(|last| &last.probes);
    let kept = known.filter(|probe| {
        let is_recent = now_ms.saturating_sub(probe.last_ms) <= PROBE_KEPT_MS;
        is_recent && !targets.iter().any(|target| target.host == probe.host)
    });
    probes.extend(kept.cloned());
    probes
}

/// Probes of one host.
struct Prober<'a, P> {
    platform: &'a P,
    keys: Option<&'a Keys>,
    target: &'a Heartbeat,
    mailbox: MailboxId,
}

/// Why a probe failed, in words for an operator.
type Failure = String;

impl<'a, P: Platform> Prober<'a, P> {
    fn of(
        platform: &'a P,
        observer: &HostId,
        keys: Option<&'a Keys>,
        target: &'a Heartbeat,
    ) -> Self {
        Self {
            platform,
            keys,
            target,
            mailbox: mailbox_of(observer),
        }
    }

    /// Probes, but not for ever: what is not done in time, has failed.
    async fn probe_in_time(&self, full: bool) -> Result<(), Failure> {
        let probe = std::pin::pin!(self.probe(full));
        let timeout = std::pin::pin!(self.platform.pause(PROBE_MS_MAX));
        match select(probe, timeout).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(format!(
                "a message was not left, heard and deleted within {PROBE_MS_MAX} ms"
            )),
        }
    }

    async fn probe(&self, full: bool) -> Result<(), Failure> {
        let mut components = self.target.routes.iter().map(|route| &route.component);
        if !components.any(|component| component.as_str() == VOICEMAIL) {
            let live = self.request(Method::GET, "/live", None, None);
            return self.send(live, "GET /live").await.map(drop);
        }
        if full {
            let outcome = self.full().await;
            // Whatever came of it, nothing is to stay behind; the next full probe tries again if this is in vain.
            let removed = self
                .mailbox(Method::DELETE, Scope::Provision, "", None)
                .await;
            return outcome.and(removed.map(drop));
        }
        let read = self.mailbox(Method::GET, Scope::Subscriber, "/summary", None);
        read.await.map(drop)
    }

    /// Leaves a message and hears it.
    async fn full(&self) -> Result<(), Failure> {
        let settings = r#"{"quota_messages": 2, "retention_days": 1}"#;
        let body = || Some((JSON, settings.as_bytes().to_vec()));
        let created = self
            .mailbox(Method::PUT, Scope::Provision, "", body())
            .await?;
        if created.0 == StatusCode::OK {
            // Left behind by a probe that broke off, perhaps with its message.
            self.mailbox(Method::DELETE, Scope::Provision, "", None)
                .await?;
            self.mailbox(Method::PUT, Scope::Provision, "", body())
                .await?;
        }
        let audio = wav();
        let left = Some(("audio/wav", audio.clone()));
        let (status, message) = self
            .mailbox(Method::POST, Scope::Deposit, "/messages", left)
            .await?;
        let Some(id) = (status == StatusCode::CREATED)
            .then(|| id_of(&message))
            .flatten()
        else {
            // Refused or put aside: it answered, and there is nothing to hear.
            return Ok(());
        };
        let (_, list) = self
            .mailbox(Method::GET, Scope::Subscriber, "/messages", None)
            .await?;
        if !String::from_utf8_lossy(&list).contains(&id) {
            return Err("the message that was left is not in the list".into());
        }
        let path = format!("/messages/{id}");
        let heard = format!("{path}/audio");
        let (_, heard) = self
            .mailbox(Method::GET, Scope::Subscriber, &heard, None)
            .await?;
        if heard != audio {
            return Err("the message that was left sounds different".into());
        }
        let purge = format!("{path}?purge=true");
        self.mailbox(Method::DELETE, Scope::Subscriber, &purge, None)
            .await
            .map(drop)
    }

    /// A request about the mailbox of this observer.
    async fn mailbox(
        &self,
        method: Method,
        scope: Scope,
        part: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let what = format!("{method} {}", part.split('?').next().unwrap_or_default());
        let path = format!("/v1/mailboxes/{}{part}", self.mailbox);
        self.send(self.request(method, &path, Some(scope), body), &what)
            .await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        scope: Option<Scope>,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Request<Vec<u8>>, http::Error> {
        let address = self.target.address.trim_end_matches('/');
        let is_deposit = scope == Some(Scope::Deposit);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{address}{path}"));
        if let (Some(keys), Some(scope)) = (self.keys, scope) {
            let mailbox = Some(self.mailbox.clone());
            let grant = Grant { scope, mailbox };
            let token = issue(keys, &grant, self.platform.now_ms() / 1000, TOKEN_TTL_S);
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if is_deposit {
            let key = u128::from_be_bytes(self.platform.random_bits());
            request = request.header("idempotency-key", format!("probe-{key:032x}"));
        }
        let (media_type, body) = body.unzip();
        if let Some(media_type) = media_type {
            request = request.header(CONTENT_TYPE, media_type);
        }
        request.body(body.unwrap_or_default())
    }

    async fn send(
        &self,
        request: Result<Request<Vec<u8>>, http::Error>,
        what: &str,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let request = request.map_err(|error| format!("{what}: {error}"))?;
        let sent = std::pin::pin!(self.platform.send(request, ANSWER_BYTES_MAX));
        let timeout = std::pin::pin!(self.platform.pause(TIMEOUT.as_millis() as u64));
        match select(sent, timeout).await {
            Either::Left((Ok((status, _)), _)) if status.is_server_error() => {
                Err(format!("{what}: {}", status.as_u16()))
            }
            Either::Left((Ok(answer), _)) => Ok(answer),
            Either::Left((Err(error), _)) => Err(format!("{what}: {error}")),
            Either::Right(_) => Err(format!(
                "{what}: no answer within {} ms",
                TIMEOUT.as_millis()
            )),
        }
    }
}

/// The mailbox that an observer's messages go to.
fn mailbox_of(observer: &HostId) -> MailboxId {
    let named = format!("probe-{observer}").parse();
    named.unwrap_or_else(|_| {
        // A name too long for a mailbox.
        let digest = Sha256::digest(observer.as_str());
        let hex: String = digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let named = format!("probe-{hex}").parse();
        named.expect("lower-case hexadecimal digits name a mailbox")
    })
}

/// The id of a message in JSON.
fn id_of(message: &[u8]) -> Option<String> {
    let message: Value = serde_json::from_slice(message).ok()?;
    message["id"].as_str().map(str::to_owned)
}

/// A tenth of a second of telephone speech: a WAV file in µ-law (ITU-T G.711), 8 kHz, of a tone of 500 Hz.
fn wav() -> Vec<u8> {
    const SAMPLES: u32 = 800;
    // One period of the tone: sixteen samples.
    const TONE: [u8; 16] = [
        0xff, 0xa9, 0x9c, 0x96, 0x94, 0x96, 0x9c, 0xa9, 0x7f, 0x29, 0x1c, 0x16, 0x14, 0x16, 0x1c,
        0x29,
    ];
    let mut file = b"RIFF".to_vec();
    file.extend((50 + SAMPLES).to_le_bytes());
    file.extend(b"WAVEfmt \x12\0\0\0\x07\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0\0\0");
    file.extend(b"fact\x04\0\0\0");
    file.extend(SAMPLES.to_le_bytes());
    file.extend(b"data");
    file.extend(SAMPLES.to_le_bytes());
    file.extend(TONE.iter().cycle().take(SAMPLES as usize));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_message_is_whole_and_lasts_a_tenth_of_a_second() {
        let recognised = starling_mailbox::audio::recognise(&wav()).expect("audio");
        assert_eq!(recognised.duration_ms, 100);
    }

    #[test]
    fn every_host_has_a_mailbox_of_its_own() {
        let host = |name: &str| name.parse::<HostId>().expect("a host");
        assert_eq!(mailbox_of(&host("eu-a-1")).as_str(), "probe-eu-a-1");
        let (long, other) = (
            format!("{}1", "x".repeat(63)),
            format!("{}2", "x".repeat(63)),
        );
        assert_ne!(mailbox_of(&host(&long)), mailbox_of(&host(&other)));
    }
}
