//! Structured logs on standard error.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// How a log event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people, coloured on a terminal.
    #[default]
    Text,
    /// A JSON object on a line, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(name: &str) -> Result<Self, LogError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LogError::Format(name.to_owned())),
        }
    }
}

/// Why logs could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// Neither `text` nor `json`.
    #[error("`{0}` is not a log format; use `text` or `json`")]
    Format(String),
    /// The filter does not follow the syntax of `tracing_subscriber::EnvFilter`.
    #[error(
        "the log filter `{filter}` cannot be understood; `info` or `starling=debug,info` would do"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logs have been set up before in this process.
    #[error("logs are already set up")]
    Installed(#[from] TryInitError),
}

/// Sends the events of this process that pass `filter` to standard error.
///
/// # Errors
/// When the filter cannot be understood, or logs were set up before.
pub fn install_logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let env_filter = EnvFilter::try_new(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // Who reads the log may go away; the default would then panic at each line.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_name() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert!(
            "yaml"
                .parse::<LogFormat>()
                .unwrap_err()
                .to_string()
                .contains("`yaml`")
        );
    }

    #[test]
    fn a_filter_that_cannot_be_understood_is_named() {
        let error = install_logs(LogFormat::Text, "a=b=c").unwrap_err();
        assert!(error.to_string().contains("a=b=c"));
    }
}
