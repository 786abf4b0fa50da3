//! The trace that a request belongs to (W3C Trace Context, version 00): the one that its client names, or a new one.
//!
//! Each request on its way to a component is a span of its trace, with an id of its own. The ids are random and not
//! secret.

use std::cell::RefCell;
use std::fmt::{self, Write};

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of `00-<trace id>-<span id>-<flags>`.
const TRACEPARENT_BYTES: usize = 55;

/// `sampled` and `random`. Whoever passes a trace on clears the flags that have no meaning yet.
const FLAGS: u8 = 0b11;

/// Random bytes fetched from the system at a time: enough for some 170 spans.
const POOL_BYTES: usize = 4096;

/// The trace of one request, and the span that the request is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    id: TraceId,
    span: SpanId,
    flags: u8,
    /// The client named the trace.
    continued: bool,
}

/// Names a trace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceId(u128);

/// Names one span of a trace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanId(u64);

impl Trace {
    /// The next span of the trace that these headers name. One that they name wrongly, or twice, is as good as none.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut named = headers.get_all(TRACEPARENT).iter();
        let (Some(parent), None) = (named.next(), named.next()) else {
            return Self::begin();
        };
        match parse(parent.as_bytes()) {
            Some((id, flags)) => Self {
                id,
                span: SpanId::random(),
                flags: flags & FLAGS,
                continued: true,
            },
            None => Self::begin(),
        }
    }

    /// The first span of a new trace.
    pub(crate) fn begin() -> Self {
        Self {
            id: TraceId(u128::from_ne_bytes(random()).max(1)),
            span: SpanId::random(),
            flags: 0,
            continued: false,
        }
    }

    pub(crate) fn id(&self) -> TraceId {
        self.id
    }

    pub(crate) fn span(&self) -> SpanId {
        self.span
    }

    /// Names this span as the parent of whatever is done for a request with these headers.
    pub(crate) fn pass_on(&self, headers: &mut HeaderMap) {
        let mut text = String::with_capacity(TRACEPARENT_BYTES);
        let _ = write!(text, "00-{}-{}-{:02x}", self.id, self.span, self.flags);
        let value = HeaderValue::try_from(text).expect("digits and dashes fit into a header");
        headers.insert(TRACEPARENT, value);
        if !self.continued {
            // It belongs to a trace that nobody follows any further.
            headers.remove(TRACESTATE);
        }
    }
}

impl SpanId {
    fn random() -> Self {
        Self(u64::from_ne_bytes(random()).max(1))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Trace id and flags of a `traceparent`.
fn parse(value: &[u8]) -> Option<(TraceId, u8)> {
    let text = str::from_utf8(value).ok()?;
    let mut fields = text.split('-');
    let mut hex = |digits: usize| {
        let field = fields.next()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if field.len() != digits || !field.bytes().all(is_hex) {
            return None;
        }
        u128::from_str_radix(field, 16).ok()
    };
    let (version, id, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let valid = version == 0 && id != 0 && parent != 0 && fields.next().is_none();
    valid.then_some((TraceId(id), u8::try_from(flags).ok()?))
}

/// Random bytes, of which each event loop has a pool: asking the system for each span would cost more than the rest
/// of this file.
fn random<const BYTES: usize>() -> [u8; BYTES] {
    struct Pool {
        bytes: [u8; POOL_BYTES],
        used: usize,
    }
    thread_local! {
        static POOL: RefCell<Pool> = const {
            RefCell::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES })
        };
    }
    POOL.with_borrow_mut(|pool| {
        if pool.used + BYTES > POOL_BYTES {
            getrandom::fill(&mut pool.bytes).expect("the system has random bytes");
            pool.used = 0;
        }
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&pool.bytes[pool.used..pool.used + BYTES]);
        pool.used += BYTES;
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(traceparents: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for traceparent in traceparents {
            headers.append(TRACEPARENT, traceparent.parse().unwrap());
        }
        headers.insert(TRACESTATE, "vendor=1".parse().unwrap());
        headers
    }

    /// What a component gets of these, field by field.
    fn passed_on(headers: &mut HeaderMap) -> Vec<String> {
        Trace::of(headers).pass_on(headers);
        let value = headers[TRACEPARENT].to_str().unwrap();
        assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
        assert_eq!(value.len(), TRACEPARENT_BYTES, "{value}");
        assert!(parse(value.as_bytes()).is_some(), "{value}");
        value.split('-').map(str::to_owned).collect()
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_its_own() {
        let mut headers = headers(&[GIVEN]);
        let fields = passed_on(&mut headers);
        assert_eq!(fields[1], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(fields[2], "00f067aa0ba902b7");
        assert_eq!(fields[3], "01");
        assert_eq!(headers[TRACESTATE], "vendor=1");
    }

    #[test]
    fn flags_without_a_meaning_are_cleared() {
        let given = GIVEN.replace("-01", "-ff");
        assert_eq!(passed_on(&mut headers(&[&given]))[3], "03");
    }

    #[test]
    fn what_names_no_trace_begins_one() {
        let wrong = [
            "",
            "00",
            &GIVEN.to_uppercase(),
            &GIVEN.replace("00-4", "01-4"),
            &GIVEN.replace("00-4", "ff-4"),
            &GIVEN.replace('4', "g"),
            &GIVEN.replacen("4b", "+b", 1),
            &GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GIVEN[..54],
            &format!("{GIVEN}-00"),
            &format!("{GIVEN} "),
        ];
        for given in wrong {
            let mut headers = headers(&[given]);
            let fields = passed_on(&mut headers);
            assert!(!given.contains(&fields[1]), "{given}");
            assert_eq!(fields[3], "00", "{given}");
            assert_eq!(headers.get(TRACESTATE), None, "{given}");
        }
        for several in [&[][..], &[GIVEN, GIVEN]] {
            assert!(!GIVEN.contains(&passed_on(&mut headers(several))[1]));
        }
    }

    #[test]
    fn each_trace_and_each_span_has_an_id_of_its_own() {
        let traces: Vec<Trace> = (0..300).map(|_| Trace::begin()).collect();
        for (index, trace) in traces.iter().enumerate() {
            for earlier in &traces[..index] {
                assert_ne!(trace.id, earlier.id);
                assert_ne!(trace.span, earlier.span);
            }
        }
    }
}
