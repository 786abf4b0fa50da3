//! What a caller left, recognised from its bytes: container, codec and duration.
//!
//! A declared media type is a claim and a file name is a rumour; both are only ever compared with
//! what is found here. Nothing is decoded for it: that a container is whole and how long it plays
//! can be told from its structure. The one exception is sound without a container, of which nothing
//! but its declaration tells what it is ([`recognise_declared`]).
//!
//! There is one file for each container, with two functions: does it look like mine, and measure
//! it. Every walk through a file is a single pass, so the time for hostile bytes is bounded by
//! their number.
//!
//! On request, and piece by piece as it comes out of a store, telephony's own encodings are decoded
//! into WAV that everything plays ([`Decoder`]), or into the points of a drawing ([`Peaks`]).

mod amr;
mod decode;
mod flac;
mod g711;
mod mpeg;
mod ogg;
mod others;
mod peaks;
mod raw;
mod samples;
mod wav;

use std::borrow::Cow;

use mediatype::MediaType;
use serde::{Deserialize, Serialize};

pub use decode::Decoder;
pub use peaks::{POINTS_MAX, Peak, Peaks};
pub use raw::{InvalidSampling, Sampling};
pub use samples::STEP_SAMPLES_MAX;

/// The wrapping of a piece of audio.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Container {
    /// RIFF WAVE.
    Wav,
    /// Ogg (RFC 3533).
    Ogg,
    /// The storage format of AMR narrowband (RFC 4867, section 5).
    Amr,
    /// The storage format of AMR wideband (RFC 4867, section 5).
    AmrWb,
    /// A sequence of MPEG audio frames, with tags around it.
    Mp3,
    /// Native FLAC (RFC 9639).
    Flac,
    /// None: G.711 µ-law.
    RawMuLaw,
    /// None: G.711 A-law.
    RawALaw,
    /// None: linear PCM of 16 bits, big-endian.
    RawL16,
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
    /// WAV, linear PCM of 24 bits, signed, little-endian.
    WavPcm24,
    /// WAV, linear PCM of 32 bits, signed, little-endian.
    WavPcm32,
    /// WAV, IEEE floating point of 32 bits.
    WavFloat32,
    /// WAV, IEEE floating point of 64 bits.
    WavFloat64,
    /// WAV, GSM 06.10 in blocks of two frames: `wav49`.
    WavGsm,
    /// Ogg, Opus (RFC 7845).
    OggOpus,
    /// Ogg, Vorbis I.
    OggVorbis,
    /// AMR narrowband.
    AmrNb,
    /// AMR wideband.
    AmrWb,
    /// MPEG audio, layer III.
    Mp3,
    /// FLAC.
    Flac,
    /// G.711 µ-law without a container.
    RawMuLaw(Sampling),
    /// G.711 A-law without a container.
    RawALaw(Sampling),
    /// Linear PCM of 16 bits, signed, big-endian, without a container.
    RawL16(Sampling),
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
    #[error(
        "the bytes are no audio that is taken here: WAV (PCM, floating point, µ-law, A-law, \
         GSM 6.10), Ogg (Opus, Vorbis), AMR, AMR-WB, MP3, FLAC; or, declared as such, raw \
         audio/basic, audio/PCMU, audio/PCMA, audio/L16"
    )]
    Unrecognised,
    /// The container is known, what is in it is not taken.
    #[error(
        "{what} is not taken; taken are WAV (PCM, floating point, µ-law, A-law, GSM 6.10), \
         Ogg (Opus, Vorbis), AMR, AMR-WB, MP3, FLAC, and raw µ-law, A-law and L16"
    )]
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

