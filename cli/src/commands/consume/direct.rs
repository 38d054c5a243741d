//! Reading partitions from a place, without a group.

use std::collections::BTreeMap;

use fjord_client::{
    Client, FetchOptions, Position, Start,
    proto::{DescribeTopicRequest, ListOffsetsRequest, list_offsets_request::At},
};
use jiff::Timestamp;

use super::{ConsumeArgs, Printer};
use crate::{
    failure::Failure,
    format::place::{Place, millis_ago},
};

/// Reads and prints.
///
/// # Errors
///
/// Why it failed.
pub async fn run(client: &Client, args: &ConsumeArgs, mut printer: Printer) -> Result<(), Failure> {
    let mut partitions = Vec::new();
    for topic in &args.topics {
        for (partition, start) in starts(client, args, topic).await? {
            partitions.push((topic.clone(), partition, start));
        }
    }
    let options = FetchOptions {
        until_end: args.until_end,
        retry_for: client.options().request_timeout,
        ..FetchOptions::default()
    };
    let mut fetcher = client.fetcher(partitions, options);
    while !printer.is_done() {
        let Some(batch) = fetcher.next_batch().await? else {
            break;
        };
        printer.print(&batch)?;
    }
    Ok(())
}

/// The partitions of a topic that are read, and from where.
async fn starts(
    client: &Client,
    args: &ConsumeArgs,
    topic: &str,
) -> Result<Vec<(i32, Start)>, Failure> {
    let request = DescribeTopicRequest {
        topic: topic.to_owned(),
    };
    let described = client.describe_topic(request).await?;
    let count = described.topic.map_or(0, |topic| topic.partitions);
    if let Some(partition) = args
        .partition
        .iter()
        .find(|number| !(0..count).contains(*number))
    {
        return Err(Failure::Usage(format!(
            "topic {topic} has no partition {partition}: it has {count}, from 0"
        )));
    }
    let wanted = |partition: &i32| args.partition.is_empty() || args.partition.contains(partition);
    let start = match args.from {
        Place::Beginning => Start::Earliest,
        Place::End => Start::Latest,
        Place::Offset(offset) => Start::Offset(offset),
        Place::Time(millis) => Start::Timestamp(millis),
        Place::Ago(ago) => Start::Timestamp(millis_ago(ago, Timestamp::now().as_millisecond())),
        Place::Last(count) => {
            let starts = last(client, topic, count).await?;
            return Ok(starts
                .into_iter()
                .filter(|(partition, _)| wanted(partition))
                .collect());
        }
    };
    Ok((0..count)
        .filter(wanted)
        .map(|partition| (partition, start))
        .collect())
}

/// So many offsets before the end of each partition.
async fn last(client: &Client, topic: &str, count: i64) -> Result<Vec<(i32, Start)>, Failure> {
    let beginnings = offsets(client, topic, Position::Earliest).await?;
    let ends = offsets(client, topic, Position::Latest).await?;
    let start = |(partition, end): (i32, i64)| {
        let beginning = beginnings.get(&partition).copied().unwrap_or(0);
        (
            partition,
            Start::Offset(end.saturating_sub(count).max(beginning)),
        )
    };
    Ok(ends.into_iter().map(start).collect())
}

/// One of the ends of each partition of a topic.
///
/// # Errors
///
/// What the broker says.
pub async fn offsets(
    client: &Client,
    topic: &str,
    position: Position,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let request = ListOffsetsRequest {
        topic: topic.to_owned(),
        partitions: Vec::new(),
        at: Some(At::Position(position.into())),
    };
    let mut offsets = BTreeMap::new();
    for listed in client.list_offsets(request).await?.offsets {
        if let Some(error) = listed.error {
            return Err(fjord_client::Error::from(error).into());
        }
        offsets.insert(listed.partition, listed.offset.unwrap_or(0));
    }
    Ok(offsets)
}
