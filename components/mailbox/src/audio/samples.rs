//! The samples of a recording, on the scale of 16 bits, from pieces of its bytes: what [`Decoder`]
//! and [`Peaks`] have in common.
//!
//! [`Decoder`]: super::Decoder
//! [`Peaks`]: super::Peaks

use oxideav_gsm::{DecoderState, UnpackedFrame};

use super::{AudioError, Format, Sampling, amr, broken, g711, wav};

/// The most samples that one call of [`Decoder::push`] or [`Peaks::push`] decodes, give or take a
/// block of the codec: 256 KiB of WAV, and in the slowest codec a tenth of a second of work. Without
/// a limit a piece of AMR, in which a byte can stand for 20 ms, would become hours of sound.
///
/// [`Decoder::push`]: super::Decoder::push
/// [`Peaks::push`]: super::Peaks::push
pub const STEP_SAMPLES_MAX: usize = 128 * 1024;

/// Samples out of bytes.
pub(super) struct Samples {
    format: Format,
    stage: Stage,
    codec: Codec,
    /// The beginning of a block whose end is in the next piece.
    held: Vec<u8>,
    shape: Option<Shape>,
    /// How many blocks of the codec there still are.
    blocks_left: u64,
}

/// What is known of the samples before the first of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    pub(super) channels: u16,
    pub(super) frames_per_second: u32,
    /// How many samples there are for each channel.
    pub(super) frames: u64,
}

/// How far into the file the bytes have come.
enum Stage {
    WavHead(wav::Head),
    /// So many bytes until the sound.
    Before(usize),
    Sound,
}

/// How a block becomes samples.
enum Codec {
    /// Each sample is a block, of so many bytes.
    Plain(usize, fn(&[u8]) -> i16),
    Gsm(Box<DecoderState>),
    AmrNarrowband(Box<amr::Narrowband>),
    AmrWideband(Box<amr::Wideband>),
}

impl Samples {
    /// Of a recording as it was recognised; `None` where that is not decoded here.
    pub(super) fn new(format: Format, duration_ms: u64, size_bytes: u64) -> Option<Self> {
        let raw = |sampling: Sampling, sample_bytes: u64| Shape {
            channels: sampling.channels().into(),
            frames_per_second: sampling.rate_hz(),
            frames: size_bytes / (sample_bytes * u64::from(sampling.channels())),
        };
        let amr = |frames_per_second, frame_samples: usize| Shape {
            channels: 1,
            frames_per_second,
            frames: (duration_ms / amr::FRAME_MS).saturating_mul(frame_samples as u64),
        };
        let in_wav = |codec| Some((codec, None));
        let (codec, shape) = match format {
            Format::WavPcm8 => in_wav(Codec::Plain(1, pcm_8)),
            Format::WavPcm16 => in_wav(Codec::Plain(2, pcm_16)),
            Format::WavPcm24 => in_wav(Codec::Plain(3, pcm_24)),
            Format::WavPcm32 => in_wav(Codec::Plain(4, pcm_32)),
            Format::WavFloat32 => in_wav(Codec::Plain(4, float_32)),
            Format::WavFloat64 => in_wav(Codec::Plain(8, float_64)),
            Format::WavMuLaw => in_wav(Codec::Plain(1, mu_law)),
            Format::WavALaw => in_wav(Codec::Plain(1, a_law)),
            Format::WavGsm => in_wav(Codec::Gsm(Box::new(DecoderState::new()))),
            Format::RawMuLaw(it) => Some((Codec::Plain(1, mu_law), Some(raw(it, 1)))),
            Format::RawALaw(it) => Some((Codec::Plain(1, a_law), Some(raw(it, 1)))),
            Format::RawL16(it) => Some((Codec::Plain(2, l16), Some(raw(it, 2)))),
            Format::AmrNb => Some((
                Codec::AmrNarrowband(Box::new(amr::Narrowband::new())),
                Some(amr(
                    amr::Narrowband::RATE_HZ,
                    amr::Narrowband::FRAME_SAMPLES,
                )),
            )),
            Format::AmrWb => Some((
                Codec::AmrWideband(Box::new(amr::Wideband::new()?)),
                Some(amr(amr::Wideband::RATE_HZ, amr::Wideband::FRAME_SAMPLES)),
            )),
            Format::OggOpus | Format::OggVorbis | Format::Mp3 | Format::Flac => None,
        }?;
        let stage = match format {
            Format::AmrNb | Format::AmrWb => Stage::Before(amr::magic_bytes(format)),
            _ if shape.is_some() => Stage::Sound,
            _ => Stage::WavHead(wav::Head::new(size_bytes)),
        };
        let mut samples = Self {
            format,
            stage,
            codec,
            held: Vec::new(),
            shape: None,
            blocks_left: 0,
        };
        if let Some(shape) = shape {
            samples.begin(shape);
        }
        Some(samples)
    }

