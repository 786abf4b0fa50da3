//! Ogg (RFC 3533) with Opus (RFC 7845) or Vorbis I.
//!
//! Pages are read and their checksums computed by `ogg_pager`. What is checked here is what makes a
//! file whole: one stream, its pages numbered without a gap, an end that is marked as such. The
//! duration is the difference between positions that the pages state, and these are believed only
//! as far as the packets can account for them.

use std::io::Cursor;

use ogg_pager::{
    CONTAINS_FIRST_PAGE_OF_BITSTREAM, CONTAINS_LAST_PAGE_OF_BITSTREAM, PAGE_HEADER_SIZE, Page,
    PageError, PageHeader, crc32,
};

use super::{AudioError, Format, Recognised, broken, milliseconds, unsupported};

const MAGIC: &[u8] = b"OggS";

/// The flag of a page that begins in the middle of a packet.
const CONTINUED_PACKET: u8 = 0x01;

/// The position of a page on which no packet ends.
const NO_POSITION: u64 = u64::MAX;

/// Opus counts in these, whatever was recorded.
const OPUS_HZ: u32 = 48_000;

/// The pages of a file, one after another.
struct Pages<'a> {
    file: &'a [u8],
    at: usize,
    /// How many were read, to say where something is wrong.
    read: u64,
}

/// A page whose checksum is right.
struct CheckedPage<'a> {
    header: PageHeader,
    /// The lengths of the packets, in the page's own encoding.
    lacing: &'a [u8],
    content: &'a [u8],
}

/// The part of a packet that lies on a page.
struct Part<'a> {
    bytes: &'a [u8],
    /// Whether the packet ends with it.
    ends: bool,
}

/// The stream, as its first packet describes it.
#[derive(Clone, Copy)]
enum Codec {
    Opus {
        /// Samples at the beginning that are not to be played.
        pre_skip: u16,
    },
    Vorbis {
        rate_hz: u32,
        /// The larger of the two block sizes: no packet stands for more than half of it.
        block_samples: u64,
    },
}

/// What was found of the sound so far, in samples.
#[derive(Default)]
struct Sound {
    /// What the packets that have ended can stand for.
    accounted: u64,
    /// The position before the first packet, once a page has told.
    start: Option<u64>,
    /// The last position that a page has told.
    end: u64,
}

