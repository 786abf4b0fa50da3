//! What a caller left, recognised from its bytes alone: container, codec and duration.
//!
//! A declared media type is a claim and a file name is a rumour; both are only ever compared with
//! what is found here. Nothing is decoded: that a container is whole and how long it plays can be
//! told from its structure.
//!
//! There is one file for each container, with two functions: does it look like mine, and measure
//! it.

mod wav;

use serde::{Deserialize, Serialize};

/// The wrapping of a piece of audio.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Container {
    /// RIFF WAVE.
    Wav,
}

/// Container and codec together: what a player has to know.
///
/// Stored as numbers: new formats are added at the end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Format {
    /// WAV, linear PCM of 8 bits, unsigned.
    WavPcm8,
    /// WAV, linear PCM of 16 bits, signed, little-endian.
    WavPcm16,
    /// WAV, G.711 µ-law.
    WavMuLaw,
    /// WAV, G.711 A-law.
    WavALaw,
}

/// What was found in the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Recognised {
    /// Container and codec.
    pub format: Format,
    /// How long the frames that are really there play, in milliseconds; at least 1.
    pub duration_ms: u64,
}

/// Why bytes are not taken as audio.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AudioError {
    /// They begin like no container that is taken.
    #[error("the bytes are no audio that is taken here: WAV (PCM of 8 or 16 bits, µ-law, A-law)")]
    Unrecognised,
    /// The container is taken, what is in it is not.
    #[error("{what} is not taken; WAV is, with PCM of 8 or 16 bits, µ-law or A-law")]
    Unsupported {
        /// The codec.
        what: String,
    },
    /// The container contradicts itself, or ends too early, or holds no sound.
    #[error("the audio is broken: {detail}")]
    Broken {
        /// What is wrong with it.
        detail: String,
    },
}

/// Recognises and measures a whole file.
///
/// # Errors
///
/// [`AudioError`]. No bytes make it panic.
pub fn recognise(bytes: &[u8]) -> Result<Recognised, AudioError> {
    match Container::of(bytes) {
        Some(Container::Wav) => wav::measure(bytes),
        None => Err(AudioError::Unrecognised),
    }
}

impl Container {
    /// What the bytes begin like.
    fn of(bytes: &[u8]) -> Option<Self> {
        wav::is_wav(bytes).then_some(Self::Wav)
    }

    /// The registered, or else the usual, media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
        }
    }

    /// The usual ending of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Wav => "wav",
        }
    }

    /// All names under which the container travels (RFC 2361 for `audio/vnd.wave`), lower case.
    pub fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Wav => &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
        }
    }
}

impl Format {
    /// The container.
    pub fn container(self) -> Container {
        match self {
            Self::WavPcm8 | Self::WavPcm16 | Self::WavMuLaw | Self::WavALaw => Container::Wav,
        }
    }

    /// The media type to serve it under.
    pub fn media_type(self) -> &'static str {
        self.container().media_type()
    }

    /// Whether a declared media type, without parameters, claims nothing else than what was found.
    ///
    /// `application/octet-stream` and `audio/*` claim nothing: clients send them for want of
    /// something better.
    pub fn agrees_with(self, declared: &str) -> bool {
        ["application/octet-stream", "audio/*"]
            .iter()
            .chain(self.container().media_types())
            .any(|name| name.eq_ignore_ascii_case(declared))
    }
}
