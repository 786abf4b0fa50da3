//! RFC 3339, UTC, to the millisecond: how the API writes times.

use jiff::Timestamp;

/// `2026-01-01T00:00:00.123Z`.
pub(crate) fn format(ms: u64) -> String {
    let timestamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // Beyond the year 9999 there is nothing to write; only a clock far gone gets there.
    timestamp.unwrap_or(Timestamp::MAX).to_string()
}
