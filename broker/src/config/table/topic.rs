//! Configs of a topic. Each may be set when the topic is created and altered at any time.

use super::log::RETENTION_TIME;
use crate::config::definition::ConfigType::{Boolean, Double, Int, List, Long, String};
use crate::config::definition::{ConfigDef, Valid};
use crate::config::topic;

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "cleanup.policy",
        List,
        Some("delete"),
        Valid::OneOf(topic::CLEANUP_POLICIES),
        "What becomes of old records. 'delete' removes them when they outlive retention.ms or exceed \
         retention.bytes; 'compact' keeps the newest record of every key; both together do both; an \
         empty list keeps everything.",
    )
    .synonyms(&["log.cleanup.policy"])
    .dynamic(),
    ConfigDef::new(
        "compression.gzip.level",
        Int,
        Some("-1"),
        Valid::BetweenOr(1, 9, -1),
        "Level of gzip if compression.type is gzip; -1 is gzip's own default.",
    )
    .synonyms(&["compression.gzip.level"])
    .dynamic(),
    ConfigDef::new(
        "compression.lz4.level",
        Int,
        Some("9"),
        Valid::Between(1, 17),
        "Level of lz4 if compression.type is lz4. All levels give the same result so far.",
    )
    .synonyms(&["compression.lz4.level"])
    .dynamic(),
    ConfigDef::new(
        "compression.type",
        String,
        Some("producer"),
        Valid::OneOf(topic::COMPRESSION_TYPES),
        "How batches are compressed in the log. 'producer' keeps what the producer chose; with \
         anything else the broker recompresses what comes differently.",
    )
    .synonyms(&["compression.type"])
    .dynamic(),
    ConfigDef::new(
        "compression.zstd.level",
        Int,
        Some("3"),
        Valid::Between(-131_072, 22),
        "Level of zstd if compression.type is zstd.",
    )
    .synonyms(&["compression.zstd.level"])
    .dynamic(),
    ConfigDef::new(
        "delete.retention.ms",
        Long,
        Some("86400000"),
        Valid::AtLeast(0),
        "Milliseconds that a tombstone (a record without a value) stays in a compacted topic after \
         everything before it was compacted, so that slow readers still see the deletion.",
    )
    .synonyms(&["log.cleaner.delete.retention.ms"])
    .dynamic(),
    ConfigDef::new(
        "flush.messages",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(1),
        "Records after which the log is forced to disk. With fjord.durability=fsync, the default, \
         every record is on disk before it is acknowledged, which is stricter than any value here; \
         with fjord.durability=os the operating system alone decides.",
    )
    .synonyms(&["log.flush.interval.messages"])
    .dynamic(),
    ConfigDef::new(
        "flush.ms",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(0),
        "Milliseconds after which a record is forced to disk. What flush.messages says of \
         fjord.durability holds here too.",
    )
    .synonyms(&["log.flush.interval.ms", "log.flush.scheduler.interval.ms"])
    .dynamic(),
    ConfigDef::new(
        "max.compaction.lag.ms",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(1),
        "Milliseconds after which a record of a compacted topic is compacted whatever \
         min.cleanable.dirty.ratio says. Not less than min.compaction.lag.ms.",
    )
    .synonyms(&["log.cleaner.max.compaction.lag.ms"])
    .dynamic(),
    ConfigDef::new(
        "max.message.bytes",
        Int,
        Some("1048588"),
        Valid::AtLeast(0),
        "Largest record batch in bytes, as it is sent (after compression); a larger one is refused.",
    )
    .synonyms(&["message.max.bytes"])
    .dynamic(),
    ConfigDef::new(
        "message.timestamp.after.max.ms",
        Long,
        Some("3600000"),
        Valid::AtLeast(0),
        "Milliseconds that a record's timestamp may lie ahead of the broker's clock; a record further \
         ahead is refused. Without effect if message.timestamp.type is LogAppendTime.",
    )
    .synonyms(&["log.message.timestamp.after.max.ms"])
    .dynamic(),
    ConfigDef::new(
        "message.timestamp.before.max.ms",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(0),
        "Milliseconds that a record's timestamp may lie behind the broker's clock; an older record is \
         refused. Without effect if message.timestamp.type is LogAppendTime.",
    )
    .synonyms(&["log.message.timestamp.before.max.ms"])
    .dynamic(),
    ConfigDef::new(
        "message.timestamp.type",
        String,
        Some("CreateTime"),
        Valid::OneOf(topic::TIMESTAMP_TYPES),
        "Whose clock dates a record: the producer's (CreateTime) or the broker's (LogAppendTime).",
    )
    .synonyms(&["log.message.timestamp.type"])
    .dynamic(),
    ConfigDef::new(
        "min.cleanable.dirty.ratio",
        Double,
        Some("0.5"),
        Valid::Ratio(0.0, 1.0),
        "Share of a compacted partition's bytes that must have come since its last compaction before \
         it is compacted again. Less means fewer outdated records, and more work.",
    )
    .synonyms(&["log.cleaner.min.cleanable.ratio"])
    .dynamic(),
    ConfigDef::new(
        "min.compaction.lag.ms",
        Long,
        Some("0"),
        Valid::AtLeast(0),
        "Milliseconds that a record of a compacted topic is safe from compaction.",
    )
    .synonyms(&["log.cleaner.min.compaction.lag.ms"])
    .dynamic(),
    ConfigDef::new(
        "min.insync.replicas",
        Int,
        Some("1"),
        Valid::AtLeast(1),
        "Replicas that must have a record before a producer with acks=all is answered; with fewer in \
         sync, its produce is refused.",
    )
    .synonyms(&["min.insync.replicas"])
    .dynamic(),
    ConfigDef::new(
        "retention.bytes",
        Long,
        Some("-1"),
        Valid::Any,
        "Bytes that each partition keeps before its oldest records go, if cleanup.policy has 'delete'; \
         -1 means without limit.",
    )
    .synonyms(&["log.retention.bytes"])
    .dynamic(),
    ConfigDef::new(
        "retention.ms",
        Long,
        Some("604800000"),
        Valid::AtLeast(-1),
        "Milliseconds that records are kept, if cleanup.policy has 'delete'; -1 means for ever.",
    )
    .synonyms(RETENTION_TIME)
    .dynamic(),
    ConfigDef::new(
        "segment.bytes",
        Int,
        Some("1073741824"),
        Valid::AtLeast(1_048_576),
        "Bytes by which Kafka cuts a partition into files, and so the coarseness of its retention. \
         Here a partition has no files of its own and retention goes batch by batch, which is never \
         coarser than this.",
    )
    .synonyms(&["log.segment.bytes"])
    .dynamic(),
    ConfigDef::new(
        "segment.ms",
        Long,
        Some("604800000"),
        Valid::AtLeast(1),
        "Milliseconds after which Kafka begins a new file of a partition. What segment.bytes says holds \
         here too.",
    )
    .synonyms(&["log.roll.ms", "log.roll.hours"])
    .dynamic(),
    ConfigDef::new(
        "unclean.leader.election.enable",
        Boolean,
        Some("false"),
        Valid::Any,
        "Whether a replica that is not in sync may become leader, at the price of lost records.",
    )
    .synonyms(&["unclean.leader.election.enable"])
    .dynamic(),
];
