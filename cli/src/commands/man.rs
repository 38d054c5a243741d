//! `fjord man`: the manual, a page for each command.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::{args::Cli, failure::Failure};

/// Write the manual pages into a directory
#[derive(Debug, Args)]
#[command(after_help = "Example: fjord man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The directory; it is made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Runs it.
///
/// # Errors
///
/// If the files cannot be written.
pub fn run(args: &ManArgs) -> Result<(), Failure> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| Failure::File {
            what: format!("cannot write manual pages to {}", directory.display()),
            error,
        })
}
