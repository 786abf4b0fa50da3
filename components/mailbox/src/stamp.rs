//! The hybrid logical clock that orders changes to registers.
//!
//! Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks and Consistent Snapshots in
//! Globally Distributed Databases" (2014). A stamp is the physical clock where clocks agree, and a
//! logical counter on top where they do not: it is always greater than everything its author could
//! see, so a later change wins over the change it was made in knowledge of, even when the later
//! author's clock is behind. Correctness of the join needs no clock at all; the physical part only
//! makes the winner of two *concurrent* changes the one that people expect.

use serde::{Deserialize, Serialize};

use crate::Region;

/// How far ahead of the local clock a visible stamp may be before new changes are refused: ten
/// minutes.
///
/// Without a bound one broken clock would drag every register it touches into its future, and each
/// later change with it. With it, the change is refused and reported instead, until the clocks
/// agree again.
pub const AHEAD_MAX_MS: u64 = 10 * 60 * 1000;

/// When and where a register was written; totally ordered by (physical, counter, region).
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Stamp {
    /// Milliseconds since the Unix epoch, UTC.
    pub physical_ms: u64,
    /// Orders the stamps of one `physical_ms`.
    pub counter: u32,
    /// Where the change was made; orders what is otherwise equal.
    pub region: Region,
}

/// A visible stamp is too far ahead of the local clock: one of the two clocks is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a change made in region {region} is stamped {ahead_ms} ms ahead of this region's clock; \
     at most {ahead_max_ms} ms are tolerated"
)]
pub struct ClockSkew {
    /// Where the stamp from the future was made.
    pub region: Region,
    /// By how much it is ahead of the local clock, in milliseconds.
    pub ahead_ms: u64,
    /// By how much it may be ahead, in milliseconds.
    pub ahead_max_ms: u64,
}

impl Stamp {
    /// The stamp for a change made now in `region` with `newest_visible` as the greatest stamp in
    /// sight.
    ///
    /// It is greater than `newest_visible` and its physical part is not behind `now_ms`.
    ///
    /// # Errors
    ///
    /// [`ClockSkew`] if `newest_visible` is more than `ahead_max_ms` ahead of `now_ms`.
    pub fn next(
        now_ms: u64,
        newest_visible: Option<&Self>,
        region: &Region,
        ahead_max_ms: u64,
    ) -> Result<Self, ClockSkew> {
        let fresh = Self {
            physical_ms: now_ms,
            counter: 0,
            region: region.clone(),
        };
        let Some(seen) = newest_visible.filter(|seen| seen.physical_ms >= now_ms) else {
            return Ok(fresh);
        };
        let ahead_ms = seen.physical_ms - now_ms;
        if ahead_ms > ahead_max_ms {
            return Err(ClockSkew {
                region: seen.region.clone(),
                ahead_ms,
                ahead_max_ms,
            });
        }
        Ok(match seen.counter.checked_add(1) {
            Some(counter) => Self {
                physical_ms: seen.physical_ms,
                counter,
                ..fresh
            },
            None => Self {
                physical_ms: seen.physical_ms.saturating_add(1),
                ..fresh
            },
        })
    }
}
