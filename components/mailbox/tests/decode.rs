//! What recordings sound like: decoded to the very samples that sox makes of them, and drawn, in
//! whatever pieces they come.

use std::ops::Range;

use proptest::prelude::*;
use starling_mailbox::Digest;
use starling_mailbox::audio::{
    AudioError, Decoder, Format, POINTS_MAX, Peak, Peaks, Recognised, STEP_SAMPLES_MAX, Sampling,
    recognise,
};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/audio/", $name)).as_slice()
    };
}

const DECODABLE: &[&[u8]] = &[
    fixture!("speech.wav"),
    fixture!("pcm24.wav"),
    fixture!("pcm32.wav"),
    fixture!("float32.wav"),
    fixture!("float64.wav"),
    fixture!("mulaw.wav"),
    fixture!("alaw.wav"),
    fixture!("gsm.wav"),
    fixture!("speech.amr"),
    fixture!("speech.awb"),
];

const LEFT_TO_BROWSERS: &[&[u8]] = &[
    fixture!("opus.ogg"),
    fixture!("vorbis.ogg"),
    fixture!("cbr.mp3"),
    fixture!("speech.flac"),
];

fn found(bytes: &[u8]) -> Recognised {
    recognise(bytes).expect("the recording is whole")
}

/// Decodes a file that comes in these pieces, and checks what every decoding promises.
fn decode_pieces(found: Recognised, pieces: &[&[u8]]) -> Result<Vec<u8>, AudioError> {
    let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    let mut decoder =
        Decoder::new(found.format, found.duration_ms, size_bytes).expect("it is decodable");
    let mut wav = Vec::new();
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() {
            let before = wav.len();
            let taken = decoder.push(piece, &mut wav)?;
            assert!((1..=piece.len()).contains(&taken));
            // The header and a block may come on top.
            assert!(wav.len() - before <= 2 * STEP_SAMPLES_MAX + 44 + 2 * 320);
            piece = &piece[taken..];
        }
    }
    let wav_bytes = decoder.wav_bytes();
    decoder.finish()?;
    assert_eq!(wav_bytes, Some(wav.len() as u64));
    Ok(wav)
}

fn decode(found: Recognised, bytes: &[u8]) -> Vec<u8> {
    decode_pieces(found, &[bytes]).expect("it can be decoded")
}

fn samples(wav: &[u8]) -> Vec<i16> {
    s16(&wav[44..])
}

fn s16(bytes: &[u8]) -> Vec<i16> {
    let pairs = bytes.chunks_exact(2);
    pairs
        .map(|two| i16::from_le_bytes([two[0], two[1]]))
        .collect()
}

fn draw_pieces(found: Recognised, pieces: &[&[u8]], points: u16) -> Result<Vec<Peak>, AudioError> {
    let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    let mut peaks =
        Peaks::new(found.format, found.duration_ms, size_bytes, points).expect("it can be drawn");
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() {
            piece = &piece[peaks.push(piece)?..];
        }
    }
    peaks.finish()
}

fn raw(format: fn(Sampling) -> Format, rate_hz: u32, channels: u8) -> Recognised {
    Recognised {
        format: format(Sampling::new(rate_hz, channels).expect("a plausible sampling")),
        duration_ms: 1,
    }
}

#[test]
fn all_codes_of_g711_sound_as_they_do_to_sox() {
    let codes: Vec<u8> = (0..=255).collect();
    let wav = decode(raw(Format::RawMuLaw, 8000, 1), &codes);
    assert_eq!(samples(&wav), s16(fixture!("mulaw-codes.s16")));
    let wav = decode(raw(Format::RawALaw, 8000, 1), &codes);
    assert_eq!(samples(&wav), s16(fixture!("alaw-codes.s16")));
}

#[test]
fn gsm_sounds_as_it_does_to_libgsm() {
    let bytes = fixture!("gsm.wav");
    assert_eq!(
        samples(&decode(found(bytes), bytes)),
        s16(fixture!("gsm.s16"))
    );
}

