//! G.711 (ITU-T, 1988): the expansion of a byte into a sample.
//!
//! A few lines of arithmetic, which `tests/decode.rs` compares for all codes with what sox makes of
//! them.

/// What µ-law adds before it takes the logarithm, so that the segments meet.
const BIAS: i16 = 0x84;

/// A sample of 14 bits, on the scale of 16.
pub(super) fn mu_law(code: u8) -> i16 {
    let code = !code;
    let magnitude = (i16::from(code & 0x0f) << 3 | BIAS) << (code >> 4 & 7);
    if code & 0x80 == 0 {
        magnitude - BIAS
    } else {
        BIAS - magnitude
    }
}

/// A sample of 13 bits, on the scale of 16.
pub(super) fn a_law(code: u8) -> i16 {
    // Every other bit travels inverted, so that silence is no run of zeros.
    let code = code ^ 0x55;
    let steps = i16::from(code & 0x0f) << 4 | 8;
    let magnitude = match code >> 4 & 7 {
        0 => steps,
        segment => (steps | 0x100) << (segment - 1),
    };
    if code & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}
