//! The partitions of which this broker has a replica, as the metadata has them.

use std::{
    cell::LazyCell,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use fjord_log::{Log, PartitionId};
use tracing::error;
use uuid::Uuid;

use super::replica::{Replica, ReplicaOptions};
use crate::{
    broker::{LiveConfig, election_defaults},
    clock::monotonic_ms,
    config::{BrokerConfig, TopicConfig},
    metadata::{Delta, Image, ImageObserver, Partition, Topic, commands::min_in_sync_replicas},
};

/// The incarnation id of `__cluster_metadata`, which is there before any metadata is. Ids of all other
/// partitions are allocated upwards from 0.
pub const METADATA_PARTITION: PartitionId = PartitionId(u64::MAX);

/// The part of a partition's id in the log that its incarnation takes; the rest tells apart the times at which it came to
/// this broker.
const INCARNATION_BITS: u64 = (1 << 48) - 1;

/// Why a partition cannot be used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHere {
    /// There is no such partition.
    Unknown,
    /// Another broker leads it, or none does now.
    LedElsewhere,
}

/// The partitions of one topic, by index; those without a replica on this broker are empty.
type Replicas = Arc<[Option<Arc<Replica>>]>;

/// All partitions of which this broker has a replica. It must observe the metadata after [`LiveConfig`] has.
pub struct Partitions {
    log: Arc<Log>,
    live_config: LiveConfig,
    broker_id: i32,
    topics: RwLock<HashMap<Uuid, Replicas>>,
    ids: RwLock<HashMap<Arc<str>, Uuid>>,
    /// What is on disk and has no replica yet, by incarnation; empty once all of the metadata is known.
    unclaimed: Mutex<HashMap<u64, PartitionId>>,
}

impl Partitions {
    /// No partitions yet, on this log.
    pub fn new(log: Arc<Log>, live_config: LiveConfig) -> Arc<Self> {
        let on_disk = log.unclaimed().into_iter();
        let by_incarnation = on_disk
            .filter(|id| *id != METADATA_PARTITION)
            .map(|id| (id.0 & INCARNATION_BITS, id));
        Arc::new(Self {
            unclaimed: Mutex::new(by_incarnation.collect()),
            log,
            broker_id: live_config.get().node.node_id,
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
    ///
    /// # Errors
    ///
    /// [`NotHere`].
    pub fn leader(&self, topic_id: &Uuid, index: i32) -> Result<Arc<Replica>, NotHere> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let replicas = topics.get(topic_id).ok_or(NotHere::Unknown)?;
        let index = usize::try_from(index).map_err(|_| NotHere::Unknown)?;
        let replica = replicas.get(index).ok_or(NotHere::Unknown)?;
        let replica = replica.as_ref().ok_or(NotHere::LedElsewhere)?;
        replica.check_leads()?;
        Ok(Arc::clone(replica))
    }

    /// This broker's replica of a partition, whether it leads or follows.
    pub fn replica(&self, topic_id: &Uuid, index: i32) -> Option<Arc<Replica>> {
        let index = usize::try_from(index).ok()?;
        self.of_topic(topic_id)?.get(index)?.clone()
    }

    /// All partitions of a topic.
    pub fn of_topic(&self, topic_id: &Uuid) -> Option<Replicas> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic_id).cloned()
    }

    /// Calls `each` for every replica.
    pub fn for_each(&self, mut each: impl FnMut(&Arc<Replica>)) {
        let topics: Vec<_> = {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            topics.values().cloned().collect()
        };
        topics
            .iter()
            .flat_map(|replicas| replicas.iter().flatten())
            .for_each(&mut each);
    }

