//! `fjord bench end-to-end`.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use clap::Args;
use fjord_client::{Client, FetchOptions, Fetcher, Position, Start};
use hdrhistogram::Histogram;
use tokio::{sync::watch, time::timeout};

use super::{
    LoadArgs,
    load::{Load, Pool, record},
    measured::Measured,
    topic::{BenchTopic, on_topic},
};
use crate::{
    args::Context,
    commands::{consume::offsets, produce::DeliveryArgs},
    failure::Failure,
    format::histogram::latencies,
    progress::Progress,
};

/// How fast, if nothing is said: latencies of a broker that is not busy.
const USUAL_RATE: f64 = 1000.0;

/// How long records take from being sent to being received
#[derive(Debug, Args)]
#[command(after_help = "\
Without --rate it sends 1000 records a second. Producer and consumer are in this process, so that one clock counts.

Example: fjord bench end-to-end --rate 10000 --duration 30s --linger 0ms")]
pub struct EndToEndArgs {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    delivery: DeliveryArgs,
}

/// What stands at the beginning of each value: which run it is of, and when it was due.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    run: u64,
    start: Instant,
}

impl Stamp {
    /// Bytes that it takes.
    const BYTES: usize = 16;

    fn write(self, due: Instant, rest: &[u8]) -> Bytes {
        let mut value = BytesMut::with_capacity(Self::BYTES + rest.len());
        let nanos = due.saturating_duration_since(self.start).as_nanos();
        value.put_u64(self.run);
        // 2^64 nanoseconds are 584 years.
        value.put_u64(u64::try_from(nanos).unwrap_or(u64::MAX));
        value.put_slice(rest);
        value.freeze()
    }

    /// When the record was due, if it is of this run.
    fn read(self, mut value: &[u8]) -> Option<Instant> {
        if value.len() < Self::BYTES || value.get_u64() != self.run {
            return None;
        }
        self.start
            .checked_add(Duration::from_nanos(value.get_u64()))
    }
}

/// What was received.
struct Received {
    records: u64,
    bytes: u64,
    last: Instant,
    latencies: Histogram<u64>,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: EndToEndArgs) -> Result<(), Failure> {
    on_topic(context, &args.load, async |client, topic| {
        measure(context, &args, client, topic).await
    })
    .await
}

async fn measure(
    context: &Context,
    args: &EndToEndArgs,
    client: &Client,
    topic: &BenchTopic,
) -> Result<Measured, Failure> {
    // From the ends that there are before anything is sent, so that nothing is missed.
    let ends = offsets(client, &topic.name, Position::Latest).await?;
    let starts = ends
        .into_iter()
        .map(|(partition, end)| (topic.name.to_string(), partition, Start::Offset(end)));
    let fetcher = client
        .separate()
        .await?
        .fetcher(starts, FetchOptions::default());
    let options = args.delivery.options(context.timeout());
    let producer = client.separate().await?.producer(options).await?;
    let progress = Progress::new("records", args.load.count, true);
    let stamp = Stamp {
        run: rand::random(),
        start: Instant::now(),
    };
    let rate = args.load.rate.unwrap_or(USUAL_RATE);
    let load = Load {
        topic: topic.name.clone(),
        count: args.load.count,
        limit: args.load.limit(),
        rate: Some(rate),
        start: stamp.start,
        progress,
        stop: topic.stop.clone(),
    };
    let (all_sent, expected) = watch::channel(None);
    let receiving = tokio::spawn(receive(fetcher, stamp, expected));
    let rest = Pool::new(args.load.record_size as usize - Stamp::BYTES);
    let sent = load
        .run(&producer, |due| stamp.write(due, &rest.value()))
        .await?;
    // If the receiver has ended, its task says why.
    let _ = all_sent.send(Some(sent.records));
    let received = match timeout(context.timeout(), receiving).await {
        Ok(Ok(received)) => received?,
        Ok(Err(error)) => return Err(Failure::Other(format!("the reader failed: {error}"))),
        Err(_) => {
            return Err(Failure::Other(format!(
                "not all of {} records came back within {} s of the last",
                sent.records,
                context.timeout().as_secs_f64()
            )));
        }
    };
    Ok(Measured {
        title: format!(
            "end to end: {} bytes a record, {rate} records/s, {} partitions",
            args.load.record_size, topic.partitions
        ),
        records: received.records,
        bytes: received.bytes,
        elapsed: received.last - stamp.start,
        latencies: received.latencies,
        latency_of: "from when a record was due to its reception",
    })
}

/// Reads until as many have come as were sent, once that is known.
async fn receive(
    mut fetcher: Fetcher,
    stamp: Stamp,
    mut expected: watch::Receiver<Option<u64>>,
) -> Result<Received, Failure> {
    let mut received = Received {
        records: 0,
        bytes: 0,
        last: stamp.start,
        latencies: latencies(),
    };
    loop {
        if expected
            .borrow()
            .is_some_and(|expected| received.records >= expected)
        {
            return Ok(received);
        }
        let batch = tokio::select! {
            batch = fetcher.next_batch() => batch?,
            changed = expected.changed() => {
                if changed.is_err() && expected.borrow().is_none() {
                    return Err(Failure::Other("nothing more is sent".to_owned()));
                }
                continue;
            }
        };
        let Some(batch) = batch else {
            return Err(Failure::Other("the broker ended the stream".to_owned()));
        };
        let now = Instant::now();
        for value in batch
            .records
            .iter()
            .filter_map(|record| record.value.as_ref())
        {
            if let Some(due) = stamp.read(value) {
                received.records += 1;
                received.bytes += value.len() as u64;
                received.last = now;
                record(&mut received.latencies, now.saturating_duration_since(due));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_in_its_own_run_only() {
        let stamp = Stamp {
            run: 7,
            start: Instant::now(),
        };
        let due = stamp.start + Duration::from_micros(1500);
        let value = stamp.write(due, b"rest");
        assert_eq!(value.len(), Stamp::BYTES + 4);
        assert_eq!(stamp.read(&value), Some(due));
        assert_eq!(Stamp { run: 8, ..stamp }.read(&value), None);
        assert_eq!(stamp.read(b"short"), None);
    }
}
