//! The static table of every config, in the sections of the documentation.
//!
//! Names, types, defaults and ranges are Kafka's; a test compares them with what Apache Kafka 4.3.1
//! itself says (`kafka-4.3.1.tsv`). Configs that Kafka does not have begin with `fjord.`. A Kafka
//! config that can have no meaning here is not in the table, and is refused by name, but for the few of
//! `inert` that tools set as a matter of course.

mod cluster;
mod groups;
mod inert;
mod log;
mod network;
mod own;
mod quorum;
mod replication;
mod topic;

use super::definition::ConfigDef;

/// What Apache Kafka 4.3.1 says of its own configs; its header names the columns.
pub(super) const KAFKA_CONFIGS: &str = include_str!("../kafka-4.3.1.tsv");

/// The broker configs by the sections of the documentation.
pub(super) const BROKER_SECTIONS: [(&str, &[ConfigDef]); 9] = [
    ("Broker and topics", cluster::CONFIGS),
    ("Network and requests", network::CONFIGS),
    ("Log", log::CONFIGS),
    ("Replication", replication::CONFIGS),
    ("Groups and offsets", groups::GROUP_CONFIGS),
    ("Producers and transactions", groups::PRODUCER_CONFIGS),
    ("Several brokers", quorum::CONFIGS),
    ("Fjord's own", own::CONFIGS),
    ("Taken without effect", inert::CONFIGS),
];

/// Every broker config.
pub fn broker_configs() -> impl Iterator<Item = &'static ConfigDef> {
    BROKER_SECTIONS
        .iter()
        .flat_map(|(_, configs)| configs.iter())
}

/// Every topic config.
pub fn topic_configs() -> impl Iterator<Item = &'static ConfigDef> {
    topic::CONFIGS.iter().chain(inert::TOPIC_CONFIGS)
}

/// The broker config of this name.
pub fn broker_config(name: &str) -> Option<&'static ConfigDef> {
    broker_configs().find(|definition| definition.name == name)
}

/// The topic config of this name.
pub fn topic_config(name: &str) -> Option<&'static ConfigDef> {
    topic_configs().find(|definition| definition.name == name)
}

/// Whether Kafka has a config of this name in this scope (`broker` or `topic`), whether or not this
/// broker has it too.
pub(super) fn is_kafka_config(scope: &str, name: &str) -> bool {
    KAFKA_CONFIGS.lines().any(|line| {
        let mut columns = line.split('\t');
        columns.next() == Some(scope) && columns.next() == Some(name)
    })
}
