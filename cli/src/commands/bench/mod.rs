//! `fjord bench`.

mod consume;
mod end_to_end;
mod load;
mod measured;
mod produce;
mod topic;

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::{
    args::Context,
    failure::Failure,
    format::{duration::parse_duration, pacer::parse_rate},
};

/// Measure throughput and latency
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How fast records are written, and how long each takes to be acknowledged
    Produce(produce::ProduceArgs),
    /// How fast records are read
    Consume(consume::ConsumeArgs),
    /// How long records take from being sent to being received
    EndToEnd(end_to_end::EndToEndArgs),
}

/// What is sent, and how much of it.
#[derive(Debug, Clone, Args)]
struct LoadArgs {
    /// The topic; one of its own that is deleted afterwards if not given
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// How many partitions the topic has if it is not there yet
    #[arg(long, default_value_t = 6, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Bytes of each value; they are random, so that they cannot be compressed
    #[arg(long, short = 's', default_value_t = 1024, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    record_size: u32,
    /// How many records; without end if a time is given
    #[arg(long, short = 'n', value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How long, such as 30s; 10s if no number of records is given
    #[arg(long, short = 'd', value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Records a second in all; as many as possible if not given. Latencies then count from when a record was due, not
    /// from when it was sent, so that a stall is not left out
    #[arg(long, short, value_name = "RECORDS", value_parser = parse_rate)]
    rate: Option<f64>,
}

impl LoadArgs {
    /// How long, at most.
    fn limit(&self) -> Duration {
        const USUAL: Duration = Duration::from_secs(10);
        const ENDLESS: Duration = Duration::from_secs(1 << 32);
        let usual = if self.count.is_some() { ENDLESS } else { USUAL };
        self.duration.unwrap_or(usual)
    }
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Produce(args) => produce::run(context, args).await,
        BenchCommand::Consume(args) => consume::run(context, args).await,
        BenchCommand::EndToEnd(args) => end_to_end::run(context, args).await,
    }
}
