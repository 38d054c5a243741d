//! `fjord`, the command line of the Fjord message broker: a user of its gRPC API.
//!
//! Arguments ([`args`]) become a command ([`commands`]), which calls a broker through the client library and prints
//! ([`output`], [`mod@format`]) what came of it. A failure becomes one sentence and an exit code ([`failure`]).

mod args;
mod commands;
mod failure;
mod format;
mod interrupt;
mod output;
mod progress;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, error::ErrorKind};

use crate::{
    args::{Cli, Context},
    failure::{EXIT_USAGE, Failure},
    output::Output,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let as_json = cli.output == Output::Json;
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start the runtime: {error}")))
        .and_then(|runtime| {
            let context = Context::new(&cli);
            let outcome = runtime.block_on(commands::run(&context, cli.command));
            // A thread may still wait for standard input.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(as_json),
    }
}

/// Help and version go to standard output; what is wrong goes to standard error, as JSON if that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if !help && wants_json(std::env::args_os()) {
        let text = error.render().to_string();
        let message = text
            .strip_prefix("error: ")
            .unwrap_or(&text)
            .trim()
            .to_owned();
        return Failure::Usage(message).report(true);
    }
    // If nobody reads it, nobody misses it.
    let _ = error.print();
    if help {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_USAGE)
    }
}

/// Whether JSON was asked for, by arguments that could not be parsed.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut after_output = false;
    for argument in arguments {
        let joined = ["--output=json", "-o=json", "-ojson"];
        if joined.iter().any(|form| argument == *form) || (after_output && argument == "json") {
            return true;
        }
        after_output = argument == "--output" || argument == "-o";
    }
    false
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_found_in_arguments_that_are_wrong() {
        let wants = |line: &str| wants_json(line.split(' ').map(OsString::from));
        assert!(wants("fjord topic --output json nonsense"));
        assert!(wants("fjord --output=json"));
        assert!(wants("fjord -o json"));
        assert!(wants("fjord -ojson"));
        assert!(wants("fjord -o=json"));
        assert!(!wants("fjord produce json --output text"));
    }
}
