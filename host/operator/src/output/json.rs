//! JSON text, laid out anew. Members keep their order and numbers their digits, which reading and writing would not do.

/// Spaces of a level.
const INDENT: usize = 2;

/// Valid JSON on one line, and a newline.
pub(super) fn on_a_line(json: &str) -> String {
    let mut text: String = tokens(json).collect();
    text.push('\n');
    text
}

/// Valid JSON, a member or element a line, and a newline.
pub(super) fn indented(json: &str) -> String {
    let mut text = String::new();
    let mut depth = 0;
    let mut before = "";
    for token in tokens(json) {
        let opened = matches!(before, "{" | "[");
        if matches!(token, "}" | "]") {
            depth -= 1;
            if !opened {
                new_line(&mut text, depth);
            }
        } else if opened || before == "," {
            new_line(&mut text, depth);
        }
        text.push_str(token);
        match token {
            "{" | "[" => depth += 1,
            ":" => text.push(' '),
            _ => {}
        }
        before = token;
    }
    text.push('\n');
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', depth * INDENT));
}

/// The tokens of valid JSON: strings, brackets, signs and words.
fn tokens(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let length = match rest.bytes().next()? {
            b'"' => string_length(rest),
            b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
            _ => rest
                .find(|c: char| c.is_ascii_whitespace() || "{}[]:,\"".contains(c))
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

/// How long the string is that `json` begins with, with its quotes.
fn string_length(json: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str =
        r#" {"b" :1.50,"a":[ {}, [],null,"x: {\"y\\" ],"c":{"d":true} , "é":-1e400 } "#;

    #[test]
    fn a_line_has_everything_in_its_order() {
        assert_eq!(
            on_a_line(JSON),
            "{\"b\":1.50,\"a\":[{},[],null,\"x: {\\\"y\\\\\"],\"c\":{\"d\":true},\"é\":-1e400}\n"
        );
    }

    #[test]
    fn members_are_lines_of_their_own() {
        let expected = r#"{
  "b": 1.50,
  "a": [
    {},
    [],
    null,
    "x: {\"y\\"
  ],
  "c": {
    "d": true
  },
  "é": -1e400
}
"#;
        assert_eq!(indented(JSON), expected);
        assert_eq!(indented(expected), expected);
        assert_eq!(on_a_line(&indented(JSON)), on_a_line(JSON));
    }
}
