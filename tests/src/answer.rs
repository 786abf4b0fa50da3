//! The head of an answer, read for no more than a load needs of it: what became of the request, and where the next answer
//! begins. A client library does more, and would be the bottleneck.

/// Bytes that are no answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAnAnswer(String);

impl std::fmt::Display for NotAnAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not an answer of known length: {}", self.0)
    }
}

impl std::error::Error for NotAnAnswer {}

/// What a load needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes of the head, with the empty line that ends it.
    pub head_bytes: usize,
    /// Bytes of the body that follows.
    pub body_bytes: usize,
    /// Whether it says when to come back.
    pub retry_after: bool,
    /// Whether the server closes the connection after it.
    pub closes: bool,
}

impl Head {
    /// Reads what has come of an answer; nothing, while the head is not complete.
    ///
    /// # Errors
    ///
    /// Where it is not HTTP/1.1, or the length of its body is not told by `Content-Length`.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NotAnAnswer> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head_bytes = end + 4;
        let text = String::from_utf8_lossy(&bytes[..end]);
        let refused = || NotAnAnswer(text.to_string());
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(refused)?;
        let (mut body_bytes, mut retry_after, mut closes) = (None, false, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let (is, value) = (|other| name.eq_ignore_ascii_case(other), value.trim());
            if is("content-length") {
                body_bytes = value.parse().ok();
            } else if is("retry-after") {
                retry_after = true;
            } else if is("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        if matches!(status, 204 | 304) {
            body_bytes = Some(0);
        }
        Ok(Some(Self {
            status,
            head_bytes,
            body_bytes: body_bytes.ok_or_else(refused)?,
            retry_after,
            closes,
        }))
    }

    /// Whether the request was served.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the server was too busy for it (RFC 9110, section 15.6.4).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status == 503
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Head {
        let whole = Head::parse(head.as_bytes()).expect("an answer");
        whole.expect("a whole head")
    }

    #[test]
    fn a_head_tells_where_the_next_answer_begins() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 20\r\n\r\n";
        let found = parsed(&format!("{head}Hello"));
        assert_eq!((found.head_bytes, found.body_bytes), (head.len(), 20));
        assert!(found.is_success() && !found.is_refusal());
        assert!(!found.closes && !found.retry_after);
    }

    #[test]
    fn a_refusal_may_say_when_to_come_back_and_that_it_closes() {
        let found = parsed(
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nConnection: close\r\ncontent-length: 0\r\n\r\n",
        );
        assert!(found.is_refusal() && !found.is_success());
        assert!(found.retry_after && found.closes);
        let silent = parsed("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
        assert!(silent.is_refusal() && !silent.retry_after);
    }

    #[test]
    fn half_a_head_is_waited_for() {
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r";
        assert_eq!(Head::parse(half), Ok(None));
    }

    #[test]
    fn an_answer_without_a_body_needs_no_length() {
        assert_eq!(parsed("HTTP/1.1 204 No Content\r\n\r\n").body_bytes, 0);
    }

    #[test]
    fn an_answer_of_unknown_length_is_refused() {
        for head in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(Head::parse(head.as_bytes()).is_err(), "{head}");
        }
    }
}
