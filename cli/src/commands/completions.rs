//! `fjord completions`: what a shell needs to complete commands and arguments.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{args::Cli, failure::Failure, output::write_out};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example: fjord completions bash > /etc/bash_completion.d/fjord")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs it.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fjord", &mut script);
    write_out(&script)
}
