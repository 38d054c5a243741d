//! Configs of Kafka that admin tools and topics made for Kafka do set, and that tune something this
//! broker has no counterpart of.
//!
//! They change nothing that a client could tell from outside, so to take, check and show them is the
//! kind answer, where a refusal would fail a whole request. Configs that a client would rely on, such
//! as those of tiered storage, are not among them.

use crate::config::definition::ConfigType::{Boolean, Int, List, Long};
use crate::config::definition::{ConfigDef, Valid};

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "background.threads",
        Int,
        Some("10"),
        Valid::AtLeast(1),
        "Kafka's threads for chores. No effect here: each chore has its own bounded place.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "log.index.interval.bytes",
        Int,
        Some("4096"),
        Valid::AtLeast(0),
        "Default of index.interval.bytes. No effect here.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.index.size.max.bytes",
        Int,
        Some("10485760"),
        Valid::AtLeast(4),
        "Default of segment.index.bytes. No effect here.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.preallocate",
        Boolean,
        Some("false"),
        Valid::Any,
        "Default of preallocate. No effect here.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.roll.jitter.ms",
        Long,
        None,
        Valid::AtLeast(0),
        "Milliseconds; default of segment.jitter.ms, stronger than log.roll.jitter.hours. No effect \
         here.",
    )
    .high()
    .dynamic()
    .synonyms(ROLL_JITTER),
    ConfigDef::new(
        "log.roll.jitter.hours",
        Int,
        Some("0"),
        Valid::AtLeast(0),
        "Hours; default of segment.jitter.ms if log.roll.jitter.ms is unset. No effect here.",
    )
    .high()
    .synonyms(ROLL_JITTER),
    ConfigDef::new(
        "log.segment.delete.delay.ms",
        Long,
        Some("60000"),
        Valid::AtLeast(0),
        "Default of file.delete.delay.ms. No effect here.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "sasl.kerberos.min.time.before.relogin",
        Long,
        Some("60000"),
        Valid::Any,
        "Milliseconds between two of Kafka's logins to Kerberos. No effect here: there is no Kerberos.",
    )
    .dynamic(),
];

const ROLL_JITTER: &[&str] = &["log.roll.jitter.ms", "log.roll.jitter.hours"];

pub(super) const TOPIC_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "follower.replication.throttled.replicas",
        List,
        Some(""),
        Valid::Check(REPLICAS, check_replicas),
        "Replicas to which Kafka's throttle of followers applies. No effect here: the throttle applies to \
         all replicas that are not in sync.",
    )
    .dynamic(),
    ConfigDef::new(
        "file.delete.delay.ms",
        Long,
        Some("60000"),
        Valid::AtLeast(0),
        "Milliseconds that Kafka waits before it deletes the file of a segment. No effect here: a \
         partition has no files of its own.",
    )
    .synonyms(&["log.segment.delete.delay.ms"])
    .dynamic(),
    ConfigDef::new(
        "index.interval.bytes",
        Int,
        Some("4096"),
        Valid::AtLeast(0),
        "Bytes between two entries of Kafka's offset index. No effect here: every batch is indexed.",
    )
    .synonyms(&["log.index.interval.bytes"])
    .dynamic(),
    ConfigDef::new(
        "preallocate",
        Boolean,
        Some("false"),
        Valid::Any,
        "Whether Kafka allocates the file of a segment at once. No effect here: the shared log always \
         allocates its files ahead.",
    )
    .synonyms(&["log.preallocate"])
    .dynamic(),
    ConfigDef::new(
        "segment.index.bytes",
        Int,
        Some("10485760"),
        Valid::AtLeast(4),
        "Largest index file of one of Kafka's segments. No effect here: the index is one for all.",
    )
    .synonyms(&["log.index.size.max.bytes"])
    .dynamic(),
    ConfigDef::new(
        "segment.jitter.ms",
        Long,
        Some("0"),
        Valid::AtLeast(0),
        "Most milliseconds by which Kafka varies segment.ms. No effect here: segment.ms has none either.",
    )
    .synonyms(ROLL_JITTER)
    .dynamic(),
    ConfigDef::new(
        "leader.replication.throttled.replicas",
        List,
        Some(""),
        Valid::Check(REPLICAS, check_replicas),
        "Replicas to which Kafka's throttle of leaders applies. No effect here: the throttle applies to all \
         replicas that are not in sync.",
    )
    .dynamic(),
];

const REPLICAS: &str = "[partitionId]:[brokerId],[partitionId]:[brokerId],...";

fn check_replicas(text: &str) -> Result<(), String> {
    let is_number = |part: &str| part.parse::<u32>().is_ok();
    let is_replica = |entry: &str| {
        let parts = entry.trim().split_once(':');
        parts.is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    match text.is_empty() || text == "*" || text.split(',').all(is_replica) {
        true => Ok(()),
        false => Err(format!("must be '*' or {REPLICAS}")),
    }
}
