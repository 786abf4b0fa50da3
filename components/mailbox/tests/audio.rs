//! What is recognised as audio, how long it plays, and what is refused for which reason.

use proptest::prelude::*;
use starling_mailbox::audio::{AudioError, Format, Recognised, recognise};

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const GSM: u16 = 0x31;

/// A WAV file in parts, so that each test states only what it is about: half a second of telephone
/// speech else.
#[derive(Clone)]
struct Wav {
    riff_size: Option<u32>,
    format: Vec<u8>,
    before_sound: Vec<u8>,
    sound_size: Option<u32>,
    sound: Vec<u8>,
    after_sound: Vec<u8>,
}

/// A format chunk in its shortest form.
fn format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let frame_bytes = channels * (bits / 8);
    let byte_rate = rate * u32::from(frame_bytes);
    let mut chunk = Vec::new();
    chunk.extend([tag, channels].map(u16::to_le_bytes).concat());
    chunk.extend([rate, byte_rate].map(u32::to_le_bytes).concat());
    chunk.extend([frame_bytes, bits].map(u16::to_le_bytes).concat());
    chunk
}

fn chunk(name: &[u8; 4], size: u32, body: &[u8]) -> Vec<u8> {
    [&name[..], &size.to_le_bytes(), body].concat()
}

impl Wav {
    fn new(format: Vec<u8>, sound_bytes: usize) -> Self {
        Self {
            riff_size: None,
            format,
            before_sound: Vec::new(),
            sound_size: None,
            sound: vec![0x55; sound_bytes],
            after_sound: Vec::new(),
        }
    }

    fn telephone() -> Self {
        Self::new(format(PCM, 1, 8000, 16), 8000)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = b"WAVE".to_vec();
        body.extend(chunk(b"fmt ", self.format.len() as u32, &self.format));
        body.extend(&self.before_sound);
        let sound_size = self.sound_size.unwrap_or(self.sound.len() as u32);
        body.extend(chunk(b"data", sound_size, &self.sound));
        body.extend(&self.after_sound);
        chunk(b"RIFF", self.riff_size.unwrap_or(body.len() as u32), &body)
    }

    fn measured(&self) -> Result<Recognised, AudioError> {
        recognise(&self.bytes())
    }
}

#[track_caller]
fn check(wav: &Wav, format: Format, duration_ms: u64) {
    assert_eq!(
        wav.measured(),
        Ok(Recognised {
            format,
            duration_ms
        })
    );
}

