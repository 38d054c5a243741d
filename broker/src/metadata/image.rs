//! The metadata at one moment, immutable, and what applying a record makes of it.
//!
//! An image is a few pointers to persistent maps: copying it costs nothing that grows with the number
//! of topics, and a change shares everything that it does not touch. Readers keep an `Arc` of one for
//! as long as they need a consistent view.

use std::{collections::BTreeMap, sync::Arc};

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use uuid::Uuid;

use super::{
    records::{BrokerRecord, Record, TopicRecord},
    topic_name,
};

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
    pub partitions: Vec<Partition>,
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
    topics: RedBlackTreeMapSync<Arc<str>, Arc<Topic>>,
    topics_by_id: HashTrieMapSync<Uuid, Arc<Topic>>,
    names_by_collision_form: HashTrieMapSync<String, Arc<str>>,
    partition_count: usize,
    next_incarnation: u64,
    next_producer_id: i64,
}

impl Topic {
    /// The partition at `index`, as it stands in requests; `None` where there is none, which includes
    /// negative indexes.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.partitions.get(index))
    }

    /// Whether the cluster keeps the topic for itself.
    pub fn is_internal(&self) -> bool {
        topic_name::is_internal(&self.name)
    }

    /// The record that makes this topic.
    pub fn to_record(&self) -> Record {
        let value = TopicRecord {
            topic_id: self.id,
            partitions: self.partitions.clone(),
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

    /// Brokers that have dynamic configs of their own, by id.
    pub fn brokers_with_configs(&self) -> impl Iterator<Item = i32> {
        self.broker_configs.keys().copied()
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
        self.topics_by_id.get(id)
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
            Record::Broker(broker) => {
                self.brokers.insert_mut(broker.broker_id, Arc::new(broker));
            }
            Record::BrokerConfig { broker_id, value } => {
                let configs = value.map(|value| value.configs).unwrap_or_default();
                self.apply_broker_configs(broker_id, configs);
            }
            Record::Topic { name, value } => {
                self.remove_topic(&name);
                if let Some(value) = value {
                    self.insert_topic(name.into(), value);
                }
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
    }

    fn insert_topic(&mut self, name: Arc<str>, value: TopicRecord) {
        let TopicRecord {
            topic_id,
            partitions,
            configs,
        } = value;
        self.partition_count += partitions.len();
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
        self.topics_by_id.insert_mut(topic_id, Arc::clone(&topic));
        self.topics.insert_mut(name, topic);
    }

    /// Checks what must hold in every image, at a cost that grows with the number of partitions; used
    /// after replay and in tests. The error says what does not hold.
    pub fn validate(&self) -> Result<(), String> {
        let mut incarnations = std::collections::HashSet::new();
        let mut partition_count = 0;
        for topic in self.topics.values() {
            let name = &topic.name;
            if self.topics_by_id.get(&topic.id) != Some(topic) {
                return Err(format!("topic {name} is not found by its id {}", topic.id));
            }
            if topic.partitions.is_empty() {
                return Err(format!("topic {name} has no partitions"));
            }
            partition_count += topic.partitions.len();
            for (index, partition) in topic.partitions.iter().enumerate() {
                let problem = partition_problem(partition, self.next_incarnation);
                if let Some(problem) = problem {
                    return Err(format!("partition {name}-{index}: {problem}"));
                }
                if !incarnations.insert(partition.incarnation) {
                    return Err(format!("partition {name}-{index}: incarnation used twice"));
                }
            }
        }
        if self.topics_by_id.size() != self.topics.size() {
            return Err("there are ids without a topic".to_owned());
        }
        if partition_count != self.partition_count {
            return Err("partitions are miscounted".to_owned());
        }
        Ok(())
    }
}

fn partition_problem(partition: &Partition, next_incarnation: u64) -> Option<&'static str> {
    let in_sync = &partition.in_sync_replicas;
    if partition.incarnation >= next_incarnation {
        Some("its incarnation was never handed out")
    } else if in_sync.is_empty() {
        Some("no replica is in sync")
    } else if !in_sync.iter().all(|id| partition.replicas.contains(id)) {
        Some("a broker that is not a replica is in sync")
    } else if partition.leader != NO_LEADER && !in_sync.contains(&partition.leader) {
        Some("its leader is not in sync")
    } else {
        None
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        // The other maps are derived from these.
        self.cluster_id == other.cluster_id
            && self.brokers == other.brokers
            && self.broker_default_configs == other.broker_default_configs
            && self.broker_configs == other.broker_configs
            && self.topics == other.topics
            && self.next_incarnation == other.next_incarnation
            && self.next_producer_id == other.next_producer_id
    }
}