#[test]
fn amr_sounds_as_it_does_to_opencore() {
    let bytes = fixture!("speech.amr");
    let wav = decode(found(bytes), bytes);
    assert_eq!(wav.len(), 44 + 2 * 4000);
    assert_eq!(
        Digest::of(&wav[44..]).to_string(),
        "e18886bb25c1b2f11fccd7f48b63a29fb3abfa1adcf049924995f6765a58c6ed"
    );
    let bytes = fixture!("speech.awb");
    let wav = decode(found(bytes), bytes);
    assert_eq!(wav.len(), 44 + 2 * 8000);
    assert_eq!(
        Digest::of(&wav[44..]).to_string(),
        "4eb17d7a80c7eb3758b11662f53e7c838e7830fdb5feb3431debdf516b23900c"
    );
}

#[test]
fn every_kind_of_amr_frame_gives_its_20_ms() {
    for (magic, rate_hz, lengths) in [
        (
            &b"#!AMR\n"[..],
            8000_usize,
            [12, 13, 15, 17, 19, 20, 26, 31, 5, 6, 5, 5, 0, 0, 0, 0],
        ),
        (
            b"#!AMR-WB\n",
            16_000,
            [17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0],
        ),
    ] {
        let mut amr = magic.to_vec();
        let mut frames = 0;
        for kind in 0..16_u8 {
            for header in [kind << 3, kind << 3 | 4] {
                for fill in [0, 0x5a, 0xff] {
                    let frame = [&[header][..], &vec![fill; lengths[usize::from(kind)]]].concat();
                    if recognise(&[magic, &frame].concat()).is_ok() {
                        amr.extend(frame);
                        frames += 1;
                    }
                }
            }
        }
        let wav = decode(found(&amr), &amr);
        assert_eq!(wav.len(), 44 + 2 * frames * rate_hz / 50);
    }
}

#[test]
fn raw_sound_keeps_its_rate_and_channels() {
    let wav = decode(
        raw(Format::RawL16, 16_000, 2),
        &[0x01, 0x02, 0xff, 0xfe, 0x7f, 0xff, 0x80, 0x00, 0x55],
    );
    assert_eq!(samples(&wav), [0x0102, -2, 0x7fff, -0x8000]);
    let header = [
        &b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0"[..],
        &16_000_u32.to_le_bytes(),
        &64_000_u32.to_le_bytes(),
        b"\x04\0\x10\0data\x08\0\0\0",
    ]
    .concat();
    assert_eq!(wav[..44], header);
}

#[test]
fn decoded_wav_is_recognised_for_as_long_as_what_it_was() {
    for bytes in DECODABLE {
        let before = found(bytes);
        let after = found(&decode(before, bytes));
        assert_eq!(after.format, Format::WavPcm16);
        assert_eq!(after.duration_ms, before.duration_ms);
    }
}

#[test]
fn wider_samples_come_down_to_16_bits() {
    let narrow = samples(&decode(
        found(fixture!("speech.wav")),
        fixture!("speech.wav"),
    ));
    assert_eq!(narrow, s16(&fixture!("speech.wav")[44..]));
    for bytes in [
        fixture!("pcm24.wav"),
        fixture!("pcm32.wav"),
        fixture!("float32.wav"),
        fixture!("float64.wav"),
    ] {
        let wide = samples(&decode(found(bytes), bytes));
        assert_eq!(wide, narrow[..wide.len()]);
    }
}

/// A WAV file of floating-point samples.
fn floats(values: &[f32]) -> Vec<u8> {
    let sound: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut wav = fixture!("float32.wav")[..58].to_vec();
    // Its header has a chunk of facts before the sound.
    assert_eq!(&wav[50..54], b"data");
    wav[54..58].copy_from_slice(&(sound.len() as u32).to_le_bytes());
    wav.extend(sound);
    wav
}

#[test]
fn floats_beyond_full_scale_are_clipped() {
    let wav = floats(&[
        0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        0.5,
    ]);
    assert_eq!(
        samples(&decode(found(&wav), &wav)),
        [
            0, 32_767, -32_768, 32_767, -32_768, 32_767, -32_768, 0, 16_384
        ]
    );
}

