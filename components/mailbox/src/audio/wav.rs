//! WAV: RIFF chunks (IBM and Microsoft, "Multimedia Programming Interface and Data Specifications
//! 1.0", 1991), with the format tags of RFC 2361 and the extensible form of the format chunk.
//!
//! Written by hand rather than with a demuxer from a library because voicemail meets what
//! recorders, gateways and pipes really write, most of it against the letter: sizes that were never
//! filled in, G.711 with the short format chunk, a RIFF size that disagrees with the file. And
//! because the answer to a refused file should name the codec.

use super::{AudioError, Format, Recognised, broken, milliseconds, unsupported};

/// Sizes from here up were never filled in, because the writer could not go back in a pipe: sox and
/// espeak-ng leave 0x7fff_f000 or a little more, ffmpeg 0xffff_ffff. No size that is meant comes
/// near them.
const SIZE_UNKNOWN_MIN: u32 = 0x7fff_0000;

/// Format tags (RFC 2361).
const PCM: u16 = 0x0001;
const IEEE_FLOAT: u16 = 0x0003;
const A_LAW: u16 = 0x0006;
const MU_LAW: u16 = 0x0007;
const GSM_610: u16 = 0x0031;
const EXTENSIBLE: u16 = 0xfffe;

/// A block of GSM 06.10 in WAV: two frames, packed without a gap.
pub(super) const GSM_BLOCK_BYTES: u16 = 65;
pub(super) const GSM_BLOCK_SAMPLES: u16 = 320;

/// The sample rates that are believed, in Hz.
pub(super) const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// The most that is read of a format chunk: its extensible form.
const FORMAT_BYTES_MAX: usize = 40;

/// The part of a format chunk that matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) channels: u16,
    pub(super) frames_per_second: u32,
    /// The smallest whole piece of the sound: a frame, or a block of them.
    block_bytes: u16,
    /// How many samples such a piece has for each channel.
    block_frames: u16,
}

/// The sound in a file, once its header has been read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sound {
    pub(super) layout: Layout,
    /// How many bytes of it there are.
    pub(super) bytes: u64,
}

impl Sound {
    /// How many samples there are for each channel. Half a block at the end is not counted.
    pub(super) fn frames(self) -> u64 {
        let Layout {
            block_bytes,
            block_frames,
            ..
        } = self.layout;
        // Sizes come from callers too, and these may be wrong.
        (self.bytes / u64::from(block_bytes)).saturating_mul(block_frames.into())
    }
}

pub(super) fn is_wav(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE")
}

pub(super) fn measure(bytes: &[u8]) -> Result<Recognised, AudioError> {
    let sound = Head::new(bytes.len() as u64)
        .read(&mut &*bytes)?
        .ok_or_else(|| broken("it ends before the sound"))?;
    Ok(Recognised {
        format: sound.layout.format,
        duration_ms: milliseconds(sound.frames(), sound.layout.frames_per_second)?,
    })
}

/// Reads what comes before the sound, in as many pieces as it comes in.
pub(super) struct Head {
    file_bytes: u64,
    /// How much of the file was read.
    at: u64,
    riff_size: u32,
    layout: Option<Layout>,
    /// What is to be read next, and what of it has been read so far.
    next: Next,
    held: Vec<u8>,
}

/// The parts of a header.
#[derive(Clone, Copy)]
enum Next {
    Riff,
    ChunkHeader,
    /// The part of the format chunk that matters, and how much more of it there is.
    Format {
        wanted: usize,
        more: u64,
    },
    /// Something that does not matter.
    Skip(u64),
}

impl Head {
    /// Of a file of this size.
    pub(super) fn new(file_bytes: u64) -> Self {
        Self {
            file_bytes,
            at: 0,
            riff_size: 0,
            layout: None,
            next: Next::Riff,
            held: Vec::new(),
        }
    }

    /// Reads on, and returns the sound when only that is left in the piece.
    pub(super) fn read(&mut self, piece: &mut &[u8]) -> Result<Option<Sound>, AudioError> {
        loop {
            match self.next {
                Next::Skip(bytes) => {
                    let skipped = bytes.min(piece.len() as u64);
                    *piece = piece.get(skipped as usize..).unwrap_or_default();
                    self.at += skipped;
                    if skipped < bytes {
                        self.next = Next::Skip(bytes - skipped);
                        return Ok(None);
                    }
                    self.next = Next::ChunkHeader;
                }
                Next::Riff => {
                    let Some(riff) = self.take(piece, 12) else {
                        return Ok(None);
                    };
                    self.riff_size = u32_at(&riff, 4).unwrap_or_default();
                    self.next = Next::ChunkHeader;
                }
                Next::Format { wanted, more } => {
                    let Some(chunk) = self.take(piece, wanted) else {
                        return Ok(None);
                    };
                    self.layout = Some(read_layout(&chunk)?);
                    self.next = Next::Skip(more);
                }
                Next::ChunkHeader => {
                    let Some(header) = self.take(piece, 8) else {
                        return Ok(None);
                    };
                    let size = u32_at(&header, 4).unwrap_or_default();
                    match header.first_chunk() {
                        Some(b"data") => {
                            let layout = self
                                .layout
                                .ok_or_else(|| broken("the sound comes before its format"))?;
                            let bytes = self.sound_bytes(size)?;
                            return Ok(Some(Sound { layout, bytes }));
                        }
                        Some(b"fmt ") => self.next = self.format(size)?,
                        _ => {
                            self.check_room(size, "chunk before the sound")?;
                            self.next = Next::Skip(padded(size));
                        }
                    }
                }
            }
        }
    }