    /// What is to come; `None` until the header of a WAV has been read.
    pub(super) fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// Decodes the beginning of the piece, and returns how much of it: at least a byte, and all
    /// unless the samples became too many for one call.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        samples: &mut Vec<i16>,
    ) -> Result<usize, AudioError> {
        let mut rest = piece;
        match &mut self.stage {
            Stage::Sound => {}
            Stage::WavHead(head) => {
                let Some(sound) = head.read(&mut rest)? else {
                    return Ok(piece.len());
                };
                if sound.layout.format != self.format {
                    return Err(broken("it is not what it was recognised as"));
                }
                self.stage = Stage::Sound;
                self.begin(Shape {
                    channels: sound.layout.channels,
                    frames_per_second: sound.layout.frames_per_second,
                    frames: sound.frames(),
                });
            }
            Stage::Before(bytes) => {
                let skipped = (*bytes).min(rest.len());
                rest = rest.get(skipped..).unwrap_or_default();
                *bytes -= skipped;
                if *bytes > 0 {
                    return Ok(piece.len());
                }
                self.stage = Stage::Sound;
            }
        }
        let enough = samples.len().saturating_add(STEP_SAMPLES_MAX);
        while self.blocks_left > 0 && samples.len() < enough {
            if let Codec::Plain(bytes, sample) = self.codec {
                self.plain(&mut rest, bytes, sample, samples, enough);
            }
            if !self.hold(&mut rest)? {
                return Ok(piece.len());
            }
            self.decode(samples)?;
            self.held.clear();
            self.blocks_left -= 1;
        }
        if self.blocks_left == 0 {
            // What comes behind the sound does not matter.
            return Ok(piece.len());
        }
        Ok(piece.len() - rest.len())
    }

    /// Checks that all there should be has come.
    pub(super) fn finish(&self) -> Result<(), AudioError> {
        if self.shape.is_none() || self.blocks_left > 0 {
            return Err(broken("it ends before its sound does"));
        }
        Ok(())
    }

    fn begin(&mut self, shape: Shape) {
        let samples = shape.frames.saturating_mul(shape.channels.into());
        self.blocks_left = match self.codec {
            Codec::Plain(..) => samples,
            Codec::Gsm(_) => samples / u64::from(wav::GSM_BLOCK_SAMPLES),
            Codec::AmrNarrowband(_) => samples / amr::Narrowband::FRAME_SAMPLES as u64,
            Codec::AmrWideband(_) => samples / amr::Wideband::FRAME_SAMPLES as u64,
        };
        self.shape = Some(shape);
    }

    /// Decodes as many plain samples as lie in the piece whole, but the last.
    fn plain(
        &mut self,
        rest: &mut &[u8],
        bytes: usize,
        sample: fn(&[u8]) -> i16,
        samples: &mut Vec<i16>,
        enough: usize,
    ) {
        if !self.held.is_empty() {
            return;
        }
        let wanted = enough.saturating_sub(samples.len() + 1) as u64;
        let here = (rest.len() / bytes) as u64;
        let count = here.min(wanted).min(self.blocks_left - 1);
        let (whole, after) = rest.split_at(count as usize * bytes);
        samples.extend(whole.chunks_exact(bytes).map(sample));
        *rest = after;
        self.blocks_left -= count;
    }

    /// Takes the next block, or what there is of it, and tells whether that is all of it.
    fn hold(&mut self, rest: &mut &[u8]) -> Result<bool, AudioError> {
        let block_bytes = match self.codec {
            Codec::Plain(bytes, _) => bytes,
            Codec::Gsm(_) => usize::from(wav::GSM_BLOCK_BYTES),
            Codec::AmrNarrowband(_) | Codec::AmrWideband(_) => {
                if !self.hold_up_to(1, rest) {
                    return Ok(false);
                }
                let header = self.held.first().copied().unwrap_or_default();
                let speech_bytes = amr::speech_bytes(self.format, header)
                    .ok_or_else(|| broken("it has a frame of a type that does not exist"))?;
                1 + speech_bytes
            }
        };
        Ok(self.hold_up_to(block_bytes, rest))
    }

    fn hold_up_to(&mut self, bytes: usize, rest: &mut &[u8]) -> bool {
        let missing = bytes.saturating_sub(self.held.len()).min(rest.len());
        let (taken, after) = rest.split_at(missing);
        self.held.extend_from_slice(taken);
        *rest = after;
        self.held.len() >= bytes
    }

    /// Decodes the block that is held.
    fn decode(&mut self, samples: &mut Vec<i16>) -> Result<(), AudioError> {
        let block = &self.held[..];
        let damaged = || broken("it has a frame that cannot be decoded");
        match &mut self.codec {
            Codec::Plain(_, sample) => samples.push(sample(block)),
            Codec::Gsm(decoder) => {
                let (first, second) =
                    UnpackedFrame::pair_from_msgsm_block(block).map_err(|_| damaged())?;
                samples.extend(decoder.decode_frame(&first));
                samples.extend(decoder.decode_frame(&second));
            }
            Codec::AmrNarrowband(decoder) => {
                let (header, speech) = block.split_first().ok_or_else(damaged)?;
                samples.extend(decoder.frame(*header, speech).ok_or_else(damaged)?);
            }
            Codec::AmrWideband(decoder) => {
                let (header, speech) = block.split_first().ok_or_else(damaged)?;
                samples.extend(decoder.frame(*header, speech).ok_or_else(damaged)?);
            }
        }
        Ok(())
    }
}

