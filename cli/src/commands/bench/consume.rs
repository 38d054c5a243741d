//! `fjord bench consume`.

use std::time::{Duration, Instant};

use clap::Args;
use fjord_client::{
    FetchOptions, Fetcher, Start,
    proto::{DescribeTopicRequest, PartitionRecords},
};
use hdrhistogram::Histogram;
use tokio::time::timeout_at;

use super::{load::record, measured::Measured};
use crate::{
    args::Context,
    failure::Failure,
    format::{duration::parse_duration, histogram::latencies},
    progress::Progress,
};

/// How fast records are read
#[derive(Debug, Args)]
#[command(after_help = "\
It ends at the end of the topic, or earlier if a number or a time is given.

Example: fjord bench consume flights --connections 2")]
pub struct ConsumeArgs {
    /// The topic, which is read from its beginning
    topic: String,
    /// End after so many records; those of the last response are counted too
    #[arg(long, short = 'n', value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How long, at most
    #[arg(long, short = 'd', value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How many connections share the partitions
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// About the most bytes of records in one response
    #[arg(long, default_value_t = 1_048_576, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    max_bytes: u32,
}

/// What one connection has read.
struct Read {
    records: u64,
    bytes: u64,
    last: Instant,
    waits: Histogram<u64>,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: ConsumeArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = DescribeTopicRequest {
        topic: args.topic.clone(),
    };
    let count = client
        .describe_topic(request)
        .await?
        .topic
        .map_or(0, |topic| topic.partitions);
    let options = FetchOptions {
        until_end: true,
        max_bytes: args.max_bytes,
        ..FetchOptions::default()
    };
    let connections = i32::from(args.connections).min(count.max(1));
    let progress = Progress::new("records", args.count, true);
    let mut fetchers = Vec::new();
    for connection in 0..connections {
        let partitions = (0..count)
            .filter(|partition| partition % connections == connection)
            .map(|partition| (args.topic.clone(), partition, Start::Earliest));
        fetchers.push(
            client
                .separate()
                .await?
                .fetcher(partitions, options.clone()),
        );
    }
    let start = Instant::now();
    let until = args.duration.map(|limit| start + limit);
    let each = args
        .count
        .map(|count| count.div_ceil(connections.unsigned_abs().into()));
    let tasks: Vec<_> = fetchers
        .into_iter()
        .map(|fetcher| tokio::spawn(read(fetcher, each, until, start, progress.clone())))
        .collect();
    let mut all = Read {
        records: 0,
        bytes: 0,
        last: start,
        waits: latencies(),
    };
    for task in tasks {
        let one = task
            .await
            .map_err(|error| Failure::Other(format!("a reader failed: {error}")))??;
        all.records += one.records;
        all.bytes += one.bytes;
        all.last = all.last.max(one.last);
        // Both have the same bounds.
        let _ = all.waits.add(&one.waits);
    }
    drop(progress);
    let measured = Measured {
        title: format!(
            "consume: {}, {count} partitions, {connections} connections",
            args.topic
        ),
        records: all.records,
        bytes: all.bytes,
        elapsed: all.last - start,
        latencies: all.waits,
        latency_of: "how long each response was waited for",
    };
    measured.print(context)
}

async fn read(
    mut fetcher: Fetcher,
    count: Option<u64>,
    until: Option<Instant>,
    start: Instant,
    progress: Progress,
) -> Result<Read, Failure> {
    let mut read = Read {
        records: 0,
        bytes: 0,
        last: start,
        waits: latencies(),
    };
    while count.is_none_or(|count| read.records < count) {
        let asked = Instant::now();
        let next = fetcher.next_batch();
        let batch = match until {
            None => next.await?,
            Some(until) => match timeout_at(until.into(), next).await {
                Ok(batch) => batch?,
                Err(_) => break,
            },
        };
        let Some(batch) = batch else {
            break;
        };
        if batch.records.is_empty() {
            continue;
        }
        let now = Instant::now();
        record(&mut read.waits, now - asked);
        let records = batch.records.len() as u64;
        read.records += records;
        read.bytes += bytes(&batch);
        read.last = now;
        progress.add(records);
    }
    Ok(read)
}

/// Bytes of keys and values.
fn bytes(batch: &PartitionRecords) -> u64 {
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len) as u64;
    batch
        .records
        .iter()
        .map(|record| length(&record.key) + length(&record.value))
        .sum()
}
