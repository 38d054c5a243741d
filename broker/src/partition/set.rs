//! The partitions that this broker leads, as the metadata has them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use fjord_log::{Log, PartitionId};
use tracing::error;
use uuid::Uuid;

use super::leader::Leader;
use crate::{
    broker::LiveConfig,
    config::{BrokerConfig, TopicConfig},
    metadata::{Delta, Image, ImageObserver, Topic},
};

/// The incarnation id of `__cluster_metadata`, which is there before any metadata is. Ids of all other
/// partitions are allocated upwards from 0.
pub const METADATA_PARTITION: PartitionId = PartitionId(u64::MAX);

/// All partitions that this broker leads. It must observe the metadata after [`LiveConfig`] has.
pub struct Partitions {
    log: Arc<Log>,
    live_config: LiveConfig,
    topics: RwLock<HashMap<Uuid, Arc<[Arc<Leader>]>>>,
    ids: RwLock<HashMap<Arc<str>, Uuid>>,
}

impl Partitions {
    /// No partitions yet, on this log.
    pub fn new(log: Arc<Log>, live_config: LiveConfig) -> Arc<Self> {
        Arc::new(Self {
            log,
            live_config,
            topics: RwLock::default(),
            ids: RwLock::default(),
        })
    }

    /// The log that all partitions are in.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The id of the topic that has this name now. While the metadata changes it may be a step ahead of the
    /// published image.
    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        ids.get(name).copied()
    }

    /// The partition `index` of a topic, if this broker leads it.
    pub fn leader(&self, topic_id: &Uuid, index: i32) -> Option<Arc<Leader>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(index).ok()?;
        topics.get(topic_id)?.get(index).cloned()
    }

    /// All partitions of a topic that this broker leads.
    pub fn of_topic(&self, topic_id: &Uuid) -> Option<Arc<[Arc<Leader>]>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic_id).cloned()
    }

    /// Calls `each` for every partition.
    pub fn for_each(&self, mut each: impl FnMut(&Arc<Leader>)) {
        let topics: Vec<_> = {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            topics.values().cloned().collect()
        };
        topics
            .iter()
            .flat_map(|leaders| leaders.iter())
            .for_each(&mut each);
    }

    /// Deletes data that no partition of the metadata claims: what is left of a deletion that a crash
    /// interrupted. To be called once, when the metadata was replayed without damage.
    pub fn delete_unclaimed(&self) {
        for id in self.log.unclaimed() {
            if id == METADATA_PARTITION {
                continue;
            }
            tracing::info!(partition = id.0, "deleting the data of a deleted partition");
            if let Err(failed) = self.log.delete_partition(id) {
                error!(partition = id.0, error = %failed, "cannot delete a partition's data");
            }
        }
    }

    /// Opens the logs of a topic's partitions beyond those that are open.
    fn open(&self, topic: &Topic, config: &BrokerConfig) {
        let mut leaders: Vec<Arc<Leader>> = self
            .of_topic(&topic.id)
            .map(|open| open.to_vec())
            .unwrap_or_default();
        let topic_config = Arc::new(TopicConfig::resolve(&topic.configs, config));
        for (index, partition) in topic.partitions.iter().enumerate().skip(leaders.len()) {
            let label = format!("{}-{index}", topic.name);
            let id = PartitionId(partition.incarnation);
            let log = match self.log.open_partition(id, &label, topic.is_internal()) {
                Ok(log) => log,
                Err(failed) => {
                    // Only a log that has failed or is closed refuses, and then the broker ends.
                    error!(partition = label, error = %failed, "cannot open a partition's log");
                    return;
                }
            };
            let index = i32::try_from(index).expect("a topic's partitions are counted by an i32");
            let leader = Leader::new(
                Arc::clone(&topic.name),
                topic.id,
                index,
                partition.leader_epoch,
                log,
                Arc::clone(&topic_config),
            );
            leader.set_config(Arc::clone(&topic_config), &config.log.cleaner);
            leaders.push(Arc::new(leader));
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.id, leaders.into());
        drop(topics);
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        ids.insert(Arc::clone(&topic.name), topic.id);
    }

    fn close(&self, topic: &Topic) {
        let removed = {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            topics.remove(&topic.id)
        };
        self.ids
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&topic.name);
        for leader in removed.iter().flat_map(|leaders| leaders.iter()) {
            if let Err(failed) = self.log.delete_partition(leader.log().id()) {
                error!(partition = ?leader, error = %failed, "cannot delete a partition's data");
            }
            leader.close();
        }
    }

    fn reconfigure(&self, topic: &Topic, config: &BrokerConfig) {
        let topic_config = Arc::new(TopicConfig::resolve(&topic.configs, config));
        let leaders = self.of_topic(&topic.id);
        for leader in leaders.iter().flat_map(|leaders| leaders.iter()) {
            leader.set_config(Arc::clone(&topic_config), &config.log.cleaner);
        }
    }
}

impl ImageObserver for Arc<Partitions> {
    fn before_publish(&self, _old: &Image, new: &Image, delta: &Delta) {
        let config = self.live_config.get();
        for topic in &delta.topics_deleted {
            self.close(topic);
        }
        let added = delta.partitions_added.iter().map(|(topic, _)| topic);
        for topic in delta.topics_created.iter().chain(added) {
            self.open(topic, &config);
        }
        if delta.broker_configs_changed {
            new.topics()
                .for_each(|topic| self.reconfigure(topic, &config));
        } else {
            delta
                .topic_configs_changed
                .iter()
                .for_each(|topic| self.reconfigure(topic, &config));
        }
    }
}