/// Recognises and measures a whole file that says itself what it is.
///
/// # Errors
///
/// [`AudioError`]. No bytes make it panic.
pub fn recognise(bytes: &[u8]) -> Result<Recognised, AudioError> {
    match Container::of(bytes) {
        Some(Container::Wav) => wav::measure(bytes),
        Some(Container::Ogg) => ogg::measure(bytes),
        Some(Container::Amr | Container::AmrWb) => amr::measure(bytes),
        Some(Container::Flac) => flac::measure(bytes),
        Some(Container::Mp3) => mpeg::measure(bytes),
        Some(Container::RawMuLaw | Container::RawALaw | Container::RawL16) | None => {
            Err(match others::name(bytes) {
                Some(name) => AudioError::Unsupported { what: name.into() },
                None => AudioError::Unrecognised,
            })
        }
    }
}

/// Recognises and measures a whole file that was declared as `media_type`, parameters included
/// (`audio/L16;rate=16000`).
///
/// The declaration tells what sound without a container is, and nothing else: bytes that begin like
/// a container are measured as such, and whether that is what was declared is then for
/// [`Format::agrees_with`] to say.
///
/// # Errors
///
/// [`AudioError`]; where the type is that of raw sound, also for parameters that it cannot have.
pub fn recognise_declared(bytes: &[u8], media_type: &str) -> Result<Recognised, AudioError> {
    match Format::of_raw_media_type(media_type) {
        Some(format) if Container::of(bytes).is_none() && others::name(bytes).is_none() => {
            raw::measure(bytes, format?)
        }
        _ => recognise(bytes),
    }
}

impl Container {
    /// What the bytes begin like.
    fn of(bytes: &[u8]) -> Option<Self> {
        // The weakest mark comes last: a sequence of MPEG frames begins with eleven set bits.
        if wav::is_wav(bytes) {
            Some(Self::Wav)
        } else if ogg::is_ogg(bytes) {
            Some(Self::Ogg)
        } else if amr::is_narrowband(bytes) {
            Some(Self::Amr)
        } else if amr::is_wideband(bytes) {
            Some(Self::AmrWb)
        } else if flac::is_flac(bytes) {
            Some(Self::Flac)
        } else if mpeg::is_mpeg(bytes) {
            Some(Self::Mp3)
        } else {
            None
        }
    }

    /// The usual ending of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Ogg => "ogg",
            Self::Amr => "amr",
            Self::AmrWb => "awb",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::RawMuLaw => "ulaw",
            Self::RawALaw => "alaw",
            Self::RawL16 => "l16",
        }
    }

    /// All names under which the container travels, lower case and without parameters, the
    /// registered or else the usual one first.
    pub fn media_types(self) -> &'static [&'static str] {
        match self {
            // RFC 2361 for `audio/vnd.wave`.
            Self::Wav => &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
            // RFC 5334; before it, and from old clients, all Ogg was `application/ogg`.
            Self::Ogg => &[
                "audio/ogg",
                "application/ogg",
                "audio/opus",
                "audio/vorbis",
                "audio/x-ogg",
            ],
            Self::Amr => &["audio/amr"],
            Self::AmrWb => &["audio/amr-wb"],
            // RFC 3003.
            Self::Mp3 => &["audio/mpeg", "audio/mp3", "audio/x-mpeg", "audio/x-mp3"],
            Self::Flac => &["audio/flac", "audio/x-flac"],
            Self::RawMuLaw => &["audio/basic", "audio/pcmu"],
            Self::RawALaw => &["audio/pcma"],
            Self::RawL16 => &["audio/l16"],
        }
    }
}

impl Format {
    /// The raw format that a media type with its parameters stands for: `audio/basic`,
    /// `audio/PCMU`, `audio/PCMA` (RFC 4856) or `audio/L16` (RFC 2586). `None` for any other type.
    pub fn of_raw_media_type(media_type: &str) -> Option<Result<Self, AudioError>> {
        raw::of_media_type(&MediaType::parse(media_type).ok()?)
    }

