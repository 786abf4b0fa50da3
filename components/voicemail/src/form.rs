//! A deposit as a form: multipart/form-data (RFC 7578), as browsers, curl and telephone systems
//! send it.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use multer::{Field, Multipart};
use starling_mailbox::MESSAGE_BYTES_MAX;

use crate::particulars::{Particulars, TO};
use crate::problem::Problem;

/// The media type of such a form.
pub(crate) const FORM: &str = "multipart/form-data";

/// What a form may have beyond its audio: boundaries, headers, the other fields.
pub(crate) const FORM_OVERHEAD_BYTES_MAX: usize = 64 * 1024;

/// The field with the audio.
const AUDIO: &str = "audio";

/// The longest of the other fields, and of the one that names mailboxes.
const FIELD_BYTES_MAX: usize = 1024;
const TO_BYTES_MAX: usize = 8 * 1024;

/// The parser copies what it is handed; a piece at a time, so that it never holds all of it. Fuzzing
/// tries small forms, and these are to have several pieces too.
const PIECE_BYTES: usize = if cfg!(fuzzing) { 61 } else { 64 * 1024 };

/// A form that was read.
#[derive(Debug)]
pub(crate) struct Form {
    /// The audio; `None` if there is none.
    pub(crate) audio: Option<Vec<u8>>,
    /// The media type of the audio with its parameters, as the form declares it.
    pub(crate) declared: Option<String>,
    /// The other fields.
    pub(crate) particulars: Particulars,
}

/// Reads a whole form; `content_type` is the header, with its boundary.
pub(crate) async fn read(content_type: &str, body: Vec<u8>) -> Result<Form, Problem> {
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let body = Bytes::from(body);
    let body_bytes = body.len();
    let pieces = (0..body.len())
        .step_by(PIECE_BYTES)
        .map(move |at| Ok::<_, Infallible>(body.slice(at..body.len().min(at + PIECE_BYTES))));
    let mut multipart = Multipart::new(stream::iter(pieces), boundary);
    let mut audio = None;
    let mut seen: Vec<String> = Vec::new();
    let mut particulars = Particulars::default();
    while let Some(field) = multipart.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        let invalid = |detail: String| Problem::MemberInvalid {
            member: name.clone(),
            detail,
        };
        if seen.contains(&name) {
            return Err(invalid("it is given more than once".into()));
        }
        if name == AUDIO {
            let declared = field.content_type().map(|mime| mime.as_ref().to_owned());
            audio = Some((
                content(field, body_bytes, MESSAGE_BYTES_MAX).await?,
                declared,
            ));
        } else if Particulars::FIELDS.contains(&name.as_str()) {
            let max_bytes = if name == TO.field {
                TO_BYTES_MAX
            } else {
                FIELD_BYTES_MAX
            };
            let text = String::from_utf8(content(field, 0, max_bytes).await?);
            let text = text.map_err(|_| invalid("it is not UTF-8".into()))?;
            particulars.set(&name, &text).map_err(invalid)?;
        } else {
            return Err(invalid(format!(
                "it is not known; the fields of a form are {AUDIO}, {}",
                Particulars::FIELDS.join(", ")
            )));
        }
        seen.push(name);
    }
    let (audio, declared) = audio.unzip();
    Ok(Form {
        audio,
        declared: declared.flatten(),
        particulars,
    })
}

impl Form {
    /// The audio.
    ///
    /// # Errors
    ///
    /// [`Problem::MemberInvalid`] if there is none.
    pub(crate) fn audio(self) -> Result<Vec<u8>, Problem> {
        self.audio.ok_or_else(|| Problem::MemberInvalid {
            member: AUDIO.into(),
            detail: "it is missing".into(),
        })
    }
}

async fn content(
    mut field: Field<'_>,
    expected_bytes: usize,
    max_bytes: usize,
) -> Result<Vec<u8>, Problem> {
    let mut content = Vec::with_capacity(expected_bytes);
    while let Some(piece) = field.chunk().await.map_err(malformed)? {
        if content.len() + piece.len() > max_bytes {
            return Err(Problem::BodyTooLarge { max_bytes });
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

fn malformed(error: multer::Error) -> Problem {
    Problem::BodyMalformed {
        detail: format!("the form cannot be read: {error}"),
    }
}
