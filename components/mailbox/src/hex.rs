//! Lower-case hexadecimal, the one textual form of ids, digests and cursors.
//!
//! Strict on the way in: upper case and odd lengths are refused, so that a value has exactly one
//! spelling.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes two digits for each byte.
pub(crate) fn write<const N: usize>(f: &mut fmt::Formatter<'_>, bytes: &[u8; N]) -> fmt::Result {
    let pairs = bytes.map(|byte| {
        [
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]
    });
    // All of it at once: a formatter that is written to digit by digit takes ten times as long.
    f.write_str(std::str::from_utf8(pairs.as_flattened()).unwrap_or_default())
}

/// Reads exactly `N` bytes; `None` for any other length or character.
pub(crate) fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}
