//! The query of a request, parameter by parameter: an unknown one is refused by its name rather than
//! ignored, for who sends it believes that it does something.

use std::fmt::Display;
use std::str::FromStr;

use crate::problem::Problem;
use crate::time;

/// The parameters of a query.
pub(crate) struct Query;

impl Query {
    /// Name and value of each, decoded.
    pub(crate) fn of(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
        form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
    }
}

/// A value that is parsed.
pub(crate) fn parsed<T>(name: &str, value: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    value
        .parse()
        .map_err(|error: T::Err| invalid(name, error.to_string()))
}

/// A number from 1 to `max`.
pub(crate) fn within(name: &str, value: &str, max: usize) -> Result<usize, Problem> {
    let number = value.parse().ok();
    number
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| invalid(name, format!("it is no whole number from 1 to {max}")))
}

/// A time, in milliseconds since the Unix epoch, UTC.
pub(crate) fn time_ms(name: &str, value: &str) -> Result<u64, Problem> {
    time::parse(value).ok_or_else(|| {
        let detail = "it is no RFC 3339 time, such as 2026-01-31T09:30:00Z";
        invalid(name, detail.into())
    })
}

/// `true` or `false`.
pub(crate) fn boolean(name: &str, value: &str) -> Result<bool, Problem> {
    value
        .parse()
        .map_err(|_| invalid(name, "it is neither true nor false".into()))
}

/// What is wrong with a parameter.
pub(crate) fn invalid(name: &str, detail: String) -> Problem {
    Problem::ParameterInvalid {
        parameter: name.to_owned(),
        detail,
    }
}

/// A parameter that is not known.
pub(crate) fn unknown(name: &str, known: &str) -> Problem {
    invalid(
        name,
        format!("it is not known; those that are known are {known}"),
    )
}
