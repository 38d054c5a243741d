//! The binary `fjord-operator`.

use clap::Parser;

/// The Kubernetes operator of the Fjord message broker.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {}

fn main() {
    Arguments::parse();
}
