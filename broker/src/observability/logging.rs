//! Structured logs to standard error, as text or as one JSON object per line.

use std::io::IsTerminal;

use crate::config::LogFormat;
use thiserror::Error;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, prelude::*};

/// Logging could not be set up.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The filter cannot be understood.
    #[error(
        "invalid log filter {filter:?}: {source}; use a level, such as info, or directives, such as info,fjord_log=debug"
    )]
    Filter {
        /// The filter as it was configured.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logging was set up before.
    #[error("logging is set up already")]
    AlreadySet,
}

/// Libraries whose ordinary steps say nothing to an operator; a directive of the filter can bring them back.
const QUIET: &str = "fjall=warn,lsm_tree=warn,openraft=error";

/// Sets up logging for the whole process. `filter` is a level, or directives per module in the
/// syntax of `tracing_subscriber::EnvFilter` (`info,fjord_log=debug`).
///
/// # Errors
///
/// [`LoggingError`] if the filter cannot be understood, or if it is called a second time.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    let parsed = EnvFilter::builder()
        .parse(format!("{QUIET},{filter}"))
        .map_err(|source| LoggingError::Filter {
            filter: filter.to_owned(),
            source,
        })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(parsed)
        .with(lines)
        .try_init()
        .map_err(|_| LoggingError::AlreadySet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_makes_no_sense_is_named() {
        let error = init(LogFormat::Json, "loud=very").unwrap_err();
        assert!(error.to_string().contains("\"loud=very\""), "{error}");
    }
}
