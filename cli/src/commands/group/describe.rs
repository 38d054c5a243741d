//! `fjord group describe`.

use clap::Args;
use fjord_client::proto::{DescribeGroupRequest, DescribeGroupResponse, TopicPartition};
use serde_json::{Value, json};

use crate::{args::Context, failure::Failure, format::table::Table};

/// Describe groups: their members, what is committed, and how far behind that is
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// The groups' names
    #[arg(required = true)]
    groups: Vec<String>,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: DescribeArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut groups = Vec::new();
    for group in args.groups {
        groups.push(
            client
                .describe_group(DescribeGroupRequest { group })
                .await?,
        );
    }
    let text = || {
        let each: Vec<String> = groups.iter().map(to_text).collect();
        each.join("\n")
    };
    let json = || Value::Array(groups.iter().map(to_json).collect());
    context.output.print(text, json)
}

fn to_text(group: &DescribeGroupResponse) -> String {
    let short = group.group.clone().unwrap_or_default();
    let mut text = format!("group     {}\nstate     {}\n", short.group, short.state);
    if !group.assignor.is_empty() {
        text += &format!("assignor  {}\n", group.assignor);
    }
    text += &format!("lag       {}\n", total_lag(group));
    if !group.partitions.is_empty() {
        text += &format!("\n{}", lags(group));
    }
    if !group.members.is_empty() {
        text += &format!("\n{}", members(group));
    }
    text
}

fn total_lag(group: &DescribeGroupResponse) -> i64 {
    group.partitions.iter().map(|partition| partition.lag).sum()
}

fn lags(group: &DescribeGroupResponse) -> Table {
    let mut table = Table::new([
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "START",
        "END",
        "LAG",
        "MEMBER",
    ])
    .right([1, 2, 3, 4, 5]);
    for partition in &group.partitions {
        let committed = partition.committed_offset;
        table.row([
            partition.topic.clone(),
            partition.partition.to_string(),
            committed.map_or_else(String::new, |offset| offset.to_string()),
            partition.log_start_offset.to_string(),
            partition.high_watermark.to_string(),
            partition.lag.to_string(),
            partition.member_id.clone(),
        ]);
    }
    table
}

fn members(group: &DescribeGroupResponse) -> Table {
    let mut table = Table::new(["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
    for member in &group.members {
        table.row([
            member.member_id.clone(),
            member.instance_id.clone(),
            member.client_id.clone(),
            member.host.clone(),
            partitions(&member.partitions),
        ]);
    }
    table
}

/// `flights:0,1,2 numbers:4`
fn partitions(partitions: &[TopicPartition]) -> String {
    let mut text = String::new();
    let mut topic = None;
    for partition in partitions {
        if topic == Some(&partition.topic) {
            text.push(',');
        } else {
            if topic.is_some() {
                text.push(' ');
            }
            text.push_str(&partition.topic);
            text.push(':');
            topic = Some(&partition.topic);
        }
        text.push_str(&partition.partition.to_string());
    }
    text
}

fn to_json(group: &DescribeGroupResponse) -> Value {
    let short = group.group.clone().unwrap_or_default();
    let partition_json = |partition: &TopicPartition| json!({"topic": partition.topic, "partition": partition.partition});
    let members = group.members.iter().map(|member| {
        json!({
            "member_id": member.member_id,
            "instance_id": member.instance_id,
            "client_id": member.client_id,
            "host": member.host,
            "partitions": member.partitions.iter().map(partition_json).collect::<Vec<_>>(),
        })
    });
    let partitions = group.partitions.iter().map(|partition| {
        json!({
            "topic": partition.topic,
            "partition": partition.partition,
            "committed_offset": partition.committed_offset,
            "metadata": partition.metadata,
            "log_start_offset": partition.log_start_offset,
            "high_watermark": partition.high_watermark,
            "lag": partition.lag,
            "member_id": partition.member_id,
        })
    });
    json!({
        "group": short.group,
        "state": short.state,
        "protocol_type": short.protocol_type,
        "assignor": group.assignor,
        "lag": total_lag(group),
        "members": members.collect::<Vec<_>>(),
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use fjord_client::proto::{GroupPartition, ListedGroup};

    use super::*;

    #[test]
    fn partitions_are_listed_by_topic() {
        let partition = |topic: &str, partition| TopicPartition {
            topic: topic.to_owned(),
            partition,
        };
        let listed = partitions(&[partition("a", 0), partition("a", 1), partition("b", 0)]);
        assert_eq!(listed, "a:0,1 b:0");
        assert_eq!(partitions(&[]), "");
    }

    #[test]
    fn lag_is_told_for_each_partition_and_in_all() {
        let partition = |number, committed_offset, lag| GroupPartition {
            topic: "t".to_owned(),
            partition: number,
            committed_offset,
            high_watermark: 10,
            lag,
            ..GroupPartition::default()
        };
        let group = DescribeGroupResponse {
            group: Some(ListedGroup {
                group: "g".to_owned(),
                state: "Empty".to_owned(),
                protocol_type: String::new(),
            }),
            partitions: vec![partition(0, Some(7), 3), partition(1, None, 10)],
            ..DescribeGroupResponse::default()
        };
        assert_eq!(
            to_text(&group),
            "group     g\nstate     Empty\nlag       13\n\n\
             TOPIC  PARTITION  COMMITTED  START  END  LAG  MEMBER\n\
             t              0          7      0   10    3  -\n\
             t              1          -      0   10   10  -\n"
        );
        assert_eq!(to_json(&group)["lag"], 13);
        assert_eq!(
            to_json(&group)["partitions"][1]["committed_offset"],
            Value::Null
        );
    }
}
