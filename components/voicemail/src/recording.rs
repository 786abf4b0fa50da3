//! Taking a recording, be it a message, a greeting or a comment: what a client uploads, checked against
//! what it says of it, and its pieces in the store.

use bytes::Bytes;
use futures::future::try_join_all;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use starling_mailbox::audio::{self, Recognised};
use starling_mailbox::{AUDIO_CHUNK_BYTES, Audio, AudioId, Digest, MESSAGE_BYTES_MAX, keys};

use crate::form::{self, FORM, FORM_OVERHEAD_BYTES_MAX};
use crate::negotiate::{declared_type, single};
use crate::particulars::Particulars;
use crate::platform::{Platform, Store, UploadError};
use crate::problem::Problem;
use crate::slots::{Slots, unavailable};
use crate::upload;

/// What is said of an upload before it is read.
pub(crate) struct Announced {
    declared: Option<String>,
    particulars: Particulars,
}

/// A recording that was uploaded, and checked.
pub(crate) struct Recording {
    pub(crate) bytes: Vec<u8>,
    /// Of the bytes, where it is known.
    digest: Option<Digest>,
    recognised: Recognised,
    pub(crate) particulars: Particulars,
}

impl Announced {
    /// Reads the headers: the cheap refusals, before anything is uploaded.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let declared = declared_type(headers)?;
        // Ogg is still sent under its former name (RFC 5334, section 4).
        let plausible = declared.as_deref().is_none_or(|it| {
            [FORM, "application/octet-stream", "application/ogg"].contains(&it)
                || it.starts_with("audio/")
        });
        if !plausible {
            let detail = format!(
                "a recording is audio, declared as such or not declared at all, or {FORM}; this \
                 one is declared as {}",
                declared.unwrap_or_default()
            );
            return Err(Problem::MediaTypeUnsupported { detail });
        }
        Ok(Self {
            declared,
            particulars: Particulars::of_headers(headers)?,
        })
    }

    /// Reads the body, raw or a form.
    pub(crate) async fn receive<B>(self, headers: &HeaderMap, body: B) -> Result<Recording, Problem>
    where
        B: Body<Data = Bytes, Error = UploadError>,
    {
        let content_type = single(headers, CONTENT_TYPE.as_str())?.unwrap_or_default();
        if self.declared.as_deref() != Some(FORM) {
            let uploaded = upload::read_digested(headers, body, MESSAGE_BYTES_MAX).await?;
            let declared = self.declared.is_some().then(|| content_type.to_owned());
            let recording =
                Recording::check(uploaded.bytes, declared.as_deref(), self.particulars)?;
            return Ok(Recording {
                digest: uploaded.digest,
                ..recording
            });
        }
        let max_bytes = MESSAGE_BYTES_MAX + FORM_OVERHEAD_BYTES_MAX;
        let body = upload::read(headers, body, max_bytes).await?;
        let mut form = form::read(content_type, body).await?;
        let declared = form.declared.take();
        let particulars = std::mem::take(&mut form.particulars).or(self.particulars);
        Recording::check(form.audio()?, declared.as_deref(), particulars)
    }
}

impl Recording {
    /// Recognises the bytes, and compares them with the media type that they are declared as.
    pub(crate) fn check(
        bytes: Vec<u8>,
        declared: Option<&str>,
        particulars: Particulars,
    ) -> Result<Self, Problem> {
        let recognised = match declared {
            Some(declared) => audio::recognise_declared(&bytes, declared)?,
            None => audio::recognise(&bytes)?,
        };
        if let Some(declared) = declared.filter(|it| !recognised.format.agrees_with(it)) {
            let found = recognised.format.media_type();
            let detail = format!("the body is declared as {declared}, but it is {found}");
            return Err(Problem::MediaTypeUnsupported { detail });
        }
        Ok(Self {
            bytes,
            digest: None,
            recognised,
            particulars,
        })
    }

    /// What is stored of it, under this id.
    pub(crate) fn audio(&self, id: AudioId) -> Audio {
        Audio {
            id,
            format: self.recognised.format,
            duration_ms: self.recognised.duration_ms,
            size_bytes: self.bytes.len() as u64,
            digest: self.digest.unwrap_or_else(|| Digest::of(&self.bytes)),
            chunk_bytes: AUDIO_CHUNK_BYTES,
        }
    }

    /// Writes it ([`store`]).
    pub(crate) async fn store<P: Platform>(
        &self,
        slots: &Slots<'_, P>,
        audio: &Audio,
    ) -> Result<(), Problem> {
        store(slots, audio, &self.bytes).await
    }
}

/// Writes all pieces at once, so that the store can make them durable together. Writing them again changes
/// nothing.
pub(crate) async fn store<P: Platform>(
    slots: &Slots<'_, P>,
    audio: &Audio,
    bytes: &[u8],
) -> Result<(), Problem> {
    let pieces = bytes.chunks(audio.chunk_bytes.get() as usize).zip(0..);
    let writes = pieces.map(|(piece, n)| async move {
        let key = keys::audio_chunk(audio, n);
        slots.own_store().set(&key, piece).await
    });
    let stored = try_join_all(writes).await;
    stored.map_err(|error| {
        let what = format!("store audio {}", audio.id);
        unavailable(slots.platform(), &what, &error)
    })?;
    Ok(())
}
