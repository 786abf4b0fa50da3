//! Which request this is: the trace that the caller, or the host, began (W3C Trace Context).

use http::HeaderMap;

use crate::platform::Platform;

/// What the `instance` of every problem begins with; the trace id follows.
pub const TRACE_URN_PREFIX: &str = "urn:starling:trace:";

/// The trace id of a request, as 32 hexadecimal digits: that of its `traceparent`, or a new one where
/// there is none that can be read.
pub(crate) fn id(platform: &impl Platform, headers: &HeaderMap) -> String {
    let given = headers.get("traceparent").and_then(|it| it.to_str().ok());
    match given.and_then(trace_id) {
        Some(id) => id.to_owned(),
        None => format!("{:032x}", u128::from_be_bytes(platform.random_bits()) | 1),
    }
}

/// Reads `version "-" trace-id "-" parent-id "-" flags`; later versions may have more behind.
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.split('-');
    let (version, trace, parent, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && [trace, parent]
            .iter()
            .all(|id| id.bytes().any(|c| c != b'0'))
        && (version != "00" || fields.next().is_none());
    valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn trace_id_is_read_from_a_valid_header_alone() {
        for (header, valid) in [
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                true,
            ),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
                true,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
                false,
            ),
            (
                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                false,
            ),
            (
                "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                false,
            ),
            (
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                false,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                false,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(trace_id(header), valid.then_some(TRACE), "{header}");
        }
    }
}
