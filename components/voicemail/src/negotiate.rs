//! Content negotiation: what a client takes (`Accept`) and what it says it sent (`Content-Type`).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use mediatype::{MediaType, MediaTypeList, ReadParams};

use crate::problem::Problem;

/// The one value of a header; `None` if it is absent or empty.
///
/// Text is UTF-8, which is what clients send that send more than ASCII at all.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let invalid = |detail: &str| Problem::HeaderInvalid {
        header: name.to_owned(),
        detail: detail.to_owned(),
    };
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("it is given more than once"));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid("it is not UTF-8"))?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

/// Whether the client takes one of `offered`, names of one and the same media type (RFC 9110,
/// section 12.5.1).
///
/// No `Accept` takes anything, and so does one that cannot be read: refusing to answer helps nobody
/// then.
pub(crate) fn accepts(headers: &HeaderMap, offered: &[&str]) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(MediaTypeList::new)
        .flatten()
        .peekable();
    if ranges.peek().is_none() {
        return true;
    }
    let ranges: Vec<_> = ranges.collect();
    offered.iter().any(|name| {
        // The most specific range that matches decides; its weight says whether.
        let best = ranges
            .iter()
            .filter_map(|range| Some((specificity(range, name)?, weight(range))));
        best.max_by_key(|(specificity, _)| *specificity)
            .is_some_and(|(_, weight)| weight > 0.0)
    })
}

/// Whether the client asks for this very media type by name, and not for whatever there is.
pub(crate) fn names(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(MediaTypeList::new)
        .flatten()
        .any(|range| specificity(&range, name) == Some(2) && weight(&range) > 0.0)
}

/// How closely a range names a media type: 0 for `*/*`, 1 for `audio/*`, 2 for itself; `None` if
/// not at all.
fn specificity(range: &MediaType<'_>, name: &str) -> Option<u8> {
    let (main, sub) = name.split_once('/')?;
    if range.ty == "*" && range.subty == "*" {
        Some(0)
    } else if !range.ty.as_str().eq_ignore_ascii_case(main) {
        None
    } else if range.subty == "*" {
        Some(1)
    } else {
        essence(range)
            .eq_ignore_ascii_case(&format!("{main}/{sub}"))
            .then_some(2)
    }
}

fn weight(range: &MediaType<'_>) -> f32 {
    mediatype::Name::new("q")
        .and_then(|q| range.get_param(q))
        .map_or(1.0, |q| q.as_str().parse().unwrap_or(0.0))
}

/// What the client says it sent: the media type without its parameters, in lower case; `None` if it
/// does not say.
pub(crate) fn declared_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = single(headers, CONTENT_TYPE.as_str())? else {
        return Ok(None);
    };
    let parsed = MediaType::parse(text).map_err(|error| Problem::HeaderInvalid {
        header: CONTENT_TYPE.to_string(),
        detail: format!("it is no media type: {error}"),
    })?;
    Ok(Some(essence(&parsed)))
}

fn essence(media_type: &MediaType<'_>) -> String {
    let mut text = format!("{}/{}", media_type.ty, media_type.subty);
    if let Some(suffix) = media_type.suffix {
        text.push('+');
        text.push_str(suffix.as_str());
    }
    text.make_ascii_lowercase();
    text
}
