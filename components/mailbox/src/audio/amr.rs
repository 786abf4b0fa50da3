//! AMR and AMR-WB in their storage format (RFC 4867, section 5), single channel.
//!
//! A magic line, and then frames of 20 ms until the file ends: a byte that tells the frame's type,
//! and as many bytes of speech as that type has. Walked by our own code: the format is a table of
//! sixteen lengths. Speech is decoded by `rvoip-codec-core`; what is left for here is to tell it
//! what kind of frame it gets, for in pauses none carries speech and the decoder makes the noise.

use codec_core::codecs::amr::{AmrMode, AmrVariant, nb, wb};

use super::{AudioError, Format, Recognised, broken};

const NARROWBAND: &[u8] = b"#!AMR\n";
const WIDEBAND: &[u8] = b"#!AMR-WB\n";

/// How long every frame lasts.
pub(super) const FRAME_MS: u64 = 20;

/// The frame that carries comfort noise, and in wideband the one that was lost on its way. All that
/// are neither these nor speech carry nothing, or the noise of other codecs.
const NARROWBAND_NOISE: u8 = 8;
const WIDEBAND_NOISE: u8 = 9;
const WIDEBAND_LOST: u8 = 14;

/// The flag of a frame that arrived undamaged.
const GOOD: u8 = 0x04;

/// How many bytes of speech follow the header of a frame of each type; `None` for types that are
/// reserved. Narrowband: eight rates, comfort noise of AMR and of three older codecs, three
/// reserved, nothing (3GPP TS 26.101).
const NARROWBAND_BYTES: [Option<u8>; 16] = [
    Some(12),
    Some(13),
    Some(15),
    Some(17),
    Some(19),
    Some(20),
    Some(26),
    Some(31),
    Some(5),
    Some(6),
    Some(5),
    Some(5),
    None,
    None,
    None,
    Some(0),
];

/// Wideband: nine rates, comfort noise, four reserved, lost, nothing (3GPP TS 26.201).
const WIDEBAND_BYTES: [Option<u8>; 16] = [
    Some(17),
    Some(23),
    Some(32),
    Some(36),
    Some(40),
    Some(46),
    Some(50),
    Some(58),
    Some(60),
    Some(5),
    None,
    None,
    None,
    None,
    Some(0),
    Some(0),
];

pub(super) fn is_narrowband(bytes: &[u8]) -> bool {
    bytes.starts_with(NARROWBAND)
}

pub(super) fn is_wideband(bytes: &[u8]) -> bool {
    bytes.starts_with(WIDEBAND)
}

pub(super) fn measure(bytes: &[u8]) -> Result<Recognised, AudioError> {
    let (format, mut rest) = match bytes.strip_prefix(WIDEBAND) {
        Some(rest) => (Format::AmrWb, rest),
        None => (
            Format::AmrNb,
            bytes.strip_prefix(NARROWBAND).unwrap_or_default(),
        ),
    };
    let mut frames = 0_u64;
    while let Some((header, body)) = rest.split_first() {
        let speech_bytes = speech_bytes(format, *header).ok_or_else(|| {
            broken(format!(
                "frame {} is of a type that does not exist",
                frames + 1
            ))
        })?;
        rest = body
            .get(speech_bytes..)
            .ok_or_else(|| broken(format!("it is cut off within frame {}", frames + 1)))?;
        frames += 1;
    }
    if frames == 0 {
        return Err(broken("it holds no sound"));
    }
    Ok(Recognised {
        format,
        duration_ms: frames * FRAME_MS,
    })
}

/// How many bytes follow the header of a frame. The first bit and the last two are padding that
/// readers must ignore (RFC 4867, section 5.3).
pub(super) fn speech_bytes(format: Format, header: u8) -> Option<usize> {
    let lengths = match format {
        Format::AmrWb => &WIDEBAND_BYTES,
        _ => &NARROWBAND_BYTES,
    };
    lengths[usize::from(frame_type(header))].map(usize::from)
}

fn frame_type(header: u8) -> u8 {
    header >> 3 & 0x0f
}