    /// This many bytes, once they are all there.
    fn take(&mut self, piece: &mut &[u8], wanted: usize) -> Option<Vec<u8>> {
        let missing = wanted.saturating_sub(self.held.len()).min(piece.len());
        let (taken, rest) = piece.split_at(missing);
        self.held.extend_from_slice(taken);
        self.at += missing as u64;
        *piece = rest;
        (self.held.len() == wanted).then(|| std::mem::take(&mut self.held))
    }

    fn left(&self) -> u64 {
        self.file_bytes.saturating_sub(self.at)
    }

    fn check_room(&self, size: u32, what: &str) -> Result<(), AudioError> {
        if u64::from(size) > self.left() {
            return Err(broken(format!("it ends within the {what}")));
        }
        Ok(())
    }

    fn format(&self, size: u32) -> Result<Next, AudioError> {
        self.check_room(size, "format")?;
        let wanted = FORMAT_BYTES_MAX.min(size as usize);
        Ok(Next::Format {
            wanted,
            more: padded(size) - wanted as u64,
        })
    }

    /// How many bytes of sound there are, of which the data chunk declares this many.
    fn sound_bytes(&self, declared: u32) -> Result<u64, AudioError> {
        let present = self.left();
        let never_filled_in =
            declared >= SIZE_UNKNOWN_MIN || (declared == 0 && !self.size_is_right());
        if never_filled_in {
            return Ok(present);
        }
        let declared = u64::from(declared);
        if declared > present {
            return Err(broken(format!(
                "it is cut off: {present} of {declared} bytes of sound"
            )));
        }
        Ok(declared)
    }

    /// Whether the size in the RIFF header accounts for the whole file. A data chunk of size 0 in
    /// such a file is truly empty; in any other it was never filled in.
    fn size_is_right(&self) -> bool {
        u64::from(self.riff_size) + 8 >= self.file_bytes && self.riff_size < SIZE_UNKNOWN_MIN
    }
}

/// The size of a chunk with the byte that fills it up, for chunks begin at even offsets.
fn padded(size: u32) -> u64 {
    u64::from(size) + u64::from(size % 2)
}

fn read_layout(chunk: &[u8]) -> Result<Layout, AudioError> {
    let (Some(tag), Some(channels), Some(frames_per_second), Some(block_bytes), Some(bits)) = (
        u16_at(chunk, 0),
        u16_at(chunk, 2),
        u32_at(chunk, 4),
        u16_at(chunk, 12),
        u16_at(chunk, 14),
    ) else {
        return Err(broken("its format is too short"));
    };
    let tag = if tag == EXTENSIBLE {
        sub_format(chunk)?
    } else {
        tag
    };
    let format = match (tag, bits) {
        (PCM, 8) => Format::WavPcm8,
        (PCM, 16) => Format::WavPcm16,
        (PCM, 24) => Format::WavPcm24,
        (PCM, 32) => Format::WavPcm32,
        (IEEE_FLOAT, 32) => Format::WavFloat32,
        (IEEE_FLOAT, 64) => Format::WavFloat64,
        (MU_LAW, 8) => Format::WavMuLaw,
        (A_LAW, 8) => Format::WavALaw,
        (GSM_610, _) => Format::WavGsm,
        (tag, bits) => return Err(unsupported(codec_name(tag, bits))),
    };
    let (expected_bytes, block_frames) = if format == Format::WavGsm {
        (u32::from(GSM_BLOCK_BYTES), GSM_BLOCK_SAMPLES)
    } else {
        (u32::from(channels) * u32::from(bits / 8), 1)
    };
    let contradiction = channels == 0
        || u32::from(block_bytes) != expected_bytes
        || (format == Format::WavGsm && channels != 1);
    if contradiction {
        return Err(broken(format!(
            "its format contradicts itself: {channels} channels of {bits} bits \
             in {block_bytes} bytes"
        )));
    }
    if !SAMPLE_RATES.contains(&frames_per_second) {
        return Err(broken(format!(
            "a sample rate of {frames_per_second} Hz is not plausible"
        )));
    }
    Ok(Layout {
        format,
        channels,
        frames_per_second,
        block_bytes,
        block_frames,
    })
}

/// The format tag within the GUID of an extensible format chunk: the tags of RFC 2361 occupy its
/// first two bytes.
fn sub_format(chunk: &[u8]) -> Result<u16, AudioError> {
    const TAG_GUID_TAIL: [u8; 14] = *b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";
    match (u16_at(chunk, 24), chunk.get(26..40)) {
        (Some(tag), Some(tail)) if tail == TAG_GUID_TAIL => Ok(tag),
        (_, Some(_)) => Err(unsupported("WAV with a private sub-format")),
        _ => Err(broken("its extended format is too short")),
    }
}

fn codec_name(tag: u16, bits: u16) -> String {
    match tag {
        PCM => format!("WAV with PCM of {bits} bits"),
        0x0002 => "WAV with Microsoft ADPCM".into(),
        IEEE_FLOAT => format!("WAV with floating-point samples of {bits} bits"),
        A_LAW | MU_LAW => format!("WAV with G.711 of {bits} bits"),
        0x0011 => "WAV with IMA ADPCM".into(),
        0x0050 | 0x0055 => "WAV with MPEG audio".into(),
        other => format!("WAV with the codec 0x{other:04x}"),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|two| u16::from_le_bytes(*two))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_le_bytes(*four))
}
