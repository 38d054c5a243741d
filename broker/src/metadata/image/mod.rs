//! The metadata at one moment, immutable, and what applying a record makes of it.
//!
//! An image is a few pointers to persistent maps: copying it costs nothing that grows with the number
//! of topics, and a change shares everything that it does not touch. Readers keep an `Arc` of one for
//! as long as they need a consistent view.

use std::{collections::BTreeMap, sync::Arc};

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use uuid::Uuid;

use super::{
    records::{
        BrokerConfigRecord, BrokerEpochsRecord, BrokerRecord, ClusterRecord, FeatureRecord,
        IncarnationsRecord, PartitionChangeRecord, ProducerIdsRecord, Record, TopicRecord,
    },
    topic_name,
};

mod loads;
mod validate;

pub use loads::Load;

/// The leader of a partition that has none.
pub const NO_LEADER: i32 = -1;

/// A broker of the image.
pub type Broker = BrokerRecord;

/// A partition of the image.
pub type Partition = super::records::PartitionRecord;

/// Config overrides, by Kafka's config name.
pub type Configs = BTreeMap<String, String>;

/// A topic of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id (KIP-516).
    pub id: Uuid,
    /// Its partitions; the place in the list is the partition index.
    pub partitions: Vec<Arc<Partition>>,
    /// Its config overrides.
    pub configs: Configs,
}

/// All metadata at one moment.
#[derive(Debug, Clone, Default)]
pub struct Image {
    cluster_id: Option<Arc<str>>,
    brokers: RedBlackTreeMapSync<i32, Arc<Broker>>,
    broker_default_configs: Arc<Configs>,
    broker_configs: RedBlackTreeMapSync<i32, Arc<Configs>>,
    features: Arc<BTreeMap<String, i16>>,
    topics: RedBlackTreeMapSync<Arc<str>, Arc<Topic>>,
    /// Names only, so that a topic has one owner and can be changed in place while nobody else holds it.
    topics_by_id: HashTrieMapSync<Uuid, Arc<str>>,
    /// Changes of partitions whose topics are not known: compaction has left the topic's record further
    /// on, or the log was cut while the topic was deleted.
    early_changes: HashTrieMapSync<u64, Arc<Partition>>,
    names_by_collision_form: HashTrieMapSync<String, Arc<str>>,
    partition_count: usize,
    loads: loads::Loads,
    next_incarnation: u64,
    next_producer_id: i64,
    next_broker_epoch: i64,
}

impl Topic {
    /// The partition at `index`, as it stands in requests; `None` where there is none, which includes
    /// negative indexes.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.partitions.get(index))
            .map(AsRef::as_ref)
    }

    /// Whether the cluster keeps the topic for itself.
    pub fn is_internal(&self) -> bool {
        topic_name::is_internal(&self.name)
    }

    /// The record that makes this topic.
    pub fn to_record(&self) -> Record {
        let value = TopicRecord {
            topic_id: self.id,
            partitions: self.partitions.iter().map(|p| p.as_ref().clone()).collect(),
            configs: self.configs.clone(),
        };
        Record::Topic {
            name: self.name.to_string(),
            value: Some(value),
        }
    }
}

impl Image {
    /// The cluster's id; `None` only before the first command of a new cluster.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// The broker with this id.
    pub fn broker(&self, id: i32) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// How many brokers are registered.
    pub fn broker_count(&self) -> usize {
        self.brokers.size()
    }

    /// Dynamic configs that apply to every broker.
    pub fn broker_default_configs(&self) -> &Configs {
        &self.broker_default_configs
    }

    /// Dynamic configs of one broker alone.
    pub fn broker_configs(&self, id: i32) -> Option<&Configs> {
        self.broker_configs.get(&id).map(AsRef::as_ref)
    }

    /// Whether a broker is given no new replicas (KIP-1066). What it has it keeps.
    pub fn is_cordoned(&self, id: i32) -> bool {
        let configs = self.broker_configs(id);
        let cordoned = configs.and_then(|configs| configs.get("cordoned.log.dirs"));
        cordoned.is_some_and(|directories| !directories.trim().is_empty())
    }

    /// Brokers that have dynamic configs of their own, by id.
    pub fn brokers_with_configs(&self) -> impl Iterator<Item = i32> {
        self.broker_configs.keys().copied()
    }

