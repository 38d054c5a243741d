//! `fjord bench produce`.

use std::time::Instant;

use clap::Args;

use super::{
    LoadArgs,
    load::{Acknowledged, Load, Pool},
    measured::Measured,
    topic::{BenchTopic, on_topic},
};
use crate::{
    args::Context, commands::produce::DeliveryArgs, failure::Failure, format::histogram::latencies,
    progress::Progress,
};

/// How fast records are written, and how long each takes to be acknowledged
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fjord bench produce --duration 30s
  fjord bench produce --count 1000000 --record-size 100 --partitions 12 --producers 2
  fjord bench produce --rate 10000 --linger 0ms")]
pub struct ProduceArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// How many producers, each with a connection of its own
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=256))]
    producers: u64,
    #[command(flatten)]
    delivery: DeliveryArgs,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: ProduceArgs) -> Result<(), Failure> {
    on_topic(context, &args.load, async |client, topic| {
        measure(context, &args, client, topic).await
    })
    .await
}

async fn measure(
    context: &Context,
    args: &ProduceArgs,
    client: &fjord_client::Client,
    topic: &BenchTopic,
) -> Result<Measured, Failure> {
    let load = &args.load;
    let size = load.record_size as usize;
    let pool = Pool::new(size);
    let progress = Progress::new("records", load.count, true);
    let mut producers = Vec::new();
    for _ in 0..args.producers {
        let options = args.delivery.options(context.timeout());
        producers.push(client.separate().await?.producer(options).await?);
    }
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (place, producer) in (0..).zip(producers) {
        let load = Load {
            topic: topic.name.clone(),
            count: load.count.map(|count| share(count, args.producers, place)),
            limit: load.limit(),
            // A rate is not a number of things that could be lost by dividing.
            rate: load.rate.map(|rate| rate / args.producers as f64),
            start,
            progress: progress.clone(),
            stop: topic.stop.clone(),
        };
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move {
            load.run(&producer, |_| pool.value()).await
        }));
    }
    let mut all = Acknowledged {
        records: 0,
        last: start,
        latencies: latencies(),
    };
    for task in tasks {
        let one = task
            .await
            .map_err(|error| Failure::Other(format!("a producer failed: {error}")))??;
        all.records += one.records;
        all.last = all.last.max(one.last);
        // Both have the same bounds.
        let _ = all.latencies.add(&one.latencies);
    }
    Ok(Measured {
        title: format!(
            "produce: {} bytes a record, {} producers, {} partitions",
            size, args.producers, topic.partitions
        ),
        records: all.records,
        bytes: all.records * u64::from(load.record_size),
        elapsed: all.last - start,
        latencies: all.latencies,
        latency_of: if load.rate.is_some() {
            "from when a record was due to its acknowledgement"
        } else {
            "from sending a record to its acknowledgement"
        },
    })
}

/// What one of `parts` has of `all`, so that together they have all of it.
fn share(all: u64, parts: u64, place: u64) -> u64 {
    all / parts + u64::from(place < all % parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_all_of_it() {
        for (all, parts) in [(10, 3), (2, 3), (9, 3)] {
            let shares = (0..parts).map(|place| share(all, parts, place));
            assert_eq!(shares.sum::<u64>(), all);
        }
    }
}
