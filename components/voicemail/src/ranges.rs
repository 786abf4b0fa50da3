//! Conditional and partial requests for audio (RFC 9110, sections 13 and 14).
//!
//! The audio of a message never changes, so its entity tag, the SHA-256, is strong, and there is no
//! date to compare.

use std::ops::Range;

use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method};

/// What a request for audio is to be answered with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Selection {
    /// 304: the client has it.
    NotModified,
    /// 200: all of it.
    Whole,
    /// 206: these bytes of it, at least one.
    Part(Range<u64>),
    /// 416: no byte that was asked for exists.
    Unsatisfiable,
}

/// Decides by the headers of a GET or HEAD; `etag` includes its quotes, `size` is at least 1.
pub(crate) fn select(method: &Method, headers: &HeaderMap, etag: &str, size: u64) -> Selection {
    if headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|value| names(value, etag))
    {
        return Selection::NotModified;
    }
    // Ranges are defined for GET alone (section 14.2).
    if *method != Method::GET || !range_still_applies(headers, etag) {
        return Selection::Whole;
    }
    let mut values = headers.get_all(RANGE).iter();
    match (
        values.next().and_then(|value| value.to_str().ok()),
        values.next(),
    ) {
        (Some(value), None) => part(value, size),
        _ => Selection::Whole,
    }
}

/// `If-None-Match`: any, or a list of tags, in which weak ones count as well (section 13.1.2).
///
/// A digest contains no comma, so a tag that is cut by splitting was none of ours.
fn names(value: &HeaderValue, etag: &str) -> bool {
    value.to_str().is_ok_and(|list| {
        let mut tags = list.split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    })
}

/// `If-Range` is compared strongly (section 13.1.5); a date never matches, since no date was ever
/// given.
fn range_still_applies(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get(IF_RANGE)
        .is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

/// One range is given as a part. Several, another unit or what cannot be read may be ignored
/// (section 14.2), and then the whole is the answer.
fn part(value: &str, size: u64) -> Selection {
    let Ok(ranges) = http_range_header::parse_range_header(value) else {
        return Selection::Whole;
    };
    if ranges.len() != 1 {
        return Selection::Whole;
    }
    match ranges
        .validate(size)
        .ok()
        .and_then(|ranges| ranges.into_iter().next())
    {
        Some(range) => Selection::Part(*range.start()..range.end().saturating_add(1)),
        None => Selection::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[track_caller]
    fn check(pairs: &[(http::HeaderName, &'static str)], expected: Selection) {
        assert_eq!(
            select(&Method::GET, &headers(pairs), ETAG, 100),
            expected,
            "{pairs:?}"
        );
    }

    #[test]
    fn one_range_is_a_part() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-49", 0..50),
            ("bytes=50-", 50..100),
            ("bytes=-1", 99..100),
            ("bytes=-500", 0..100),
            ("bytes=90-500", 90..100),
            ("bytes=99-99", 99..100),
            ("bytes=0-18446744073709551615", 0..100),
        ] {
            check(&[(RANGE, range)], Selection::Part(expected));
        }
    }

    #[test]
    fn range_beyond_the_end_is_unsatisfiable() {
        for range in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            check(&[(RANGE, range)], Selection::Unsatisfiable);
        }
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for range in [
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=5",
            "bytes=9-5",
            "items=0-5",
            "bytes=0-1,5-6",
            "bytes=0-1, 5-6",
            "",
        ] {
            check(&[(RANGE, range)], Selection::Whole);
        }
        check(
            &[(RANGE, "bytes=0-1"), (RANGE, "bytes=5-6")],
            Selection::Whole,
        );
    }

    #[test]
    fn head_takes_no_range() {
        let headers = headers(&[(RANGE, "bytes=0-0")]);
        assert_eq!(select(&Method::HEAD, &headers, ETAG, 100), Selection::Whole);
    }

    #[test]
    fn range_applies_only_to_the_audio_it_was_meant_for() {
        for (tag, expected) in [
            (ETAG, Selection::Part(0..1)),
            ("\"other\"", Selection::Whole),
            ("W/\"abc\"", Selection::Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Selection::Whole),
        ] {
            check(&[(RANGE, "bytes=0-0"), (IF_RANGE, tag)], expected);
        }
    }

    #[test]
    fn known_tag_is_not_modified_before_any_range() {
        for tags in [ETAG, "*", "W/\"abc\"", "\"x\", \"abc\"", "\"x\",W/\"abc\""] {
            check(
                &[(IF_NONE_MATCH, tags), (RANGE, "bytes=0-0")],
                Selection::NotModified,
            );
        }
        check(
            &[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, ETAG)],
            Selection::NotModified,
        );
        for tags in ["\"x\"", "abc", "", "\"ab"] {
            check(&[(IF_NONE_MATCH, tags)], Selection::Whole);
        }
    }
}