    /// The finalized level of a feature; 0 where it is off.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The features that are on, with their finalized levels.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// What a broker has of all partitions; kept up to date with each record, so that nobody counts.
    pub fn load(&self, broker_id: i32) -> Load {
        self.loads.of(broker_id)
    }

    /// The topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topics from `name` on, by name.
    pub fn topics_from<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Topic>> {
        let from = (std::ops::Bound::Included(name), std::ops::Bound::Unbounded);
        self.topics.range::<str, _>(from).map(|(_, topic)| topic)
    }

    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: &Uuid) -> Option<&Arc<Topic>> {
        self.topics_by_id
            .get(id)
            .and_then(|name| self.topics.get(name))
    }

    /// The existing topic whose name differs from `name` in nothing but `.` and `_`.
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        let form = topic_name::collision_form(name)?;
        self.names_by_collision_form
            .get(&form)
            .filter(|existing| existing.as_ref() != name)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.size()
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The next partition incarnation to hand out; larger than all that were.
    pub fn next_incarnation(&self) -> u64 {
        self.next_incarnation
    }

    /// The next producer id to hand out; larger than all that were.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// The next broker epoch to hand out; larger than all that were.
    pub fn next_broker_epoch(&self) -> i64 {
        self.next_broker_epoch
    }

    /// Every partition, with its topic and index.
    pub fn partitions(&self) -> impl Iterator<Item = (&Arc<Topic>, usize, &Arc<Partition>)> {
        self.topics().flat_map(|topic| {
            let with_index = topic.partitions.iter().enumerate();
            with_index.map(move |(index, partition)| (topic, index, partition))
        })
    }

    /// Records that make this image from nothing: what a snapshot holds.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::with_capacity(4 + self.broker_count() + self.topic_count());
        if let Some(cluster_id) = self.cluster_id() {
            let cluster_id = cluster_id.to_owned();
            records.push(Record::Cluster(ClusterRecord { cluster_id }));
        }
        let next = self.next_incarnation;
        records.push(Record::Incarnations(IncarnationsRecord { next }));
        let next_producer_id = self.next_producer_id;
        records.push(Record::ProducerIds(ProducerIdsRecord { next_producer_id }));
        let next = self.next_broker_epoch;
        records.push(Record::BrokerEpochs(BrokerEpochsRecord { next }));
        let config = |broker_id, configs: &Configs| Record::BrokerConfig {
            broker_id,
            value: Some(BrokerConfigRecord {
                configs: configs.clone(),
            }),
        };
        if !self.broker_default_configs.is_empty() {
            records.push(config(None, &self.broker_default_configs));
        }
        let of_brokers = self.broker_configs.iter();
        records.extend(of_brokers.map(|(id, configs)| config(Some(*id), configs)));
        records.extend(
            self.brokers()
                .map(|broker| Record::from(broker.as_ref().clone())),
        );
        records.extend(self.features.iter().map(|(name, level)| Record::Feature {
            name: name.clone(),
            value: Some(FeatureRecord { level: *level }),
        }));
        records.extend(self.topics().map(|topic| topic.to_record()));
        records
    }

    /// The image after `record`.
    #[must_use]
    pub fn apply(mut self, record: Record) -> Image {
        match record {
            Record::Cluster(cluster) => self.cluster_id = Some(cluster.cluster_id.into()),
            Record::Incarnations(incarnations) => {
                assert!(
                    incarnations.next >= self.next_incarnation,
                    "incarnations must never be handed out twice"
                );
                self.next_incarnation = incarnations.next;
            }
            Record::ProducerIds(ids) => {
                assert!(
                    ids.next_producer_id >= self.next_producer_id,
                    "producer ids must never be handed out twice"
                );
                self.next_producer_id = ids.next_producer_id;
            }
            Record::BrokerEpochs(epochs) => {
                // Not asserted: compaction may leave this record behind younger registrations.
                self.next_broker_epoch = self.next_broker_epoch.max(epochs.next);
            }
            Record::Broker {
                value: Some(broker),
                ..
            } => {
                self.next_broker_epoch = self.next_broker_epoch.max(broker.epoch + 1);
                self.brokers.insert_mut(broker.broker_id, Arc::new(broker));
            }
            Record::Broker {
                broker_id,
                value: None,
            } => {
                self.brokers.remove_mut(&broker_id);
            }
            Record::BrokerConfig { broker_id, value } => {
                let configs = value.map(|value| value.configs).unwrap_or_default();
                self.apply_broker_configs(broker_id, configs);
            }
            Record::Feature { name, value } => {
                let features = Arc::make_mut(&mut self.features);
                match value {
                    Some(FeatureRecord { level }) => features.insert(name, level),
                    None => features.remove(&name),
                };
            }
            Record::Topic { name, value } => {
                self.remove_topic(&name);
                if let Some(value) = value {
                    self.insert_topic(name.into(), value);
                }
            }
            Record::Partition {
                value: Some(change),
                ..
            } => self.change_partition(change),
            Record::Partition {
                incarnation,
                value: None,
            } => {
                self.early_changes.remove_mut(&incarnation);
            }
        }
        self
    }

    fn apply_broker_configs(&mut self, broker_id: Option<i32>, configs: Configs) {
        match broker_id {
            None => self.broker_default_configs = Arc::new(configs),
            Some(id) if configs.is_empty() => {
                self.broker_configs.remove_mut(&id);
            }
            Some(id) => {
                self.broker_configs.insert_mut(id, Arc::new(configs));
            }
        }
    }

    /// Puts a partition's new state in the place of an older one. As long as no other image shares the
    /// topic, it is changed in place, so that a command may change many partitions of a topic.
    fn change_partition(&mut self, change: PartitionChangeRecord) {
        let PartitionChangeRecord {
            topic_id,
            index,
            state,
        } = change;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let current = self
            .topic_by_id(&topic_id)
            .and_then(|topic| topic.partitions.get(index))
            .filter(|partition| partition.incarnation == state.incarnation);
        match current {
            Some(current) if current.partition_epoch >= state.partition_epoch => {}
            Some(current) => {
                self.loads = self.loads.moved(&current.replicas, &state.replicas);
                let name = self.topics_by_id.get(&topic_id).cloned();
                let name = name.expect("the topic was found by its id");
                let topic = self.topics.get_mut(&name);
                let topic = topic.expect("each id is that of a topic");
                Arc::make_mut(topic).partitions[index] = Arc::new(state);
            }
            None => {
                self.early_changes
                    .insert_mut(state.incarnation, Arc::new(state));
            }
        }
    }

    /// The newer of a topic's own word about a partition and of an early change of it.
    fn newest(&mut self, state: Partition) -> Arc<Partition> {
        let early = self.early_changes.get(&state.incarnation).cloned();
        let Some(early) = early else {
            return Arc::new(state);
        };
        self.early_changes.remove_mut(&state.incarnation);
        match early.partition_epoch > state.partition_epoch {
            true => early,
            false => Arc::new(state),
        }
    }

    fn remove_topic(&mut self, name: &str) {
        let Some(topic) = self.topics.get(name).cloned() else {
            return;
        };
        self.topics.remove_mut(name);
        self.topics_by_id.remove_mut(&topic.id);
        if let Some(form) = topic_name::collision_form(name) {
            self.names_by_collision_form.remove_mut(&form);
        }
        self.partition_count -= topic.partitions.len();
        self.loads = self.loads.without(&topic.partitions);
    }

    fn insert_topic(&mut self, name: Arc<str>, value: TopicRecord) {
        let TopicRecord {
            topic_id,
            partitions,
            configs,
        } = value;
        self.partition_count += partitions.len();
        let partitions: Vec<Arc<Partition>> = partitions
            .into_iter()
            .map(|partition| self.newest(partition))
            .collect();
        self.loads = self.loads.with(&partitions);
        if let Some(form) = topic_name::collision_form(&name) {
            self.names_by_collision_form
                .insert_mut(form, Arc::clone(&name));
        }
        let topic = Arc::new(Topic {
            name: Arc::clone(&name),
            id: topic_id,
            partitions,
            configs,
        });
        self.topics_by_id.insert_mut(topic_id, Arc::clone(&name));
        self.topics.insert_mut(name, topic);
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        // The other maps are derived from these, but for early changes, which no reader can see.
        self.cluster_id == other.cluster_id
            && self.brokers == other.brokers
            && self.broker_default_configs == other.broker_default_configs
            && self.broker_configs == other.broker_configs
            && self.features == other.features
            && self.topics == other.topics
            && self.next_incarnation == other.next_incarnation
            && self.next_producer_id == other.next_producer_id
            && self.next_broker_epoch == other.next_broker_epoch
    }
}
