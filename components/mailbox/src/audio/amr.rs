//! AMR and AMR-WB in their storage format (RFC 4867, section 5), single channel.
//!
//! A magic line, and then frames of 20 ms until the file ends: a byte that tells the frame's type,
//! and as many bytes of speech as that type has. Walked by our own code: the format is a table of
//! sixteen lengths.

use super::{AudioError, Format, Recognised, broken, milliseconds};

const NARROWBAND: &[u8] = b"#!AMR\n";
const WIDEBAND: &[u8] = b"#!AMR-WB\n";

/// Frames a second: one lasts 20 ms.
const FRAMES_PER_SECOND: u32 = 50;

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
    let mut frames = 0;
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
    Ok(Recognised {
        format,
        duration_ms: milliseconds(frames, FRAMES_PER_SECOND)?,
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

pub(super) fn frame_type(header: u8) -> u8 {
    header >> 3 & 0x0f
}