    /// The container.
    pub fn container(self) -> Container {
        match self {
            Self::WavPcm8
            | Self::WavPcm16
            | Self::WavPcm24
            | Self::WavPcm32
            | Self::WavFloat32
            | Self::WavFloat64
            | Self::WavMuLaw
            | Self::WavALaw
            | Self::WavGsm => Container::Wav,
            Self::OggOpus | Self::OggVorbis => Container::Ogg,
            Self::AmrNb => Container::Amr,
            Self::AmrWb => Container::AmrWb,
            Self::Mp3 => Container::Mp3,
            Self::Flac => Container::Flac,
            Self::RawMuLaw(_) => Container::RawMuLaw,
            Self::RawALaw(_) => Container::RawALaw,
            Self::RawL16(_) => Container::RawL16,
        }
    }

    /// The media type to serve it under, with the parameters without which raw sound cannot be
    /// played.
    pub fn media_type(self) -> Cow<'static, str> {
        match self {
            Self::AmrNb => "audio/AMR".into(),
            Self::AmrWb => "audio/AMR-WB".into(),
            Self::RawMuLaw(sampling) => raw::media_type_of_mu_law(sampling),
            Self::RawALaw(sampling) => raw::with_parameters("audio/PCMA", sampling).into(),
            Self::RawL16(sampling) => raw::with_parameters("audio/L16", sampling).into(),
            _ => self.container().media_types()[0].into(),
        }
    }

    /// Whether [`Decoder`] and [`Peaks`] take it. Opus, Vorbis, MP3 and FLAC they leave to browsers,
    /// which all have them.
    pub fn decodable(self) -> bool {
        match self.container() {
            Container::Wav
            | Container::Amr
            | Container::AmrWb
            | Container::RawMuLaw
            | Container::RawALaw
            | Container::RawL16 => true,
            Container::Ogg | Container::Mp3 | Container::Flac => false,
        }
    }

    /// Whether browsers can be expected to play it as it is. If not, it is [`decodable`].
    ///
    /// [`decodable`]: Self::decodable
    pub fn plays_in_browsers(self) -> bool {
        match self {
            Self::WavPcm8
            | Self::WavPcm16
            | Self::WavPcm24
            | Self::WavPcm32
            | Self::WavFloat32
            | Self::OggOpus
            | Self::OggVorbis
            | Self::Mp3
            | Self::Flac => true,
            Self::WavFloat64
            | Self::WavMuLaw
            | Self::WavALaw
            | Self::WavGsm
            | Self::AmrNb
            | Self::AmrWb
            | Self::RawMuLaw(_)
            | Self::RawALaw(_)
            | Self::RawL16(_) => false,
        }
    }

    /// Whether a declared media type claims nothing else than what was found. Its parameters count
    /// for raw sound alone.
    ///
    /// `application/octet-stream` and `audio/*` claim nothing: clients send them for want of
    /// something better.
    pub fn agrees_with(self, declared: &str) -> bool {
        let essence = declared.split(';').next().unwrap_or_default().trim();
        if ["application/octet-stream", "audio/*"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(essence))
        {
            return true;
        }
        match Self::of_raw_media_type(declared) {
            Some(claimed) => claimed == Ok(self),
            None => self
                .container()
                .media_types()
                .iter()
                .any(|name| name.eq_ignore_ascii_case(essence)),
        }
    }
}

fn broken(detail: impl Into<String>) -> AudioError {
    AudioError::Broken {
        detail: detail.into(),
    }
}

fn unsupported(what: impl Into<String>) -> AudioError {
    AudioError::Unsupported { what: what.into() }
}

/// How long this many frames play, in milliseconds: rounded down, and at least 1.
fn milliseconds(frames: u64, frames_per_second: u32) -> Result<u64, AudioError> {
    if frames == 0 || frames_per_second == 0 {
        return Err(broken("it holds no sound"));
    }
    let ms = u128::from(frames) * 1000 / u128::from(frames_per_second);
    Ok(u64::try_from(ms).unwrap_or(u64::MAX).max(1))
}
