//! The outline of a recording, for drawing it.

use super::samples::Samples;
use super::{AudioError, Format};

/// The most points that an outline has: what a wide screen shows.
pub const POINTS_MAX: u16 = 2000;

/// The extremes of all samples between two points in time, of whatever channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peak {
    /// The smallest sample.
    pub min: i16,
    /// The largest sample.
    pub max: i16,
}

/// Finds the peaks of a recording while it is being read, by pieces, like a
/// [`Decoder`](super::Decoder).
///
/// Of `n` points over `f` frames, number `i` covers the frames from `i * f / n` to before
/// `(i + 1) * f / n`, rounded up: every frame counts once, and the result does not depend on how
/// the bytes were cut.
pub struct Peaks {
    samples: Samples,
    step: Vec<i16>,
    points: u64,
    peaks: Vec<Peak>,
    /// How many samples have been seen, of all channels.
    seen: u64,
    /// How many will have been when the last point that was begun is complete.
    complete_at: u64,
}

impl Peaks {
    /// Of a recording that was recognised as this, with so many points, 1 to [`POINTS_MAX`] (other
    /// numbers are taken for the nearest of these), but no more than there are frames; `None` where
    /// it is not [decodable](Format::decodable).
    pub fn new(format: Format, duration_ms: u64, size_bytes: u64, points: u16) -> Option<Self> {
        Some(Self {
            samples: Samples::new(format, duration_ms, size_bytes)?,
            step: Vec::new(),
            points: points.clamp(1, POINTS_MAX).into(),
            peaks: Vec::new(),
            seen: 0,
            complete_at: 0,
        })
    }

    /// Looks at the beginning of the next piece, and returns how many bytes of it: at least one.
    /// The rest is to be pushed again.
    ///
    /// # Errors
    ///
    /// [`AudioError::Broken`] where the recording is not what it was recognised as.
    pub fn push(&mut self, piece: &[u8]) -> Result<usize, AudioError> {
        self.step.clear();
        let taken = self.samples.push(piece, &mut self.step)?;
        let Some(shape) = self.samples.shape() else {
            return Ok(taken);
        };
        let channels = u64::from(shape.channels);
        let points = self.points.min(shape.frames);
        let mut rest = &self.step[..];
        while let Some(first) = rest.first() {
            if self.seen >= self.complete_at {
                self.peaks.push(Peak {
                    min: *first,
                    max: *first,
                });
                let frames = u128::from(shape.frames) * self.peaks.len() as u128;
                let frames = frames.div_ceil(u128::from(points.max(1)));
                let complete_at = u64::try_from(frames).unwrap_or(u64::MAX);
                self.complete_at = complete_at.saturating_mul(channels);
            }
            let wanted = self.complete_at.saturating_sub(self.seen).max(1);
            let here = wanted.min(rest.len() as u64);
            let (samples, after) = rest.split_at(here as usize);
            if let Some(peak) = self.peaks.last_mut() {
                for sample in samples {
                    peak.min = peak.min.min(*sample);
                    peak.max = peak.max.max(*sample);
                }
            }
            self.seen += here;
            rest = after;
        }
        Ok(taken)
    }

    /// Ends the recording, and gives its peaks in the order of time.
    ///
    /// # Errors
    ///
    /// [`AudioError::Broken`] where it was not pushed whole.
    pub fn finish(self) -> Result<Vec<Peak>, AudioError> {
        self.samples.finish()?;
        Ok(self.peaks)
    }
}
