//! `fjord topic list`.

use clap::Args;
use fjord_client::proto::ListTopicsRequest;
use serde_json::Value;

use super::listed_json;
use crate::{args::Context, failure::Failure, format::table::Table};

/// List the topics
#[derive(Debug, Args)]
pub struct ListArgs {
    /// With the topics that brokers keep their own state in
    #[arg(long)]
    internal: bool,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = ListTopicsRequest {
        include_internal: args.internal,
    };
    let topics = client.list_topics(request).await?.topics;
    let table = || {
        let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICAS", "ID"]).right([1, 2]);
        for topic in &topics {
            table.row([
                topic.topic.clone(),
                topic.partitions.to_string(),
                topic.replication_factor.to_string(),
                topic.topic_id.clone(),
            ]);
        }
        table
    };
    let json = || Value::Array(topics.iter().map(listed_json).collect());
    context.output.table(table, json)
}
