//! The cluster's figures for Prometheus, as this broker's metadata has them: what should wake somebody up.

use std::fmt;

use super::{
    definitions,
    metrics::{Figure, FigureSource},
};
use crate::{
    broker::{LiveConfig, election_defaults},
    metadata::{
        Image, commands::ElectionDefaults, commands::min_in_sync_replicas, store::MetadataStore,
    },
};

/// Looks at the metadata at every scrape.
pub struct ClusterFigures {
    metadata: MetadataStore,
    live_config: LiveConfig,
}

impl ClusterFigures {
    /// The figures of the broker with these configs.
    pub fn new(metadata: MetadataStore, live_config: LiveConfig) -> Self {
        Self {
            metadata,
            live_config,
        }
    }
}

impl fmt::Debug for ClusterFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClusterFigures")
    }
}

impl FigureSource for ClusterFigures {
    fn figures(&self) -> Vec<Figure> {
        let config = self.live_config.get();
        let image = self.metadata.image();
        let counts = count(&image, config.node.node_id, election_defaults(&config));
        let gauge = |definition, value: usize| Figure::gauge(definition, value as f64);
        vec![
            gauge(definitions::BROKERS, counts.brokers),
            gauge(definitions::BROKERS_FENCED, counts.fenced),
            gauge(definitions::PARTITIONS, counts.here),
            gauge(definitions::PARTITIONS_LED, counts.led),
            gauge(
                definitions::PARTITIONS_UNDER_REPLICATED,
                counts.under_replicated,
            ),
            gauge(
                definitions::PARTITIONS_UNDER_MIN_IN_SYNC,
                counts.under_min_in_sync,
            ),
            gauge(
                definitions::PARTITIONS_WITHOUT_LEADER,
                counts.without_leader,
            ),
        ]
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    brokers: usize,
    fenced: usize,
    /// With a replica on this broker.
    here: usize,
    /// Led by this broker; of those:
    led: usize,
    under_replicated: usize,
    under_min_in_sync: usize,
    /// In the whole cluster.
    without_leader: usize,
}

/// How broker `me` and its cluster are.
fn count(image: &Image, me: i32, defaults: ElectionDefaults) -> Counts {
    let mut counts = Counts::default();
    for broker in image.brokers() {
        counts.brokers += 1;
        counts.fenced += usize::from(broker.fenced);
    }
    for topic in image.topics() {
        for partition in &topic.partitions {
            counts.here += usize::from(partition.replicas.contains(&me));
            counts.without_leader += usize::from(partition.leader < 0);
            if partition.leader != me {
                continue;
            }
            let (in_sync, replicas) = (partition.in_sync_replicas.len(), partition.replicas.len());
            counts.led += 1;
            counts.under_replicated += usize::from(in_sync < replicas);
            let needed = min_in_sync_replicas(image, topic, replicas, defaults);
            counts.under_min_in_sync += usize::from(in_sync < needed);
        }
    }
    counts
}
