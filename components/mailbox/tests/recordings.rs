//! Recordings as real programs make them: each is recognised and measured like the program that
//! made it says, and no damage to it causes more than a refusal.
//!
//! `tests/fixtures/audio/README.md` tells how the files were made.

use proptest::prelude::*;
use starling_mailbox::audio::{
    AudioError, Container, Format, Recognised, Sampling, recognise, recognise_declared,
};

macro_rules! recordings {
    ($($name:literal: $format:ident, $duration_ms:literal;)*) => {
        &[$(Recording {
            name: $name,
            bytes: include_bytes!(concat!("fixtures/audio/", $name)),
            found: Recognised { format: Format::$format, duration_ms: $duration_ms },
        }),*]
    };
}

struct Recording {
    name: &'static str,
    bytes: &'static [u8],
    found: Recognised,
}

const RECORDINGS: &[Recording] = recordings! {
    "speech.wav": WavPcm16, 500;
    "pcm24.wav": WavPcm24, 100;
    "pcm32.wav": WavPcm32, 100;
    "float32.wav": WavFloat32, 100;
    "float64.wav": WavFloat64, 50;
    "mulaw.wav": WavMuLaw, 200;
    "alaw.wav": WavALaw, 200;
    "gsm.wav": WavGsm, 520;
    "speech.amr": AmrNb, 500;
    "speech.awb": AmrWb, 500;
    "opus.ogg": OggOpus, 500;
    "vorbis.ogg": OggVorbis, 500;
    "bare.mp3": Mp3, 648;
    "cbr.mp3": Mp3, 500;
    "vbr.mp3": Mp3, 300;
    "stereo.mp3": Mp3, 200;
    "speech.flac": Flac, 250;
    "unknown.flac": Flac, 250;
};

fn recording(name: &str) -> Vec<u8> {
    let found = RECORDINGS.iter().find(|recording| recording.name == name);
    found.expect("there is such a recording").bytes.to_vec()
}

