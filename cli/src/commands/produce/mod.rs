//! `fjord produce`.

mod collect;
mod source;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use fjord_client::{
    Acks, Compression, Delivery, Producer, ProducerOptions, ProducerRecord, proto::Header,
};
use tokio::time::sleep_until;

use self::{
    collect::{Collector, Counted},
    source::Source,
};
use crate::{
    args::Context,
    failure::Failure,
    format::{
        duration::parse_duration,
        escape::Escaped,
        input::{InputRecord, LineFormat},
        pacer::{Pacer, parse_rate},
        pairs::parse_pair,
        time::parse_millis,
    },
    progress::Progress,
};

/// Write records to a topic, from arguments, standard input or files
#[derive(Debug, Args)]
#[command(after_help = "\
Guarantees:
  effectively once  the default: acks of all replicas, and batches are numbered
  at least once     --idempotent false
  at most once      --acks none

A JSON line is an object with key, value, headers, timestamp and partition, each of which may be missing. Bytes that \
are not text stand in base64 under key_base64 and value_base64. What `fjord consume --format json` prints can be read.

Examples:
  fjord produce flights 'EWR,IAH' --key N14228
  fjord produce flights --file flights.csv --key-separator ,
  fjord consume flights --until-end --format json | fjord produce copy --format json --repartition")]
pub struct ProduceArgs {
    /// The topic; it is made if the broker has auto.create.topics.enable on
    topic: String,
    /// Records; without these and --file, standard input is read
    values: Vec<String>,
    /// A file to be read, - for standard input; may be given more than once
    #[arg(long, short, value_name = "FILE", conflicts_with = "values")]
    file: Vec<PathBuf>,
    /// What a line, or an argument, is
    #[arg(long, short = 'F', value_enum, default_value = "lines")]
    format: InputFormat,
    /// The key of records that have none of their own
    #[arg(long, short)]
    key: Option<String>,
    /// What stands between key and value in a line; \t and the like are understood
    #[arg(long, short = 'K', value_name = "TEXT")]
    key_separator: Option<Escaped>,
    /// What stands for a key or value that is not there, such as a value that removes its key
    #[arg(long, value_name = "TEXT")]
    null: Option<Escaped>,
    /// What ends a line; one character, or an escape such as \0
    #[arg(long, default_value = "\\n", value_name = "CHARACTER", value_parser = parse_delimiter)]
    delimiter: u8,
    /// A header of each record; may be given more than once
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = parse_pair)]
    header: Vec<(String, String)>,
    /// The partition of records that name none; else the key decides, as with Kafka's Java client
    #[arg(long, short, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Leave the partitions of JSON lines aside
    #[arg(long)]
    repartition: bool,
    /// The time of records that have none of their own (2013-01-01T10:00:00Z or @1356998400000); the broker's if not
    /// given
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    timestamp: Option<i64>,
    /// At most so many records a second
    #[arg(long, value_name = "RECORDS", value_parser = parse_rate)]
    rate: Option<f64>,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Print nothing when all is written
    #[arg(long, short)]
    quiet: bool,
}

/// How records are delivered.
#[derive(Debug, Clone, Args)]
pub struct DeliveryArgs {
    /// Which replicas have a record on disk before it counts
    #[arg(long, value_enum, default_value = "all", help_heading = "Delivery")]
    acks: AcksArg,
    /// Whether batches are numbered, so that one that comes twice is written once; true with --acks all
    #[arg(long, value_name = "BOOL", help_heading = "Delivery")]
    idempotent: Option<bool>,
    /// How batches are compressed in the log
    #[arg(
        long,
        short = 'z',
        value_enum,
        default_value = "none",
        help_heading = "Delivery"
    )]
    compression: CompressionArg,
    /// How long a record waits for others to fill its batch
    #[arg(long, default_value = "5ms", value_name = "TIME", value_parser = parse_duration, help_heading = "Delivery")]
    linger: Duration,
    /// About the most bytes of a batch
    #[arg(long, default_value_t = 262_144, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Delivery")]
    batch_bytes: u32,
    /// The most bytes that wait or are under way
    #[arg(long, default_value_t = 33_554_432, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Delivery")]
    max_in_flight_bytes: u32,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    /// A value, or with --key-separator a key and a value.
    Lines,
    /// A JSON object.
    Json,
}