#[test]
fn what_browsers_play_anyway_is_not_decoded() {
    for bytes in LEFT_TO_BROWSERS {
        let Recognised {
            format,
            duration_ms,
        } = found(bytes);
        assert!(!format.decodable());
        assert!(Decoder::new(format, duration_ms, bytes.len() as u64).is_none());
        assert!(Peaks::new(format, duration_ms, bytes.len() as u64, 200).is_none());
        assert!(format.plays_in_browsers());
    }
    for bytes in DECODABLE {
        assert!(found(bytes).format.decodable());
    }
}

#[test]
fn length_is_known_as_soon_as_the_header_is() {
    let bytes = fixture!("gsm.wav");
    let Recognised {
        format,
        duration_ms,
    } = found(bytes);
    let mut decoder = Decoder::new(format, duration_ms, bytes.len() as u64).expect("decodable");
    let mut out = Vec::new();
    for at in 0..60 {
        assert_eq!(decoder.wav_bytes(), None, "{at}");
        assert_eq!(decoder.push(&bytes[at..=at], &mut out), Ok(1));
    }
    assert_eq!(decoder.wav_bytes(), Some(44 + 2 * 4160));
    let amr = Decoder::new(Format::AmrWb, 1_320_000, 1_000_000).expect("decodable");
    assert_eq!(amr.wav_bytes(), Some(44 + 2 * 16 * 1_320_000));
}

#[test]
fn recording_that_is_not_whole_is_broken() {
    for bytes in DECODABLE {
        let found = found(bytes);
        let size_bytes = bytes.len() as u64;
        // The odd byte that fills up a chunk is not missed.
        for length in [0, 1, 9, 60, bytes.len() - 2] {
            let mut decoder =
                Decoder::new(found.format, found.duration_ms, size_bytes).expect("decodable");
            let mut peaks =
                Peaks::new(found.format, found.duration_ms, size_bytes, 9).expect("drawable");
            let piece = &bytes[..length];
            assert_eq!(decoder.push(piece, &mut Vec::new()), Ok(length));
            assert!(matches!(decoder.finish(), Err(AudioError::Broken { .. })));
            assert_eq!(peaks.push(piece), Ok(length));
            assert!(matches!(peaks.finish(), Err(AudioError::Broken { .. })));
        }
    }
}

#[test]
fn recording_that_was_exchanged_is_broken() {
    let bytes = fixture!("mulaw.wav");
    let mut decoder = Decoder::new(Format::WavALaw, 200, bytes.len() as u64).expect("decodable");
    let pushed = decoder.push(bytes, &mut Vec::new());
    assert!(matches!(pushed, Err(AudioError::Broken { .. })));
}

#[test]
fn more_than_wav_can_hold_is_refused() {
    let duration_ms = 1000 * 3600 * 24 * 10;
    let mut decoder = Decoder::new(Format::AmrWb, duration_ms, 100).expect("decodable");
    assert_eq!(decoder.wav_bytes(), None);
    let pushed = decoder.push(b"#!AMR-WB\n\x7c", &mut Vec::new());
    assert!(matches!(pushed, Err(AudioError::Unsupported { .. })));
}

#[test]
fn size_that_no_file_has_is_refused() {
    // A header of GSM whose length was never filled in.
    let mut bytes = fixture!("gsm.wav")[..60].to_vec();
    bytes[56..].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut decoder = Decoder::new(Format::WavGsm, 1, u64::MAX).expect("decodable");
    let pushed = decoder.push(&bytes, &mut Vec::new());
    assert!(matches!(pushed, Err(AudioError::Unsupported { .. })));
}

/// The peaks of these frames, found by looking them all up.
fn peaks_of(samples: &[i16], frame: usize, points: usize) -> Vec<Peak> {
    let frames = samples.len() / frame;
    let points = points.min(frames);
    let bounds = |point: usize| -> Range<usize> {
        (point * frames).div_ceil(points) * frame..((point + 1) * frames).div_ceil(points) * frame
    };
    let peak = |point| {
        let samples = &samples[bounds(point)];
        Peak {
            min: *samples.iter().min().expect("no point is empty"),
            max: *samples.iter().max().expect("no point is empty"),
        }
    };
    (0..points).map(peak).collect()
}