pub(super) fn is_ogg(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

pub(super) fn measure(bytes: &[u8]) -> Result<Recognised, AudioError> {
    let mut pages = Pages {
        file: bytes,
        at: 0,
        read: 0,
    };
    let first = pages
        .next()?
        .filter(|page| page.has(CONTAINS_FIRST_PAGE_OF_BITSTREAM))
        .ok_or_else(|| broken("its first page is missing"))?;
    let codec = Codec::of(first.content)?;

    let mut last_header = first.header;
    let mut headers_left = codec.headers() - 1;
    let mut sound = Sound::default();
    // What the packet stands for that has begun and not ended.
    let mut packet = None;
    while let Some(page) = pages.next()? {
        let ended = last_header.header_type_flag() & CONTAINS_LAST_PAGE_OF_BITSTREAM != 0;
        if page.has(CONTAINS_FIRST_PAGE_OF_BITSTREAM) {
            return Err(unsupported(if ended {
                "Ogg with several streams one after another"
            } else {
                "Ogg with several streams at once"
            }));
        }
        if ended || page.header.stream_serial != last_header.stream_serial {
            return Err(broken(format!("page {} is none of its stream", pages.read)));
        }
        if page.header.sequence_number != last_header.sequence_number.wrapping_add(1) {
            return Err(broken(format!(
                "a page is missing before page {}",
                pages.read
            )));
        }
        if page.has(CONTINUED_PACKET) != packet.is_some() {
            return Err(broken(format!(
                "page {} does not continue the page before it",
                pages.read
            )));
        }

        for part in page.parts() {
            let samples = match packet {
                Some(samples) => samples,
                None if headers_left == 0 => codec.samples(part.bytes)?,
                None if codec.is_header(part.bytes) => 0,
                None => return Err(broken("one of its headers is missing")),
            };
            if !part.ends {
                packet = Some(samples);
                continue;
            }
            packet = None;
            if headers_left > 0 {
                headers_left -= 1;
            } else {
                sound.accounted += samples;
            }
        }
        if sound.accounted > 0 {
            sound.place(page.header.abgp)?;
        }
        last_header = page.header;
    }
    if last_header.header_type_flag() & CONTAINS_LAST_PAGE_OF_BITSTREAM == 0 || packet.is_some() {
        return Err(broken("it is cut off: its last page is missing"));
    }
    Ok(Recognised {
        format: codec.format(),
        duration_ms: milliseconds(sound.samples(codec), codec.rate_hz())?,
    })
}

impl<'a> Pages<'a> {
    /// The next page, if the file goes on.
    fn next(&mut self) -> Result<Option<CheckedPage<'a>>, AudioError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        self.read += 1;
        let number = self.read;
        let cut_off = || broken(format!("it is cut off within page {number}"));
        let damaged = || broken(format!("page {number} is damaged"));

        let segments = match Page::read(&mut Cursor::new(rest)) {
            Ok(mut page) => {
                let checksum = page.header().checksum();
                page.gen_crc();
                if page.header().checksum() != checksum {
                    return Err(damaged());
                }
                usize::from(rest.get(PAGE_HEADER_SIZE - 1).copied().unwrap_or_default())
            }
            // The library takes no pages without content, which some writers end with.
            Err(PageError::BadSegmentCount) => {
                let mut page = *rest.first_chunk::<PAGE_HEADER_SIZE>().ok_or_else(cut_off)?;
                let checksum = u32_at(&page, 22);
                page[22..26].fill(0);
                if Some(crc32(&page)) != checksum {
                    return Err(damaged());
                }
                0
            }
            Err(PageError::Io(_)) => return Err(cut_off()),
            Err(_) => {
                return Err(broken(format!(
                    "there is no page where page {number} must be"
                )));
            }
        };
        let (header, rest) = rest
            .split_at_checked(PAGE_HEADER_SIZE)
            .ok_or_else(cut_off)?;
        let (lacing, rest) = rest.split_at_checked(segments).ok_or_else(cut_off)?;
        let content_bytes = lacing.iter().map(|length| usize::from(*length)).sum();
        let content = rest.get(..content_bytes).ok_or_else(cut_off)?;
        self.at += PAGE_HEADER_SIZE + segments + content_bytes;
        Ok(Some(CheckedPage {
            header: PageHeader::new(
                header[5],
                u64_at(header, 6).ok_or_else(cut_off)?,
                u32_at(header, 14).ok_or_else(cut_off)?,
                u32_at(header, 18).ok_or_else(cut_off)?,
            ),
            lacing,
            content,
        }))
    }
}

impl<'a> CheckedPage<'a> {
    fn has(&self, flag: u8) -> bool {
        self.header.header_type_flag() & flag != 0
    }

    /// The packets on the page, as far as they lie on it. A packet ends with the first segment of
    /// less than 255 bytes.
    fn parts(&self) -> impl Iterator<Item = Part<'a>> {
        let mut rest = self.content;
        self.lacing
            .split_inclusive(|length| *length < 255)
            .map(move |lengths| {
                let part_bytes = lengths.iter().map(|length| usize::from(*length)).sum();
                let (bytes, after) = rest.split_at_checked(part_bytes).unwrap_or((rest, &[]));
                rest = after;
                Part {
                    bytes,
                    ends: lengths.last().is_some_and(|length| *length < 255),
                }
            })
    }
}

