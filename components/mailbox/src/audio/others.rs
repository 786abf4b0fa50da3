//! Audio that is not taken, known well enough to be called by its name in the answer.
//!
//! Two bytes in a row that could be the beginning of anything are not enough: what is named here is
//! also refused where it was declared as raw sound.

/// The name of what the bytes begin like, if it is anything that recorders and browsers send.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, mark: &[u8]| {
        bytes
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(mark))
    };
    if at(0, b"\x1a\x45\xdf\xa3") {
        Some("WebM or Matroska")
    } else if at(4, b"ftyp") {
        Some("MP4 or QuickTime")
    } else if at(0, b"#!AMR_MC1.0\n") || at(0, b"#!AMR-WB_MC1.0\n") {
        Some("AMR of several channels")
    } else if at(0, b"RF64") && at(8, b"WAVE") {
        Some("WAV of 64 bits (RF64)")
    } else if at(0, b"RIFX") && at(8, b"WAVE") {
        Some("big-endian WAV (RIFX)")
    } else if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        Some("AIFF")
    } else if at(0, b".snd\0\0\0") {
        Some("Sun audio (.au)")
    } else if at(0, b"caff\0\x01") {
        Some("Core Audio Format")
    } else if at(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") {
        Some("Windows Media Audio")
    } else if is_adts(bytes) {
        Some("AAC")
    } else {
        None
    }
}

/// Two frames of AAC in a row, each with the header of ADTS (ISO/IEC 14496-3, 1.A.3).
fn is_adts(bytes: &[u8]) -> bool {
    let length = |bytes: &[u8]| match bytes {
        [0xff, flags, _, c, d, e, _, ..] if flags & 0xf6 == 0xf0 => {
            Some(usize::from(c & 3) << 11 | usize::from(*d) << 3 | usize::from(e >> 5))
        }
        _ => None,
    };
    length(bytes)
        .filter(|first| *first > 7)
        .and_then(|first| length(bytes.get(first..)?))
        .is_some()
}
