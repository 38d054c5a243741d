//! `fjord topic create`.

use clap::Args;
use fjord_client::proto::CreateTopicRequest;
use serde_json::json;

use super::listed_json;
use crate::{args::Context, failure::Failure, format::pairs::parse_pair};

/// Make a topic
#[derive(Debug, Args)]
#[command(
    after_help = "Example: fjord topic create flights --partitions 6 --config retention.ms=604800000"
)]
pub struct CreateArgs {
    /// The topic's name
    topic: String,
    /// How many partitions; what the broker's num.partitions says if not given
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many replicas each has; what the broker's default.replication.factor says if not given
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    replication_factor: Option<i32>,
    /// A config that is not to be the default; may be given more than once
    #[arg(long = "config", short, value_name = "NAME=VALUE", value_parser = parse_pair)]
    configs: Vec<(String, String)>,
    /// Succeed if there is a topic of this name already, whatever it is like
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether it could be made
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: CreateArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = CreateTopicRequest {
        topic: args.topic.clone(),
        partitions: args.partitions.unwrap_or(0),
        replication_factor: args.replication_factor.unwrap_or(0),
        configs: args.configs.into_iter().collect(),
        validate_only: args.dry_run,
    };
    let topic = match client.create_topic(request).await {
        Ok(response) => response.topic.unwrap_or_default(),
        Err(error) if args.if_not_exists && error.reason() == "TOPIC_ALREADY_EXISTS" => {
            return context.output.print(
                || format!("topic {} is there already\n", args.topic),
                || json!({"topic": args.topic, "created": false}),
            );
        }
        Err(error) => return Err(error.into()),
    };
    let would = if args.dry_run {
        "would be created"
    } else {
        "created"
    };
    context.output.print(
        || {
            format!(
                "topic {} {would}: {} partitions, {} replicas each\n",
                args.topic, topic.partitions, topic.replication_factor
            )
        },
        || {
            let mut value = listed_json(&topic);
            value["created"] = json!(!args.dry_run);
            value
        },
    )
}
