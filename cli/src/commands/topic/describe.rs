//! `fjord topic describe`.

use clap::Args;
use fjord_client::proto::{ConfigSource, DescribeTopicRequest, DescribeTopicResponse};
use serde_json::{Value, json};

use super::listed_json;
use crate::{
    args::Context,
    commands::config::{config_json, source_name},
    failure::Failure,
    format::{
        size::{grouped, human_bytes},
        table::Table,
    },
};

/// Describe topics: their partitions, where they are, what is in them, and their configs
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// The topics' names
    #[arg(required = true)]
    topics: Vec<String>,
    /// With the configs that are as the broker has them
    #[arg(long)]
    all_configs: bool,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: DescribeArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut topics = Vec::new();
    for topic in args.topics {
        topics.push(
            client
                .describe_topic(DescribeTopicRequest { topic })
                .await?,
        );
    }
    for topic in &mut topics {
        topic
            .configs
            .retain(|config| args.all_configs || config.source() == ConfigSource::Topic);
    }
    let text = || {
        let each: Vec<String> = topics.iter().map(to_text).collect();
        each.join("\n")
    };
    let json = || Value::Array(topics.iter().map(to_json).collect());
    context.output.print(text, json)
}

fn to_text(topic: &DescribeTopicResponse) -> String {
    let short = topic.topic.clone().unwrap_or_default();
    let mut text = format!(
        "topic       {}\nid          {}\n",
        short.topic, short.topic_id
    );
    let records: i64 = topic
        .partitions
        .iter()
        .map(|partition| partition.high_watermark - partition.log_start_offset)
        .sum();
    let bytes: i64 = topic
        .partitions
        .iter()
        .map(|partition| partition.size_bytes)
        .sum();
    // Gaps in the offsets count too, so this is the most that there can be.
    let records = grouped(u64::try_from(records).unwrap_or(0));
    text += &format!("records     at most {records}, {}\n", human_bytes(bytes));
    for config in &topic.configs {
        let value = config.value.as_deref().unwrap_or("(not shown)");
        let source = source_name(config.source());
        text += &format!("config      {} = {value} ({source})\n", config.name);
    }
    let mut table = Table::new([
        "PARTITION",
        "LEADER",
        "EPOCH",
        "REPLICAS",
        "IN SYNC",
        "START",
        "END",
        "SIZE",
    ])
    .right([0, 1, 2, 5, 6, 7]);
    for partition in &topic.partitions {
        table.row([
            partition.partition.to_string(),
            partition.leader.to_string(),
            partition.leader_epoch.to_string(),
            list(&partition.replicas),
            list(&partition.in_sync_replicas),
            partition.log_start_offset.to_string(),
            partition.high_watermark.to_string(),
            human_bytes(partition.size_bytes),
        ]);
    }
    format!("{text}\n{table}")
}

fn to_json(topic: &DescribeTopicResponse) -> Value {
    let mut value = listed_json(&topic.topic.clone().unwrap_or_default());
    let partitions = topic.partitions.iter().map(|partition| {
        json!({
            "partition": partition.partition,
            "leader": partition.leader,
            "leader_epoch": partition.leader_epoch,
            "replicas": partition.replicas,
            "in_sync_replicas": partition.in_sync_replicas,
            "log_start_offset": partition.log_start_offset,
            "high_watermark": partition.high_watermark,
            "size_bytes": partition.size_bytes,
        })
    });
    value["partition_count"] = value["partitions"].take();
    value["partitions"] = partitions.collect();
    value["configs"] = topic.configs.iter().map(config_json).collect();
    value
}

fn list(brokers: &[i32]) -> String {
    let ids: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    ids.join(",")
}
