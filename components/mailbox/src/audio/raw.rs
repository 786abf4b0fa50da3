//! Sound without a container, which only its declaration tells from noise: G.711 as `audio/basic`
//! (RFC 2046), `audio/PCMU` and `audio/PCMA` (RFC 4856), and linear PCM as `audio/L16` (RFC 2586).
//!
//! All are as long as their bytes say, so a file that was cut off cannot be told from a short one.

use std::borrow::Cow;

use mediatype::{MediaType, ReadParams};
use serde::{Deserialize, Serialize};

use super::{AudioError, Format, Recognised, broken, milliseconds};

/// What telephony samples at, in Hz.
const TELEPHONE_HZ: u32 = 8_000;

/// How raw sound was sampled.
///
/// One that exists is plausible: stored bytes are checked like a client's.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "(u32, u8)", into = "(u32, u8)")]
pub struct Sampling {
    rate_hz: u32,
    channels: u8,
}

/// Why there is no such [`Sampling`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSampling {
    /// The rate is not between 1 kHz and 384 kHz.
    #[error("a sample rate of {0} Hz is not plausible")]
    Rate(u32),
    /// There are no channels, or more than [`Sampling::CHANNELS_MAX`].
    #[error("raw sound has 1 to 6 channels, not {0}")]
    Channels(u8),
}

impl Sampling {
    /// The most channels that raw sound may have: those that RFC 3551 gives places to.
    pub const CHANNELS_MAX: u8 = 6;

    /// One channel of telephone speech.
    pub const TELEPHONE: Self = Self {
        rate_hz: TELEPHONE_HZ,
        channels: 1,
    };

    /// A sampling of so many frames a second, one sample in each for every channel.
    ///
    /// # Errors
    ///
    /// [`InvalidSampling`] for numbers that no sound has.
    pub fn new(rate_hz: u32, channels: u8) -> Result<Self, InvalidSampling> {
        if !super::wav::SAMPLE_RATES.contains(&rate_hz) {
            return Err(InvalidSampling::Rate(rate_hz));
        }
        if !(1..=Self::CHANNELS_MAX).contains(&channels) {
            return Err(InvalidSampling::Channels(channels));
        }
        Ok(Self { rate_hz, channels })
    }

    /// Frames a second.
    pub fn rate_hz(self) -> u32 {
        self.rate_hz
    }

    /// How many samples a frame has.
    pub fn channels(self) -> u8 {
        self.channels
    }
}

impl TryFrom<(u32, u8)> for Sampling {
    type Error = InvalidSampling;

    fn try_from((rate_hz, channels): (u32, u8)) -> Result<Self, InvalidSampling> {
        Self::new(rate_hz, channels)
    }
}

impl From<Sampling> for (u32, u8) {
    fn from(sampling: Sampling) -> Self {
        (sampling.rate_hz, sampling.channels)
    }
}

/// The format that a declaration stands for; `None` where it is not one of raw sound.
pub(super) fn of_media_type(declared: &MediaType<'_>) -> Option<Result<Format, AudioError>> {
    if declared.ty != "audio" || declared.suffix.is_some() {
        return None;
    }
    let sampling = || sampling(declared, Some(TELEPHONE_HZ));
    if declared.subty == "basic" {
        // Exactly this, whatever parameters say (RFC 2046, section 4.3).
        Some(Ok(Format::RawMuLaw(Sampling::TELEPHONE)))
    } else if declared.subty == "PCMU" {
        Some(sampling().map(Format::RawMuLaw))
    } else if declared.subty == "PCMA" {
        Some(sampling().map(Format::RawALaw))
    } else if declared.subty == "L16" {
        // The rate is required (RFC 2586, section 3).
        Some(self::sampling(declared, None).map(Format::RawL16))
    } else {
        None
    }
}

fn sampling(declared: &MediaType<'_>, rate_else: Option<u32>) -> Result<Sampling, AudioError> {
    let number = |name: &'static str| -> Result<Option<u32>, AudioError> {
        let Some((_, value)) = declared.params().find(|(key, _)| *key == name) else {
            return Ok(None);
        };
        let value = value.unquoted_str();
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(broken(format!(
                "it is declared with the {name} {value:?}, which is no number"
            ))),
        }
    };
    let rate_hz = number("rate")?
        .or(rate_else)
        .ok_or_else(|| broken("it is declared as audio/L16 without its rate"))?;
    let channels = number("channels")?.unwrap_or(1);
    Sampling::new(rate_hz, u8::try_from(channels).unwrap_or(u8::MAX))
        .map_err(|error| broken(format!("it is declared so that {error}")))
}

pub(super) fn measure(bytes: &[u8], format: Format) -> Result<Recognised, AudioError> {
    let (sampling, sample_bytes) = match format {
        Format::RawMuLaw(sampling) | Format::RawALaw(sampling) => (sampling, 1),
        Format::RawL16(sampling) => (sampling, 2),
        _ => return Err(AudioError::Unrecognised),
    };
    let frame_bytes = usize::from(sampling.channels) * sample_bytes;
    Ok(Recognised {
        format,
        duration_ms: milliseconds((bytes.len() / frame_bytes) as u64, sampling.rate_hz)?,
    })
}

/// `audio/basic` where it is that, for every player knows it.
pub(super) fn media_type_of_mu_law(sampling: Sampling) -> Cow<'static, str> {
    if sampling == Sampling::TELEPHONE {
        "audio/basic".into()
    } else {
        with_parameters("audio/PCMU", sampling).into()
    }
}

pub(super) fn with_parameters(name: &str, sampling: Sampling) -> String {
    let Sampling { rate_hz, channels } = sampling;
    format!("{name};rate={rate_hz};channels={channels}")
}