    /// Deletes data that no partition of the metadata claims: what is left of a deletion that a crash
    /// interrupted. To be called once, when all of the metadata is known.
    pub fn delete_unclaimed(&self) {
        self.unclaimed().clear();
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

    /// Takes some of a topic's partitions into force: opens and deletes replicas, and tells them their states.
    fn update(
        &self,
        image: &Image,
        topic: &Topic,
        indexes: impl Iterator<Item = usize> + Clone,
        config: &BrokerConfig,
    ) {
        let mut replicas: Vec<Option<Arc<Replica>>> = self
            .of_topic(&topic.id)
            .map(|known| known.to_vec())
            .unwrap_or_default();
        replicas.resize(topic.partitions.len(), None);
        // Most changes open nothing.
        let topic_config = LazyCell::new(|| Arc::new(TopicConfig::resolve(&topic.configs, config)));
        for index in indexes.clone() {
            let (partition, replica) = (&topic.partitions[index], &mut replicas[index]);
            match partition.replicas.contains(&self.broker_id) {
                true if replica.is_none() => {
                    *replica = self.open(topic, index, partition, &topic_config, config);
                }
                true => {}
                false => {
                    if let Some(replica) = replica.take() {
                        self.delete(&replica);
                    }
                }
            }
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.id, replicas.into());
        drop(topics);
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        ids.insert(Arc::clone(&topic.name), topic.id);
        drop(ids);
        self.set_states(image, topic, indexes, config);
    }

    fn open(
        &self,
        topic: &Topic,
        index: usize,
        partition: &Partition,
        topic_config: &Arc<TopicConfig>,
        config: &BrokerConfig,
    ) -> Option<Arc<Replica>> {
        let label = format!("{}-{index}", topic.name);
        let id = self.id_of(partition);
        let log = match self.log.open_partition(id, &label, topic.is_internal()) {
            Ok(log) => log,
            Err(failed) => {
                // Only a log that has failed or is closed refuses, and then the broker ends.
                error!(partition = label, error = %failed, "cannot open a partition's log");
                return None;
            }
        };
        let replica = Replica::new(ReplicaOptions {
            topic: Arc::clone(&topic.name),
            topic_id: topic.id,
            index: i32::try_from(index).expect("a topic's partitions are counted by an i32"),
            broker_id: self.broker_id,
            log,
            config: Arc::clone(topic_config),
        });
        replica.set_config(Arc::clone(topic_config), &config.log.cleaner);
        Some(Arc::new(replica))
    }

    /// The id of a partition in this broker's log: of what is there, or one that was never used here. A partition that
    /// has moved away and comes back must not have its old one, whose deletion the log remembers.
    fn id_of(&self, partition: &Partition) -> PartitionId {
        let found = self.unclaimed().remove(&partition.incarnation);
        found.unwrap_or_else(|| {
            // It grows with every change of the partition, of which coming back is one.
            let turn = u64::try_from(partition.partition_epoch).unwrap_or(0);
            PartitionId(partition.incarnation | turn << INCARNATION_BITS.count_ones())
        })
    }

    fn unclaimed(&self) -> MutexGuard<'_, HashMap<u64, PartitionId>> {
        self.unclaimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells replicas of a topic the states that the metadata has for them.
    fn set_states(
        &self,
        image: &Image,
        topic: &Topic,
        indexes: impl Iterator<Item = usize>,
        config: &BrokerConfig,
    ) {
        let defaults = election_defaults(config);
        let now_ms = monotonic_ms();
        let Some(replicas) = self.of_topic(&topic.id) else {
            return;
        };
        for index in indexes {
            if let (partition, Some(replica)) = (&topic.partitions[index], &replicas[index]) {
                let count = partition.replicas.len();
                let min_in_sync = min_in_sync_replicas(image, topic, count, defaults);
                replica.set_state(partition, min_in_sync, now_ms);
            }
        }
    }

    fn delete(&self, replica: &Replica) {
        if let Err(failed) = self.log.delete_partition(replica.log().id()) {
            error!(partition = ?replica, error = %failed, "cannot delete a partition's data");
        }
        replica.close();
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
        removed
            .iter()
            .flat_map(|replicas| replicas.iter().flatten())
            .for_each(|replica| self.delete(replica));
    }

    fn reconfigure(&self, image: &Image, topic: &Topic, config: &BrokerConfig) {
        let topic_config = Arc::new(TopicConfig::resolve(&topic.configs, config));
        let replicas = self.of_topic(&topic.id);
        for replica in replicas
            .iter()
            .flat_map(|replicas| replicas.iter().flatten())
        {
            replica.set_config(Arc::clone(&topic_config), &config.log.cleaner);
        }
        self.set_states(image, topic, 0..topic.partitions.len(), config);
    }
}

impl ImageObserver for Arc<Partitions> {
    fn before_publish(&self, _old: &Image, new: &Image, delta: &Delta) {
        let config = self.live_config.get();
        for topic in &delta.topics_deleted {
            self.close(topic);
        }
        for topic in &delta.topics_created {
            self.update(new, topic, 0..topic.partitions.len(), &config);
        }
        for (topic, added) in &delta.partitions_added {
            self.update(new, topic, added.clone(), &config);
        }
        for (topic, changed) in &delta.partitions_changed {
            self.update(new, topic, changed.iter().copied(), &config);
        }
        if delta.broker_configs_changed {
            new.topics()
                .for_each(|topic| self.reconfigure(new, topic, &config));
        } else {
            delta
                .topic_configs_changed
                .iter()
                .for_each(|topic| self.reconfigure(new, topic, &config));
        }
    }
}