#[track_caller]
fn check_broken(bytes: &[u8], why: &str) {
    match recognise(bytes) {
        Err(AudioError::Broken { detail }) => assert!(detail.contains(why), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_unsupported(format: Vec<u8>, named: &str) {
    match Wav::new(format, 8000).measured() {
        Err(AudioError::Unsupported { what }) => assert!(what.contains(named), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_codec_is_recognised_and_measured() {
    check(&Wav::telephone(), Format::WavPcm16, 500);
    check(
        &Wav::new(format(PCM, 1, 8000, 8), 8000),
        Format::WavPcm8,
        1000,
    );
    check(
        &Wav::new(format(MU_LAW, 1, 8000, 8), 4000),
        Format::WavMuLaw,
        500,
    );
    check(
        &Wav::new(format(A_LAW, 1, 8000, 8), 4000),
        Format::WavALaw,
        500,
    );
    check(
        &Wav::new(format(PCM, 2, 44100, 16), 4 * 44100),
        Format::WavPcm16,
        1000,
    );
    check(&Wav::new(format(PCM, 1, 8000, 16), 2), Format::WavPcm16, 1);
    check(
        &Wav::new(format(PCM, 1, 8000, 24), 24_000),
        Format::WavPcm24,
        1000,
    );
    check(
        &Wav::new(format(PCM, 2, 8000, 32), 32_000),
        Format::WavPcm32,
        500,
    );
    check(
        &Wav::new(format(FLOAT, 1, 8000, 32), 32_000),
        Format::WavFloat32,
        1000,
    );
    check(
        &Wav::new(format(FLOAT, 1, 8000, 64), 32_000),
        Format::WavFloat64,
        500,
    );
    check(&Wav::new(gsm(65), 650), Format::WavGsm, 400);
}

/// The format of GSM 06.10, whose blocks cannot be told from bits and channels.
fn gsm(block_bytes: u16) -> Vec<u8> {
    let mut chunk = format(GSM, 1, 8000, 0);
    chunk[12..14].copy_from_slice(&block_bytes.to_le_bytes());
    chunk.extend([2, 320].map(u16::to_le_bytes).concat());
    chunk
}

#[test]
fn half_a_frame_at_the_end_is_not_counted() {
    check(
        &Wav::new(format(PCM, 1, 1000, 16), 2001),
        Format::WavPcm16,
        1000,
    );
}

#[test]
fn longer_forms_of_the_format_are_read() {
    let mut with_extension_size = format(MU_LAW, 1, 8000, 8);
    with_extension_size.extend([0, 0]);
    check(&Wav::new(with_extension_size, 8000), Format::WavMuLaw, 1000);

    for (tag, bits, expected) in [
        (PCM, 16, Format::WavPcm16),
        (MU_LAW, 8, Format::WavMuLaw),
        (A_LAW, 8, Format::WavALaw),
    ] {
        let mut extensible = format(0xfffe, 1, 8000, bits);
        extensible.extend([22, bits, 4, 0].map(u16::to_le_bytes).concat());
        extensible.extend(tag.to_le_bytes());
        extensible.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        check(
            &Wav::new(extensible, usize::from(bits) * 1000),
            expected,
            1000,
        );
    }
}

#[test]
fn other_chunks_are_passed_over() {
    let mut wav = Wav::telephone();
    // Odd in length, hence padded by a byte that its size does not count.
    wav.before_sound = [chunk(b"LIST", 3, b"abc\0"), chunk(b"fact", 4, &[0; 4])].concat();
    wav.after_sound = chunk(b"LIST", 4, b"data");
    check(&wav, Format::WavPcm16, 500);
}

#[test]
fn sizes_that_a_pipe_never_filled_in_are_taken_from_the_bytes() {
    for (riff_size, sound_size) in [
        (0x7fff_f024, 0x7fff_f000), // sox, espeak-ng
        (u32::MAX, u32::MAX),       // ffmpeg
        (0, 0),
        (36, 0),
    ] {
        let mut wav = Wav::telephone();
        (wav.riff_size, wav.sound_size) = (Some(riff_size), Some(sound_size));
        check(&wav, Format::WavPcm16, 500);
    }
}

#[test]
fn wrong_riff_size_alone_does_no_harm() {
    for riff_size in [0, 4, 36, 100_000, u32::MAX] {
        let mut wav = Wav::telephone();
        wav.riff_size = Some(riff_size);
        check(&wav, Format::WavPcm16, 500);
    }
}

#[test]
fn cut_off_anywhere_is_broken() {
    let whole = Wav::telephone().bytes();
    for length in 12..whole.len() {
        check_broken(&whole[..length], "");
    }
    check_broken(&whole[..whole.len() - 1], "7999 of 8000 bytes");
}

#[test]
fn silence_of_no_length_is_broken() {
    check_broken(&Wav::new(format(PCM, 1, 8000, 16), 0).bytes(), "no sound");
    check_broken(&Wav::new(format(PCM, 1, 8000, 16), 1).bytes(), "no sound");
    let mut empty_but_tagged = Wav::new(format(PCM, 1, 8000, 16), 0);
    empty_but_tagged.after_sound = chunk(b"LIST", 4, b"INFO");
    check_broken(&empty_but_tagged.bytes(), "no sound");
}

#[test]
fn format_that_cannot_be_is_broken() {
    let with = |at: usize, value: u16| {
        let mut format = format(PCM, 1, 8000, 16);
        format[at..at + 2].copy_from_slice(&value.to_le_bytes());
        Wav::new(format, 8000).bytes()
    };
    check_broken(&with(2, 0), "0 channels");
    check_broken(&with(2, u16::MAX), "65535 channels");
    check_broken(&with(12, 0), "contradicts itself");
    check_broken(&Wav::new(gsm(33), 650).bytes(), "contradicts itself");
    check_broken(&Wav::new(gsm(65), 64).bytes(), "no sound");
    check_broken(&with(4, 0), "sample rate of 0 Hz");
    check_broken(
        &Wav::new(vec![1, 0, 1, 0], 8000).bytes(),
        "format is too short",
    );
    check_broken(
        &Wav::new(format(0xfffe, 1, 8000, 16), 8000).bytes(),
        "too short",
    );
    check_broken(b"RIFF\x24\0\0\0WAVEdata\x04\0\0\0abcd", "before its format");
    check_broken(b"RIFF\x04\0\0\0WAVE", "ends before the sound");
}

#[test]
fn codec_that_is_not_taken_is_named() {
    check_unsupported(format(PCM, 1, 8000, 12), "PCM of 12 bits");
    check_unsupported(format(2, 1, 8000, 4), "Microsoft ADPCM");
    check_unsupported(
        format(FLOAT, 1, 8000, 16),
        "floating-point samples of 16 bits",
    );
    check_unsupported(format(0x4242, 1, 8000, 8), "0x4242");
}

#[test]
fn other_files_are_not_recognised() {
    for bytes in [
        &b""[..],
        b"RIFF",
        b"RIFF\0\0\0\0AVI LIST",
        b"ID3\x04",
        b"#!AMR",
        b"<html>",
        b"\0\0\0\0",
    ] {
        assert_eq!(recognise(bytes), Err(AudioError::Unrecognised), "{bytes:?}");
    }
}

#[test]
fn declared_type_agrees_or_claims_nothing() {
    let wav = Format::WavMuLaw;
    for declared in [
        "audio/wav",
        "audio/x-wav",
        "audio/wave",
        "audio/vnd.wave",
        "Audio/WAV",
        "audio/*",
        "application/octet-stream",
    ] {
        assert!(wav.agrees_with(declared), "{declared}");
    }
    for declared in [
        "audio/ogg",
        "audio/basic",
        "text/plain",
        "audio/wavpack",
        "",
    ] {
        assert!(!wav.agrees_with(declared), "{declared}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = recognise(&bytes);
        let _ = recognise(&[b"RIFF\0\0\0\0WAVE", &bytes[..]].concat());
        let _ = recognise(&[b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", &bytes[..]].concat());
    }

    #[test]
    fn damaged_file_never_plays_longer_than_its_bytes(at in 0_usize..60, value: u8) {
        let mut bytes = Wav::telephone().bytes();
        bytes[at] = value;
        if let Ok(found) = recognise(&bytes) {
            // GSM at the lowest rate is the longest that a byte can play.
            prop_assert!(found.duration_ms <= bytes.len() as u64 * 5);
        }
    }
}