/// When a record counts as produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcksArg {
    /// None: nothing is answered.
    None,
    /// The leader.
    Leader,
    /// All that are in sync.
    All,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CompressionArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl DeliveryArgs {
    /// The producer's options.
    pub fn options(&self, timeout: Duration) -> ProducerOptions {
        ProducerOptions {
            acks: match self.acks {
                AcksArg::None => Acks::None,
                AcksArg::Leader => Acks::Leader,
                AcksArg::All => Acks::All,
            },
            idempotent: self.idempotent.unwrap_or(self.acks == AcksArg::All),
            compression: match self.compression {
                CompressionArg::None => Compression::Unspecified,
                CompressionArg::Gzip => Compression::Gzip,
                CompressionArg::Snappy => Compression::Snappy,
                CompressionArg::Lz4 => Compression::Lz4,
                CompressionArg::Zstd => Compression::Zstd,
            },
            linger: self.linger,
            batch_bytes: self.batch_bytes as usize,
            max_in_flight_bytes: self.max_in_flight_bytes as usize,
            request_timeout: timeout,
            delivery_timeout: timeout,
        }
    }
}

/// Runs it. What was delivered is told even if what follows was not.
///
/// # Errors
///
/// Why it failed: the first record that could not be read or was not delivered ends it.
pub async fn run(context: &Context, args: ProduceArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let producer = client
        .producer(args.delivery.options(context.timeout()))
        .await?;
    let progress = Progress::new("records", None, args.shows_progress());
    let collector = Collector::start(progress.clone());
    let mut deliveries = Vec::new();
    let mut source = Source::open(&args);
    let sent = send_all(&args, &producer, &mut source, &collector, &mut deliveries).await;
    // What was sent is finished even if what follows could not be read.
    let closed = producer.close().await;
    let counted = collector.finish(deliveries).await;
    drop(progress);
    let Counted { delivered, failed } = counted?;
    let outcome = match failed {
        Some(error) => Err(error.into()),
        None => sent.and(closed.map_err(Failure::from)),
    };
    if args.quiet || (outcome.is_err() && delivered.is_empty()) {
        return outcome;
    }
    let printed = context.output.print(
        || delivered.to_text(&args.topic),
        || delivered.to_json(&args.topic),
    );
    outcome.and(printed)
}

/// Sends until the input ends, or a delivery has failed. `deliveries` are those that the collector has not taken.
async fn send_all(
    args: &ProduceArgs,
    producer: &Producer,
    source: &mut Source,
    collector: &Collector,
    deliveries: &mut Vec<Delivery>,
) -> Result<(), Failure> {
    let pacer = args.rate.map(|rate| Pacer::new(Instant::now(), rate));
    let topic: std::sync::Arc<str> = args.topic.as_str().into();
    let mut number = 0;
    while let Some(records) = source.next().await {
        for record in records? {
            if let Some(pacer) = pacer {
                if let Err(refused) = collector.take(std::mem::take(deliveries)).await {
                    *deliveries = refused;
                    return Ok(());
                }
                sleep_until(pacer.due(number).into()).await;
            }
            number += 1;
            let record = complete(args, std::sync::Arc::clone(&topic), record);
            deliveries.push(producer.send(record).await?);
        }
        if let Err(refused) = collector.take(std::mem::take(deliveries)).await {
            *deliveries = refused;
            break;
        }
    }
    Ok(())
}

/// A record with what the arguments say of all records.
fn complete(args: &ProduceArgs, topic: std::sync::Arc<str>, record: InputRecord) -> ProducerRecord {
    let of_its_own = record.partition.filter(|_| !args.repartition);
    let common = args.header.iter().map(|(key, value)| Header {
        key: key.clone(),
        value: Some(value.clone().into()),
    });
    ProducerRecord {
        topic,
        partition: of_its_own.or(args.partition),
        key: record.key.or_else(|| args.key.clone().map(Into::into)),
        value: record.value,
        headers: record.headers.into_iter().chain(common).collect(),
        timestamp_ms: record.timestamp_ms.or(args.timestamp),
    }
}

impl ProduceArgs {
    /// Progress and what somebody types would be in each other's way.
    fn shows_progress(&self) -> bool {
        let typed = self.values.is_empty() && self.file.is_empty() && io::stdin().is_terminal();
        !self.quiet && !typed
    }

    fn line_format(&self) -> LineFormat {
        match self.format {
            InputFormat::Json => LineFormat::Json,
            InputFormat::Lines => LineFormat::Plain {
                separator: self.key_separator.clone().map(|escaped| escaped.0),
                null: self.null.clone().map(|escaped| escaped.0),
            },
        }
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.parse::<Escaped>()?.0[..] {
        [byte] => Ok(byte),
        _ => Err(format!("{text:?} is not one byte")),
    }
}