impl Codec {
    /// What the first packet of a stream describes.
    fn of(packet: &[u8]) -> Result<Self, AudioError> {
        if packet.starts_with(b"OpusHead") {
            Self::opus(packet).ok_or_else(|| broken("its description contradicts itself"))
        } else if packet.starts_with(b"\x01vorbis") {
            Self::vorbis(packet).ok_or_else(|| broken("its description contradicts itself"))
        } else {
            Err(unsupported(match packet {
                [0x7f, b'F', b'L', b'A', b'C', ..] => "Ogg with FLAC",
                [b'S', b'p', b'e', b'e', b'x', ..] => "Ogg with Speex",
                [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => "Ogg with Theora, which is video",
                [b'f', b'i', b's', b'h', b'e', b'a', b'd', ..] => "Ogg with a Skeleton",
                _ => "Ogg with a codec that is not known",
            }))
        }
    }

    /// RFC 7845, section 5.1.
    fn opus(packet: &[u8]) -> Option<Self> {
        let (version, channels) = (*packet.get(8)?, *packet.get(9)?);
        let pre_skip = u16::from_le_bytes(*packet.get(10..)?.first_chunk()?);
        // The upper half of the version tells of changes that readers must know.
        (version >> 4 == 0 && channels > 0 && packet.len() >= 19).then_some(Self::Opus { pre_skip })
    }

    /// Vorbis I specification, section 4.2.2.
    fn vorbis(packet: &[u8]) -> Option<Self> {
        let (version, channels, rate_hz) =
            (u32_at(packet, 7)?, *packet.get(11)?, u32_at(packet, 12)?);
        let (blocks, framing) = (*packet.get(28)?, *packet.get(29)?);
        let (small, large) = (blocks & 15, blocks >> 4);
        let plausible = version == 0
            && channels > 0
            && super::wav::SAMPLE_RATES.contains(&rate_hz)
            && 6 <= small
            && small <= large
            && large <= 13
            && framing & 1 == 1;
        plausible.then_some(Self::Vorbis {
            rate_hz,
            block_samples: 1 << large,
        })
    }

    fn format(self) -> Format {
        match self {
            Self::Opus { .. } => Format::OggOpus,
            Self::Vorbis { .. } => Format::OggVorbis,
        }
    }

    fn rate_hz(self) -> u32 {
        match self {
            Self::Opus { .. } => OPUS_HZ,
            Self::Vorbis { rate_hz, .. } => rate_hz,
        }
    }

    /// How many packets come before the sound.
    fn headers(self) -> u32 {
        match self {
            Self::Opus { .. } => 2,
            Self::Vorbis { .. } => 3,
        }
    }

    /// Whether a packet is one of the headers after the first.
    fn is_header(self, packet: &[u8]) -> bool {
        match self {
            Self::Opus { .. } => packet.starts_with(b"OpusTags"),
            Self::Vorbis { .. } => {
                packet.starts_with(b"\x03vorbis") || packet.starts_with(b"\x05vorbis")
            }
        }
    }

    /// The most samples that a packet can stand for, from how it begins.
    fn samples(self, packet: &[u8]) -> Result<u64, AudioError> {
        match self {
            Self::Opus { .. } => {
                opus_samples(packet).ok_or_else(|| broken("it has a packet that is no Opus"))
            }
            Self::Vorbis { block_samples, .. } => Ok(block_samples / 2),
        }
    }
}

/// RFC 6716, section 3.1. An empty packet stands for one that was lost, and for no sound.
fn opus_samples(packet: &[u8]) -> Option<u64> {
    const MS: u64 = OPUS_HZ as u64 / 1000;
    let Some(toc) = packet.first() else {
        return Some(0);
    };
    let frame = match toc >> 3 {
        silk @ 0..=11 => [10 * MS, 20 * MS, 40 * MS, 60 * MS][usize::from(silk & 3)],
        hybrid @ 12..=15 => [10 * MS, 20 * MS][usize::from(hybrid & 1)],
        celt => [5 * MS / 2, 5 * MS, 10 * MS, 20 * MS][usize::from(celt & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    let samples = frame * frames;
    (1..=120 * MS).contains(&samples).then_some(samples)
}

impl Sound {
    /// Takes note of the position at the end of a page.
    fn place(&mut self, position: u64) -> Result<(), AudioError> {
        if position == NO_POSITION {
            return Ok(());
        }
        // A recording that was cut out of a longer one begins somewhere else than at 0.
        self.start
            .get_or_insert(position.saturating_sub(self.accounted));
        if position < self.end {
            return Err(broken("its positions go backwards"));
        }
        self.end = position;
        Ok(())
    }

    /// How many samples are to be played: less than the packets stand for where the last of them is
    /// filled up, and never more, even if the positions leap over packets that were lost.
    fn samples(&self, codec: Codec) -> u64 {
        let placed = self.end - self.start.unwrap_or_default();
        let pre_skip = match codec {
            Codec::Opus { pre_skip } => u64::from(pre_skip),
            Codec::Vorbis { .. } => 0,
        };
        placed.min(self.accounted).saturating_sub(pre_skip)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|eight| u64::from_le_bytes(*eight))
}
