//! Configs of the log: the broker's own, and the defaults of the topic configs.

use crate::config::definition::ConfigType::{Boolean, Double, Int, List, Long, String};
use crate::config::definition::{ConfigDef, Valid};
use crate::config::topic;

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "log.dirs",
        List,
        None,
        Valid::Any,
        "Directory of all data, made if it is missing; stronger than log.dir. One directory can be \
         named so far.",
    )
    .high(),
    ConfigDef::new(
        "log.dir",
        List,
        Some("./data"),
        Valid::Any,
        "Directory of all data if log.dirs is unset.",
    )
    .high(),
    ConfigDef::new(
        "message.max.bytes",
        Int,
        Some("1048588"),
        Valid::AtLeast(0),
        "Largest record batch in bytes, as it is sent (after compression). Default of max.message.bytes.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "compression.type",
        String,
        Some("producer"),
        Valid::OneOf(topic::COMPRESSION_TYPES),
        "How batches are compressed in the log: 'producer' keeps what the producer chose, anything \
         else makes the broker recompress what comes differently. Default of compression.type.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "compression.gzip.level",
        Int,
        Some("-1"),
        Valid::BetweenOr(1, 9, -1),
        "Level of gzip where the broker compresses; -1 is gzip's own default.",
    )
    .dynamic(),
    ConfigDef::new(
        "compression.lz4.level",
        Int,
        Some("9"),
        Valid::Between(1, 17),
        "Level of lz4 where the broker compresses. All levels give the same result so far.",
    )
    .dynamic(),
    ConfigDef::new(
        "compression.zstd.level",
        Int,
        Some("3"),
        Valid::Between(-131_072, 22),
        "Level of zstd where the broker compresses.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleanup.policy",
        List,
        Some("delete"),
        Valid::OneOf(topic::CLEANUP_POLICIES),
        "What becomes of old records: 'delete', 'compact', or both. Default of cleanup.policy.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.retention.ms",
        Long,
        None,
        Valid::Check("-1 or [1,...]", check_retention),
        "Milliseconds that records are kept; -1 means for ever. Default of retention.ms; stronger than \
         log.retention.minutes.",
    )
    .high()
    .dynamic()
    .synonyms(RETENTION_TIME),
    ConfigDef::new(
        "log.retention.minutes",
        Int,
        None,
        Valid::Check("-1 or [1,...]", check_retention),
        "Minutes that records are kept if log.retention.ms is unset; -1 means for ever.",
    )
    .high()
    .synonyms(RETENTION_TIME),
    ConfigDef::new(
        "log.retention.hours",
        Int,
        Some("168"),
        Valid::Check("-1 or [1,...]", check_retention),
        "Hours that records are kept if neither log.retention.ms nor log.retention.minutes is set; -1 \
         means for ever.",
    )
    .high()
    .synonyms(RETENTION_TIME),
    ConfigDef::new(
        "log.retention.bytes",
        Long,
        Some("-1"),
        Valid::Any,
        "Bytes that a partition keeps before its oldest records go; -1 means without limit. Default of \
         retention.bytes.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "log.retention.check.interval.ms",
        Long,
        Some("300000"),
        Valid::AtLeast(1),
        "Milliseconds between two checks for records that have outlived their retention.",
    ),
    ConfigDef::new(
        "log.segment.bytes",
        Int,
        Some("1073741824"),
        Valid::AtLeast(1_048_576),
        "Default of segment.bytes.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "log.roll.ms",
        Long,
        None,
        Valid::AtLeast(1),
        "Milliseconds; default of segment.ms, stronger than log.roll.hours.",
    )
    .high()
    .dynamic()
    .synonyms(&["log.roll.ms", "log.roll.hours"]),
    ConfigDef::new(
        "log.roll.hours",
        Int,
        Some("168"),
        Valid::AtLeast(1),
        "Hours; default of segment.ms if log.roll.ms is unset.",
    )
    .high()
    .synonyms(&["log.roll.ms", "log.roll.hours"]),
    ConfigDef::new(
        "log.flush.interval.messages",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(1),
        "Default of flush.messages.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "log.flush.interval.ms",
        Long,
        None,
        Valid::AtLeast(0),
        "Default of flush.ms, in milliseconds; stronger than log.flush.scheduler.interval.ms.",
    )
    .high()
    .dynamic()
    .synonyms(&["log.flush.interval.ms", "log.flush.scheduler.interval.ms"]),
    ConfigDef::new(
        "log.flush.scheduler.interval.ms",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(0),
        "Default of flush.ms, in milliseconds, if log.flush.interval.ms is unset.",
    )
    .high(),
    ConfigDef::new(
        "log.message.timestamp.type",
        String,
        Some("CreateTime"),
        Valid::OneOf(topic::TIMESTAMP_TYPES),
        "Whose clock dates a record: the producer's (CreateTime) or the broker's (LogAppendTime). \
         Default of message.timestamp.type.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.message.timestamp.before.max.ms",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(0),
        "Default of message.timestamp.before.max.ms, in milliseconds.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.message.timestamp.after.max.ms",
        Long,
        Some("3600000"),
        Valid::AtLeast(0),
        "Default of message.timestamp.after.max.ms, in milliseconds.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.enable",
        Boolean,
        Some("true"),
        Valid::Any,
        "Whether topics with the cleanup policy 'compact' are compacted. If false, the internal topics \
         grow without end.",
    ),
    ConfigDef::new(
        "log.cleaner.backoff.ms",
        Long,
        Some("15000"),
        Valid::AtLeast(0),
        "Milliseconds that the cleaner sleeps when it finds nothing to compact.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.dedupe.buffer.size",
        Long,
        Some("134217728"),
        Valid::AtLeast(1_048_576),
        "Most bytes of memory for the keys of a compaction; a partition with more keys is compacted in \
         several passes.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.io.max.bytes.per.second",
        Double,
        Some("1.7976931348623157E308"),
        Valid::Check("(0,...]", check_rate),
        "Most bytes that the cleaner reads and writes in a second, all told.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.min.cleanable.ratio",
        Double,
        Some("0.5"),
        Valid::Ratio(0.0, 1.0),
        "Default of min.cleanable.dirty.ratio.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.min.compaction.lag.ms",
        Long,
        Some("0"),
        Valid::AtLeast(0),
        "Default of min.compaction.lag.ms, in milliseconds.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.max.compaction.lag.ms",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(1),
        "Default of max.compaction.lag.ms, in milliseconds.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.delete.retention.ms",
        Long,
        Some("86400000"),
        Valid::AtLeast(0),
        "Default of delete.retention.ms, in milliseconds.",
    )
    .dynamic(),
];

/// What decides the retention time, the strongest first.
pub(super) const RETENTION_TIME: &[&str] = &[
    "log.retention.ms",
    "log.retention.minutes",
    "log.retention.hours",
];

/// Kafka checks this when it starts, not in the definition.
fn check_retention(text: &str) -> Result<(), std::string::String> {
    match text.parse::<i64>() {
        Ok(-1 | 1..) => Ok(()),
        _ => Err("must be at least 1, or -1 for ever".to_owned()),
    }
}

fn check_rate(text: &str) -> Result<(), std::string::String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 => Ok(()),
        _ => Err("must be more than 0".to_owned()),
    }
}
