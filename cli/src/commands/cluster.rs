//! `fjord cluster`: what the cluster is.

use clap::Subcommand;
use fjord_client::proto::{DescribeClusterRequest, DescribeClusterResponse};
use serde_json::{Value, json};

use crate::{
    args::Context,
    failure::Failure,
    format::{size::human_bytes, table::Table},
};

/// Describe the cluster
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Describe the cluster: its brokers, and how much is on their disks
    Describe,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, command: ClusterCommand) -> Result<(), Failure> {
    let ClusterCommand::Describe = command;
    let client = context.client().await?;
    let cluster = client.describe_cluster(DescribeClusterRequest {}).await?;
    context
        .output
        .print(|| to_text(&cluster), || to_json(&cluster))
}

fn to_text(cluster: &DescribeClusterResponse) -> String {
    let mut brokers = Table::new(["BROKER", "ADDRESS", "RACK", "RECORDS", "DISK FREE", "DISK"])
        .right([0, 3, 4, 5]);
    for broker in &cluster.brokers {
        let id = if broker.broker == cluster.controller {
            format!("{}*", broker.broker)
        } else {
            broker.broker.to_string()
        };
        brokers.row([
            id,
            format!("{}:{}", broker.host, broker.port),
            broker.rack.clone(),
            human_bytes(broker.size_bytes),
            human_bytes(broker.disk_free_bytes),
            human_bytes(broker.disk_total_bytes),
        ]);
    }
    format!(
        "cluster     {}\ncontroller  {} (*)\nversion     {} (of broker {})\ntopics      {}\npartitions  {}\n\n{brokers}",
        cluster.cluster_id,
        cluster.controller,
        cluster.version,
        cluster.broker,
        cluster.topics,
        cluster.partitions,
    )
}

fn to_json(cluster: &DescribeClusterResponse) -> Value {
    let brokers: Vec<Value> = cluster
        .brokers
        .iter()
        .map(|broker| {
            json!({
                "broker": broker.broker,
                "host": broker.host,
                "port": broker.port,
                "rack": broker.rack,
                "size_bytes": broker.size_bytes,
                "disk_total_bytes": broker.disk_total_bytes,
                "disk_free_bytes": broker.disk_free_bytes,
            })
        })
        .collect();
    json!({
        "cluster_id": cluster.cluster_id,
        "controller": cluster.controller,
        "broker": cluster.broker,
        "version": cluster.version,
        "topics": cluster.topics,
        "partitions": cluster.partitions,
        "brokers": brokers,
    })
}
