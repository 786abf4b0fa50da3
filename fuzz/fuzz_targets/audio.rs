//! The recogniser of audio, and what decodes the audio that it recognised.
//!
//! The input is a file; if it has a line in front, then also a declared media type and what was
//! declared as that.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starling_mailbox::audio::{
    AudioError, Decoder, Format, POINTS_MAX, Peak, Peaks, Recognised, STEP_SAMPLES_MAX, Sampling,
    recognise, recognise_declared,
};

/// The most that a byte of a file plays, in milliseconds: a block of FLAC at the lowest rate, were
/// it one byte.
const BYTE_MS_MAX: u64 = 65_536;

/// A header of WAV, and the block of a codec by which a step may exceed its limit.
const STEP_BYTES_MAX: usize = 2 * STEP_SAMPLES_MAX + 44 + 2 * 320;

/// What is decoded without having been recognised: stored bytes may be damaged.
const DAMAGED: [Format; 8] = [
    Format::AmrNb,
    Format::AmrWb,
    Format::WavGsm,
    Format::WavPcm16,
    Format::WavFloat64,
    Format::WavMuLaw,
    Format::RawALaw(Sampling::TELEPHONE),
    Format::RawL16(Sampling::TELEPHONE),
];

/// As much of it as is enough to go wrong: in AMR each byte can stand for a frame.
const DAMAGED_BYTES_MAX: usize = 128;

/// Of AMR, no more than this is decoded: a frame takes a hundred times as long as one of all else.
const AMR_MS_MAX: u64 = 100;

fuzz_target!(|input: &[u8]| {
    check(input, recognise(input));
    let line = input.iter().position(|byte| *byte == b'\n');
    if let Some((line, [_, file @ ..])) = line.map(|at| input.split_at(at))
        && let Ok(media_type) = std::str::from_utf8(line)
    {
        check(file, recognise_declared(file, media_type));
    }
    if let Some(repaired) = with_ogg_checksums(input) {
        check(&repaired, recognise(&repaired));
    }
    if let Some((last, file @ [_, ..])) = input.split_last() {
        let format = DAMAGED[usize::from(*last) % DAMAGED.len()];
        let claimed = Recognised {
            format,
            duration_ms: u64::from(*last) << (*last % 56),
        };
        // Whether that succeeds does not matter.
        let _ = decode(
            &file[..file.len().min(DAMAGED_BYTES_MAX)],
            claimed,
            usize::from,
        );
    }
});

/// Holds what was found in a file to what is promised of it.
fn check(file: &[u8], found: Result<Recognised, AudioError>) {
    let found = match found {
        Ok(found) => found,
        // Clients are shown it.
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let Recognised {
        format,
        duration_ms,
    } = found;
    assert!(
        (1..=BYTE_MS_MAX * file.len() as u64).contains(&duration_ms),
        "{format:?} of {} bytes plays {duration_ms} ms",
        file.len()
    );
    let media_type = format.media_type();
    assert!(format.agrees_with(&media_type), "{media_type}");
    assert_eq!(recognise_declared(file, &media_type), Ok(found));
    if !format.decodable() {
        assert!(format.plays_in_browsers());
        assert!(Decoder::new(format, duration_ms, file.len() as u64).is_none());
        return;
    }

    if matches!(format, Format::AmrNb | Format::AmrWb) && duration_ms > AMR_MS_MAX {
        return;
    }
    let whole = decode(file, found, |_| usize::MAX);
    let pieces = decode(file, found, |byte| usize::from(byte) + 1);
    assert_eq!(whole, pieces, "it depends on how the file was cut");
    let points = u16::from(file.last().copied().unwrap_or_default()) * 8;
    let peaks = outline(file, found, points);
    match whole {
        Ok(wav) => {
            let played = recognise(&wav).expect("what was decoded is WAV");
            assert_eq!(played.format, Format::WavPcm16);
            assert_eq!(played.duration_ms, duration_ms);
            let peaks = peaks.expect("what can be decoded can be drawn");
            assert!(peaks.len() <= usize::from(points.clamp(1, POINTS_MAX)));
            assert_eq!(extremes_of(&peaks), extremes(&wav[44..]));
        }
        // WAV has its own limits.
        Err(AudioError::Unsupported { .. }) => {}
        Err(error) => assert_eq!(peaks, Err(error)),
    }
}

/// Decodes it in pieces, of which each is as long as its first byte says.
fn decode(
    file: &[u8],
    recognised: Recognised,
    piece_bytes: impl Fn(u8) -> usize,
) -> Result<Vec<u8>, AudioError> {
    let Recognised {
        format,
        duration_ms,
    } = recognised;
    let mut decoder = Decoder::new(format, duration_ms, file.len() as u64).expect("decodable");
    let mut wav = Vec::new();
    let mut rest = file;
    while let Some(first) = rest.first() {
        let (mut piece, after) = rest.split_at(piece_bytes(*first).clamp(1, rest.len()));
        while !piece.is_empty() {
            let before = wav.len();
            let taken = decoder.push(piece, &mut wav)?;
            assert!((1..=piece.len()).contains(&taken));
            assert!(wav.len() - before <= STEP_BYTES_MAX);
            piece = &piece[taken..];
        }
        rest = after;
    }
    let announced = decoder.wav_bytes();
    decoder.finish()?;
    assert_eq!(announced, Some(wav.len() as u64));
    Ok(wav)
}

fn outline(file: &[u8], recognised: Recognised, points: u16) -> Result<Vec<Peak>, AudioError> {
    let Recognised {
        format,
        duration_ms,
    } = recognised;
    let size_bytes = file.len() as u64;
    let mut peaks = Peaks::new(format, duration_ms, size_bytes, points).expect("decodable");
    let mut rest = file;
    while !rest.is_empty() {
        rest = &rest[peaks.push(rest)?..];
    }
    peaks.finish()
}

fn extremes_of(peaks: &[Peak]) -> Option<(i16, i16)> {
    let min = peaks.iter().map(|peak| peak.min).min()?;
    let max = peaks.iter().map(|peak| peak.max).max()?;
    Some((min, max))
}

fn extremes(sound: &[u8]) -> Option<(i16, i16)> {
    let (samples, _) = sound.as_chunks::<2>();
    let samples = samples.iter().map(|sample| i16::from_le_bytes(*sample));
    Some((samples.clone().min()?, samples.max()?))
}

/// The file with the checksums that its pages should have, if it is Ogg: no fuzzer guesses them.
fn with_ogg_checksums(file: &[u8]) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 27;
    let mut file = file.starts_with(b"OggS").then(|| file.to_vec())?;
    let mut rest = &mut file[..];
    while let Some(segments) = rest.get(HEADER_BYTES - 1).copied().map(usize::from) {
        let lacing = rest.get(HEADER_BYTES..HEADER_BYTES + segments);
        let Some(lacing) = lacing else { break };
        let content: usize = lacing.iter().copied().map(usize::from).sum();
        let page_bytes = HEADER_BYTES + segments + content;
        let Some((page, after)) = rest.split_at_mut_checked(page_bytes) else {
            break;
        };
        page[22..26].fill(0);
        let checksum = ogg_crc(page);
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
        rest = after;
    }
    Some(file)
}

/// RFC 3533, section 6: the polynomial 0x04c11db7, not reflected.
fn ogg_crc(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}
