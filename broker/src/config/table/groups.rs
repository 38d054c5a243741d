//! Configs of consumer groups, committed offsets, producers and transactions.

use crate::config::definition::ConfigType::{Int, Long};
use crate::config::definition::{ConfigDef, Valid};

pub(super) const GROUP_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "group.initial.rebalance.delay.ms",
        Int,
        Some("3000"),
        Valid::AtLeast(0),
        "Milliseconds that the first rebalance of an empty group waits for further members. 0 makes \
         single consumers start faster.",
    ),
    ConfigDef::new(
        "group.min.session.timeout.ms",
        Int,
        Some("6000"),
        Valid::AtLeast(1),
        "Shortest session timeout in milliseconds that a group member may ask for.",
    ),
    ConfigDef::new(
        "group.max.session.timeout.ms",
        Int,
        Some("1800000"),
        Valid::AtLeast(1),
        "Longest session timeout in milliseconds that a group member may ask for.",
    ),
    ConfigDef::new(
        "group.max.size",
        Int,
        Some("2147483647"),
        Valid::AtLeast(1),
        "Most members of one group; one more is refused.",
    ),
    ConfigDef::new(
        "offset.metadata.max.bytes",
        Int,
        Some("4096"),
        Valid::AtLeast(0),
        "Most bytes of the text that a client stores with a committed offset.",
    )
    .high(),
    ConfigDef::new(
        "offsets.commit.timeout.ms",
        Int,
        Some("5000"),
        Valid::AtLeast(1),
        "Milliseconds that a commit may wait until it is durable before it is answered with a timeout.",
    )
    .high(),
    ConfigDef::new(
        "offsets.load.buffer.size",
        Int,
        Some("5242880"),
        Valid::AtLeast(1),
        "Bytes that are read at a time when groups and offsets are loaded at start.",
    )
    .high(),
    ConfigDef::new(
        "offsets.retention.minutes",
        Int,
        Some("10080"),
        Valid::AtLeast(1),
        "Minutes that committed offsets are kept after their group has lost its last member, or, \
         without group management, after the commit.",
    )
    .high(),
    ConfigDef::new(
        "offsets.retention.check.interval.ms",
        Long,
        Some("600000"),
        Valid::AtLeast(1),
        "Milliseconds between two checks for offsets that have outlived offsets.retention.minutes.",
    )
    .high(),
    ConfigDef::new(
        "offsets.topic.num.partitions",
        Int,
        Some("50"),
        Valid::AtLeast(1),
        "Partitions of the internal topic __consumer_offsets when it is created. It decides where a \
         group lives, so it must not change afterwards.",
    )
    .high(),
    ConfigDef::new(
        "offsets.topic.segment.bytes",
        Int,
        Some("104857600"),
        Valid::AtLeast(1_048_576),
        "segment.bytes of the internal topic __consumer_offsets when it is created.",
    )
    .high(),
    ConfigDef::new(
        "offsets.topic.compression.codec",
        Int,
        Some("0"),
        Valid::Between(0, 4),
        "Compression of the records in __consumer_offsets: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.",
    )
    .high(),
];

pub(super) const PRODUCER_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "producer.id.expiration.ms",
        Int,
        Some("86400000"),
        Valid::AtLeast(1),
        "Milliseconds after its last write to a partition that an idempotent producer is forgotten \
         there, with the sequence numbers by which its duplicates are found.",
    )
    .low()
    .dynamic(),
    ConfigDef::new(
        "transactional.id.expiration.ms",
        Int,
        Some("604800000"),
        Valid::AtLeast(1),
        "Milliseconds without a transaction after which a transactional id is forgotten.",
    )
    .high(),
    ConfigDef::new(
        "transaction.max.timeout.ms",
        Int,
        Some("900000"),
        Valid::AtLeast(1),
        "Longest transaction timeout in milliseconds that a producer may ask for.",
    )
    .high(),
    ConfigDef::new(
        "transaction.state.log.num.partitions",
        Int,
        Some("50"),
        Valid::AtLeast(1),
        "Partitions of the internal topic __transaction_state when it is created.",
    )
    .high(),
];
