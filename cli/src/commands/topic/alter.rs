//! `fjord topic alter`.

use clap::Args;
use fjord_client::proto::AlterTopicRequest;
use serde_json::json;

use super::configs;
use crate::{args::Context, failure::Failure, format::pairs::parse_pair};

/// Give a topic more partitions, or other configs
#[derive(Debug, Args)]
#[command(
    after_help = "Example: fjord topic alter flights --partitions 12 --set retention.ms=3600000 --reset cleanup.policy"
)]
pub struct AlterArgs {
    /// The topic's name
    topic: String,
    /// How many partitions it is to have, no fewer than it has; the partitions of keys change with it
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..),
          required_unless_present_any = ["set", "reset"])]
    partitions: Option<i32>,
    /// A config to set; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
    /// A config to set back to what the broker's configs say; may be given more than once
    #[arg(long, value_name = "NAME")]
    reset: Vec<String>,
    /// Only check whether it could be changed
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: AlterArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = AlterTopicRequest {
        topic: args.topic.clone(),
        partitions: args.partitions.unwrap_or(0),
        set_configs: configs(args.set),
        reset_configs: args.reset,
        validate_only: args.dry_run,
    };
    client.alter_topic(request).await?;
    let would = if args.dry_run {
        "could be changed"
    } else {
        "changed"
    };
    context.output.print(
        || format!("topic {} {would}\n", args.topic),
        || json!({"topic": args.topic, "altered": !args.dry_run}),
    )
}