// === Plain samples ===

fn pcm_8(bytes: &[u8]) -> i16 {
    let sample = bytes.first().copied().unwrap_or(0x80);
    (i16::from(sample) - 0x80) << 8
}

fn pcm_16(bytes: &[u8]) -> i16 {
    bytes
        .first_chunk()
        .map_or(0, |two| i16::from_le_bytes(*two))
}

/// The upper two bytes of three: what 16 bits can say of it.
fn pcm_24(bytes: &[u8]) -> i16 {
    bytes.last_chunk().map_or(0, |two| i16::from_le_bytes(*two))
}

/// The upper two bytes of four.
fn pcm_32(bytes: &[u8]) -> i16 {
    bytes.last_chunk().map_or(0, |two| i16::from_le_bytes(*two))
}

fn float_32(bytes: &[u8]) -> i16 {
    let sample = bytes
        .first_chunk()
        .map_or(0.0, |four| f32::from_le_bytes(*four));
    float(f64::from(sample))
}

fn float_64(bytes: &[u8]) -> i16 {
    float(
        bytes
            .first_chunk()
            .map_or(0.0, |eight| f64::from_le_bytes(*eight)),
    )
}

/// Full scale is 1. What lies beyond is clipped, and what is no number is silence: so the
/// conversion of Rust has it.
fn float(sample: f64) -> i16 {
    (sample * 32_768.0).round() as i16
}

fn mu_law(bytes: &[u8]) -> i16 {
    bytes.first().map_or(0, |code| g711::mu_law(*code))
}

fn a_law(bytes: &[u8]) -> i16 {
    bytes.first().map_or(0, |code| g711::a_law(*code))
}

fn l16(bytes: &[u8]) -> i16 {
    bytes
        .first_chunk()
        .map_or(0, |two| i16::from_be_bytes(*two))
}
