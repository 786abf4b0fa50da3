//! FLAC (RFC 9639): metadata, then frames that carry their number and two checksums.
//!
//! A frame does not tell its length. The next one begins where the checksum of the one before comes
//! out even and the header of its successor follows, so all frames can be walked, and every byte of
//! them checked, without decoding any. Decoding, as a library would, is not an option: two dozen
//! bytes can stand for half a million samples of silence, and hostile files would be full of them.
//! Zeros behind the last frame leave its checksum even, and so pass for padding.

use crc::{CRC_8_SMBUS, CRC_16_UMTS, Crc};

use super::{AudioError, Format, Recognised, broken, milliseconds, mpeg};

const MAGIC: &[u8] = b"fLaC";

/// The checksum of a frame's header (RFC 9639, section 9.1.8).
const HEADER_CRC: Crc<u8> = Crc::<u8>::new(&CRC_8_SMBUS);

/// The checksum of a whole frame (RFC 9639, section 9.3). Over a frame with its own checksum at the
/// end it comes out as 0.
const FRAME_CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_UMTS);

/// The part of the first metadata block that matters.
struct StreamInfo {
    rate_hz: u32,
    /// 0 where the writer did not know it.
    samples: u64,
}

/// The header of a frame.
struct Frame {
    /// Whether `number` counts samples rather than frames.
    variable: bool,
    number: u64,
    samples: u64,
    header_bytes: usize,
}

/// FLAC, also behind the ID3v2 tag that some taggers put in front of it.
pub(super) fn is_flac(bytes: &[u8]) -> bool {
    mpeg::after_tags(bytes).starts_with(MAGIC)
}

pub(super) fn measure(bytes: &[u8]) -> Result<Recognised, AudioError> {
    let rest = mpeg::after_tags(bytes);
    let rest = rest.strip_prefix(MAGIC).unwrap_or_default();
    let (info, frames) = metadata(rest)?;
    let samples = walk(frames)?;
    if info.samples != 0 && info.samples != samples {
        return Err(broken(format!(
            "it should have {} samples and has {samples}",
            info.samples
        )));
    }
    Ok(Recognised {
        format: Format::Flac,
        duration_ms: milliseconds(samples, info.rate_hz)?,
    })
}

/// The stream's description, and what follows the metadata.
fn metadata(bytes: &[u8]) -> Result<(StreamInfo, &[u8]), AudioError> {
    let mut info = None;
    let mut rest = bytes;
    loop {
        let Some(([kind, size @ ..], body)) = rest.split_first_chunk::<4>() else {
            return Err(broken("it ends before the sound"));
        };
        let size = size
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let Some((block, after)) = body.split_at_checked(size) else {
            return Err(broken("it ends within its metadata"));
        };
        if info.is_none() {
            if kind & 0x7f != 0 {
                return Err(broken("it does not begin with its description"));
            }
            info = Some(stream_info(block)?);
        }
        rest = after;
        if kind & 0x80 != 0 {
            break;
        }
    }
    info.map(|info| (info, rest))
        .ok_or_else(|| broken("it has no description"))
}

fn stream_info(block: &[u8]) -> Result<StreamInfo, AudioError> {
    let packed = block
        .get(10..)
        .and_then(|packed| packed.first_chunk())
        .filter(|_| block.len() == 34)
        .map(|packed| u64::from_be_bytes(*packed))
        .ok_or_else(|| broken("its description is too short"))?;
    // 20 bits of rate, 3 of channels, 5 of sample size, 36 of length.
    let rate_hz = (packed >> 44) as u32;
    if !super::wav::SAMPLE_RATES.contains(&rate_hz) {
        return Err(broken(format!(
            "a sample rate of {rate_hz} Hz is not plausible"
        )));
    }
    Ok(StreamInfo {
        rate_hz,
        samples: packed & 0xf_ffff_ffff,
    })
}

/// How many samples the frames hold for each channel.
fn walk(bytes: &[u8]) -> Result<u64, AudioError> {
    if bytes.is_empty() {
        return Err(broken("it ends before the sound"));
    }
    let mut frame = read_header(bytes).ok_or_else(|| broken("its first frame is damaged"))?;
    let mut samples = frame.samples;
    let mut frames = 1_u64;
    let mut crc = FRAME_CRC.digest();
    let mut within = 0;
    for (at, byte) in bytes.iter().enumerate() {
        // A frame has more than a header, so that an empty one cannot come out even.
        if within > frame.header_bytes && crc.clone().finalize() == 0 {
            if let Some(next) = read_header(&bytes[at..]).filter(|next| next.follows(&frame)) {
                samples += next.samples;
                frames += 1;
                frame = next;
                within = 0;
                crc = FRAME_CRC.digest();
            } else if bytes.len() - at == 128 && bytes[at..].starts_with(b"TAG") {
                return Ok(samples);
            }
        }
        crc.update(std::slice::from_ref(byte));
        within += 1;
    }
    if within <= frame.header_bytes || crc.finalize() != 0 {
        return Err(broken(format!(
            "it is cut off or damaged in frame {frames}"
        )));
    }
    Ok(samples)
}

impl Frame {
    fn follows(&self, previous: &Self) -> bool {
        let step = if previous.variable {
            previous.samples
        } else {
            1
        };
        self.variable == previous.variable && self.number == previous.number + step
    }
}

/// Reads the header of a frame (RFC 9639, section 9.1); `None` where there is none.
fn read_header(bytes: &[u8]) -> Option<Frame> {
    let [0xff, sync, sizes, channels, ..] = *bytes else {
        return None;
    };
    let sample_size = channels >> 1 & 7;
    if sync & 0xfe != 0xf8 || sizes & 15 == 15 || channels >> 4 > 10 || channels & 1 != 0 {
        return None;
    }
    if sample_size == 3 {
        return None;
    }
    let (number, number_bytes) = coded_number(bytes.get(4..)?)?;
    let mut at = 4 + number_bytes;
    let mut field = |field_bytes: usize| {
        let value = bytes
            .get(at..at + field_bytes)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        at += field_bytes;
        Some(value)
    };
    let samples = match sizes >> 4 {
        0 => return None,
        1 => 192,
        n @ 2..=5 => 576 << (n - 2),
        6 => field(1)? + 1,
        7 => field(2)? + 1,
        n => 256 << (n - 8),
    };
    // The rate is the stream's; only the room that it takes here matters.
    match sizes & 15 {
        12 => field(1)?,
        13 | 14 => field(2)?,
        _ => 0,
    };
    let (header, rest) = bytes.split_at_checked(at)?;
    (HEADER_CRC.checksum(header) == *rest.first()?).then_some(Frame {
        variable: sync & 1 == 1,
        number,
        samples,
        header_bytes: at + 1,
    })
}

/// A number in the manner of UTF-8, of up to seven bytes, and how many it took.
fn coded_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let more = match first.leading_ones() {
        0 => return Some((u64::from(first), 1)),
        ones @ 2..=7 => ones as usize - 1,
        _ => return None,
    };
    let mut number = u64::from(first & (0x3f_u8 >> more));
    for byte in bytes.get(1..=more)? {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        number = number << 6 | u64::from(byte & 0x3f);
    }
    Some((number, 1 + more))
}
