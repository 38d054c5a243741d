//! The binary `fjord-operator`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use fjord_operator::api::crds;

/// The Kubernetes operator of the Fjord message broker.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the definitions of the custom resources.
    Crds {
        /// The directory to write them to.
        #[arg(long, default_value = "crds")]
        dir: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crds { dir } => {
            std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
            for (name, content) in crds::files()? {
                let path = dir.join(name);
                std::fs::write(&path, content).with_context(|| path.display().to_string())?;
            }
            Ok(())
        }
    }
}