#[test]
fn peaks_are_those_of_the_samples() {
    for bytes in DECODABLE {
        let found = found(bytes);
        let samples = samples(&decode(found, bytes));
        for points in [1, 2, 3, 7, 200, 1999, POINTS_MAX] {
            let drawn = draw_pieces(found, &[bytes], points);
            assert_eq!(drawn, Ok(peaks_of(&samples, 1, points.into())));
        }
        assert_eq!(draw_pieces(found, &[bytes], 0).map(|it| it.len()), Ok(1));
        let most = samples.len().min(POINTS_MAX.into());
        assert_eq!(
            draw_pieces(found, &[bytes], u16::MAX).map(|it| it.len()),
            Ok(most)
        );
    }
}

#[test]
fn large_recordings_come_in_steps() {
    // Silence in which every byte stands for 20 ms: ten thousand seconds in half a megabyte.
    let amr = [&b"#!AMR\n"[..], &[0x7c; 2000]].concat();
    let found = found(&amr);
    let wav = decode(found, &amr);
    assert_eq!(wav.len(), 44 + 2 * 160 * 2000);
    let pcm = vec![0x55; 1024 * 1024];
    let wav = decode(raw(Format::RawL16, 48_000, 6), &pcm);
    assert_eq!(wav.len(), 44 + pcm.len() / 12 * 12);
}

/// A recording cut into pieces at these places.
fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|at| &bytes[at[0]..at[1]]).collect()
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        which in 0..DECODABLE.len(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        points in 1..300_u16,
    ) {
        let bytes = DECODABLE[which];
        let found = found(bytes);
        let pieces = cut(bytes, &cuts);
        prop_assert_eq!(decode_pieces(found, &pieces), decode_pieces(found, &[bytes]));
        prop_assert_eq!(
            draw_pieces(found, &pieces, points),
            draw_pieces(found, &[bytes], points)
        );
    }

    #[test]
    fn raw_sound_in_pieces(
        bytes in prop::collection::vec(any::<u8>(), 1..3000),
        channels in 1..=6_u8,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        points in 1..300_u16,
    ) {
        for format in [Format::RawMuLaw, Format::RawALaw, Format::RawL16] {
            let found = raw(format, 8000, channels);
            let whole = decode(found, &bytes);
            let pieces = cut(&bytes, &cuts);
            let decoded = decode_pieces(found, &pieces);
            prop_assert_eq!(decoded.as_ref(), Ok(&whole));
            let samples = samples(&whole);
            if !samples.is_empty() {
                let drawn = draw_pieces(found, &pieces, points);
                let expected = peaks_of(&samples, channels.into(), points.into());
                prop_assert_eq!(drawn, Ok(expected));
            }
        }
    }

    /// Whatever is recognised is decoded, into what was promised.
    #[test]
    fn damage_never_panics(
        which in 0..DECODABLE.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = DECODABLE[which].to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(found) = recognise(&bytes) {
            prop_assert!(decode_pieces(found, &[&bytes]).is_ok());
            prop_assert!(draw_pieces(found, &[&bytes], 100).is_ok());
        }
    }

    /// Nor do bytes that are not what the store says they are.
    #[test]
    fn nonsense_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        which in 0..DECODABLE.len(),
        duration_ms: u64,
        size_bytes: u64,
        headed: bool,
    ) {
        let format = found(DECODABLE[which]).format;
        let head = &DECODABLE[which][..if headed { 58 } else { 0 }];
        let bytes = [head, &bytes].concat();
        let mut decoder = Decoder::new(format, duration_ms, size_bytes).expect("decodable");
        let mut peaks = Peaks::new(format, duration_ms, size_bytes, 200).expect("drawable");
        let mut rest = &bytes[..];
        while let (false, Ok(taken)) = (rest.is_empty(), decoder.push(rest, &mut Vec::new())) {
            rest = &rest[taken..];
        }
        let _ = decoder.wav_bytes();
        let _ = peaks.push(&bytes);
        let _ = (decoder.finish(), peaks.finish());
    }
}
