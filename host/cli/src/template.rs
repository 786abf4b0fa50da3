//! Values with `{{ variable }}` in them, as Spin manifests have them. Pure.

use std::collections::BTreeMap;

use thiserror::Error;

/// Why a template cannot be filled in.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// `{{` without `}}`.
    #[error("`{0}` opens `{{{{` and does not close it with `}}}}`")]
    Unclosed(String),
    /// A variable that the application does not declare.
    #[error("`{template}` names the variable `{name}`, which is not declared under [variables]")]
    Undeclared {
        /// The whole template.
        template: String,
        /// The name in it.
        name: String,
    },
}

/// Replaces each `{{ name }}` in `template` by the variable's value.
///
/// # Errors
/// When a `{{` is not closed, or a name is not among `variables`.
pub(crate) fn expand(
    template: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, TemplateError> {
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((text, from_name)) = rest.split_once("{{") {
        let (name, after) = from_name
            .split_once("}}")
            .ok_or_else(|| TemplateError::Unclosed(template.to_owned()))?;
        let name = name.trim();
        let value = variables
            .get(name)
            .ok_or_else(|| TemplateError::Undeclared {
                template: template.to_owned(),
                name: name.to_owned(),
            })?;
        expanded.push_str(text);
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Result<&str, TemplateError>) {
        let variables = [
            ("host", "example.com"),
            ("port", "80"),
            ("braces", "{{ host }}"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        assert_eq!(
            expand(template, &variables),
            expected.map(str::to_owned),
            "{template}"
        );
    }

    #[test]
    fn names_are_replaced_by_values() {
        check("plain", Ok("plain"));
        check("{{ host }}", Ok("example.com"));
        check("http://{{host}}:{{ port }}/", Ok("http://example.com:80/"));
        check("{ {} }", Ok("{ {} }"));
    }

    #[test]
    fn values_are_not_read_as_templates() {
        check("{{ braces }}", Ok("{{ host }}"));
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        check("{{ host", Err(TemplateError::Unclosed("{{ host".into())));
        check(
            "{{ gone }}",
            Err(TemplateError::Undeclared {
                template: "{{ gone }}".into(),
                name: "gone".into(),
            }),
        );
    }
}
