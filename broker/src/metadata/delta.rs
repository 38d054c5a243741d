//! What differs between two images, for those who keep something per topic.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use uuid::Uuid;

use super::{Image, Topic, records::Record};

/// The difference that one command made. A topic that was deleted and created again under its name is
/// in both lists, with its two ids.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Topics that are gone, as they last were.
    pub topics_deleted: Vec<Arc<Topic>>,
    /// Topics that are new.
    pub topics_created: Vec<Arc<Topic>>,
    /// Topics, as they now are, that have more partitions, with the indexes of the new ones.
    pub partitions_added: Vec<(Arc<Topic>, Range<usize>)>,
    /// Topics, as they now are, with the indexes of partitions whose state changed: leader, replicas,
    /// in-sync replicas, epochs.
    pub partitions_changed: Vec<(Arc<Topic>, Vec<usize>)>,
    /// Topics, as they now are, whose config overrides changed.
    pub topic_configs_changed: Vec<Arc<Topic>>,
    /// Whether dynamic broker configs changed.
    pub broker_configs_changed: bool,
    /// Whether a broker was registered, unregistered, fenced, unfenced, or began to stop.
    pub brokers_changed: bool,
}

/// The entities that some records touch: what [`Delta::between`] has to look at.
#[derive(Debug, Default)]
pub struct Touched {
    topics: BTreeSet<String>,
    topics_of_partitions: BTreeSet<Uuid>,
    broker_configs: bool,
    brokers: bool,
}

impl Touched {
    /// All that two images hold: for those that are not one or a few changes apart.
    pub fn everything(old: &Image, new: &Image) -> Touched {
        let topics = old.topics().chain(new.topics());
        Touched {
            topics: topics.map(|topic| topic.name.to_string()).collect(),
            topics_of_partitions: BTreeSet::new(),
            broker_configs: true,
            brokers: true,
        }
    }

    /// Takes note of a record.
    pub fn note(&mut self, record: &Record) {
        match record {
            Record::Topic { name, .. } => {
                self.topics.insert(name.clone());
            }
            Record::BrokerConfig { .. } => self.broker_configs = true,
            Record::Partition { value, .. } => {
                let topic = value.as_ref().map(|value| value.topic_id);
                self.topics_of_partitions.extend(topic);
            }
            Record::Broker { .. } => self.brokers = true,
            Record::Cluster(_)
            | Record::Incarnations(_)
            | Record::BrokerEpochs(_)
            | Record::Feature { .. }
            | Record::ProducerIds(_) => {}
        }
    }
}

impl Delta {
    /// The difference from `old` to `new` in what was touched between them.
    pub fn between(old: &Image, new: &Image, touched: &Touched) -> Delta {
        let mut delta = Delta {
            broker_configs_changed: touched.broker_configs,
            brokers_changed: touched.brokers,
            ..Delta::default()
        };
        let of_partitions = touched
            .topics_of_partitions
            .iter()
            .filter_map(|id| new.topic_by_id(id))
            .map(|topic| topic.name.as_ref());
        let names: BTreeSet<&str> = touched
            .topics
            .iter()
            .map(String::as_str)
            .chain(of_partitions)
            .collect();
        for name in names {
            delta.add_topic(old.topic(name), new.topic(name));
        }
        delta
    }

    /// The difference from no metadata at all to `image`, as it is after a replay.
    pub fn from_nothing(image: &Image) -> Delta {
        Delta {
            topics_created: image.topics().cloned().collect(),
            broker_configs_changed: true,
            brokers_changed: true,
            ..Delta::default()
        }
    }

    fn add_topic(&mut self, old: Option<&Arc<Topic>>, new: Option<&Arc<Topic>>) {
        match (old, new) {
            (Some(old), Some(new)) if old.id == new.id => {
                let added = old.partitions.len()..new.partitions.len();
                assert!(added.start <= added.end, "a topic never loses partitions");
                let changed: Vec<usize> = (0..added.start)
                    .filter(|index| old.partitions[*index] != new.partitions[*index])
                    .collect();
                if !changed.is_empty() {
                    self.partitions_changed.push((Arc::clone(new), changed));
                }
                if !added.is_empty() {
                    self.partitions_added.push((Arc::clone(new), added));
                }
                if old.configs != new.configs {
                    self.topic_configs_changed.push(Arc::clone(new));
                }
            }
            (old, new) => {
                self.topics_deleted.extend(old.cloned());
                self.topics_created.extend(new.cloned());
            }
        }
    }
}
