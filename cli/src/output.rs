//! What goes to standard output: text for people or JSON for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

use crate::{failure::Failure, format::table::Table};

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Text,
    /// JSON for programs: one document, or one a line where there are many records.
    Json,
}

impl Output {
    /// Prints the one or the other.
    ///
    /// # Errors
    ///
    /// If standard output does not take it.
    pub fn print(
        self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let printed = match self {
            Self::Text => text(),
            Self::Json => format!("{}\n", json()),
        };
        write_out(printed.as_bytes())
    }

    /// Prints a table, or the JSON.
    ///
    /// # Errors
    ///
    /// If standard output does not take it.
    pub fn table(
        self,
        table: impl FnOnce() -> Table,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        self.print(|| table().to_string(), json)
    }
}

/// Writes to standard output, all of it, at once.
///
/// # Errors
///
/// If standard output does not take it.
pub fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(Failure::Output)
}
