//! Randomness of the system, for pauses and for names of histories.

/// A number of this range, which must not be empty.
pub(crate) fn between(range: std::ops::Range<u64>) -> u64 {
    // Without randomness everybody waits for the same time, which is worse and no error.
    let random = getrandom::u64().unwrap_or(0);
    range.start + random % (range.end - range.start).max(1)
}

/// A name for a new history, which no other has.
pub(crate) fn epoch() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}
