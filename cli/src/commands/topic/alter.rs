//! `fjord topic alter`.

use clap::{ArgGroup, Args};
use fjord_client::proto::AlterTopicRequest;
use serde_json::json;

use crate::{args::Context, commands::config::Changes, failure::Failure};

/// Give a topic more partitions, or other configs
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").args(["partitions", "set", "reset"]).required(true).multiple(true),
    after_help = "Example: fjord topic alter flights --partitions 12 --set retention.ms=3600000 --reset cleanup.policy"
)]
pub struct AlterArgs {
    /// The topic's name
    topic: String,
    /// How many partitions it is to have, no fewer than it has; the partitions of keys change with it
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    #[command(flatten)]
    changes: Changes,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: AlterArgs) -> Result<(), Failure> {
    let changes = &args.changes;
    let client = context.client().await?;
    let request = AlterTopicRequest {
        topic: args.topic.clone(),
        partitions: args.partitions.unwrap_or(0),
        set_configs: changes.set(),
        reset_configs: changes.reset.clone(),
        validate_only: changes.dry_run,
    };
    client.alter_topic(request).await?;
    context.output.print(
        || format!("topic {} {}\n", args.topic, changes.outcome()),
        || json!({"topic": args.topic, "altered": !changes.dry_run}),
    )
}
