//! Decoding into WAV with linear PCM of 16 bits, which everything plays.

use super::samples::{STEP_SAMPLES_MAX, Samples, Shape};
use super::{AudioError, Format, unsupported};

/// The header that is written: RIFF, a format chunk of 16 bytes, the head of the data chunk.
const HEADER_BYTES: u32 = 44;

const SAMPLE_BYTES: u32 = 2;

/// Turns a recording into WAV with linear PCM of 16 bits, as many channels and as many samples a
/// second as it has, while it is being read.
///
/// ```
/// # use starling_mailbox::audio::{AudioError, Decoder, Format};
/// # fn decode(pieces: &[&[u8]], size_bytes: u64) -> Result<Vec<u8>, AudioError> {
/// # let (format, duration_ms) = (Format::AmrNb, 20);
/// # let mut wav = Vec::new();
/// let mut decoder = Decoder::new(format, duration_ms, size_bytes).expect("a decodable format");
/// for mut piece in pieces.iter().copied() {
///     while !piece.is_empty() {
///         let taken = decoder.push(piece, &mut wav)?;
///         piece = &piece[taken..];
///     }
/// }
/// decoder.finish()?;
/// # Ok(wav)
/// # }
/// # let amr = [&b"#!AMR\n"[..], &[0x7c]].concat();
/// # assert_eq!(decode(&[&amr[..3], &amr[3..]], 7).map(|wav| wav.len()), Ok(44 + 2 * 160));
/// ```
pub struct Decoder {
    samples: Samples,
    /// What was decoded last: kept for its room.
    step: Vec<i16>,
    header_written: bool,
}

impl Decoder {
    /// A decoder of a recording that was recognised as this; `None` where it is not
    /// [decodable](Format::decodable).
    pub fn new(format: Format, duration_ms: u64, size_bytes: u64) -> Option<Self> {
        Some(Self {
            samples: Samples::new(format, duration_ms, size_bytes)?,
            step: Vec::new(),
            header_written: false,
        })
    }

    /// How many bytes of WAV it will be in all, as soon as that is known: for WAV when its header
    /// has been pushed, which in practice lies within the first few kilobytes; for all else from
    /// the beginning.
    ///
    /// If it is known and [`Decoder::finish`] finds nothing wrong, so many bytes have come out.
    pub fn wav_bytes(&self) -> Option<u64> {
        let shape = self.samples.shape()?;
        let sound = data_bytes(shape).ok()?;
        Some(u64::from(HEADER_BYTES) + u64::from(sound))
    }

    /// Decodes the beginning of the next piece of the recording, appends the WAV to `out`, and
    /// returns how many bytes of the piece it took: at least one. The rest is to be pushed again;
    /// that keeps each step short, and what it appends small: [`STEP_SAMPLES_MAX`].
    ///
    /// # Errors
    ///
    /// [`AudioError::Broken`] where the recording is not what it was recognised as, and
    /// [`AudioError::Unsupported`] where it is more than WAV can hold. After an error nothing that
    /// is pushed makes sense.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<usize, AudioError> {
        self.step.clear();
        let taken = self.samples.push(piece, &mut self.step)?;
        if !self.header_written
            && let Some(shape) = self.samples.shape()
        {
            out.extend(header(shape)?);
            self.header_written = true;
        }
        out.reserve(self.step.len() * SAMPLE_BYTES as usize);
        out.extend(self.step.iter().flat_map(|sample| sample.to_le_bytes()));
        Ok(taken)
    }

    /// Ends the recording.
    ///
    /// # Errors
    ///
    /// [`AudioError::Broken`] where it was not pushed whole.
    pub fn finish(self) -> Result<(), AudioError> {
        self.samples.finish()
    }
}

/// How many bytes the samples take.
fn data_bytes(shape: Shape) -> Result<u32, AudioError> {
    let frame_bytes = u64::from(SAMPLE_BYTES) * u64::from(shape.channels);
    shape
        .frames
        .checked_mul(frame_bytes)
        .and_then(|bytes| u32::try_from(bytes).ok())
        // The header counts itself, less what comes before.
        .filter(|bytes| *bytes <= u32::MAX - HEADER_BYTES)
        .ok_or_else(|| unsupported("sound of more than 4 GiB in WAV"))
}

fn header(shape: Shape) -> Result<Vec<u8>, AudioError> {
    const PCM: u16 = 1;
    let too_wide = || unsupported("WAV with so many channels");
    let data_bytes = data_bytes(shape)?;
    let frame_bytes = SAMPLE_BYTES * u32::from(shape.channels);
    let frame_bytes_16 = u16::try_from(frame_bytes).map_err(|_| too_wide())?;
    let bytes_per_second = frame_bytes
        .checked_mul(shape.frames_per_second)
        .ok_or_else(too_wide)?;

    let mut header = Vec::with_capacity(HEADER_BYTES as usize);
    header.extend(b"RIFF");
    header.extend((HEADER_BYTES - 8 + data_bytes).to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend(16_u32.to_le_bytes());
    header.extend([PCM, shape.channels].map(u16::to_le_bytes).concat());
    header.extend(shape.frames_per_second.to_le_bytes());
    header.extend(bytes_per_second.to_le_bytes());
    header.extend([frame_bytes_16, 16].map(u16::to_le_bytes).concat());
    header.extend(b"data");
    header.extend(data_bytes.to_le_bytes());
    Ok(header)
}

// The promise of `push`, in the size of a stored piece.
const _: () = assert!(STEP_SAMPLES_MAX * SAMPLE_BYTES as usize == 256 * 1024);
