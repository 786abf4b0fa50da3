//! Speech in the encodings that callers send, made by espeak-ng and sox when first asked for.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{LazyLock, OnceLock};

use crate::random::Random;

/// An encoding of a WAV file at 8000 samples a second, one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 16-bit signed linear.
    Pcm16,
    /// 8-bit unsigned linear.
    Pcm8,
    /// G.711 µ-law.
    MuLaw,
    /// G.711 A-law.
    ALaw,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pcm16, Self::Pcm8, Self::MuLaw, Self::ALaw];

    /// How many bytes a second of it takes.
    #[must_use]
    pub fn bytes_per_second(self) -> usize {
        match self {
            Self::Pcm16 => 16_000,
            Self::Pcm8 | Self::MuLaw | Self::ALaw => 8_000,
        }
    }

    fn sox(self) -> &'static [&'static str] {
        match self {
            Self::Pcm16 => &["-b", "16", "-e", "signed-integer"],
            Self::Pcm8 => &["-b", "8", "-e", "unsigned-integer"],
            Self::MuLaw => &["-b", "8", "-e", "mu-law"],
            Self::ALaw => &["-b", "8", "-e", "a-law"],
        }
    }
}

/// A sentence of a few seconds, as a WAV file.
#[must_use]
pub fn speech(encoding: Encoding) -> &'static [u8] {
    static SPEECH: [OnceLock<Vec<u8>>; 4] = [const { OnceLock::new() }; 4];
    SPEECH[encoding as usize].get_or_init(|| encode(encoding, &[]))
}

/// Speech of exactly 30 s as 16-bit linear: 480 000 bytes of samples, more than one chunk of stored audio.
#[must_use]
pub fn long_speech() -> &'static [u8] {
    static LONG: LazyLock<Vec<u8>> =
        LazyLock::new(|| encode(Encoding::Pcm16, &["repeat", "20", "trim", "0", "30"]));
    &LONG
}

/// A WAV file of about so many bytes (16-bit linear), whose samples are noise that `seed` decides: nothing compresses it,
/// and whoever knows the seed can tell whether all of it is there.
#[must_use]
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    const HEAD: usize = 44;
    let mut random = Random::new(seed);
    let length = bytes.saturating_sub(HEAD).max(8) / 8 * 8;
    let data = u32::try_from(length).expect("a message is far below 4 GiB");
    let bytes_per_second = 16_000_u32;
    let mut wav = Vec::with_capacity(HEAD + length);
    wav.extend(b"RIFF");
    wav.extend((data + 36).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend(1_u16.to_le_bytes()); // Linear PCM,
    wav.extend(1_u16.to_le_bytes()); // of one channel.
    wav.extend((bytes_per_second / 2).to_le_bytes());
    wav.extend(bytes_per_second.to_le_bytes());
    wav.extend(2_u16.to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(data.to_le_bytes());
    for _ in 0..length / 8 {
        wav.extend(random.number().to_le_bytes());
    }
    wav
}

/// `wav` with its last 8 bytes of samples replaced by `number`, so that no two are alike.
#[must_use]
pub fn tagged(wav: &[u8], number: u64) -> Vec<u8> {
    let mut tagged = wav.to_vec();
    let end = tagged.len();
    tagged[end - 8..].copy_from_slice(&number.to_be_bytes());
    tagged
}

/// How long a WAV file made here lasts, from the length of its data, in milliseconds.
///
/// # Panics
///
/// Where it has no data chunk.
#[must_use]
pub fn duration_ms(wav: &[u8], encoding: Encoding) -> u64 {
    let at = wav
        .windows(4)
        .position(|four| four == b"data")
        .expect("a data chunk");
    let length = u32::from_le_bytes(wav[at + 4..at + 8].try_into().expect("four bytes"));
    u64::from(length) * 1000 / encoding.bytes_per_second() as u64
}

fn encode(encoding: Encoding, effects: &[&str]) -> Vec<u8> {
    const SENTENCE: &str =
        "Hello. I am calling about tomorrow. Please call me back when you can. Goodbye.";
    // Through files: into a pipe, neither program can go back to write the lengths into the header.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (spoken, encoded) = (
        folder.path().join("spoken.wav"),
        folder.path().join("encoded.wav"),
    );
    check(
        Command::new("espeak-ng")
            .arg("-w")
            .arg(&spoken)
            .arg(SENTENCE)
            .output(),
    );
    let mut sox = Command::new("sox");
    // `-R` and `-D`: the same samples every time.
    sox.args(["-R", "-D"])
        .arg(&spoken)
        .args(["-r", "8000", "-c", "1"])
        .args(encoding.sox());
    check(sox.arg(&encoded).args(effects).output());
    read(&encoded)
}

fn check(output: std::io::Result<Output>) {
    let output = output.expect("espeak-ng and sox are installed: `cargo xtask test` does it");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the speech is there")
}
