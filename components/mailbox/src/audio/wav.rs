//! WAV: RIFF chunks (IBM and Microsoft, "Multimedia Programming Interface and Data Specifications
//! 1.0", 1991), with the format tags of RFC 2361 and the extensible form of the format chunk.
//!
//! Written by hand rather than with a demuxer from a library because voicemail meets what
//! recorders, gateways and pipes really write, most of it against the letter: sizes that were never
//! filled in, G.711 with the short format chunk, a RIFF size that disagrees with the file. And
//! because the answer to a refused file should name the codec.

use super::{AudioError, Format, Recognised};

/// Sizes from here up were never filled in, because the writer could not go back in a pipe: sox and
/// espeak-ng leave 0x7fff_f000 or a little more, ffmpeg 0xffff_ffff. No size that is meant comes
/// near them.
const SIZE_UNKNOWN_MIN: u32 = 0x7fff_0000;

/// Format tags (RFC 2361).
const PCM: u16 = 0x0001;
const A_LAW: u16 = 0x0006;
const MU_LAW: u16 = 0x0007;
const EXTENSIBLE: u16 = 0xfffe;

/// The sample rates that are believed, in Hz.
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// The part of a format chunk that matters.
struct Layout {
    format: Format,
    frame_bytes: usize,
    frames_per_second: u32,
}

pub(super) fn is_wav(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE")
}

pub(super) fn measure(bytes: &[u8]) -> Result<Recognised, AudioError> {
    let mut layout = None;
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, size @ ..] = *header;
        let size = u32::from_le_bytes(size);
        match &[a, b, c, d] {
            b"fmt " => layout = Some(read_layout(take(body, size, "format")?)?),
            b"data" => {
                let layout = layout.ok_or_else(|| broken("the sound comes before its format"))?;
                let sound_bytes = sound_bytes(bytes, body.len(), size)?;
                return duration(&layout, sound_bytes);
            }
            _ => {
                take(body, size, "chunk before the sound")?;
            }
        }
        // Chunks begin at even offsets.
        let padded = (size as usize).saturating_add(size as usize % 2);
        rest = body.get(padded..).unwrap_or_default();
    }
    Err(broken("it ends before the sound"))
}

fn take<'a>(body: &'a [u8], size: u32, what: &str) -> Result<&'a [u8], AudioError> {
    body.get(..size as usize)
        .ok_or_else(|| broken(format!("it ends within the {what}")))
}

/// How many bytes of sound there are. `present` is what follows the header of the data chunk.
fn sound_bytes(file: &[u8], present: usize, declared: u32) -> Result<usize, AudioError> {
    let never_filled_in = declared >= SIZE_UNKNOWN_MIN || (declared == 0 && !size_is_right(file));
    if never_filled_in {
        return Ok(present);
    }
    let declared = declared as usize;
    if declared > present {
        return Err(broken(format!(
            "it is cut off: {present} of {declared} bytes of sound"
        )));
    }
    Ok(declared)
}

/// Whether the size in the RIFF header accounts for the whole file. A data chunk of size 0 in such
/// a file is truly empty; in any other it was never filled in.
fn size_is_right(file: &[u8]) -> bool {
    let riff = file
        .get(4..8)
        .and_then(|size| size.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    u64::from(riff) + 8 >= file.len() as u64 && riff < SIZE_UNKNOWN_MIN
}

fn duration(layout: &Layout, sound_bytes: usize) -> Result<Recognised, AudioError> {
    let frames = (sound_bytes / layout.frame_bytes) as u64;
    if frames == 0 {
        return Err(broken("it holds no sound"));
    }
    let duration_ms = (frames * 1000 / u64::from(layout.frames_per_second)).max(1);
    Ok(Recognised {
        format: layout.format,
        duration_ms,
    })
}

fn read_layout(chunk: &[u8]) -> Result<Layout, AudioError> {
    let (Some(tag), Some(channels), Some(frames_per_second), Some(frame_bytes), Some(bits)) = (
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
        (MU_LAW, 8) => Format::WavMuLaw,
        (A_LAW, 8) => Format::WavALaw,
        (tag, bits) => {
            return Err(AudioError::Unsupported {
                what: codec_name(tag, bits),
            });
        }
    };
    if channels == 0 || u32::from(frame_bytes) != u32::from(channels) * u32::from(bits / 8) {
        return Err(broken(format!(
            "its format contradicts itself: {channels} channels of {bits} bits \
             in {frame_bytes} bytes"
        )));
    }
    if !SAMPLE_RATES.contains(&frames_per_second) {
        return Err(broken(format!(
            "a sample rate of {frames_per_second} Hz is not plausible"
        )));
    }
    Ok(Layout {
        format,
        frame_bytes: usize::from(frame_bytes),
        frames_per_second,
    })
}

/// The format tag within the GUID of an extensible format chunk: the tags of RFC 2361 occupy its
/// first two bytes.
fn sub_format(chunk: &[u8]) -> Result<u16, AudioError> {
    const TAG_GUID_TAIL: [u8; 14] = *b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";
    match (u16_at(chunk, 24), chunk.get(26..40)) {
        (Some(tag), Some(tail)) if tail == TAG_GUID_TAIL => Ok(tag),
        (_, Some(_)) => Err(AudioError::Unsupported {
            what: "WAV with a private sub-format".into(),
        }),
        _ => Err(broken("its extended format is too short")),
    }
}

fn codec_name(tag: u16, bits: u16) -> String {
    match tag {
        PCM => format!("WAV with PCM of {bits} bits"),
        0x0002 => "WAV with Microsoft ADPCM".into(),
        0x0003 => "WAV with floating-point samples".into(),
        A_LAW | MU_LAW => format!("WAV with G.711 of {bits} bits"),
        0x0011 => "WAV with IMA ADPCM".into(),
        0x0031 => "WAV with GSM 6.10".into(),
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

fn broken(detail: impl Into<String>) -> AudioError {
    AudioError::Broken {
        detail: detail.into(),
    }
}
