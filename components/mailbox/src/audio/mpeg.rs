//! MP3: frames of MPEG audio (ISO/IEC 11172-3 and 13818-3, and the unofficial MPEG 2.5), one after
//! another, with the tags that players have come to expect around them.
//!
//! There is no container and hence no magic number: what is taken for MP3 begins with a tag, or
//! with two frames that fit together. The frames are walked to the end, since nothing else tells
//! how long a file of variable bit rate plays, and whether it is whole.
//!
//! Written by hand because other walks are made for playing on: they believe what the first frame
//! says of the others, or skip what is no frame, and so take a part for the whole.

use super::{AudioError, Format, Recognised, broken, milliseconds, unsupported};

/// The header of a frame, as far as it matters.
#[derive(Clone, Copy)]
struct Frame {
    /// What all frames of a file have in common: version, layer and rate.
    kind: Kind,
    bytes: usize,
    mono: bool,
    checked: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
struct Kind {
    version: Version,
    layer: Layer,
    rate_hz: u32,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Version {
    Mpeg1,
    Mpeg2,
    Mpeg25,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Layer {
    One,
    Two,
    Three,
}

/// Why four bytes are no header of a frame that can be walked.
enum NoFrame {
    /// They are no header.
    Other,
    /// The bit rate is left open, so that the length is.
    FreeFormat,
}

/// What the first frame of most files says of the others, instead of sound.
struct Info {
    frames: Option<u64>,
    /// The bytes of all frames, this one included.
    bytes: Option<u64>,
    /// Samples that the encoder put in front of the sound and behind it.
    padding: u64,
}

pub(super) fn is_mpeg(bytes: &[u8]) -> bool {
    let frames = after_tags(bytes);
    frames.len() < bytes.len() || two_frames(frames)
}

fn two_frames(bytes: &[u8]) -> bool {
    let Ok(first) = frame(bytes) else {
        return false;
    };
    let second = bytes.get(first.bytes..).unwrap_or_default();
    frame(second).is_ok_and(|second| second.kind == first.kind)
}

pub(super) fn measure(bytes: &[u8]) -> Result<Recognised, AudioError> {
    let sound = after_tags(bytes);
    let mut rest = sound;
    if rest.is_empty() {
        return Err(broken("it ends before the sound"));
    }
    let first = match frame(rest) {
        Ok(frame) => frame,
        Err(NoFrame::FreeFormat) => return Err(unsupported("MP3 of free format")),
        Err(NoFrame::Other) => return Err(broken("what follows its tag is no MP3")),
    };
    match first.kind.layer {
        Layer::Three => {}
        Layer::Two => return Err(unsupported("MPEG audio of layer II")),
        Layer::One => return Err(unsupported("MPEG audio of layer I")),
    }
    if !two_frames(rest) {
        return Err(broken("it is cut off after the first frame"));
    }

    let info = rest
        .get(..first.bytes)
        .and_then(|whole| info(&first, whole));
    if info.is_some() {
        rest = rest.get(first.bytes..).unwrap_or_default();
    }
    let mut frames = 0_u64;
    while let Ok(next) = frame(rest) {
        if next.kind != first.kind {
            break;
        }
        rest = rest
            .get(next.bytes..)
            .ok_or_else(|| broken(format!("it is cut off within frame {}", frames + 1)))?;
        frames += 1;
    }
    if !is_tail(rest) {
        return Err(broken(format!(
            "what follows frame {frames} is neither a frame nor a tag"
        )));
    }

    let mut padding = 0;
    if let Some(info) = info {
        // Some encoders count the frame that says so: only if bytes are missing too, frames are.
        let present = (sound.len() - rest.len()) as u64;
        let announced = info.frames.filter(|announced| *announced > frames);
        if let Some(announced) = announced.filter(|_| info.bytes.is_none_or(|it| it > present)) {
            return Err(broken(format!(
                "it is cut off: {frames} of {announced} frames"
            )));
        }
        padding = info.padding;
    }
    let samples = frames * first.kind.samples();
    // Padding that leaves nothing was meant for a file of which this is a part.
    let samples = samples
        .checked_sub(padding)
        .filter(|samples| *samples > 0)
        .unwrap_or(samples);
    Ok(Recognised {
        format: Format::Mp3,
        duration_ms: milliseconds(samples, first.kind.rate_hz)?,
    })
}

impl Kind {
    /// How many samples a frame has for each channel.
    fn samples(self) -> u64 {
        match (self.layer, self.version) {
            (Layer::One, _) => 384,
            (Layer::Two, _) | (Layer::Three, Version::Mpeg1) => 1152,
            (Layer::Three, _) => 576,
        }
    }
}

/// Reads the header of a frame. What it needs may lie behind the end of the bytes.
fn frame(bytes: &[u8]) -> Result<Frame, NoFrame> {
    /// In kbit/s, by the index in the header.
    const BIT_RATES_1_I: [u32; 16] = [
        0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0,
    ];
    const BIT_RATES_1_II: [u32; 16] = [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0,
    ];
    const BIT_RATES_1_III: [u32; 16] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0,
    ];
    const BIT_RATES_2_I: [u32; 16] = [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0,
    ];
    const BIT_RATES_2_II_III: [u32; 16] = [
        0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0,
    ];

    let [0xff, b, c, d, ..] = *bytes else {
        return Err(NoFrame::Other);
    };
    if b < 0xe0 {
        return Err(NoFrame::Other);
    }
    let version = match b >> 3 & 3 {
        0 => Version::Mpeg25,
        2 => Version::Mpeg2,
        3 => Version::Mpeg1,
        _ => return Err(NoFrame::Other),
    };
    let layer = match b >> 1 & 3 {
        1 => Layer::Three,
        2 => Layer::Two,
        3 => Layer::One,
        _ => return Err(NoFrame::Other),
    };
    let rate_hz = match c >> 2 & 3 {
        0 => 44_100,
        1 => 48_000,
        2 => 32_000,
        _ => return Err(NoFrame::Other),
    } >> match version {
        Version::Mpeg1 => 0,
        Version::Mpeg2 => 1,
        Version::Mpeg25 => 2,
    };
    let bit_rates = match (version, layer) {
        (Version::Mpeg1, Layer::One) => &BIT_RATES_1_I,
        (Version::Mpeg1, Layer::Two) => &BIT_RATES_1_II,
        (Version::Mpeg1, Layer::Three) => &BIT_RATES_1_III,
        (_, Layer::One) => &BIT_RATES_2_I,
        (_, _) => &BIT_RATES_2_II_III,
    };
    // The last emphasis but one is reserved.
    if c >> 4 == 15 || d & 3 == 2 {
        return Err(NoFrame::Other);
    }
    let bit_rate = bit_rates[usize::from(c >> 4)] * 1000;
    if bit_rate == 0 {
        return Err(NoFrame::FreeFormat);
    }

    let kind = Kind {
        version,
        layer,
        rate_hz,
    };
    let padded = u32::from(c >> 1 & 1);
    // A frame is counted in slots: of four bytes in layer I, of one in the others.
    let bytes = match layer {
        Layer::One => (12 * bit_rate / rate_hz + padded) * 4,
        Layer::Two => 144 * bit_rate / rate_hz + padded,
        Layer::Three if version == Version::Mpeg1 => 144 * bit_rate / rate_hz + padded,
        Layer::Three => 72 * bit_rate / rate_hz + padded,
    };
    Ok(Frame {
        kind,
        bytes: bytes as usize,
        mono: d >> 6 == 3,
        checked: b & 1 == 0,
    })
}

/// Reads the first frame as what Xing and LAME, or Fraunhofer, put there; `None` if it is sound.
fn info(first: &Frame, frame: &[u8]) -> Option<Info> {
    let side_info_bytes = match (first.kind.version, first.mono) {
        (Version::Mpeg1, false) => 32,
        (Version::Mpeg1, true) | (_, false) => 17,
        (_, true) => 9,
    };
    // Some encoders leave room for the checksum, some write over it.
    let offsets = [4 + side_info_bytes, 6 + side_info_bytes];
    let offsets = if first.checked {
        &offsets[..]
    } else {
        &offsets[..1]
    };
    for at in offsets {
        let tag = frame.get(*at..).unwrap_or_default();
        if tag.starts_with(b"Xing") || tag.starts_with(b"Info") {
            return Some(xing(tag));
        }
    }
    let tag = frame.get(36..).unwrap_or_default();
    tag.starts_with(b"VBRI").then(|| Info {
        frames: u32_at(tag, 14).map(u64::from),
        bytes: u32_at(tag, 10).map(u64::from),
        padding: 0,
    })
}

fn xing(tag: &[u8]) -> Info {
    let flags = u32_at(tag, 4).unwrap_or_default();
    let mut at = 8;
    // Each flag stands for a field: the number of frames, of bytes, a table for seeking, quality.
    let [frames, bytes, _, _] = [(1, 4), (2, 4), (4, 100), (8, 4)].map(|(flag, field_bytes)| {
        let present = flags & flag != 0;
        let field = u32_at(tag, at).filter(|_| present).map(u64::from);
        at += if present { field_bytes } else { 0 };
        field
    });
    let lame = tag.get(at..).unwrap_or_default();
    let known = [&b"LAME"[..], b"L3.9", b"Lavf", b"Lavc"];
    let padding = match lame.get(21..24) {
        Some([a, b, c]) if known.iter().any(|name| lame.starts_with(name)) => {
            let before = u64::from(*a) << 4 | u64::from(b >> 4);
            let after = u64::from(b & 15) << 8 | u64::from(*c);
            before + after
        }
        _ => 0,
    };
    Info {
        frames,
        bytes,
        padding,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four))
}

/// What follows the ID3v2 tags in front, and the zeros that some writers leave after them.
pub(super) fn after_tags(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(tag_bytes) = id3v2_bytes(rest) {
        rest = rest.get(tag_bytes..).unwrap_or_default();
    }
    if rest.len() == bytes.len() {
        return rest;
    }
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    &rest[zeros..]
}

fn id3v2_bytes(bytes: &[u8]) -> Option<usize> {
    let [b'I', b'D', b'3', version, revision, flags, size @ ..] = bytes.first_chunk::<10>()? else {
        return None;
    };
    if *version == 0xff || *revision == 0xff || size.iter().any(|byte| *byte > 0x7f) {
        return None;
    }
    let body = size
        .iter()
        .fold(0, |sum, byte| sum << 7 | usize::from(*byte));
    let footer = if flags & 0x10 != 0 { 10 } else { 0 };
    Some(10 + body + footer)
}

/// Whether what follows the last frame is nothing, or tags, or padding.
fn is_tail(mut rest: &[u8]) -> bool {
    loop {
        let tag_bytes = if rest.is_empty() {
            return true;
        } else if rest.starts_with(b"TAG") {
            128
        } else if rest.starts_with(b"APETAGEX") {
            // Its size counts the footer but not the header.
            let size = rest
                .get(12..)
                .and_then(|size| size.first_chunk())
                .map_or(0, |size| u32::from_le_bytes(*size));
            32 + size as usize
        } else if rest.starts_with(b"LYRICSBEGIN") {
            // Its size stands behind it: it reaches to the ID3v1 tag with which a file ends.
            rest.len().saturating_sub(128).max(1)
        } else if let Some(id3v2_bytes) = id3v2_bytes(rest) {
            id3v2_bytes
        } else {
            return rest.iter().all(|byte| *byte == 0);
        };
        match rest.get(tag_bytes..) {
            Some(after) => rest = after,
            None => return false,
        }
    }
}