/// The length of the line before the frames.
pub(super) fn magic_bytes(format: Format) -> usize {
    match format {
        Format::AmrWb => WIDEBAND.len(),
        _ => NARROWBAND.len(),
    }
}

/// Decodes narrowband frames, one after another.
pub(super) struct Narrowband {
    decoder: nb::decoder::Decoder,
    /// The mode of the last frame of speech, in which a missing one is made up.
    mode: u8,
}

/// Decodes wideband frames, one after another.
pub(super) struct Wideband {
    decoder: wb::decoder::Decoder,
    mode: AmrMode,
}

impl Narrowband {
    pub(super) const RATE_HZ: u32 = 8_000;
    pub(super) const FRAME_SAMPLES: usize = 160;

    pub(super) fn new() -> Self {
        Self {
            decoder: nb::decoder::Decoder::new(),
            mode: 0,
        }
    }

    /// The samples of a frame; `None` if it is too short for its type.
    pub(super) fn frame(
        &mut self,
        header: u8,
        speech: &[u8],
    ) -> Option<[i16; Self::FRAME_SAMPLES]> {
        use nb::bitstream::{parse, parse_sid_header};
        use nb::dtx::RxFrameType::{NoData, SidBad, SidFirst, SidUpdate, SpeechBad, SpeechGood};

        let good = header & GOOD != 0;
        let (kind, mode, parameters) = match frame_type(header) {
            mode @ 0..NARROWBAND_NOISE => {
                self.mode = mode;
                let kind = if good { SpeechGood } else { SpeechBad };
                (kind, mode, parse(mode, speech)?)
            }
            NARROWBAND_NOISE => {
                let noise = parse_sid_header(speech)?;
                let kind = match (good, noise.update) {
                    (false, _) => SidBad,
                    (true, true) => SidUpdate,
                    (true, false) => SidFirst,
                };
                (kind, noise.mode_index, parse(NARROWBAND_NOISE, speech)?)
            }
            _ => (NoData, self.mode, Vec::new()),
        };
        Some(self.decoder.decode_typed(kind, mode, &parameters))
    }
}

impl Wideband {
    pub(super) const RATE_HZ: u32 = 16_000;
    pub(super) const FRAME_SAMPLES: usize = 320;

    /// `None` if the library knows no such thing as AMR-WB.
    pub(super) fn new() -> Option<Self> {
        Some(Self {
            decoder: wb::decoder::Decoder::new(),
            mode: AmrMode::new(AmrVariant::WideBand, 0).ok()?,
        })
    }

    /// The samples of a frame; `None` if it is too short for its type.
    pub(super) fn frame(
        &mut self,
        header: u8,
        speech: &[u8],
    ) -> Option<[i16; Self::FRAME_SAMPLES]> {
        use wb::bitstream::{sid_is_update, sid_mode_indication};
        use wb::dtx::RxFrameType::{NoData, SidBad, SidFirst, SidUpdate};
        use wb::gain::FrameQuality;

        let good = header & GOOD != 0;
        let mut samples = match frame_type(header) {
            mode @ 0..WIDEBAND_NOISE => {
                self.mode = AmrMode::new(AmrVariant::WideBand, mode).ok()?;
                let quality = if good {
                    FrameQuality::Good
                } else {
                    FrameQuality::Bad
                };
                self.decoder.decode_frame(self.mode, speech, quality)
            }
            WIDEBAND_NOISE => {
                let kind = match (good, sid_is_update(speech)) {
                    (false, _) => SidBad,
                    (true, true) => SidUpdate,
                    (true, false) => SidFirst,
                };
                let mode = sid_mode_indication(speech).unwrap_or(self.mode.index());
                self.decoder.decode_comfort_noise(kind, speech, mode)
            }
            WIDEBAND_LOST => self
                .decoder
                .decode_frame(self.mode, &[], FrameQuality::Unusable),
            _ => self
                .decoder
                .decode_comfort_noise(NoData, &[], self.mode.index()),
        }?;
        // The codec's samples have 14 bits (3GPP TS 26.190); the decoder leaves noise below them.
        for sample in &mut samples {
            *sample &= !3;
        }
        Some(samples)
    }
}
