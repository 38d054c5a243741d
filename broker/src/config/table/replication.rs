//! Configs of replication.

use crate::config::definition::ConfigType::Long;
use crate::config::definition::{ConfigDef, Valid};

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "replica.lag.time.max.ms",
        Long,
        Some("30000"),
        Valid::AtLeast(1),
        "How long a follower may go without having all that its leader has before it is no longer \
         in sync. A broker that is gone is noticed much earlier, by its connection or its session.",
    )
    .high(),
    ConfigDef::new(
        "leader.replication.throttled.rate",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(0),
        "Bytes that this broker sends in a second to all replicas that are not in sync; in place of \
         fjord.replication.catch.up.bytes.per.second, if it is set. Kafka's tool that moves replicas sets and \
         removes it.",
    )
    .dynamic(),
    ConfigDef::new(
        "follower.replication.throttled.rate",
        Long,
        Some("9223372036854775807"),
        Valid::AtLeast(0),
        "Bytes that each leader sends in a second to this broker's replicas that are not in sync. Leaders \
         know only what is set dynamically.",
    )
    .dynamic(),
];
