//! Configs of a broker of several: the metadata's quorum, the broker's session, and its peers.

use crate::config::cluster;
use crate::config::definition::ConfigType::{Boolean, Int, List, Long, String};
use crate::config::definition::{ConfigDef, Valid};

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "controller.quorum.voters",
        List,
        Some(""),
        Valid::Check("ID@HOST:PORT,...", cluster::check_voters),
        "The brokers that keep the metadata from the first start of the cluster on, three or five, by node.id \
         and the address of their peer listeners. The one with the lowest id founds the cluster when all of \
         them are there. Empty, with controller.quorum.bootstrap.servers empty too: this is the only broker.",
    )
    .high(),
    ConfigDef::new(
        "controller.quorum.bootstrap.servers",
        List,
        Some(""),
        Valid::Check("HOST:PORT,...", cluster::check_bootstrap),
        "Peer listeners of brokers of the cluster, for a broker that is none of the voters: it joins by them.",
    )
    .high(),
    ConfigDef::new(
        "fjord.cluster.id",
        String,
        None,
        Valid::Check("1 to 64 letters, digits, '-' and '_'", cluster::check_cluster_id),
        "The cluster's id. A broker of several needs it at its first start, so that it never ends up in another \
         cluster; later it must not change.",
    ),
    ConfigDef::new(
        "fjord.peer.listen",
        String,
        None,
        Valid::Check("HOST:PORT", cluster::check_address),
        "Address of the listener for other brokers. Unset, it is the port of this broker's own entry in \
         controller.quorum.voters, on every interface. Port 0 means a free port.",
    ),
    ConfigDef::new(
        "fjord.peer.advertised",
        String,
        None,
        Valid::Check("HOST:PORT", cluster::check_peer),
        "Where other brokers reach this one; unset, its own entry in controller.quorum.voters.",
    ),
    ConfigDef::new(
        "broker.session.timeout.ms",
        Int,
        Some("2000"),
        Valid::AtLeast(1),
        "Milliseconds without a heartbeat after which a broker is fenced: others lead in its place. Shorter than \
         Kafka's 9000, because a broker here answers heartbeats from a thread that waits for no disk and for no \
         garbage collector; one whose connection breaks is fenced at once anyway.",
    ),
    ConfigDef::new(
        "broker.heartbeat.interval.ms",
        Int,
        Some("200"),
        Valid::AtLeast(1),
        "Milliseconds between a broker's heartbeats. Less than half of broker.session.timeout.ms.",
    ),
    ConfigDef::new(
        "fjord.broker.connection.grace.ms",
        Int,
        Some("100"),
        Valid::AtLeast(0),
        "Milliseconds after which a broker is fenced whose connection broke and did not come back.",
    ),
    ConfigDef::new(
        "auto.leader.rebalance.enable",
        Boolean,
        Some("true"),
        Valid::Any,
        "Whether leadership goes back to the first replicas of partitions, every \
         leader.imbalance.check.interval.seconds.",
    )
    .high(),
    ConfigDef::new(
        "leader.imbalance.check.interval.seconds",
        Long,
        Some("300"),
        Valid::AtLeast(1),
        "Seconds between two looks at which partitions are not led by their first replica.",
    )
    .high(),
];
