//! `fjord cluster describe`.

use fjord_client::proto::{Broker, DescribeClusterRequest, DescribeClusterResponse};
use serde_json::{Value, json};

use crate::{
    args::Context,
    failure::Failure,
    format::{size::human_bytes, table::Table},
};

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let cluster = client.describe_cluster(DescribeClusterRequest {}).await?;
    context
        .output
        .print(|| to_text(&cluster), || to_json(&cluster))
}

fn to_text(cluster: &DescribeClusterResponse) -> String {
    let columns = [
        "BROKER",
        "ADDRESS",
        "RACK",
        "STATE",
        "REPLICAS",
        "LEADERS",
        "RECORDS",
        "DISK FREE",
        "DISK",
    ];
    let mut brokers = Table::new(columns).right([0, 4, 5, 6, 7, 8]);
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
            state(broker).to_owned(),
            broker.replicas.to_string(),
            broker.leaders.to_string(),
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

fn state(broker: &Broker) -> &'static str {
    match (broker.fenced, broker.stopping) {
        (true, _) => "fenced",
        (false, true) => "stopping",
        (false, false) => "active",
    }
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
                "fenced": broker.fenced,
                "stopping": broker.stopping,
                "replicas": broker.replicas,
                "leaders": broker.leaders,
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
