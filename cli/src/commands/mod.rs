//! The commands, one file each.

mod bench;
mod cluster;
mod completions;
mod config;
mod consume;
mod dev;
mod group;
mod man;
mod produce;
mod topic;

use clap::Subcommand;

use crate::{args::Context, failure::Failure};

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, list, describe, change and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Write records to a topic, from arguments, standard input or files
    Produce(produce::ProduceArgs),
    /// Read records from topics, alone or in a consumer group
    Consume(consume::ConsumeArgs),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Describe the cluster, and move what its brokers have
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Describe and change configs of topics and brokers
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Measure throughput and latency
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Run brokers on this machine, to try things with
    Dev(dev::DevArgs),
    /// Print the completions for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a directory
    Man(man::ManArgs),
}

/// Runs a command.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Topic(command) => topic::run(context, command).await,
        Command::Produce(args) => produce::run(context, args).await,
        Command::Consume(args) => consume::run(context, args).await,
        Command::Group(command) => group::run(context, command).await,
        Command::Cluster(command) => cluster::run(context, command).await,
        Command::Config(command) => config::run(context, command).await,
        Command::Bench(command) => bench::run(context, command).await,
        Command::Dev(args) => dev::run(context, args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