#[track_caller]
fn check_broken(bytes: &[u8], why: &str) {
    match recognise(bytes) {
        Err(AudioError::Broken { detail }) => assert!(detail.contains(why), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_unsupported(bytes: &[u8], named: &str) {
    match recognise(bytes) {
        Err(AudioError::Unsupported { what }) => assert!(what.contains(named), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_is_recognised_and_measured() {
    for Recording { name, bytes, found } in RECORDINGS {
        assert_eq!(recognise(bytes), Ok(*found), "{name}");
    }
}

/// Some formats can end at any frame, and no rest of them can be told from a whole; what may never
/// happen is that the missing part is counted.
#[test]
fn cut_off_anywhere_is_refused_or_plays_shorter() {
    for Recording { name, bytes, found } in RECORDINGS {
        let may_end_early = matches!(found.format, Format::AmrNb | Format::AmrWb)
            || ["bare.mp3", "unknown.flac"].contains(name);
        for length in 0..bytes.len() {
            match recognise(&bytes[..length]) {
                // The last 128 bytes of it are a tag.
                Ok(part) if *name == "bare.mp3" && length == bytes.len() - 128 => {
                    assert_eq!(part, *found);
                }
                Ok(part) => {
                    assert!(may_end_early, "{name} at {length}");
                    assert_eq!(part.format, found.format, "{name} at {length}");
                    assert!(part.duration_ms < found.duration_ms, "{name} at {length}");
                }
                Err(AudioError::Broken { .. }) => {}
                // Not even the mark of the container is whole, or the second frame of MPEG.
                Err(AudioError::Unrecognised) => {
                    let first_frame = found.format == Format::Mp3 && length < 600;
                    assert!(length < 12 || first_frame, "{name} at {length}");
                }
                Err(other) => panic!("{name} at {length}: {other}"),
            }
        }
    }
}

/// The durations that a file can be made to claim are bounded by its bytes: those of the shortest
/// frame of each format.
fn longest_ms(found: Recognised, file_bytes: usize) -> u64 {
    let bytes = file_bytes as u64;
    match found.format.container() {
        Container::Wav | Container::RawMuLaw | Container::RawALaw | Container::RawL16 => {
            // A byte for a sample at 1 kHz, or 65 bytes for 320.
            bytes * 5
        }
        Container::Ogg => bytes * 1000 * 120,
        Container::Amr | Container::AmrWb => bytes * 20,
        Container::Mp3 => bytes * 10,
        Container::Flac => bytes * 65_536,
    }
}

#[test]
fn every_byte_of_ogg_and_of_flac_frames_is_checked() {
    for name in ["opus.ogg", "vorbis.ogg"] {
        let whole = recording(name);
        for at in 4..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(
                matches!(recognise(&bytes), Err(AudioError::Broken { .. })),
                "{name} at {at}"
            );
        }
    }
    let whole = recording("speech.flac");
    let sound = whole
        .windows(2)
        .position(|two| two == [0xff, 0xf8])
        .expect("a frame");
    for at in sound..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(
            matches!(recognise(&bytes), Err(AudioError::Broken { .. })),
            "at {at}"
        );
    }
}

/// The offsets at which the pages of an Ogg file begin.
fn pages(bytes: &[u8]) -> Vec<usize> {
    let at = 0..bytes.len() - 3;
    at.filter(|at| &bytes[*at..*at + 4] == b"OggS").collect()
}

/// The checksums of Ogg, after something was changed.
fn seal(bytes: &mut [u8]) {
    let mut starts = pages(bytes);
    starts.push(bytes.len());
    for page in starts.windows(2) {
        let page = &mut bytes[page[0]..page[1]];
        page[22..26].fill(0);
        let mut crc = 0_u32;
        for byte in &*page {
            crc ^= u32::from(*byte) << 24;
            for _ in 0..8 {
                crc = if crc >> 31 == 1 {
                    crc << 1 ^ 0x04c1_1db7
                } else {
                    crc << 1
                };
            }
        }
        page[22..26].copy_from_slice(&crc.to_le_bytes());
    }
}

#[test]
fn ogg_without_an_end_or_a_middle_is_broken() {
    let whole = recording("opus.ogg");
    let starts = pages(&whole);
    let last = *starts.last().expect("pages");
    check_broken(&whole[..last], "last page is missing");
    let without_tags = [&whole[..starts[1]], &whole[starts[2]..]].concat();
    check_broken(&without_tags, "a page is missing before page 2");
    let mut unmarked = whole.clone();
    unmarked[last + 5] &= !4;
    seal(&mut unmarked);
    check_broken(&unmarked, "last page is missing");
    let mut another = whole.clone();
    another[last + 14] ^= 1;
    seal(&mut another);
    check_broken(&another, "page 3 is none of its stream");
    check_broken(&[&whole[..], b"rubbish"].concat(), "page 4");
    check_broken(&whole[starts[1]..], "first page is missing");
}

#[test]
fn ogg_of_several_streams_is_refused_by_name() {
    let whole = recording("opus.ogg");
    check_unsupported(&whole.repeat(2), "one after another");
    let starts = pages(&whole);
    let both = [&whole[..starts[1]], &whole].concat();
    check_unsupported(&both, "at once");
}

#[test]
fn ogg_with_another_codec_is_refused_by_name() {
    for (mark, named) in [
        (&b"\x7fFLAC"[..], "FLAC"),
        (b"Speex   ", "Speex"),
        (b"\x80theora", "Theora"),
        (b"fishead\0", "Skeleton"),
        (b"anything", "not known"),
    ] {
        let mut bytes = recording("opus.ogg");
        bytes[28..28 + mark.len()].copy_from_slice(mark);
        seal(&mut bytes);
        check_unsupported(&bytes, named);
    }
}

#[test]
fn positions_in_ogg_are_believed_as_far_as_packets_account_for_them() {
    let whole = recording("opus.ogg");
    let last = *pages(&whole).last().expect("pages");
    let at_position = |position: u64| {
        let mut bytes = whole.clone();
        bytes[last + 6..last + 14].copy_from_slice(&position.to_le_bytes());
        seal(&mut bytes);
        recognise(&bytes)
    };
    let pre_skip = 312;
    let plays = |samples: u64| {
        Ok(Recognised {
            format: Format::OggOpus,
            duration_ms: samples / 48,
        })
    };
    assert_eq!(at_position(pre_skip + 24_000), plays(24_000));
    // 26 packets of 20 ms were needed for half a second and the pre-skip.
    let all = 26 * 960 - pre_skip;
    assert_eq!(at_position(26 * 960), plays(all));
    // Cut out of a longer recording, which began days before.
    assert_eq!(at_position(1 << 40), plays(all));
    assert!(matches!(
        at_position(pre_skip),
        Err(AudioError::Broken { .. })
    ));
    assert!(matches!(at_position(0), Err(AudioError::Broken { .. })));
}

#[test]
fn ogg_may_end_with_an_empty_page() {
    let mut bytes = recording("opus.ogg");
    let last = *pages(&bytes).last().expect("pages");
    bytes[last + 5] &= !4;
    let mut end = bytes[last..last + 27].to_vec();
    end[5] = 4;
    end[18] += 1;
    end[26] = 0;
    bytes.extend(end);
    seal(&mut bytes);
    assert_eq!(recognise(&bytes).map(|found| found.duration_ms), Ok(500));
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    check_broken(&bytes, "page 4 is damaged");
}

#[test]
fn amr_counts_silence_and_refuses_what_does_not_exist() {
    // Speech at 12.2 kbit/s, comfort noise, nothing to send.
    let frames = [&[0x3c; 32][..], &[0x44; 6], &[0x7c]].concat();
    let amr = [b"#!AMR\n", &frames[..]].concat();
    let found = recognise(&amr).expect("three frames");
    assert_eq!((found.format, found.duration_ms), (Format::AmrNb, 60));
    let wideband = [&b"#!AMR-WB\n"[..], &[0x44; 61], &[0x74], &[0x7c]].concat();
    let found = recognise(&wideband).expect("three frames");
    assert_eq!((found.format, found.duration_ms), (Format::AmrWb, 60));

    check_broken(b"#!AMR\n", "no sound");
    check_broken(b"#!AMR\n\x64", "frame 1 is of a type that does not exist");
    check_broken(b"#!AMR-WB\n\x7c\x54", "frame 2 is of a type");
    check_broken(b"#!AMR\n\x3c12", "cut off within frame 1");
    check_unsupported(b"#!AMR_MC1.0\n\0\0\0\x02", "several channels");
}

#[test]
fn mp3_is_not_seen_where_it_is_not() {
    // A header that nothing like it follows.
    let mut bytes = recording("bare.mp3")[..144].to_vec();
    bytes.extend([0; 500]);
    assert_eq!(recognise(&bytes), Err(AudioError::Unrecognised));
    check_broken(b"ID3\x04\0\0\0\0\0\x02ab<html>", "no MP3");
    check_broken(b"ID3\x04\0\0\0\0\0\x20ab", "ends before the sound");
    assert_eq!(
        recognise(b"ID3\x04\0\0\x80\0\0\0"),
        Err(AudioError::Unrecognised)
    );
}

#[test]
fn mp3_with_a_hole_is_broken() {
    let whole = recording("bare.mp3");
    let mut bytes = whole.clone();
    bytes[144 * 4] = 0;
    check_broken(&bytes, "what follows frame 4");
    // Nine frames of 144 bytes, then the tag.
    let [frames, tag] = [&whole[..9 * 144], &whole[9 * 144..]];
    let ape = b"APETAGEX\xd0\x07\0\0\x20\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0";
    let tagged = [frames, &ape.repeat(2), tag].concat();
    assert_eq!(recognise(&tagged).map(|found| found.duration_ms), Ok(648));
    let padded = [frames, &[0; 100]].concat();
    assert_eq!(recognise(&padded).map(|found| found.duration_ms), Ok(648));
    check_broken(&[frames, b"rubbish"].concat(), "what follows frame 9");
}

#[test]
fn mp3_that_lost_frames_is_broken() {
    let whole = recording("cbr.mp3");
    check_broken(&whole[..whole.len() - 288], "8 of 9 frames");
}

#[test]
fn other_layers_and_free_format_are_refused_by_name() {
    let layer_two = [0xff, 0xfd, 0x14, 0xc0];
    let mut bytes = vec![0; 96 * 3];
    for frame in bytes.chunks_mut(96) {
        frame[..4].copy_from_slice(&layer_two);
    }
    check_unsupported(&bytes, "layer II");
    let free = [
        &b"ID3\x04\0\0\0\0\0\0"[..],
        &[0xff, 0xfb, 0x04, 0xc0],
        &[0; 500],
    ]
    .concat();
    check_unsupported(&free, "free format");
}

#[test]
fn flac_must_have_the_samples_it_says() {
    let mut bytes = recording("unknown.flac");
    bytes[25] = 1;
    check_broken(&bytes, "it should have 1 samples and has 2000");
    let mut tagged = [&b"ID3\x04\0\0\0\0\0\x02ab"[..], &recording("speech.flac")].concat();
    tagged.extend(b"TAG");
    tagged.extend([0; 125]);
    assert_eq!(
        recognise(&tagged),
        Ok(Recognised {
            format: Format::Flac,
            duration_ms: 250
        })
    );
    check_broken(b"fLaC", "ends before the sound");
    check_broken(b"fLaC\x04\0\0\0", "does not begin with its description");
    check_broken(b"fLaC\0\0\0\x22abc", "ends within its metadata");
}

#[test]
fn what_browsers_send_and_is_not_taken_is_named() {
    for (bytes, named) in [
        (&b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81"[..], "WebM"),
        (b"\0\0\0\x1cftypM4A ", "MP4"),
        (b"FORM\0\0\0\x10AIFFCOMM", "AIFF"),
        (b".snd\0\0\0\x18", "Sun audio"),
        (b"caff\0\x01\0\0", "Core Audio"),
        (b"RIFX\0\0\0\x04WAVE", "RIFX"),
        (b"RF64\xff\xff\xff\xffWAVE", "RF64"),
        (
            b"\xff\xf1\x50\x80\x01\x1f\xfc\0\xff\xf1\x50\x80\x01\x1f\xfc\0",
            "AAC",
        ),
    ] {
        check_unsupported(bytes, named);
    }
}

// === Raw sound ===

fn sampling(rate_hz: u32, channels: u8) -> Sampling {
    Sampling::new(rate_hz, channels).expect("a plausible sampling")
}

#[test]
fn raw_sound_is_what_it_is_declared_to_be() {
    let second = [0x55; 8000];
    for (declared, format, duration_ms) in [
        ("audio/basic", Format::RawMuLaw(Sampling::TELEPHONE), 1000),
        ("Audio/Basic", Format::RawMuLaw(Sampling::TELEPHONE), 1000),
        ("audio/PCMU", Format::RawMuLaw(Sampling::TELEPHONE), 1000),
        ("audio/pcma", Format::RawALaw(Sampling::TELEPHONE), 1000),
        (
            "audio/PCMA;rate=16000",
            Format::RawALaw(sampling(16_000, 1)),
            500,
        ),
        (
            "audio/PCMU; channels=2; rate=8000",
            Format::RawMuLaw(sampling(8000, 2)),
            500,
        ),
        (
            "audio/L16;rate=8000",
            Format::RawL16(Sampling::TELEPHONE),
            500,
        ),
        (
            "audio/L16; Rate=\"16000\"; channels=2",
            Format::RawL16(sampling(16_000, 2)),
            125,
        ),
    ] {
        let found = recognise_declared(&second, declared);
        assert_eq!(
            found,
            Ok(Recognised {
                format,
                duration_ms
            }),
            "{declared}"
        );
        assert!(format.agrees_with(declared), "{declared}");
    }
}

#[test]
fn raw_sound_declared_so_that_it_cannot_be_is_refused() {
    for (declared, why) in [
        ("audio/L16", "without its rate"),
        ("audio/L16;rate=fast", "the rate \"fast\""),
        ("audio/L16;rate=-1", "the rate \"-1\""),
        ("audio/L16;rate=0", "0 Hz"),
        ("audio/PCMU;rate=4294967295", "4294967295 Hz"),
        ("audio/PCMU;rate=4294967296", "no number"),
        ("audio/PCMA;channels=0", "not 0"),
        ("audio/PCMA;channels=7", "not 7"),
        ("audio/PCMA;channels=70000", "not 255"),
    ] {
        match recognise_declared(&[0; 100], declared) {
            Err(AudioError::Broken { detail }) => assert!(detail.contains(why), "{detail}"),
            other => panic!("{declared}: {other:?}"),
        }
    }
    for declared in [
        "audio/basic",
        "audio/PCMA;channels=2",
        "audio/L16;rate=8000",
    ] {
        assert!(matches!(
            recognise_declared(&[][..], declared),
            Err(AudioError::Broken { .. })
        ));
    }
    assert!(recognise_declared(&[1], "audio/PCMA;channels=2").is_err());
}

#[test]
fn container_wins_over_raw_declaration() {
    for Recording { name, bytes, found } in RECORDINGS {
        for declared in ["audio/basic", "audio/L16;rate=8000", "audio/PCMA;rate=no"] {
            assert_eq!(recognise_declared(bytes, declared), Ok(*found), "{name}");
            assert!(!found.format.agrees_with(declared), "{name}");
        }
    }
    assert!(matches!(
        recognise_declared(b"\x1a\x45\xdf\xa3", "audio/basic"),
        Err(AudioError::Unsupported { .. })
    ));
    assert_eq!(
        recognise_declared(&[0x55; 100], "audio/ogg"),
        Err(AudioError::Unrecognised)
    );
    assert_eq!(
        recognise_declared(&[0x55; 100], "no type at all"),
        Err(AudioError::Unrecognised)
    );
}

#[test]
fn media_type_tells_what_a_player_needs() {
    let wide = sampling(16_000, 2);
    for (format, media_type) in [
        (Format::WavGsm, "audio/wav"),
        (Format::OggOpus, "audio/ogg"),
        (Format::AmrNb, "audio/AMR"),
        (Format::AmrWb, "audio/AMR-WB"),
        (Format::Mp3, "audio/mpeg"),
        (Format::Flac, "audio/flac"),
        (Format::RawMuLaw(Sampling::TELEPHONE), "audio/basic"),
        (Format::RawMuLaw(wide), "audio/PCMU;rate=16000;channels=2"),
        (
            Format::RawALaw(Sampling::TELEPHONE),
            "audio/PCMA;rate=8000;channels=1",
        ),
        (Format::RawL16(wide), "audio/L16;rate=16000;channels=2"),
    ] {
        assert_eq!(format.media_type(), media_type);
        assert!(format.agrees_with(media_type), "{media_type}");
        let essence = media_type.split(';').next().expect("at least one part");
        let names = format.container().media_types();
        assert!(names.contains(&&*essence.to_lowercase()), "{media_type}");
        assert!(format.agrees_with("audio/*"));
        assert!(!format.agrees_with("audio/x-nothing"));
    }
    assert!(!Format::RawL16(wide).agrees_with("audio/L16;rate=16000"));
    assert!(!Format::RawL16(wide).agrees_with("audio/L16"));
    assert!(Format::OggVorbis.agrees_with("application/ogg; codecs=vorbis"));
}

// === Whatever the bytes ===

#[test]
fn stored_format_is_checked_like_any_input() {
    let format = Format::RawL16(sampling(16_000, 2));
    let stored = postcard::to_allocvec(&format).expect("it encodes");
    assert_eq!(postcard::from_bytes(&stored), Ok(format));
    // 16000 in postcard's variable-length integers, then 0.
    assert_eq!(stored[1..], [0x80, 0x7d, 2]);
    for damaged in [[0x00, 0x7d, 2], [0x80, 0x7d, 0], [0x80, 0x7d, 7]] {
        let bytes = [&stored[..1], &damaged].concat();
        assert!(postcard::from_bytes::<Format>(&bytes).is_err());
    }
    assert!(postcard::from_bytes::<Format>(&[18]).is_err());
}

/// What was stored as a number stays that number.
#[test]
fn formats_keep_their_numbers() {
    let telephone = Sampling::TELEPHONE;
    for (number, format) in [
        Format::WavPcm8,
        Format::WavPcm16,
        Format::WavMuLaw,
        Format::WavALaw,
        Format::WavPcm24,
        Format::WavPcm32,
        Format::WavFloat32,
        Format::WavFloat64,
        Format::WavGsm,
        Format::OggOpus,
        Format::OggVorbis,
        Format::AmrNb,
        Format::AmrWb,
        Format::Mp3,
        Format::Flac,
        Format::RawMuLaw(telephone),
        Format::RawALaw(telephone),
        Format::RawL16(telephone),
    ]
    .into_iter()
    .enumerate()
    {
        let stored = postcard::to_allocvec(&format).expect("it encodes");
        assert_eq!(usize::from(stored[0]), number, "{format:?}");
    }
}

/// Megabytes of what keeps each walk busiest. A walk that looked at its bytes more than a few
/// times would take minutes, and the test with it.
#[test]
fn large_hostile_files_take_one_pass() {
    const BYTES: usize = 2 * 1024 * 1024;
    let fill = |head: &[u8], pattern: &[u8]| {
        let mut bytes = head.to_vec();
        while bytes.len() < BYTES {
            bytes.extend(pattern);
        }
        bytes
    };
    let flac = recording("speech.flac");
    let header = flac
        .windows(2)
        .position(|two| two == [0xff, 0xf8])
        .expect("a frame");
    let ogg = recording("opus.ogg");
    let mut mp3 = recording("bare.mp3");
    mp3.truncate(9 * 144);
    for (head, pattern) in [
        (&flac[..], &[0][..]),
        (&flac, &[0xff, 0xf8]),
        (&flac[..header], &flac[header..header + 12]),
        (&ogg, &ogg),
        (b"OggS", b"OggS"),
        (b"#!AMR\n", &[0x7c]),
        (&mp3, &mp3),
        (&mp3, &[0]),
        (b"", b"ID3\x04\0\0\0\0\0\0"),
        (b"", b"ID3\x04\0\0\0\0\0\0\0\0\0\0"),
        (b"RIFF\0\0\0\0WAVE", b"junk\0\0\0\0"),
        (
            b"RIFF\0\0\0\0WAVE",
            b"fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0",
        ),
    ] {
        let bytes = fill(head, pattern);
        if let Ok(found) = recognise(&bytes) {
            assert!(found.duration_ms <= longest_ms(found, bytes.len()));
        }
    }
}

proptest! {
    #[test]
    fn damage_never_panics_nor_plays_longer_than_bytes_can(
        which in 0..RECORDINGS.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = RECORDINGS[which].bytes.to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(found) = recognise(bytes) {
                prop_assert!(found.duration_ms >= 1);
                prop_assert!(found.duration_ms <= longest_ms(found, bytes.len()));
            }
        }
    }

    /// As above where a checksum would have caught it.
    #[test]
    fn damaged_ogg_with_good_checksums_never_panics(
        name in prop::sample::select(vec!["opus.ogg", "vorbis.ogg"]),
        flips in prop::collection::vec((0_usize..200, any::<u8>()), 1..8),
    ) {
        let mut bytes = recording(name);
        for (at, value) in flips {
            bytes[at] = value;
        }
        seal(&mut bytes);
        if let Ok(found) = recognise(&bytes) {
            prop_assert!(found.duration_ms <= longest_ms(found, bytes.len()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for mark in [
            &b"OggS\0\x02"[..],
            b"#!AMR\n",
            b"#!AMR-WB\n",
            b"fLaC\0\0\0\x22",
            b"ID3\x04\0\0\0\0\0\0",
            b"\xff\xfb\x90",
        ] {
            let _ = recognise(&[mark, &bytes].concat());
        }
        for declared in ["audio/basic", "audio/PCMA;rate=16000", "audio/L16;rate=8000;channels=2"] {
            let _ = recognise_declared(&bytes, declared);
        }
    }

    #[test]
    fn arbitrary_declarations_never_panic(declared in ".{0,40}", parameters in ".{0,20}") {
        let _ = recognise_declared(&[0x55; 10], &declared);
        let _ = recognise_declared(&[0x55; 10], &format!("audio/L16;rate={parameters}"));
        let _ = Format::Mp3.agrees_with(&declared);
    }
}
