//! Configs of the broker as a whole and of the topics it creates.

use crate::config::definition::ConfigType::{Boolean, Int, List, Short, String};
use crate::config::definition::{ConfigDef, Valid};

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "node.id",
        Int,
        Some("1"),
        Valid::AtLeast(0),
        "Number of this broker in its cluster. It is written into the data directory at the first \
         start and must not change afterwards.",
    )
    .high(),
    ConfigDef::new(
        "broker.id",
        Int,
        Some("-1"),
        Valid::AtLeast(-1),
        "Older name of node.id. -1 means node.id decides; if both are set, they must be equal.",
    )
    .high(),
    ConfigDef::new(
        "broker.rack",
        String,
        None,
        Valid::Any,
        "Rack, zone or other failure domain that this broker stands in. Clients see it in metadata.",
    ),
    ConfigDef::new(
        "cordoned.log.dirs",
        List,
        Some(""),
        Valid::Any,
        "'*' keeps new replicas away from this broker, such as before it is drained; what it has it keeps \
         (KIP-1066). Its directory says the same. It has to be set dynamically: those who place replicas know \
         nothing else.",
    )
    .dynamic(),
    ConfigDef::new(
        "auto.create.topics.enable",
        Boolean,
        Some("true"),
        Valid::Any,
        "Whether a topic that a client asks for and that does not exist is created, with \
         num.partitions and default.replication.factor. The client must allow it too.",
    )
    .high(),
    ConfigDef::new(
        "delete.topic.enable",
        Boolean,
        Some("true"),
        Valid::Any,
        "Whether topics may be deleted. If false, DeleteTopics is refused.",
    )
    .high(),
    ConfigDef::new(
        "num.partitions",
        Int,
        Some("1"),
        Valid::AtLeast(1),
        "Partitions of a topic whose creator names no number.",
    ),
    ConfigDef::new(
        "default.replication.factor",
        Int,
        Some("1"),
        Valid::Between(1, 32767),
        "Replicas of a topic whose creator names no number.",
    ),
    ConfigDef::new(
        "min.insync.replicas",
        Int,
        Some("1"),
        Valid::AtLeast(1),
        "Replicas that must have a record before a producer with acks=all is answered; with fewer in \
         sync, its produce is refused. Default of the topic config of the same name.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "unclean.leader.election.enable",
        Boolean,
        Some("false"),
        Valid::Any,
        "Whether a replica that is not in sync may become leader, at the price of lost records. \
         Default of the topic config of the same name.",
    )
    .high()
    .dynamic(),
    ConfigDef::new(
        "offsets.topic.replication.factor",
        Short,
        Some("3"),
        Valid::AtLeast(1),
        "Replicas of the internal topic __consumer_offsets when it is created; never more than there \
         are brokers.",
    )
    .high(),
    ConfigDef::new(
        "transaction.state.log.replication.factor",
        Short,
        Some("3"),
        Valid::AtLeast(1),
        "Replicas of the internal topic __transaction_state when it is created; never more than there \
         are brokers.",
    )
    .high(),
    ConfigDef::new(
        "transaction.state.log.min.isr",
        Int,
        Some("2"),
        Valid::AtLeast(1),
        "min.insync.replicas of the internal topic __transaction_state when it is created; never more \
         than it has replicas.",
    )
    .high(),
];
